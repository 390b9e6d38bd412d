//! Operations on a running devnet: `{"op":"restart","name":"bridge-1"}`, one JSON object a line,
//! on standard input or on a Unix socket that `ferry devnet restart` finds through `devnet.json`.
//! The socket answers each line with `{"ok":true,"name":…,"pid":…}` or `{"ok":false,"why":…}`.
//!
//! The socket lies in a private directory of its own, because the path of a Unix socket must be
//! short and that of a devnet's directory may not be.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, unix::OwnedReadHalf, unix::OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

use super::scratch::fresh;
use crate::exit::Exit;
use crate::failure::Failure;

/// Operations that wait; whoever sends faster than children start has to wait himself.
pub const OPERATIONS_MAX: usize = 16;

/// Bytes of one line.
const LINE_MAX: u64 = 4096;

/// A restart waits for the child to end and to start.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What to do with a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// Stop it if it runs, and start it again.
    Restart,
    /// End it by SIGKILL.
    Kill,
}

/// One operation, and where its outcome goes.
#[derive(Debug)]
pub struct Request {
    /// What to do.
    pub op: Op,
    /// With which child.
    pub name: String,
    /// Its process id, or why not; none if nobody waits for it.
    pub answer: Option<oneshot::Sender<Result<u32, String>>>,
}

/// What comes in besides signals.
#[derive(Debug)]
pub enum Incoming {
    /// An operation.
    Request(Request),
    /// A line that is no operation.
    Unreadable(String),
    /// Standard input ended.
    InputClosed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    op: Op,
    name: String,
}

/// Reads one line.
pub fn parse(line: &str) -> Result<(Op, String), String> {
    serde_json::from_str::<Line>(line)
        .map(|line| (line.op, line.name))
        .map_err(|error| format!("{:?} is no operation: {error}", line.trim_end()))
}

/// Reads operations from standard input in a thread of its own, until it ends. Without an input
/// (/dev/null) nothing can close, so that a devnet in the background runs until a signal.
pub fn watch_input(send: mpsc::Sender<Incoming>) {
    if input_is_null() {
        return;
    }
    std::thread::spawn(move || {
        let mut input = BufReader::new(io::stdin().lock());
        loop {
            let mut line = String::new();
            let read = input.by_ref().take(LINE_MAX).read_line(&mut line);
            let incoming = match read {
                Ok(0) | Err(_) => Incoming::InputClosed,
                Ok(_) if line.trim().is_empty() => continue,
                Ok(_) => match parse(&line) {
                    Ok((op, name)) => Incoming::Request(Request {
                        op,
                        name,
                        answer: None,
                    }),
                    Err(why) => Incoming::Unreadable(why),
                },
            };
            let last = matches!(incoming, Incoming::InputClosed);
            if send.blocking_send(incoming).is_err() || last {
                return;
            }
        }
    });
}

/// Whether standard input is /dev/null: character device 1, 3.
fn input_is_null() -> bool {
    const NULL: u64 = 0x0103;
    fs::metadata("/proc/self/fd/0").is_ok_and(|metadata| metadata.rdev() == NULL)
}

/// The socket of a running devnet; its directory is removed with it.
#[derive(Debug)]
pub struct Socket {
    _folder: TempDir,
}

impl Socket {
    /// Listens, hands requests on, and writes `devnet.json` into `dir`.
    pub fn open(dir: &Path, send: mpsc::Sender<Incoming>) -> Result<Self, Failure> {
        let folder = fresh("ferry-control-")?;
        let path = folder.path().join("socket");
        let fail = |error: io::Error| Failure::file(Exit::Resources, "listen at", &path, &error);
        let listener = UnixListener::bind(&path).map_err(fail)?;
        let about = json!({ "pid": std::process::id(), "control": path });
        fs::write(dir.join(ABOUT), format!("{about}\n")).map_err(fail)?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (read, write) = stream.into_split();
                tokio::spawn(serve(read, write, send.clone()));
            }
        });
        Ok(Self { _folder: folder })
    }
}

/// Answers the lines of one connection.
async fn serve(read: OwnedReadHalf, mut write: OwnedWriteHalf, send: mpsc::Sender<Incoming>) {
    let mut lines = tokio::io::BufReader::new(read.take(LINE_MAX)).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let outcome = match parse(&line) {
            Err(why) => Err(why),
            Ok((op, name)) => {
                let (answer, outcome) = oneshot::channel();
                let request = Request {
                    op,
                    name,
                    answer: Some(answer),
                };
                if send.send(Incoming::Request(request)).await.is_err() {
                    return;
                }
                outcome
                    .await
                    .unwrap_or_else(|_| Err("the devnet is going down".to_owned()))
            }
        };
        let reply = match outcome {
            Ok(pid) => json!({ "ok": true, "pid": pid }),
            Err(why) => json!({ "ok": false, "why": why }),
        };
        if write
            .write_all(format!("{reply}\n").as_bytes())
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Asks the devnet that runs in `dir` to do something; its answer.
pub fn ask(dir: &Path, op: &str, name: &str) -> Result<Value, Failure> {
    let refuse = |why: String, what_to_do: &str| {
        Failure::new(Exit::Failed, format!("cannot {op} {name}"), why, what_to_do)
    };
    let about = fs::read_to_string(dir.join(ABOUT))
        .ok()
        .and_then(|text| serde_json::from_str::<Value>(&text).ok())
        .and_then(|about| about["control"].as_str().map(PathBuf::from));
    let absent = "give the --dir of a running `ferry devnet`";
    let Some(path) = about else {
        return Err(refuse(
            format!("{} is not the directory of a devnet", dir.display()),
            absent,
        ));
    };
    let mut stream = UnixStream::connect(&path)
        .map_err(|error| refuse(format!("no devnet runs there any more: {error}"), absent))?;
    let mut exchange = || {
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        writeln!(stream, "{}", json!({ "op": op, "name": name }))?;
        let mut line = String::new();
        BufReader::new(&stream)
            .take(LINE_MAX)
            .read_line(&mut line)?;
        serde_json::from_str::<Value>(&line).map_err(io::Error::other)
    };
    let answer = exchange().map_err(|error| {
        refuse(
            format!("the devnet does not answer: {error}"),
            "look at its output",
        )
    })?;
    if answer["ok"] != true {
        let why = answer["why"]
            .as_str()
            .unwrap_or("it did not say why")
            .to_owned();
        return Err(refuse(
            why,
            "look at the names in the ready line of the devnet",
        ));
    }
    Ok(answer)
}

/// The file that says where a devnet takes operations.
const ABOUT: &str = "devnet.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read_strictly() {
        assert_eq!(
            parse(r#"{"op":"restart","name":"bridge-1"}"#),
            Ok((Op::Restart, "bridge-1".into()))
        );
        assert_eq!(
            parse(r#"{"name":"edge-1","op":"kill"}"#),
            Ok((Op::Kill, "edge-1".into()))
        );
        for bad in [
            "",
            "restart",
            "{}",
            r#"{"op":"stop","name":"x"}"#,
            r#"{"op":"kill"}"#,
            r#"{"op":"kill","name":1}"#,
            r#"{"op":"kill","name":"x","signal":9}"#,
        ] {
            assert!(parse(bad).unwrap_err().contains("is no operation"), "{bad}");
        }
    }

    #[test]
    fn a_place_without_a_devnet_is_named() {
        let base = tempfile::tempdir().unwrap();
        let failure = ask(base.path(), "restart", "bridge-1").unwrap_err();
        assert!(
            failure.why.contains("not the directory of a devnet"),
            "{failure}"
        );
        let about = json!({"pid": 1, "control": base.path().join("gone")});
        fs::write(base.path().join(ABOUT), about.to_string()).unwrap();
        let failure = ask(base.path(), "restart", "bridge-1").unwrap_err();
        assert!(failure.why.contains("no devnet runs"), "{failure}");
    }

    #[tokio::test]
    async fn the_socket_carries_requests_and_answers() {
        let base = tempfile::tempdir().unwrap();
        let (send, mut receive) = mpsc::channel(OPERATIONS_MAX);
        let socket = Socket::open(base.path(), send).unwrap();
        let dir = base.path().to_owned();
        let asking = tokio::task::spawn_blocking(move || {
            (
                ask(&dir, "kill", "relay-2"),
                ask(&dir, "restart", "relay-9"),
            )
        });
        for outcome in [Ok(77), Err("no node has this name".to_owned())] {
            let Some(Incoming::Request(request)) = receive.recv().await else {
                panic!("a request was sent");
            };
            request.answer.unwrap().send(outcome).unwrap();
        }
        let (first, second) = asking.await.unwrap();
        assert_eq!(first.unwrap()["pid"], 77);
        assert!(second.unwrap_err().why.contains("no node has this name"));
        let folder = socket._folder.path().to_owned();
        drop(socket);
        assert!(!folder.exists());
    }
}
