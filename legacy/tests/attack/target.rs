//! The node that is attacked: a process that runs the shell of this crate and nothing else, and what can be seen of it
//! from outside.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{env, fs, io};

use legacy::enode::Enode;
use legacy::identity::SecretKey;
use legacy::shell;
use serde_json::{Value, json};

use super::PATIENCE;

const SETTINGS: &str = "FERRY_ATTACK_NODE";

/// A child process that answers lines with lines of JSON.
pub(super) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<Value>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts this very program with one of its tests that are none.
    pub(super) fn start(test: &str, variable: &str, value: &str, fds_max: Option<u32>) -> Process {
        let program = env::current_exe().unwrap();
        let mut command = match fds_max {
            None => Command::new(program),
            Some(max) => {
                let mut command = Command::new("sh");
                command
                    .arg("-c")
                    .arg(format!("ulimit -n {max} && exec \"$0\" \"$@\""))
                    .arg(program);
                command
            }
        };
        let mut child = command
            .args(["--ignored", "--exact", "--nocapture", test])
            .env(variable, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            // What the test harness says around it is no JSON.
            for line in output.lines().map_while(Result::ok) {
                if let Some(value) = line
                    .find('{')
                    .and_then(|at| serde_json::from_str(&line[at..]).ok())
                    && send.send(value).is_err()
                {
                    return;
                }
            }
        });
        let errors = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let held = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                held.lock().unwrap().push(line);
            }
        });
        Process {
            input: child.stdin.take(),
            child,
            lines,
            log,
        }
    }

    pub(super) fn line(&self) -> Value {
        self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            panic!(
                "no answer in time; it wrote: {:#?}",
                self.log.lock().unwrap()
            )
        })
    }

    /// What it has said since this was asked last.
    pub(super) fn said(&self) -> Vec<Value> {
        self.lines.try_iter().collect()
    }

    pub(super) fn tell(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    fn stat(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The node.
pub(super) struct Target {
    process: Process,
    pub(super) enode: Enode,
}

impl Target {
    pub(super) fn start(settings: &Value, fds_max: Option<u32>) -> Target {
        let process = Process::start("node_process", SETTINGS, &settings.to_string(), fds_max);
        let enode = process.line()["enode"].as_str().unwrap().parse().unwrap();
        Target { process, enode }
    }

    /// What it counted so far.
    pub(super) fn counters(&mut self) -> Value {
        self.process.tell("counters");
        self.process.line()
    }

    /// Sums of the ends of connections and of refusals at the door.
    pub(super) fn ended(&mut self) -> u64 {
        let counters = self.counters();
        ["closed", "refused"]
            .iter()
            .filter_map(|group| counters[*group].as_object())
            .flat_map(|group| group.values().filter_map(Value::as_u64))
            .sum()
    }

    /// Resident memory in KiB.
    pub(super) fn rss(&self) -> u64 {
        let status = self.process.stat("status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        line.unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Time on a processor so far.
    pub(super) fn cpu(&self) -> Duration {
        let stat = self.process.stat("stat");
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        // A hundred a second on every Linux that matters.
        Duration::from_millis(ticks * 10)
    }

    /// Sockets that it holds.
    pub(super) fn sockets(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.process.child.id())).unwrap();
        open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .filter(|link| link.to_string_lossy().starts_with("socket:"))
            .count()
    }

    /// Descriptors that it holds.
    pub(super) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.child.id()))
            .unwrap()
            .count()
    }

    /// Lines that it logged, with those of panics.
    pub(super) fn log(&self) -> Vec<String> {
        self.process.log.lock().unwrap().clone()
    }

    pub(super) fn panics(&self) -> u64 {
        let log = self.log();
        log.iter()
            .filter(|line| line.contains("panicked at"))
            .count() as u64
    }
}

/// The process of the node: settings from the environment, orders from standard input.
pub(super) fn process() {
    let Ok(settings) = env::var(SETTINGS) else {
        return;
    };
    let settings: Value = serde_json::from_str(&settings).unwrap();
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .init();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (handle, mut events, task) = shell::spawn(config(&settings)).unwrap();
        tokio::spawn(async move { while events.recv().await.is_some() {} });
        println!(
            "{}",
            json!({ "enode": handle.local_enode().unwrap().to_string() })
        );
        let (send, mut orders) = tokio::sync::mpsc::channel(1);
        std::thread::spawn(move || {
            for line in io::stdin().lines().map_while(Result::ok) {
                if send.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        while let Some(order) = orders.recv().await {
            assert_eq!(order, "counters");
            let mut counters = told(&handle.counters().await);
            if let Some(info) = handle.discovery() {
                counters["discovery"] = json!({
                    "received": info.counters.received,
                    "sent": info.counters.sent,
                    "dropped": info.counters.dropped,
                    "nodes": info.counters.nodes,
                });
            }
            println!("{counters}");
        }
        handle.shutdown().await;
        task.await.unwrap();
    });
}

fn config(settings: &Value) -> shell::Config {
    let mut config = shell::Config::new(random_key());
    config.shh.min_pow = 0.0;
    let number = |name: &str| Some(usize::try_from(settings[name].as_u64()?).unwrap());
    if let Some(max) = number("inbound_max") {
        config.limits.inbound_max = max;
    }
    if let Some(seconds) = number("ban_for_s") {
        config.limits.ban_for = Duration::from_secs(seconds as u64);
    }
    if let Some(max) = number("pending_max") {
        config.limits.pending_max = max;
    }
    if settings["discovery"] == true {
        config.discovery = Some(shell::discovery::Config::default());
    }
    config
}

fn told(counters: &shell::Counters) -> Value {
    json!({
        "peers": counters.peers,
        "pending": counters.pending,
        "banned": counters.banned,
        "established": counters.established,
        "refused": counters.refused,
        "closed": counters.closed,
        "pooled": counters.pooled,
        "pooled_bytes": counters.pooled_bytes,
        "envelopes": counters.shh.accepted,
        "rejected": counters.shh.rejected,
    })
}

pub(super) fn random_key() -> SecretKey {
    SecretKey::from_bytes(&random()).unwrap()
}

pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}
