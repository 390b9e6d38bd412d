//! A node in a namespace: this program again, told by its environment to be one. It takes lines on its standard input and
//! answers each with one line of JSON; what reaches its user is asked for, too.

#[path = "../shell/child.rs"]
mod child;

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use mixnet::shell::{Event, Handle, Reach, Status};
use mixnet::{Preset, Surb, Transport};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use self::child::Child;
use super::lab::{Host, inside};
use super::net::{LONG, Net, Role, object};

const PEER: &str = "FERRY_LAB_PEER";

/// What a node is, as parent and child say it.
pub struct Plan<'a> {
    pub n: usize,
    pub roles: &'a [Role],
    pub addresses: &'a [SocketAddrV4],
    pub transport: Transport,
    pub nat: bool,
    pub circuit_relay: bool,
    pub light: bool,
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Relay => "relay",
        Role::Service => "service",
        Role::Client => "client",
    }
}

impl Plan<'_> {
    fn to_json(&self) -> Value {
        let roles: Vec<_> = self.roles.iter().map(|role| role_name(*role)).collect();
        json!({
            "n": self.n,
            "roles": roles,
            "addresses": self.addresses,
            "quic": self.transport == Transport::Quic,
            "nat": self.nat,
            "circuit_relay": self.circuit_relay,
            "light": self.light,
        })
    }
}

/// Is the node if this process is to be one, and then never returns.
pub fn serve_if_child() {
    let Ok(plan) = std::env::var(PEER) else {
        return;
    };
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let flag = |name: &str| plan[name].as_bool().unwrap();
    let roles = plan["roles"].as_array().unwrap().iter();
    let roles: Vec<_> = roles
        .map(|name| match name.as_str().unwrap() {
            "relay" => Role::Relay,
            "service" => Role::Service,
            _ => Role::Client,
        })
        .collect();
    let addresses: Vec<SocketAddrV4> = serde_json::from_value(plan["addresses"].clone()).unwrap();
    let transport = if flag("quic") {
        Transport::Quic
    } else {
        Transport::Tcp
    };
    let net = Net::over(transport, &roles, preset(), &addresses);
    let n = plan["n"].as_u64().unwrap() as usize;
    let mut config = net.config(n);
    // Behind a router the node's own address is another one than the one that others see.
    config.listen = SocketAddrV4::new([0, 0, 0, 0].into(), addresses[n].port());
    config.reach = Reach {
        nat: flag("nat"),
        circuit_relay: flag("circuit_relay"),
        light: flag("light"),
        ..Reach::default()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let node = Net::start_as(config);
        serve(&net, node.handle, node.events).await;
    });
    std::process::exit(0);
}

/// Many slots, so that nobody waits for one.
fn preset() -> Preset {
    let mut preset = Preset::FAST;
    preset.payload_rate = 40.0;
    preset
}

async fn serve(net: &Net, handle: Handle, mut events: mpsc::Receiver<Event>) {
    let mut asked = child::serve();
    let mut got = Vec::new();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(Event::Object { object, .. }) => got.push(object.bytes.len()),
                Some(
                    Event::Relays { .. } | Event::SurbsStale | Event::Mailbox(_) | Event::Notice(_),
                ) => {}
                None => return,
            },
            line = asked.recv() => {
                let Some(line) = line else { break };
                let answer = answer(net, &handle, &line, &mut got).await;
                println!("{answer}");
            }
        }
    }
    handle.shutdown().await;
}

async fn answer(net: &Net, handle: &Handle, line: &str, got: &mut Vec<usize>) -> Value {
    let words: Vec<_> = line.split(' ').collect();
    match words[..] {
        ["status"] => report(&handle.status().await.unwrap()),
        ["got"] => json!(std::mem::take(got)),
        ["send", to, len] => {
            let object = object(2, len.parse().unwrap());
            let sent = handle.send(net.peer(to.parse().unwrap()), object).await;
            json!(sent.is_ok())
        }
        ["block"] => match handle.surbs(1).await {
            Ok(blocks) => json!(hex::encode(blocks[0].to_bytes())),
            Err(_) => json!(null),
        },
        ["reply", block, len] => {
            let block = hex::decode(block).unwrap();
            let block = Surb::from_bytes(&block).unwrap();
            let sent = handle
                .reply(vec![block], object(3, len.parse().unwrap()))
                .await;
            json!(sent.is_ok())
        }
        _ => json!({"error": line}),
    }
}

fn report(status: &Status) -> Value {
    let connections: serde_json::Map<String, Value> = status
        .connections
        .iter()
        .map(|connection| {
            let ways: Vec<_> = connection.ways.iter().map(|way| way.as_str()).collect();
            (hex::encode(connection.peer.as_bytes()), json!(ways))
        })
        .collect();
    json!({
        "usable": status.usable_relays,
        "connections": connections,
        "reachability": status.reachability.as_str(),
        "reservations": status.reservations,
        "loops_returned": status.node.counters.loops_returned,
        "sent": mixnet::PacketKind::ALL.iter().map(|kind| status.node.counters.sent(*kind)).sum::<u64>(),
        "received": status.node.counters.received,
        "tcp_bytes": [status.tcp_bytes.0, status.tcp_bytes.1],
    })
}

/// The node as its parent has it.
pub struct Peer(Child);

impl Peer {
    pub fn start(host: &Host, plan: &Plan<'_>) -> Self {
        let mut command = inside(host, &std::env::current_exe().unwrap());
        command.env(PEER, plan.to_json().to_string());
        let mut child = Child::start(command);
        child.ready();
        Self(child)
    }

    /// Asks one thing.
    pub fn ask(&mut self, line: &str) -> Value {
        self.0.ask(line)
    }

    /// Asks for the status until it is as wanted.
    pub fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let status = self.ask("status");
            if wanted(&status) {
                return status;
            }
            assert!(start.elapsed() < 2 * LONG, "{what}: {status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether an object of this length comes within some time.
    pub fn gets(&mut self, len: usize, within: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < within {
            let got = self.ask("got");
            if got.as_array().unwrap().iter().any(|other| other == len) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }
}
