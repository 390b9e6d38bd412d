//! A child process that speaks JSON lines: a Go driver around a real peer, or `ferry devnet --json`.
//!
//! Requests carry an `id` and an `op`; the answer repeats the id. Everything else that the child says is an
//! event, kept in order until somebody waits for it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// An answer that takes longer means that the child hangs: even sealing takes less.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A running child.
pub(crate) struct Driver {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<Value>,
    events: VecDeque<Value>,
    next_id: u64,
}

impl Driver {
    /// Starts one of the Go drivers, in the role that its first argument names, and waits until it is ready.
    pub(crate) fn go(module: &str, role: &str, arguments: &[&str]) -> (Self, Value) {
        let program = binary(module);
        let mut command = Command::new(&program);
        command.arg(role).args(arguments);
        Self::start(&format!("{module} {role}"), command)
    }

    /// Starts a command and waits for its event `ready`.
    pub(crate) fn start(name: &str, mut command: Command) -> (Self, Value) {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr_of(name))
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start ({command:?}): {error}"));
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (sender, lines) = channel();
        let said_by = name.to_owned();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                match serde_json::from_str(&line) {
                    Ok(value) => {
                        if sender.send(value).is_err() {
                            return;
                        }
                    }
                    Err(error) => eprintln!("{said_by}: no JSON ({error}): {line}"),
                }
            }
        });
        let mut driver = Self {
            name: name.to_owned(),
            child,
            input,
            lines,
            events: VecDeque::new(),
            next_id: 1,
        };
        let ready = driver.wait("ready", ANSWER_WITHIN, |event| event["event"] == "ready");
        (driver, ready)
    }

    /// Sends a request and returns its answer. Panics with the child's words if it refuses.
    pub(crate) fn call(&mut self, op: &str, fields: Value) -> Value {
        match self.try_call(op, fields) {
            Ok(answer) => answer,
            Err(error) => panic!("{}: {op}: {error}", self.name),
        }
    }

    /// Sends a request; the error is what the child says.
    pub(crate) fn try_call(&mut self, op: &str, fields: Value) -> Result<Value, String> {
        let id = self.next_id;
        self.next_id += 1;
        let mut request = json!({"id": id, "op": op});
        for (key, value) in fields.as_object().into_iter().flatten() {
            request[key] = value.clone();
        }
        self.say(&request);
        let end = Instant::now() + ANSWER_WITHIN;
        loop {
            let line = self
                .next_line(end)
                .unwrap_or_else(|| panic!("{}: no answer to {op}", self.name));
            if line["id"] != id {
                self.events.push_back(line);
                continue;
            }
            return match line["error"].as_str() {
                Some(error) => Err(error.to_owned()),
                None => Ok(line),
            };
        }
    }

    /// Writes one line that needs no answer.
    pub(crate) fn say(&mut self, line: &Value) {
        let input = self.input.as_mut().expect("the child's input is open");
        writeln!(input, "{line}")
            .and_then(|()| input.flush())
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// Takes the first event that fits, waiting for it; `what` is for the message when it does not come.
    pub(crate) fn wait(
        &mut self,
        what: &str,
        within: Duration,
        fits: impl Fn(&Value) -> bool,
    ) -> Value {
        match self.wait_for(within, &fits) {
            Some(event) => event,
            None => panic!(
                "{}: no {what} within {within:?}; events kept: {:?}",
                self.name, self.events
            ),
        }
    }

    /// As [`Self::wait`], but nothing is an answer too.
    pub(crate) fn wait_for(
        &mut self,
        within: Duration,
        fits: &impl Fn(&Value) -> bool,
    ) -> Option<Value> {
        let end = Instant::now() + within;
        if let Some(at) = self.events.iter().position(fits) {
            return self.events.remove(at);
        }
        while let Some(line) = self.next_line(end) {
            if fits(&line) {
                return Some(line);
            }
            self.events.push_back(line);
        }
        None
    }

    /// Kills the child as `kill -9` does, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the child runs");
        self.child.wait().expect("the child ends");
    }

    /// Stops the child where it is, or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.expect("a shell's tools").success());
    }

    /// All events so far that fit, taken.
    pub(crate) fn take(&mut self, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        while let Ok(line) = self.lines.try_recv() {
            self.events.push_back(line);
        }
        let (taken, kept): (Vec<_>, Vec<_>) = self.events.drain(..).partition(|event| fits(event));
        self.events = kept.into();
        taken
    }

    fn next_line(&mut self, end: Instant) -> Option<Value> {
        match self
            .lines
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                panic!(
                    "{} ended: {:?}; its log is beside the test binary",
                    self.name,
                    self.child.wait()
                )
            }
        }
    }
}

impl Drop for Driver {
    /// Closes the child's input, which ends it; kills it if it does not.
    fn drop(&mut self) {
        drop(self.input.take());
        let end = Instant::now() + Duration::from_secs(12);
        while Instant::now() < end {
            match self.child.try_wait() {
                Ok(Some(_)) => return,
                Ok(None) => thread::sleep(Duration::from_millis(20)),
                Err(_) => break,
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a Go driver is; missing, the test fails and says how to build it.
pub(crate) fn binary(module: &str) -> PathBuf {
    let Some(folder) = std::env::var_os("FERRY_INTEROP_DIR") else {
        panic!(
            "FERRY_INTEROP_DIR is not set: run the tests by `make test`, which builds the Go drivers"
        );
    };
    let path = Path::new(&folder).join(format!("ferry-interop-{module}"));
    assert!(
        path.exists(),
        "{} is missing: run `make interop` (needs Go)",
        path.display()
    );
    path
}

/// What a child writes to standard error goes into a file beside the test binaries, for when a test fails.
pub(crate) fn stderr_of(name: &str) -> Stdio {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!(
        "{}-{}.log",
        name.replace(' ', "-"),
        std::process::id()
    ));
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .map_or_else(|_| Stdio::null(), Stdio::from)
}
