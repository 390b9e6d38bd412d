//! Accepts connections and hands them to the owner.
//!
//! When the system has no more descriptors, accepting pauses and tries again: what is connected keeps its service, and
//! the log is told once a minute.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tracing::warn;

use super::Error;

/// Takes an address.
pub(super) fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = StdListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((TcpListener::from_std(listener).map_err(failed)?, local))
}

/// Accepts until the owner is gone.
pub(super) async fn run(listener: TcpListener, accepted: mpsc::Sender<(TcpStream, SocketAddr)>) {
    let mut pause = PAUSE_MIN;
    let mut told: Option<Instant> = None;
    loop {
        // Room first: a connection that nobody can take waits in the system's queue.
        let Ok(permit) = accepted.reserve().await else {
            return;
        };
        match listener.accept().await {
            Ok(connection) => {
                pause = PAUSE_MIN;
                permit.send(connection);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if told.is_none_or(|at| at.elapsed() >= TELL_INTERVAL) {
                    told = Some(Instant::now());
                    warn!(kind = ?error.kind(), "cannot accept Whisper connections for now; is the limit of open files too low?");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Errors of a connection that went away before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// First pause after a failure: long enough for a connection to close.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause: strangers wait no longer than this once there is room again.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A shortage is told so often: with a descriptor freed now and then it would else fill the log.
const TELL_INTERVAL: Duration = Duration::from_secs(60);
