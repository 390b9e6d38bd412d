//! The directories of a devnet.
//!
//! ```text
//! DIR/devnet.json    which process runs it, and where it takes operations
//! DIR/NAME/          the directory of one node, as `ferry init` makes it
//! DIR/NAME/node.log  what it printed
//! DIR/NAME/trace.txt when which packet passed, with `--trace`
//! ```

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use mixnet::descriptor::Descriptor;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::Options;
use super::plan::{Kind, NodePlan, Plan};
use super::ports::{Reservations, Reserved};
use crate::cli::{identity_of, make_node};
use crate::config::schema::Value;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::identity::Identity;
use crate::keystore::{Keys, system_random};

/// One node that is ready to be started.
#[derive(Debug)]
pub struct Laid {
    /// Its name and kind.
    pub plan: NodePlan,
    /// Its directory.
    pub dir: PathBuf,
    /// Its ports, held.
    pub reserved: Reserved,
    /// Its public side.
    pub identity: Identity,
    /// Seeds its clocks, if the devnet has a seed.
    pub seed: Option<u64>,
}

impl Laid {
    /// Where it answers HTTP.
    pub fn api(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.reserved.ports.api).into()
    }

    /// Where its output goes.
    pub fn log(&self) -> PathBuf {
        self.dir.join("node.log")
    }
}

/// Makes every directory under `dir`, with one relay list for all.
pub fn lay(options: &Options, plan: &Plan, dir: &Path) -> Result<Vec<Laid>, Failure> {
    prepare(dir)?;
    let mut random = Random::new(options.seed)?;
    let mut ports = Reservations::new(u64::from(std::process::id()) * PORTS_APART)?;
    let mut laid: Vec<Laid> = Vec::new();
    for (index, node) in plan.nodes.iter().enumerate() {
        let reserved = ports.reserve()?;
        let path = dir.join(&node.name);
        let keys = Keys::generate(&node.roles, &mut |bytes| random.fill(bytes))?;
        let overrides = overrides(options, node, &reserved, &laid);
        let directory = make_node(&path, &node.roles, reserved.ports, &overrides, &keys)?;
        let identity = identity_of(&directory)?;
        let seed = options
            .seed
            .map(|seed| seed.wrapping_mul(SEEDS_APART) + index as u64);
        laid.push(Laid {
            plan: node.clone(),
            dir: path,
            reserved,
            identity,
            seed,
        });
    }
    let list = descriptors(&laid, options.epoch_seconds.is_some())?;
    for node in laid.iter().filter(|node| node.plan.kind != Kind::Whisper) {
        write(&node.dir.join("topology.json"), &list)?;
    }
    Ok(laid)
}

/// The directory itself: new, or empty.
fn prepare(dir: &Path) -> Result<(), Failure> {
    let occupied = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(dir)
                .map_err(|error| Failure::file(Exit::Config, "make", dir, &error))?;
            false
        }
        Err(error) => return Err(Failure::file(Exit::Config, "read", dir, &error)),
    };
    if occupied {
        return Err(Failure::new(
            Exit::Config,
            format!("cannot make a devnet in {}", dir.display()),
            "the directory is not empty",
            "choose another --dir, or remove this one first",
        ));
    }
    Ok(())
}

/// What differs from the defaults of the role: loopback everywhere, peers, the preset.
fn overrides(
    options: &Options,
    node: &NodePlan,
    reserved: &Reserved,
    before: &[Laid],
) -> Vec<(&'static str, &'static str, Value)> {
    let local = |port| Value::text(format!("127.0.0.1:{port}"));
    let mut set = Vec::new();
    if node.roles.speaks_whisper() {
        set.push(("whisper", "listen", local(reserved.ports.whisper)));
    }
    if node.roles.speaks_mix() {
        set.push(("mix", "listen", local(reserved.ports.mix)));
        if let Some(seconds) = options.epoch_seconds {
            set.push(("mix", "directory", Value::text("gossip")));
            set.push(("mix", "epoch_seconds", Value::Count(seconds.into())));
        }
        if options.trace {
            set.push(("mix", "trace_file", Value::text(TRACE_FILE)));
        }
    }
    // A node of the own Whisper network dials those before it, a bridge all of them.
    let own = || {
        before
            .iter()
            .filter(|other| other.plan.kind == Kind::Whisper)
    };
    let peers: Vec<String> = match node.kind {
        Kind::Whisper => own()
            .filter_map(|other| other.identity.enode.clone())
            .collect(),
        Kind::Bridge if options.whisper_peers.is_empty() => own()
            .filter_map(|other| other.identity.enode.clone())
            .collect(),
        Kind::Bridge => options.whisper_peers.clone(),
        Kind::Relay | Kind::Mailbox | Kind::Edge => Vec::new(),
    };
    if !peers.is_empty() {
        set.push(("whisper", "static_peers", Value::List(peers)));
    }
    if node.kind == Kind::Relay && options.loss_percent > 0 {
        let percent = Value::Count(options.loss_percent.into());
        set.push(("mix", "test_loss_percent", percent));
    }
    if node.kind == Kind::Edge {
        set.push(("mix", "preset", Value::text(options.preset.as_str())));
    }
    set
}

/// The relay list: everything that signed a descriptor.
fn descriptors(laid: &[Laid], gossip: bool) -> Result<String, Failure> {
    // With gossip the first one is enough to find the others; it is a relay's where there is one.
    let count = match gossip {
        true => 1,
        false => usize::MAX,
    };
    let list: Result<Vec<Descriptor>, _> = laid
        .iter()
        .filter_map(|node| node.identity.descriptor.as_ref())
        .take(count)
        .map(|descriptor| Descriptor::from_json(&descriptor.to_string()))
        .collect();
    list.map(|list| Descriptor::list_to_json(&list))
        .map_err(|error| Failure::bug("a descriptor of our own is refused", error.to_string()))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure::file(Exit::Config, "write", path, &error))
}

/// Random bytes for keys: the system's, or from a seed.
enum Random {
    System,
    Seeded(Box<ChaCha20Rng>),
}

impl Random {
    fn new(seed: Option<u64>) -> Result<Self, Failure> {
        Ok(seed.map_or(Self::System, |seed| {
            Self::Seeded(Box::new(ChaCha20Rng::seed_from_u64(seed)))
        }))
    }

    fn fill(&mut self, bytes: &mut [u8; 32]) -> Result<(), Failure> {
        match self {
            Self::System => system_random(bytes),
            Self::Seeded(rng) => {
                rng.fill_bytes(bytes);
                Ok(())
            }
        }
    }
}

/// The trace of a node, in its directory.
pub const TRACE_FILE: &str = "trace.txt";

/// Two devnets whose process ids follow each other look for ports this far apart.
const PORTS_APART: u64 = 131;

/// Seeds of the children of devnets with neighbouring seeds differ.
const SEEDS_APART: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn options(seed: u64) -> Options {
        Options {
            relays: 3,
            bridges: 1,
            edges: 1,
            mailboxes: 0,
            preset: "fast".into(),
            loss_percent: 0,
            whisper_peers: vec![],
            dir: None,
            seed: Some(seed),
            epoch_seconds: None,
            trace: false,
        }
    }

    fn laid(seed: u64) -> (tempfile::TempDir, Vec<Laid>) {
        let base = tempfile::tempdir().unwrap();
        let options = options(seed);
        let laid = lay(&options, &Plan::new(&options).unwrap(), base.path()).unwrap();
        (base, laid)
    }

    #[test]
    fn everybody_gets_one_relay_list_and_the_bridge_its_whisper_peers() {
        let (_base, laid) = laid(1);
        let mut lists = Vec::new();
        for node in laid.iter().filter(|node| node.plan.kind != Kind::Whisper) {
            lists.push(fs::read_to_string(node.dir.join("topology.json")).unwrap());
        }
        lists.dedup();
        assert_eq!(lists.len(), 1);
        let list = Descriptor::list_from_json(&lists[0]).unwrap();
        assert_eq!(list.iter().filter(|d| d.capabilities().relay).count(), 3);
        assert_eq!(list.iter().filter(|d| d.capabilities().bridge).count(), 1);

        let bridge = laid
            .iter()
            .find(|node| node.plan.kind == Kind::Bridge)
            .unwrap();
        let text = fs::read_to_string(bridge.dir.join("config.toml")).unwrap();
        let sources = Sources {
            file: Some(("c".into(), text)),
            ..Sources::default()
        };
        let settings = load(&sources, &bridge.dir).unwrap();
        let own: Vec<String> = laid[..2]
            .iter()
            .filter_map(|node| node.identity.enode.clone())
            .collect();
        assert_eq!(settings.whisper.static_peers, own);
        assert!(settings.mix.listen.unwrap().ip().is_loopback());
    }

    #[test]
    fn a_seed_repeats_the_keys_and_another_does_not() {
        let peers = |seed| -> Vec<_> {
            laid(seed)
                .1
                .into_iter()
                .map(|node| node.identity.peer_id)
                .collect()
        };
        assert_eq!(peers(1), peers(1));
        assert_ne!(peers(1), peers(2));
    }

    #[test]
    fn a_directory_that_holds_something_is_left_alone() {
        let base = tempfile::tempdir().unwrap();
        fs::write(base.path().join("x"), "").unwrap();
        let options = options(1);
        let failure = lay(&options, &Plan::new(&options).unwrap(), base.path()).unwrap_err();
        assert!(failure.why.contains("not empty"), "{failure}");
    }
}
