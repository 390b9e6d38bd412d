//! A relay in a process of its own: this program again, told by its environment to be one.
//!
//! It answers every line on its standard input with one line of JSON, and ends with its input: `status`, or `install N` and
//! `retire N` for the mix key of that number.

#![allow(dead_code, unreachable_pub, clippy::print_stdout, clippy::print_stderr)]

#[path = "child.rs"]
mod child;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mixnet::shell::{Refusal, Status, spawn};
use mixnet::{DropReason, PacketKind, Preset};
use serde_json::{Value, json};

use self::child::Child;
use super::net::{Net, Role, mix_key};

const ADDRESSES: &str = "FERRY_MIX_RELAY_ADDRESSES";
const REPLAY_DIR: &str = "FERRY_MIX_RELAY_REPLAY_DIR";

/// The network that parent and child know: three relays, of which the first is the child.
pub fn network(addresses: Option<&[std::net::SocketAddrV4]>) -> Net {
    let roles = [Role::Relay; 3];
    match addresses {
        Some(addresses) => Net::at(&roles, Preset::RELAY, addresses),
        None => Net::new(&roles, Preset::RELAY),
    }
}

/// Is the relay if this process is to be one, and then never returns.
pub fn serve_if_child() {
    let Ok(addresses) = std::env::var(ADDRESSES) else {
        return;
    };
    let addresses: Vec<_> = addresses.split(',').map(|at| at.parse().unwrap()).collect();
    let mut config = network(Some(&addresses)).config(0);
    config.replay_dir = std::env::var_os(REPLAY_DIR).map(Into::into);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (handle, mut events, _task) = spawn(config).unwrap();
        tokio::spawn(async move { while events.recv().await.is_some() {} });
        let mut asked = child::serve();
        while let Some(line) = asked.recv().await {
            let key = |n: &str| mix_key(n.parse().unwrap());
            match line.split_once(' ') {
                Some(("install", n)) => handle.install_key(key(n)).await.unwrap(),
                Some(("retire", n)) => handle.retire_key(key(n).public()).await.unwrap(),
                _ => {}
            }
            let status = handle.status().await.unwrap();
            println!("{}", report(&status));
        }
        handle.shutdown().await;
    });
    std::process::exit(0);
}

fn report(status: &Status) -> Value {
    let counters = &status.node.counters;
    let dropped = DropReason::ALL.iter().map(|reason| {
        let count = counters.dropped(*reason);
        (reason.as_str().to_owned(), count.into())
    });
    let dropped: serde_json::Map<String, Value> = dropped.collect();
    let refused = Refusal::ALL.iter().map(|why| {
        let count = status.refused.get(why).copied().unwrap_or_default();
        (why.as_str().to_owned(), count.into())
    });
    let refused: serde_json::Map<String, Value> = refused.collect();
    let times = &status.node.processing;
    json!({
        "received": counters.received,
        "missing": counters.missing(status.node.packets_delayed),
        "forwarded": counters.sent(PacketKind::Forward),
        "dropped": dropped,
        "refused": refused,
        "delayed": status.node.packets_delayed,
        "tags": status.node.replay_tags,
        "connections": status.connections.len(),
        "processing": times.counts(),
        "processing_sum_us": times.sum_us(),
    })
}

/// The relay as its parent has it.
pub struct Process {
    child: Child,
    panics: Arc<AtomicU64>,
}

impl Process {
    /// Starts the relay of `net`; `args` bring this program to [`serve_if_child`].
    pub fn start(net: &Net, replay_dir: Option<&Path>, args: &[&str]) -> Self {
        let addresses: Vec<_> = net.addresses().iter().map(ToString::to_string).collect();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(args)
            .env(ADDRESSES, addresses.join(","))
            .stderr(Stdio::piped());
        if let Some(dir) = replay_dir {
            command.env(REPLAY_DIR, dir);
        }
        let mut child = Child::start(command);
        let panics = Arc::new(AtomicU64::new(0));
        let (stderr, counter) = (child.process.stderr.take().unwrap(), panics.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                counter.fetch_add(u64::from(line.contains("panicked at")), Ordering::Relaxed);
                eprintln!("relay: {line}");
            }
        });
        child.ready();
        Self { child, panics }
    }

    pub fn id(&self) -> u32 {
        self.child.process.id()
    }

    pub fn status(&mut self) -> Value {
        self.ask("status")
    }

    /// Gives an order; the status after it.
    pub fn ask(&mut self, order: &str) -> Value {
        self.child.ask(order)
    }

    /// Panics that it told of; one in a task of its own ends nothing.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Memory in use, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.unwrap().parse().unwrap()
    }

    /// SIGKILL: nothing is written, nothing is closed.
    pub fn kill(mut self) {
        self.child.process.kill().unwrap();
        self.child.process.wait().unwrap();
    }
}
