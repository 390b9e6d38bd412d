//! Which nodes a devnet has.

use mixnet::preset::Preset;

use super::Options;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::identity::check_enode;
use crate::role::{Role, Roles};

/// Nodes of one kind at most: each is a process, and this is one machine.
pub const NODES_PER_KIND_MAX: usize = 40;

/// The Whisper nodes of a devnet without `--whisper-peer`: two, so that a message has a way to go.
pub const WHISPER_NODES: usize = 2;

/// What a node is in the devnet; the groups of the ready line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A plain Whisper node.
    Whisper,
    /// A mix node.
    Relay,
    /// A mailbox.
    Mailbox,
    /// A bridge.
    Bridge,
    /// An edge.
    Edge,
}

impl Kind {
    /// Every kind, in the order in which they start; they stop in the reverse one.
    pub const ALL: [Self; 5] = [
        Self::Whisper,
        Self::Relay,
        Self::Mailbox,
        Self::Bridge,
        Self::Edge,
    ];

    /// Its role, and the start of the names.
    pub fn role(self) -> Role {
        match self {
            Self::Whisper => Role::Whisper,
            Self::Relay => Role::Relay,
            Self::Mailbox => Role::Mailbox,
            Self::Bridge => Role::Bridge,
            Self::Edge => Role::Edge,
        }
    }

    /// Its group in the ready line.
    pub fn group(self) -> &'static str {
        match self {
            Self::Whisper => "whisper",
            Self::Relay => "relays",
            Self::Mailbox => "mailboxes",
            Self::Bridge => "bridges",
            Self::Edge => "edges",
        }
    }
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePlan {
    /// `relay-1`, also the name of its directory.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The same as roles of a node.
    pub roles: Roles,
}

/// All nodes, in the order in which they start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The nodes.
    pub nodes: Vec<NodePlan>,
}

impl Plan {
    /// The nodes for these options, which are checked.
    pub fn new(options: &Options) -> Result<Self, Failure> {
        check(options)?;
        let own_whisper = if options.whisper_peers.is_empty() {
            WHISPER_NODES
        } else {
            0
        };
        let mut nodes = Vec::new();
        for kind in Kind::ALL {
            let count = match kind {
                Kind::Whisper => own_whisper,
                Kind::Relay => options.relays,
                Kind::Mailbox => options.mailboxes,
                Kind::Bridge => options.bridges,
                Kind::Edge => options.edges,
            };
            for number in 1..=count {
                let roles = Roles::check([kind.role()])
                    .map_err(|why| Failure::bug("a role cannot stand alone", why))?;
                nodes.push(NodePlan {
                    name: format!("{}-{number}", kind.role()),
                    kind,
                    roles,
                });
            }
        }
        Ok(Self { nodes })
    }

    /// Nodes of one kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &NodePlan> {
        self.nodes.iter().filter(move |node| node.kind == kind)
    }
}

fn check(options: &Options) -> Result<(), Failure> {
    let refuse = |what: String, why: String, what_to_do: &str| {
        Err(Failure::new(Exit::Usage, what, why, what_to_do))
    };
    for (flag, count) in [
        ("relays", options.relays),
        ("mailboxes", options.mailboxes),
        ("bridges", options.bridges),
        ("edges", options.edges),
    ] {
        if count > NODES_PER_KIND_MAX {
            return refuse(
                format!("--{flag} {count} is too many"),
                format!("a devnet has at most {NODES_PER_KIND_MAX} of a kind"),
                "give a smaller number",
            );
        }
    }
    if Preset::named(&options.preset).is_none() {
        let names: Vec<&str> = Preset::ALL.iter().map(|preset| preset.name).collect();
        return refuse(
            format!("--preset {} is unknown", options.preset),
            format!("the presets are {}", names.join(", ")),
            "choose one of them",
        );
    }
    for enode in &options.whisper_peers {
        if let Err(why) = check_enode(enode) {
            return refuse(
                format!("--whisper-peer {enode} cannot be used"),
                why,
                "give an enode",
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn options() -> Options {
        Options {
            relays: 3,
            bridges: 1,
            edges: 2,
            mailboxes: 1,
            preset: "fast".into(),
            loss_percent: 0,
            whisper_peers: vec![],
            dir: None,
            seed: None,
            epoch_seconds: None,
            trace: false,
        }
    }

    fn names(options: &Options) -> Vec<String> {
        Plan::new(options)
            .unwrap()
            .nodes
            .into_iter()
            .map(|node| node.name)
            .collect()
    }

    #[test]
    fn whisper_starts_first_and_edges_last() {
        assert_eq!(
            names(&options()),
            [
                "whisper-1",
                "whisper-2",
                "relay-1",
                "relay-2",
                "relay-3",
                "mailbox-1",
                "bridge-1",
                "edge-1",
                "edge-2"
            ]
        );
    }

    #[test]
    fn a_given_whisper_peer_replaces_our_own() {
        let point = "4f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa385b6b1b8ead809ca67454d9683fcf2ba03456d6fe2c4abe2b07f0fbdbb2f1c1";
        let peer = format!("enode://{point}@127.0.0.1:30303");
        let options = Options {
            whisper_peers: vec![peer],
            ..options()
        };
        assert!(
            names(&options)
                .iter()
                .all(|name| !name.starts_with("whisper"))
        );
    }

    #[test]
    fn what_cannot_be_started_is_refused() {
        for (options, part) in [
            (
                Options {
                    mailboxes: 41,
                    ..options()
                },
                "--mailboxes 41",
            ),
            (
                Options {
                    relays: 41,
                    ..options()
                },
                "at most 40",
            ),
            (
                Options {
                    preset: "quick".into(),
                    ..options()
                },
                "fast",
            ),
            (
                Options {
                    whisper_peers: vec!["enode://".into()],
                    ..options()
                },
                "needs @",
            ),
        ] {
            let failure = Plan::new(&options).unwrap_err();
            assert!(failure.to_string().contains(part), "{part}: {failure}");
            assert_eq!(failure.exit, Exit::Usage);
        }
    }
}
