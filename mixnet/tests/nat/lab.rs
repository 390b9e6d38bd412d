//! A small internet of network namespaces on one machine, with routers that translate addresses.
//!
//! ```text
//!   public hosts        10.99.0.10 …  ─┐
//!                                      ├─ bridge (namespace wan)
//!   router 1  10.99.0.101 ─────────────┤        router: masquerade, no way in for what nobody asked for
//!     └─ home 1  192.168.1.2           │
//!   router 2  10.99.0.102 ─────────────┘
//!     └─ home 2  192.168.2.2
//! ```
//!
//! Every namespace has the process's id and the number of its lab in its name and is removed when the lab is dropped; what a killed process left behind is
//! removed by the next one. Nothing outside these namespaces is touched.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

const PREFIX: &str = "ferry-lab-";

/// Why there can be no lab here; none if there can.
pub fn missing() -> Option<String> {
    let id = Command::new("id").arg("-u").output().ok()?;
    if id.stdout != b"0\n" {
        return Some("needs root and nftables".to_owned());
    }
    for (tool, package) in [("ip", "iproute2"), ("nft", "nftables")] {
        if Command::new(tool).arg("-V").output().is_err() {
            return Some(format!("needs root and nftables: install {package}"));
        }
    }
    let probe = format!("{PREFIX}{}-probe", std::process::id());
    let tried = try_all(&probe);
    let _ = Command::new("ip").args(["netns", "del", &probe]).output();
    let why = tried.err()?;
    Some(format!(
        "needs root and nftables, and a system that lets it use them ({why})"
    ))
}

/// Does in one namespace what a lab is made of.
fn try_all(probe: &str) -> Result<(), String> {
    let ip = |words: &str| {
        let mut command = Command::new("ip");
        command.args(words.split(' '));
        try_run(command, "")
    };
    ip(&format!("netns add {probe}"))?;
    ip(&format!("-n {probe} link add name hub type bridge"))?;
    ip(&format!(
        "-n {probe} link add left type veth peer name right"
    ))?;
    let mut nft = Command::new("ip");
    nft.args(["netns", "exec", probe, "nft", "-f", "-"]);
    try_run(nft, RULES)
}

/// The namespaces of one test.
pub struct Lab {
    number: usize,
    names: Vec<String>,
}

/// A host: its namespace, and its address there.
#[derive(Clone, Debug)]
pub struct Host {
    pub namespace: String,
    pub ip: Ipv4Addr,
}

impl Lab {
    /// An internet with nobody in it.
    pub fn new() -> Self {
        static LABS: AtomicUsize = AtomicUsize::new(0);
        sweep();
        let mut lab = Self {
            number: LABS.fetch_add(1, Ordering::Relaxed),
            names: Vec::new(),
        };
        let wan = lab.namespace("wan");
        ip(&format!("-n {wan} link add name hub type bridge"));
        ip(&format!("-n {wan} link set hub up"));
        lab
    }

    fn namespace(&mut self, name: &str) -> String {
        let name = format!("{PREFIX}{}-{}-{name}", std::process::id(), self.number);
        ip(&format!("netns add {name}"));
        self.names.push(name.clone());
        ip(&format!("-n {name} link set lo up"));
        name
    }

    /// Plugs a namespace into the internet, at `10.99.0.last`.
    fn plug(&self, namespace: &str, last: u8) -> Ipv4Addr {
        let wan = &self.names[0];
        ip(&format!(
            "-n {wan} link add p{last} type veth peer name eth0 netns {namespace}"
        ));
        ip(&format!("-n {wan} link set p{last} master hub up"));
        let address = Ipv4Addr::new(10, 99, 0, last);
        ip(&format!("-n {namespace} addr add {address}/24 dev eth0"));
        ip(&format!("-n {namespace} link set eth0 up"));
        address
    }

    /// A host on the open internet; `n` from 1.
    pub fn public(&mut self, n: u8) -> Host {
        let namespace = self.namespace(&format!("pub{n}"));
        let ip = self.plug(&namespace, 10 + n);
        Host { namespace, ip }
    }

    /// A host behind a router of its own; `n` from 1. The second one is the router.
    pub fn home(&mut self, n: u8) -> (Host, Host) {
        let router = self.namespace(&format!("nat{n}"));
        let public = self.plug(&router, 100 + n);
        let home = self.namespace(&format!("home{n}"));
        ip(&format!(
            "-n {router} link add lan type veth peer name eth0 netns {home}"
        ));
        ip(&format!("-n {router} addr add 192.168.{n}.1/24 dev lan"));
        ip(&format!("-n {router} link set lan up"));
        let private = Ipv4Addr::new(192, 168, n, 2);
        ip(&format!("-n {home} addr add {private}/24 dev eth0"));
        ip(&format!("-n {home} link set eth0 up"));
        ip(&format!("-n {home} route add default via 192.168.{n}.1"));
        write_in(&router, "/proc/sys/net/ipv4/ip_forward", "1");
        // A connection that it has forgotten is not taken up in its middle.
        write_in(
            &router,
            "/proc/sys/net/netfilter/nf_conntrack_tcp_loose",
            "0",
        );
        nft(&router, RULES);
        let host = |namespace, ip| Host { namespace, ip };
        (host(home, private), host(router, public))
    }

    /// The provider gives a router another address: every translation is void.
    pub fn renumber(&self, router: &mut Host) {
        let [a, b, c, last] = router.ip.octets();
        let after = Ipv4Addr::new(a, b, c, last + 50);
        let (namespace, before) = (&router.namespace, router.ip);
        ip(&format!("-n {namespace} addr del {before}/24 dev eth0"));
        ip(&format!("-n {namespace} addr add {after}/24 dev eth0"));
        router.ip = after;
    }
}

/// As a home router comes: out is free, in only what belongs to it.
const RULES: &str = "
table ip nat {
    chain out {
        type nat hook postrouting priority srcnat;
        oifname eth0 masquerade;
    }
}
table ip filter {
    chain in {
        type filter hook input priority filter; policy drop;
        iifname lan accept;
        ct state established,related accept;
    }
    chain through {
        type filter hook forward priority filter; policy drop;
        ct state invalid drop;
        iifname lan accept;
        ct state established,related accept;
    }
}
";

impl Drop for Lab {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

/// Removes the labs of processes that are no more.
fn sweep() {
    let Ok(list) = std::fs::read_dir("/var/run/netns") else {
        return;
    };
    for entry in list.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            let _ = Command::new("ip").args(["netns", "del", &name]).output();
        }
    }
}

/// A command that runs in a namespace.
pub fn inside(host: &Host, program: &Path) -> Command {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", &host.namespace])
        .arg(program);
    command
}

fn ip(words: &str) {
    let mut command = Command::new("ip");
    command.args(words.split(' '));
    run(command, "", words);
}

fn nft(namespace: &str, rules: &str) {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, "nft", "-f", "-"]);
    run(command, rules, rules);
}

fn write_in(namespace: &str, file: &str, value: &str) {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, "tee", file]);
    run(command, value, file);
}

fn run(command: Command, input: &str, what: &str) {
    try_run(command, input).unwrap_or_else(|why| panic!("{what}: {why}"));
}

fn try_run(mut command: Command, input: &str) -> Result<(), String> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    // A command that has failed does not read; what it says about that comes below.
    let _ = child
        .stdin
        .take()
        .map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
