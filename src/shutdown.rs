//! When to stop: SIGINT, SIGTERM, or for a child of a devnet the end of standard input.

use std::io::{self, Read};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// A node drains and flushes within this time, then it is cut off.
pub const STOP_WITHIN: Duration = Duration::from_secs(10);

/// The reasons to stop, one after the other.
#[derive(Debug)]
pub struct Shutdown {
    interrupt: Signal,
    terminate: Signal,
    input_closed: Option<oneshot::Receiver<()>>,
}

impl Shutdown {
    /// Listens for signals from now on.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            input_closed: None,
        })
    }

    /// Also stops when standard input ends: whoever started this process is gone.
    pub fn and_input(mut self) -> Self {
        let (send, receive) = oneshot::channel();
        // A thread of its own: a read cannot be cancelled, and nothing waits for this one.
        std::thread::spawn(move || {
            let mut buffer = [0; 256];
            let mut input = io::stdin().lock();
            while !matches!(input.read(&mut buffer), Ok(0) | Err(_)) {}
            let _ = send.send(());
        });
        self.input_closed = Some(receive);
        self
    }

    /// Waits for the next reason and names it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            () = closed(&mut self.input_closed) => "end of input",
        }
    }
}

/// Ends once; afterwards, and without a watched input, never.
async fn closed(input: &mut Option<oneshot::Receiver<()>>) {
    match input {
        Some(receive) => {
            let _ = receive.await;
            *input = None;
        }
        None => std::future::pending().await,
    }
}
