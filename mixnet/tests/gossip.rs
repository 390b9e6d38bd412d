//! Real nodes on loopback that know one descriptor each, find each other over `/ferry/directory/1`, change their mix keys in the
//! middle of traffic, find a relay again that moved, and see when there are two networks.

#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "shell/net.rs"]
#[allow(unreachable_pub, dead_code)]
mod net;

use std::collections::BTreeSet;
use std::net::SocketAddrV4;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mixnet::directory::active::Standing;
use mixnet::directory::{Mode, Profile, Status};
use mixnet::epoch::Epochs;
use mixnet::shell::directory::{Config as DirectoryConfig, Places};
use mixnet::shell::{Config, Event, Handle, spawn};
use mixnet::{Capabilities, Object, Preset, Transport};
use net::{Net, Role, Running, free_address};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

/// Nothing here takes this long unless it is broken.
const LONG: Duration = Duration::from_secs(120);

/// Two seconds of grace on either side.
const EPOCH_SECONDS: u32 = 16;

/// A machine that lets nothing run for this long may lose a packet to the end of a key.
const STALL: Duration = Duration::from_millis(700);

const ROLES: [Role; 6] = [
    Role::Relay,
    Role::Relay,
    Role::Relay,
    Role::Relay,
    Role::Service,
    Role::Client,
];
const SERVICE: usize = 4;
const CLIENT: usize = 5;

/// Whose descriptor each one begins with: any one will do, a relay's or the service's.
const BEGINS_WITH: [usize; 6] = [4, 0, 1, 2, 3, 4];

fn profile(role: Role, at: SocketAddrV4) -> Profile {
    Profile {
        address: (role != Role::Client).then_some(at),
        transport: Transport::Tcp,
        places: Vec::new(),
        capabilities: Capabilities {
            relay: role == Role::Relay,
            bridge: role == Role::Service,
            mailbox: false,
        },
        capacity: 100,
        gateway_key: (role == Role::Service).then_some([1; 32]),
    }
}

/// A node that keeps what it learns under `dir`.
fn config(net: &Net, n: usize, epoch_seconds: u32, dir: &Path) -> Config {
    begin(net, n, (ROLES[n], &[BEGINS_WITH[n]]), epoch_seconds, dir)
}

/// A node in a role, with the descriptors of those with whom it begins.
fn begin(
    net: &Net,
    n: usize,
    (role, with): (Role, &[usize]),
    epoch_seconds: u32,
    dir: &Path,
) -> Config {
    let mut config = net.config(n);
    let descriptor = |n: &usize| config.topology[*n].clone();
    config.topology = with.iter().map(descriptor).collect();
    config.replay_dir = Some(dir.join(format!("{n}/replay")));
    config.directory = Some(DirectoryConfig {
        mode: match role {
            Role::Relay | Role::Service => Mode::Full,
            Role::Client => Mode::Light,
        },
        epochs: Epochs::new(epoch_seconds).unwrap(),
        profile: profile(role, config.listen),
        places: Some(Places {
            keys: dir.join(format!("{n}/keys")),
            known: dir.join(format!("{n}/known")),
        }),
    });
    config
}

fn start(config: Config) -> Running {
    let (handle, events, task) = spawn(config).unwrap();
    Running {
        handle,
        events,
        task,
    }
}

fn start_all(net: &Net, epoch_seconds: u32, dir: &Path) -> Vec<Running> {
    let nodes = 0..ROLES.len();
    nodes
        .map(|n| start(config(net, n, epoch_seconds, dir)))
        .collect()
}

fn status(node: &Handle) -> Status {
    node.directory().unwrap()
}

/// Waits until the directory is in a state.
async fn until(node: &Handle, is_there: impl Fn(&Status) -> bool) -> Status {
    let end = Instant::now() + LONG;
    loop {
        let status = status(node);
        if is_there(&status) {
            return status;
        }
        assert!(Instant::now() < end, "{status:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn epoch(node: &Handle) -> Option<u32> {
    node.topology().borrow().term().map(|term| term.epoch)
}

/// Waits until the node's network has so many nodes; gives its epoch.
async fn knows(node: &Handle, count: usize) -> u32 {
    let mut topology = node.topology();
    let found = topology.wait_for(|network| network.len() == count);
    let found = timeout(LONG, found).await;
    let Ok(Ok(network)) = found else {
        panic!("{:?}", node.directory());
    };
    network.term().unwrap().epoch
}

fn object(number: u32) -> Object {
    Object {
        kind: 1,
        tag: [3; 16],
        bytes: number.to_be_bytes().to_vec(),
    }
}

fn take(event: Event, came: &mut BTreeSet<u32>) {
    if let Event::Object { object, .. } = event {
        let number = u32::from_be_bytes(object.bytes[..].try_into().unwrap());
        assert!(came.insert(number), "object {number} came twice");
    }
}

/// Notes whether this machine stood still for longer than packets may.
struct Stalls {
    seen: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Stalls {
    fn watch() -> Self {
        let seen = Arc::new(AtomicBool::new(false));
        let noted = seen.clone();
        let task = tokio::spawn(async move {
            let mut last = Instant::now();
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if last.elapsed() > STALL {
                    noted.store(true, Ordering::Relaxed);
                }
                last = Instant::now();
            }
        });
        Self { seen, task }
    }

    fn seen(self) -> bool {
        self.task.abort();
        self.seen.load(Ordering::Relaxed)
    }
}

/// Objects that got lost while the keys changed twice, and whether the machine stood still meanwhile.
async fn lost_over_two_changes() -> (usize, bool) {
    let dir = tempfile::tempdir().unwrap();
    let net = Net::new(&ROLES, Preset::FAST);
    let mut nodes = start_all(&net, EPOCH_SECONDS, dir.path());
    let mut first = 0;
    for node in &nodes {
        first = first.max(knows(&node.handle, 5).await);
    }
    let stalls = Stalls::watch();
    let mut came = BTreeSet::new();
    let mut sent = 0;
    // Two changes of keys, and what the grace after the second one takes.
    let mut stop = None;
    while stop.is_none_or(|at| Instant::now() < at) {
        let client = &nodes[CLIENT].handle;
        client.send(net.peer(SERVICE), object(sent)).await.unwrap();
        sent += 1;
        if epoch(client).is_some_and(|epoch| epoch >= first + 2) && stop.is_none() {
            stop = Some(Instant::now() + Duration::from_secs(3));
        }
        // Slower than the client's own clock, so that its queue stays short.
        let next = Instant::now() + Duration::from_millis(300);
        while let Ok(event) = timeout_at(next, nodes[SERVICE].events.recv()).await {
            take(event.unwrap(), &mut came);
        }
    }
    // What is queued has left soon; what is lost never comes.
    while came.len() < sent as usize {
        match timeout(Duration::from_secs(20), nodes[SERVICE].events.recv()).await {
            Ok(event) => take(event.unwrap(), &mut came),
            Err(_) => break,
        }
    }
    for node in &nodes {
        let status = status(&node.handle);
        let is_well = status.fork.is_none() && status.clock_off.is_none();
        assert!(is_well && status.epoch >= first + 2, "{status:?}");
    }
    // Keys of epochs that are over are gone from the disk.
    let keys = std::fs::read_dir(dir.path().join("0/keys"))
        .unwrap()
        .count();
    assert!((2..=3).contains(&keys), "{keys} keys");
    for node in nodes {
        node.shutdown().await;
    }
    (sent as usize - came.len(), stalls.seen())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_under_traffic_and_nothing_is_lost() {
    for _ in 0..3 {
        match lost_over_two_changes().await {
            (0, _) => return,
            (lost, false) => panic!("{lost} objects are lost"),
            // Nothing can be said of a network that did not run.
            (_, true) => {}
        }
    }
    panic!("this machine stood still for {STALL:?} in each of three runs, and packets were lost");
}

/// Epochs are long enough to hold all of this, as a rule, and short enough that a client looks again every ten seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_moved_and_knows_nobody_by_file_is_found_and_dialled() {
    const SECONDS: u32 = 160;
    let dir = tempfile::tempdir().unwrap();
    let net = Net::new(&ROLES, Preset::FAST);
    let mut nodes = start_all(&net, SECONDS, dir.path());
    for node in &nodes {
        knows(&node.handle, 5).await;
    }
    for (n, node) in nodes.iter().enumerate() {
        node.usable(if n < SERVICE { 3 } else { 4 }).await;
    }
    let moved = 2;
    nodes.remove(moved).shutdown().await;
    for (n, node) in nodes.iter().enumerate() {
        node.usable(if n < SERVICE - 1 { 2 } else { 3 }).await;
    }
    let mut config = config(&net, moved, SECONDS, dir.path());
    // Where to begin is what it knew when it stopped.
    config.topology = Vec::new();
    config.listen = free_address();
    config.advertise = config.listen;
    let directory = config.directory.as_mut().unwrap();
    directory.profile = profile(Role::Relay, config.listen);
    let at = config.listen;
    nodes.insert(moved, start(config));
    for (n, node) in nodes.iter().enumerate() {
        node.usable(if n < SERVICE { 3 } else { 4 }).await;
        let mut topology = node.handle.topology();
        let there = topology.wait_for(|network| {
            let known = network.get(&net.peer(moved));
            known.is_some_and(|known| known.address() == Some(at))
        });
        timeout(LONG, there).await.unwrap().unwrap();
    }
    for node in nodes {
        node.shutdown().await;
    }
}

/// Two networks that have lost each other, and a newcomer who was given seeds of both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_active_sets_of_one_epoch_are_a_fork_and_nothing_is_sent_through_either() {
    const NEWCOMER: usize = 6;
    let dir = tempfile::tempdir().unwrap();
    let mut roles = [Role::Relay; NEWCOMER + 1];
    roles[NEWCOMER] = Role::Client;
    let net = Net::new(&roles, Preset::FAST);
    let node = |n, with: &[usize]| {
        let as_what = (roles[n], with);
        start(begin(&net, n, as_what, EPOCH_SECONDS, dir.path()))
    };
    let apart = [[1], [2], [0], [4], [5], [3]];
    let mut nodes: Vec<Running> = (0..).zip(&apart).map(|(n, with)| node(n, with)).collect();
    let is_settled = |status: &Status| {
        let settled = |(standing, _)| standing == Standing::Settled;
        status.root.is_some_and(settled)
    };
    for relay in &nodes {
        let status = until(&relay.handle, is_settled).await;
        assert_eq!((status.relays, status.fork), (3, None));
    }
    nodes.push(node(NEWCOMER, &[0, 3]));
    let newcomer = &nodes[NEWCOMER].handle;
    let fork = until(newcomer, |status| status.fork.is_some()).await.fork;
    let fork = fork.unwrap();
    assert_eq!(fork.roots.len(), 2, "{fork:?}");
    let mut topology = newcomer.topology();
    let none = topology.wait_for(mixnet::Topology::is_empty);
    timeout(LONG, none).await.unwrap().unwrap();
    for node in nodes {
        node.shutdown().await;
    }
}
