//! A devnet under test, and questions to the HTTP API of its nodes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::driver::Driver;

/// A running `ferry devnet`.
pub(crate) struct Devnet {
    driver: Driver,
    ready: Value,
}

impl Devnet {
    /// Starts a devnet in its own directory, whose nodes' logs stay there.
    pub(crate) fn start(dir: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferry"));
        command
            .args(["devnet", "--json", "--dir"])
            .arg(dir)
            .args(arguments);
        let (driver, ready) = Driver::start("devnet", command);
        Self { driver, ready }
    }

    /// What a node says of itself in the line `ready`: `("bridges", 0, "enode")`.
    pub(crate) fn of(&self, kind: &str, index: usize, field: &str) -> String {
        let value = &self.ready[kind][index][field];
        value
            .as_str()
            .unwrap_or_else(|| {
                panic!(
                    "the devnet names no {kind}[{index}].{field}: {}",
                    self.ready
                )
            })
            .to_owned()
    }

    /// Kills a node as SIGKILL does, and waits until it is gone.
    pub(crate) fn kill(&mut self, name: &str) {
        self.driver.say(&json!({"op": "kill", "name": name}));
        self.event_about(name, "killed");
    }

    /// Starts a node again and waits until its API answers.
    pub(crate) fn restart(&mut self, name: &str) {
        self.driver.say(&json!({"op": "restart", "name": name}));
        self.event_about(name, "restarted");
    }

    fn event_about(&mut self, name: &str, what: &str) {
        let within = Duration::from_secs(60);
        self.driver.wait(what, within, |event| {
            event["event"] == what && event["name"] == name
        });
    }

    /// What a node answers under `path`.
    pub(crate) fn get(&self, kind: &str, index: usize, path: &str) -> Value {
        get(&self.of(kind, index, "api"), path)
            .unwrap_or_else(|error| panic!("{kind}[{index}]{path}: {error}"))
    }

    /// The counters of the first node of a kind that are not zero.
    pub(crate) fn counters(&self, kind: &str) -> String {
        let text = get_text(&self.of(kind, 0, "api"), "/metrics").unwrap_or_default();
        let counted = |line: &&str| {
            !line.starts_with('#')
                && !line.ends_with(" 0")
                && !line.ends_with(" 0.0")
                && !line.contains("_bucket")
        };
        text.lines().filter(counted).collect::<Vec<_>>().join("; ")
    }

    /// The value of a counter with this label at the first node of a kind; zero if there is none.
    pub(crate) fn metric(&self, kind: &str, name: &str, label: &str) -> f64 {
        let text = get_text(&self.of(kind, 0, "api"), "/metrics").unwrap_or_default();
        let ours = |line: &&str| line.starts_with(name) && line.contains(&format!("\"{label}\""));
        let value = text
            .lines()
            .find(ours)
            .and_then(|line| line.rsplit(' ').next());
        value.and_then(|value| value.parse().ok()).unwrap_or(0.0)
    }

    /// Waits until the edge has a registration that stands for what its client asks now. Over lossy relays requests are
    /// repeated with growing gaps, so that a few unlucky ones take minutes.
    pub(crate) fn wait_registered(&self, index: usize) {
        wait_until("the edge's registration", Duration::from_secs(240), || {
            let info = self.get("edges", index, "/v1/info");
            info["edge"]["registered"] == true && info["edge"]["client"] == "following"
        });
    }
}

/// Waits until something holds; fails after `within`.
pub(crate) fn wait_until(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + within;
    while !holds() {
        assert!(Instant::now() < end, "no {what} within {within:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One HTTP request to a node's API.
pub(crate) fn get(api: &str, path: &str) -> Result<Value, String> {
    let body = get_text(api, path)?;
    serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))
}

/// The body of an answer.
fn get_text(api: &str, path: &str) -> Result<String, String> {
    let host = api
        .strip_prefix("http://")
        .unwrap_or(api)
        .trim_end_matches('/');
    let mut stream = TcpStream::connect(host).map_err(|error| error.to_string())?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .map_err(|error| error.to_string())?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .map_err(|error| error.to_string())?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
    Ok(body.to_owned())
}
