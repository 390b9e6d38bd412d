//! A whole network on one machine: relays, bridges, edges and a small Whisper network, each node a
//! child process of this binary with its own directory and ports.
//!
//! | module | content |
//! |---|---|
//! | [`plan`] | which nodes, under which names |
//! | [`ports`] | free ports that no other devnet takes |
//! | [`layout`] | directories, keys, configurations, one relay list for all |
//! | [`children`] | starts, kills and watches one child each |
//! | [`probe`] | asks a child whether it is ready |
//! | [`control`] | operations from standard input and from `ferry devnet restart` |
//! | [`supervisor`] | puts it together |

pub mod children;
pub mod control;
pub mod layout;
pub mod plan;
pub mod ports;
pub mod probe;
pub(crate) mod scratch;
pub mod supervisor;

use std::fmt;
use std::path::PathBuf;

use serde_json::{Value, json};

pub use plan::{Kind, Plan};
pub use supervisor::run;

/// What to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Mix nodes.
    pub relays: usize,
    /// Bridges to Whisper.
    pub bridges: usize,
    /// Edges for local clients.
    pub edges: usize,
    /// Nodes that keep messages for those who are offline.
    pub mailboxes: usize,
    /// Preset of the edges.
    pub preset: String,
    /// Percent of the packets that every relay loses on purpose.
    pub loss_percent: u8,
    /// Whisper nodes to attach the bridges to; none: two nodes of our own.
    pub whisper_peers: Vec<String>,
    /// Where to put everything; none: a directory that is removed at the end.
    pub dir: Option<PathBuf>,
    /// Repeats keys and clocks.
    pub seed: Option<u64>,
    /// The network is found by gossip from one descriptor, and mix keys are used for so many seconds; none: every node has the list of
    /// all, and keys stay.
    pub epoch_seconds: Option<u32>,
    /// Every mix node writes a trace of its packets into its directory.
    pub trace: bool,
}

/// Something that whoever watches a devnet wants to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Everything runs; the object of the ready line.
    Ready(Value),
    /// A child ended that nobody asked to end.
    Died {
        /// Its name.
        name: String,
        /// How it ended.
        how: String,
        /// Where its log is.
        log: PathBuf,
    },
    /// A child was killed because somebody asked for it.
    Killed {
        /// Its name.
        name: String,
    },
    /// A child was started again.
    Restarted {
        /// Its name.
        name: String,
        /// Its process now.
        pid: u32,
    },
    /// A child that was started again is ready.
    NodeReady {
        /// Its name.
        name: String,
        /// Its process.
        pid: u32,
    },
    /// An operation that cannot be done.
    Refused {
        /// Why.
        why: String,
    },
    /// The devnet is going down.
    Stopping {
        /// Who asked for it.
        reason: &'static str,
    },
    /// Every child has ended.
    Stopped,
}

impl Event {
    /// One object with a field `event`.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Ready(ready) => ready.clone(),
            Self::Died { name, how, log } => {
                json!({ "event": "died", "name": name, "how": how, "log": log })
            }
            Self::Killed { name } => json!({ "event": "killed", "name": name }),
            Self::Restarted { name, pid } => {
                json!({ "event": "restarted", "name": name, "pid": pid })
            }
            Self::NodeReady { name, pid } => {
                json!({ "event": "node_ready", "name": name, "pid": pid })
            }
            Self::Refused { why } => json!({ "event": "refused", "why": why }),
            Self::Stopping { reason } => json!({ "event": "stopping", "reason": reason }),
            Self::Stopped => json!({ "event": "stopped" }),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(ready) => write_ready(f, ready),
            Self::Died { name, how, log } => {
                write!(f, "{name} died ({how}); its log: {}", log.display())
            }
            Self::Killed { name } => write!(f, "{name} was killed"),
            Self::Restarted { name, pid } => write!(f, "{name} was started again (pid {pid})"),
            Self::NodeReady { name, pid } => write!(f, "{name} is ready (pid {pid})"),
            Self::Refused { why } => write!(f, "refused: {why}"),
            Self::Stopping { reason } => write!(f, "stopping ({reason})"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

/// The ready line for people: one node a line, with the address that matters.
fn write_ready(f: &mut fmt::Formatter<'_>, ready: &Value) -> fmt::Result {
    write!(
        f,
        "the devnet is ready in {}",
        ready["dir"].as_str().unwrap_or("?")
    )?;
    for group in ["whisper", "relays", "mailboxes", "bridges", "edges"] {
        for node in ready[group].as_array().into_iter().flatten() {
            let text = |field: &str| node[field].as_str().unwrap_or("").to_owned();
            let address = match text("enode") {
                enode if enode.is_empty() => text("multiaddr"),
                enode => enode,
            };
            write!(
                f,
                "\n  {:<10} pid {:<7} {}  {address}",
                text("name"),
                node["pid"],
                text("api")
            )?;
        }
    }
    Ok(())
}
