//! Whether a node works, and if not, why and what to do: derived from its status, never stored.

use serde::Serialize;

use super::{ClientState, DirectoryStatus, MixStatus, NodeStatus};
use crate::role::{Role, Roles};

/// The answer of `/v1/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Whether its loops turn.
    pub live: bool,
    /// Whether it can do what its roles promise: no cause below is blocking.
    pub ready: bool,
    /// Everything that is missing or worth knowing.
    pub causes: Vec<Cause>,
}

/// One thing that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// What to do about it.
    pub what_to_do: String,
    /// Whether the node is not ready because of it.
    pub blocking: bool,
}

impl Cause {
    /// A cause for which the node is not ready.
    pub fn blocking(
        code: &'static str,
        message: impl Into<String>,
        what_to_do: impl Into<String>,
    ) -> Self {
        Self {
            code,
            message: message.into(),
            what_to_do: what_to_do.into(),
            blocking: true,
        }
    }

    /// A cause that is only worth knowing.
    pub fn note(
        code: &'static str,
        message: impl Into<String>,
        what_to_do: impl Into<String>,
    ) -> Self {
        Self {
            blocking: false,
            ..Self::blocking(code, message, what_to_do)
        }
    }
}

impl Health {
    /// The health of a node with this status whose loops turn (`live`) or do not.
    pub fn of(status: &NodeStatus, live: bool) -> Self {
        let mut causes = Vec::new();
        if !live {
            causes.push(Cause::blocking(
                "stalled",
                "the node's loop has not turned for more than 5 seconds",
                "restart it; if this comes back, report it with the log",
            ));
        }
        whisper(status, &mut causes);
        mix(status, &mut causes);
        edge(status, &mut causes);
        causes.extend(status.troubles.iter().cloned());
        let ready = !causes.iter().any(|cause| cause.blocking);
        Self {
            live,
            ready,
            causes,
        }
    }
}

fn whisper(status: &NodeStatus, causes: &mut Vec<Cause>) {
    let roles = &status.identity.roles;
    let Some(whisper) = &status.whisper else {
        return;
    };
    if !whisper.peers.is_empty() || roles.has(Role::Edge) {
        return;
    }
    let message = "no Whisper peer is connected";
    if whisper.static_peers > 0 {
        causes.push(Cause::blocking(
            "no_whisper_peer",
            message,
            "check that the peers under [whisper] static_peers run and can be reached",
        ));
    } else if roles.has(Role::Bridge) {
        causes.push(Cause::blocking(
            "no_whisper_peer",
            message,
            "name Whisper peers under [whisper] static_peers, or point one at this node's enode",
        ));
    } else {
        causes.push(Cause::note(
            "no_whisper_peer",
            message,
            "give this node's enode to its peers",
        ));
    }
}

fn mix(status: &NodeStatus, causes: &mut Vec<Cause>) {
    let Some(mix) = &status.mix else { return };
    let roles = &status.identity.roles;
    relays(mix, roles, causes);
    if let Some(found) = &mix.directory {
        directory(found, roles, causes);
    }
    protection(mix, roles, causes);
    if mix.window.is_closed() {
        causes.push(Cause::note(
            "window_closed",
            "nobody is using this node, so packets leave at the idle rate and messages take minutes",
            "connect the client, or run `ferry window`; that shows on the line, as the opening of an application",
        ));
    }
}

/// Whether this node has the network that others have.
fn directory(found: &DirectoryStatus, roles: &Roles, causes: &mut Vec<Cause>) {
    if let Some(fork) = &found.fork {
        causes.push(Cause::note(
            "directory_fork",
            format!(
                "mix nodes have {} different active sets of epoch {}: somebody lies about who belongs to the network, or it is cut in two",
                fork.roots.len(),
                fork.epoch
            ),
            "compare the field directory of /v1/mix with people you trust; begin with descriptors from other sources ([mix] topology)",
        ));
    }
    if let Some(seconds) = found.clock_ahead_seconds {
        let (by, where_to) = (
            seconds.unsigned_abs(),
            if seconds < 0 { "behind" } else { "ahead of" },
        );
        causes.push(Cause {
            blocking: roles.has(Role::Edge) || roles.has(Role::Bridge),
            ..Cause::note(
                "clock_off",
                format!(
                    "this machine's clock is {by} seconds {where_to} those of the mix nodes: it does not know which mix keys are in use, so \
                     messages are refused"
                ),
                "set the clock, best by NTP",
            )
        });
    }
}

/// What messages do not get of what was chosen for them.
fn protection(mix: &MixStatus, roles: &Roles, causes: &mut Vec<Cause>) {
    let sends = roles.has(Role::Edge) || roles.has(Role::Bridge);
    let mut push = |blocking, code, message: String, what_to_do: &str| {
        causes.push(Cause {
            blocking: blocking && sends,
            ..Cause::note(code, message, what_to_do)
        });
    };
    let (chosen, pool) = (&mix.protection, mix.traffic.pool);
    if chosen.alarm {
        push(
            true,
            "loops_vanish",
            "packets that this node sends to itself do not come back any more: somebody may be isolating messages, so they are held".to_owned(),
            "wait; they leave when loops come back. /v1/mix names the relays whose loops vanish",
        );
    }
    if chosen.refusing {
        push(
            true,
            "anonymity_too_low",
            format!(
                "about {pool:.1} packets rest at a relay while one of yours does, 8 are needed: messages are refused"
            ),
            "wait for more traffic, choose a preset with longer delays, set [mix] low_traffic = \"adapt\", or strict = false",
        );
    } else if mix.traffic.is_low() {
        push(
            false,
            "low_traffic",
            format!(
                "about {pool:.1} packets rest at a relay while one of yours does; with fewer than 8 they are easy to tell apart"
            ),
            "set [mix] low_traffic = \"adapt\" for longer delays, or \"refuse\"; it ends when more people use the network",
        );
    }
    if chosen.copies_for_loss {
        push(
            false,
            "much_is_lost",
            "a tenth or more of the packets that this node sends to itself are lost: messages leave twice where a slot is free, so twice as many relays see a packet of them"
                .to_owned(),
            "look for relays that lose packets at /v1/mix; [mix] strict = true sends once and waits for repetitions",
        );
    }
    if chosen.copies_share_relays {
        push(
            chosen.strict,
            "copies_share_relays",
            "fewer than six relays are usable, so the two copies of a packet take common relays"
                .to_owned(),
            "wait for more relays, or leave [mix] twice empty",
        );
    }
}

fn relays(mix: &MixStatus, roles: &Roles, causes: &mut Vec<Cause>) {
    if mix.relays_usable >= mix.relays_needed {
        return;
    }
    let missing = mix.relays_needed - mix.relays_usable;
    let message = format!(
        "{} of the {} relays that a path needs are usable, {missing} missing; messages are kept until then",
        mix.relays_usable, mix.relays_needed
    );
    let what_to_do = match &mix.directory {
        Some(found) if found.contacts == 0 => {
            "put the signed descriptor of any node of the network into the file of [mix] topology and restart".to_owned()
        }
        Some(found) if mix.relays_known < mix.relays_needed => format!(
            "wait: the directory looks for relays, {} nodes can be asked; if it finds none, check that this machine is online and that \
             [mix] epoch_seconds is the network's",
            found.contacts
        ),
        None if mix.relays_known < mix.relays_needed => format!(
            "the relay list names {}: put more signed descriptors into the file of [mix] topology and restart",
            mix.relays_known
        ),
        Some(_) | None => "check that the relays of the network run and can be reached".to_owned(),
    };
    // A relay forwards for others whatever it knows itself.
    let blocking = roles.has(Role::Edge) || roles.has(Role::Bridge);
    causes.push(Cause {
        blocking,
        ..Cause::note("too_few_relays", message, what_to_do)
    });
}

fn edge(status: &NodeStatus, causes: &mut Vec<Cause>) {
    let Some(edge) = &status.edge else { return };
    if edge.bridge.is_none() {
        causes.push(Cause::blocking(
            "no_bridge",
            "the relay list names no bridge that this edge may use",
            "put a bridge's descriptor into the file of [mix] topology, or correct [edge] bridge",
        ));
    } else if !edge.bridge_known {
        causes.push(Cause::blocking(
            "bridge_left",
            "the bridge of this edge is not part of the network any more: its descriptor has run out",
            "wait until it runs again; or restart this edge, or correct [edge] bridge, to use another one",
        ));
    }
    match edge.client {
        ClientState::WaitingForClient => causes.push(Cause::note(
            "waiting_for_client",
            "no client is connected yet",
            "set this node's enode (`ferry id`) as the only Whisper peer and mailserver of your client",
        )),
        ClientState::WaitingForTopics => causes.push(Cause::note(
            "waiting_for_topics",
            "the client is connected but asks for every topic: it has subscribed to nothing yet",
            "open a chat in the client; or set [edge] follow_all for a client that never narrows",
        )),
        ClientState::Following if !edge.registered => causes.push(Cause::note(
            "registering",
            "the bridge has not confirmed the registration yet",
            "wait some seconds; if it stays, check that the bridge runs",
        )),
        ClientState::Following => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;
    use crate::status::{
        BridgeStatus, EdgeStatus, ForkStatus, MixStatus, WhisperPeer, WhisperStatus,
    };

    fn status(roles: &str) -> NodeStatus {
        let identity = Identity {
            roles: roles.parse().unwrap(),
            enode: None,
            enr: None,
            whisper: None,
            mailserver: false,
            peer_id: None,
            multiaddr: None,
            mix: None,
            mix_key: None,
            gateway_key: None,
            descriptor: None,
            api: "http://127.0.0.1:1".into(),
            rpc_http: None,
            rpc_ws: None,
            ipc: None,
        };
        let mix = MixStatus {
            relays_usable: 3,
            relays_known: 3,
            relays_needed: 3,
            ..MixStatus::default()
        };
        NodeStatus {
            identity,
            started_unix_ms: 0,
            whisper: Some(WhisperStatus {
                peers: vec![peer()],
                ..WhisperStatus::default()
            }),
            mix: Some(mix),
            bridge: roles.contains("bridge").then(BridgeStatus::default),
            edge: None,
            mailbox: None,
            troubles: vec![],
        }
    }

    fn peer() -> WhisperPeer {
        WhisperPeer {
            node_id: "ab".repeat(64),
            address: None,
            direction: "dialled",
            client: "x".into(),
            is_static: true,
            kind: "static",
            trusted: false,
            score: 0,
            min_pow: 0.002,
            light: false,
        }
    }

    fn codes(health: &Health) -> Vec<&'static str> {
        health.causes.iter().map(|cause| cause.code).collect()
    }

    #[test]
    fn a_bridge_needs_a_whisper_peer_and_three_relays() {
        let mut bridge = status("bridge");
        assert_eq!(
            Health::of(&bridge, true),
            Health {
                live: true,
                ready: true,
                causes: vec![]
            }
        );
        bridge.whisper = Some(WhisperStatus::default());
        let health = Health::of(&bridge, true);
        assert!(!health.ready && codes(&health) == ["no_whisper_peer"]);
        bridge.mix.as_mut().unwrap().relays_usable = 1;
        let health = Health::of(&bridge, true);
        assert_eq!(codes(&health), ["no_whisper_peer", "too_few_relays"]);
        assert!(health.causes[1].message.contains("2 missing"), "{health:?}");
    }

    #[test]
    fn an_edge_without_a_client_is_ready_and_says_so() {
        let mut edge = status("edge");
        edge.whisper = Some(WhisperStatus::default());
        edge.edge = Some(EdgeStatus {
            bridge: Some("02".into()),
            bridge_known: true,
            ..EdgeStatus::default()
        });
        let health = Health::of(&edge, true);
        assert!(
            health.ready && codes(&health) == ["waiting_for_client"],
            "{health:?}"
        );
        edge.edge.as_mut().unwrap().client = ClientState::WaitingForTopics;
        assert_eq!(codes(&Health::of(&edge, true)), ["waiting_for_topics"]);
        edge.edge.as_mut().unwrap().client = ClientState::Following;
        assert_eq!(codes(&Health::of(&edge, true)), ["registering"]);
        edge.edge.as_mut().unwrap().registered = true;
        assert_eq!(codes(&Health::of(&edge, true)), [""; 0]);
        edge.edge.as_mut().unwrap().bridge_known = false;
        let health = Health::of(&edge, true);
        assert!(
            !health.ready && codes(&health) == ["bridge_left"],
            "{health:?}"
        );
        edge.edge.as_mut().unwrap().bridge = None;
        let health = Health::of(&edge, true);
        assert!(
            !health.ready && codes(&health) == ["no_bridge"],
            "{health:?}"
        );
    }

    #[test]
    fn a_lone_relay_and_a_lone_whisper_node_are_ready() {
        let mut relay = status("relay");
        relay.whisper = None;
        relay.mix.as_mut().unwrap().relays_usable = 0;
        let health = Health::of(&relay, true);
        assert!(health.ready && codes(&health) == ["too_few_relays"]);
        let mut whisper = status("whisper");
        whisper.whisper = Some(WhisperStatus::default());
        whisper.mix = None;
        assert!(Health::of(&whisper, true).ready);
        whisper.whisper.as_mut().unwrap().static_peers = 1;
        assert!(!Health::of(&whisper, true).ready);
    }

    #[test]
    fn a_fork_and_a_wrong_clock_are_said() {
        let mut bridge = status("bridge");
        let of_file = Health::of(&bridge, true);
        let mix = bridge.mix.as_mut().unwrap();
        let fork = Some(ForkStatus {
            epoch: 7,
            roots: vec![],
        });
        mix.directory = Some(DirectoryStatus::default());
        assert_eq!(Health::of(&bridge, true), of_file);
        bridge
            .mix
            .as_mut()
            .unwrap()
            .directory
            .as_mut()
            .unwrap()
            .fork = fork;
        let health = Health::of(&bridge, true);
        assert!(
            health.ready && codes(&health) == ["directory_fork"],
            "{health:?}"
        );
        let found = bridge.mix.as_mut().unwrap().directory.as_mut().unwrap();
        found.fork = None;
        found.clock_ahead_seconds = Some(-4000);
        let health = Health::of(&bridge, true);
        assert!(
            !health.ready && codes(&health) == ["clock_off"],
            "{health:?}"
        );
        assert!(health.causes[0].message.contains("4000 seconds behind"));
    }

    #[test]
    fn who_finds_its_network_by_gossip_is_told_what_to_do_for_relays() {
        let mut relay = status("relay");
        relay.whisper = None;
        let mix = relay.mix.as_mut().unwrap();
        (mix.relays_usable, mix.relays_known) = (0, 0);
        for (contacts, said) in [(0, "any node of the network"), (2, "2 nodes can be asked")] {
            relay.mix.as_mut().unwrap().directory = Some(DirectoryStatus {
                contacts,
                ..DirectoryStatus::default()
            });
            let health = Health::of(&relay, true);
            assert_eq!(codes(&health), ["too_few_relays"]);
            assert!(health.causes[0].what_to_do.contains(said), "{health:?}");
        }
    }

    #[test]
    fn a_stalled_loop_and_troubles_make_it_unready() {
        let mut bridge = status("bridge");
        let health = Health::of(&bridge, false);
        assert!(!health.live && !health.ready && codes(&health) == ["stalled"]);
        bridge.troubles.push(Cause::note("clock", "late", "set it"));
        assert!(Health::of(&bridge, true).ready);
        bridge
            .troubles
            .push(Cause::blocking("disk", "full", "free some"));
        assert!(!Health::of(&bridge, true).ready);
    }
}
