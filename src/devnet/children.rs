//! One child process per node.
//!
//! A child gets a pipe as standard input and stops when it closes: that is how it is stopped, and it
//! goes down with this process however that ends. It is in a process group of its own, so that
//! Ctrl-C in a terminal reaches only the supervisor, which then stops the children in order.

use std::fs::OpenOptions;
use std::process::{ExitStatus, Stdio};

use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use super::layout::Laid;
use crate::exit::Exit;
use crate::failure::Failure;

/// A child ended.
#[derive(Debug)]
pub struct Ended {
    /// Which one, by its place in the layout.
    pub index: usize,
    /// Its process id: a child that was started again has another one.
    pub pid: u32,
    /// How.
    pub how: String,
}

/// A child that runs, or has ended without anybody having noticed yet.
#[derive(Debug)]
pub struct Running {
    /// Its process id.
    pub pid: u32,
    input: Option<ChildStdin>,
    kill: mpsc::Sender<()>,
}

impl Running {
    /// Starts the node; its end is told to `ended`.
    pub fn start(
        index: usize,
        node: &mut Laid,
        ended: mpsc::Sender<Ended>,
    ) -> Result<Self, Failure> {
        node.reserved.release();
        let fail = |error: std::io::Error| {
            Failure::new(
                Exit::Resources,
                format!("cannot start {}", node.plan.name),
                error.to_string(),
                "check the free memory and the limits on processes and files",
            )
        };
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(node.log())
            .map_err(fail)?;
        let mut command = Command::new(std::env::current_exe().map_err(fail)?);
        command
            .arg("run")
            .arg("--dir")
            .arg(&node.dir)
            .arg("--stop-with-input");
        if let Some(seed) = node.seed {
            command.arg("--seed").arg(seed.to_string());
        }
        command
            .stdin(Stdio::piped())
            .stdout(log.try_clone().map_err(fail)?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(fail)?;
        let pid = child.id().unwrap_or_default();
        let input = child.stdin.take();
        let (kill, killed) = mpsc::channel(1);
        tokio::spawn(watch(index, pid, child, killed, ended));
        Ok(Self { pid, input, kill })
    }

    /// Asks it to stop: drain, flush, exit.
    pub fn stop(&mut self) {
        self.input = None;
    }

    /// Ends it by SIGKILL.
    pub fn kill(&self) {
        // A full channel means that it is being killed already.
        let _ = self.kill.try_send(());
    }
}

/// Waits for the child's end, or for the order to bring it about.
async fn watch(
    index: usize,
    pid: u32,
    mut child: Child,
    mut killed: mpsc::Receiver<()>,
    ended: mpsc::Sender<Ended>,
) {
    let status = tokio::select! {
        status = child.wait() => status,
        order = killed.recv() => {
            if order.is_some() {
                let _ = child.start_kill();
            }
            child.wait().await
        }
    };
    let how = status.map_or_else(|error| error.to_string(), describe);
    let _ = ended.send(Ended { index, pid, how }).await;
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown end".to_owned(),
    }
}
