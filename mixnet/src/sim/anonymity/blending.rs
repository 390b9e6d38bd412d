//! The n-1 attack: keep everything from a relay but one packet, and see where that one goes.
//!
//! Somebody who may hold packets back lets nothing to a relay until it is empty, then one packet of Alice's, and takes the next packet that
//! leaves for hers. Two things are against him, and both are loops (Loopix, section 4.2; specification, attacks):
//!
//! ```text
//! the relay's own loops     leave from within: the next packet may be one of them
//! the loops of all others   do not come back through that relay: nodes stop using it
//! ```
//!
//! The nodes are real ones ([`crate::sim::cores`]). What would be seen without loops is computed from the same run by not looking at
//! the relay's own, and nobody would notice.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::counters::PacketKind;
use crate::preset::Preset;
use crate::sim::cores::{Cores, Part, Seen};

/// What came of one attack.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attack {
    /// Packets that were singled out.
    pub targets: usize,
    /// Share of them after which the next packet to leave was the right one.
    pub success: f64,
    /// The same, had the relay no loops.
    pub success_without_loops: f64,
    /// Seconds until each client that noticed stopped using the relay, in order. Without loops nobody would.
    pub noticed_s: Vec<f64>,
    /// Clients.
    pub clients: usize,
    /// How long the attack went on, in seconds.
    pub seconds: f64,
}

/// One attack on one relay of a small network, for at most `seconds`.
pub fn attack(preset: Preset, seconds: u64, seed: u64, start: Instant) -> Option<Attack> {
    let mut parts = vec![Part::Relay; RELAYS];
    parts.push(Part::Service);
    parts.extend([Part::Client; CLIENTS]);
    let mut cores = Cores::new(&parts, preset, seed, start).ok()?;
    let begins = start + WARM_UP;
    while cores.next(begins).is_some() {}
    let mut blockade = Blockade::new(begins, preset.delay_mean() * DRAIN_MEANS);
    let end = begins + Duration::from_secs(seconds);
    // Everything that comes to the relay is lost, but for the one that is let through; the filter cannot know which that is, so it
    // lets through what comes while a target is wanted.
    let wanted = std::rc::Rc::new(std::cell::Cell::new(false));
    let open = wanted.clone();
    cores.filter = Box::new(move |_, from, to| to != VICTIM || from == ALICE && open.take());
    while let Some((now, seen)) = cores.next(end) {
        wanted.set(blockade.wants(now));
        blockade.see(now, seen);
        if blockade.noticed.len() == CLIENTS {
            break;
        }
    }
    let seconds = cores.now().duration_since(begins).as_secs_f64();
    Some(blockade.outcome(seconds))
}

/// The attacker at work.
struct Blockade {
    began: Instant,
    drain: Duration,
    /// When the relay is empty, as far as he knows.
    empty_at: Instant,
    /// The packet that was let through, as what it will leave.
    target: Option<Target>,
    targets: usize,
    right: usize,
    right_without_loops: usize,
    noticed: Vec<f64>,
    knows: [bool; CLIENTS],
}

struct Target {
    leaves_as: crate::shape::reading::Mark,
    /// Whether another packet has left since.
    others: bool,
    forwards: bool,
}

impl Blockade {
    fn new(began: Instant, drain: Duration) -> Self {
        Self {
            began,
            drain,
            empty_at: began + drain,
            target: None,
            targets: 0,
            right: 0,
            right_without_loops: 0,
            noticed: Vec::new(),
            knows: [false; CLIENTS],
        }
    }

    fn wants(&self, now: Instant) -> bool {
        self.target.is_none() && now >= self.empty_at
    }

    fn see(&mut self, now: Instant, seen: Seen) {
        match seen {
            Seen::Came { at, onward, .. } if at == VICTIM && now > self.began => {
                self.target = onward.map(|leaves_as| Target {
                    leaves_as,
                    others: false,
                    forwards: false,
                });
            }
            Seen::Left {
                from, kind, mark, ..
            } if from == VICTIM => self.left(now, kind, mark),
            Seen::Usable { at, relays } if at >= CLIENT_FIRST && relays < RELAYS => {
                let client = at - CLIENT_FIRST;
                if !std::mem::replace(&mut self.knows[client], true) {
                    self.noticed
                        .push(now.duration_since(self.began).as_secs_f64());
                }
            }
            Seen::Came { .. } | Seen::Left { .. } | Seen::Usable { .. } => {}
        }
    }

    fn left(&mut self, now: Instant, kind: PacketKind, mark: crate::shape::reading::Mark) {
        let Some(target) = &mut self.target else {
            return;
        };
        if mark != target.leaves_as {
            target.others = true;
            target.forwards |= kind == PacketKind::Forward;
            return;
        }
        self.targets += 1;
        self.right += usize::from(!target.others);
        self.right_without_loops += usize::from(!target.forwards);
        self.target = None;
        self.empty_at = now + self.drain;
    }

    fn outcome(self, seconds: f64) -> Attack {
        let share = |right: usize| right as f64 / self.targets.max(1) as f64;
        Attack {
            targets: self.targets,
            success: share(self.right),
            success_without_loops: share(self.right_without_loops),
            noticed_s: self.noticed,
            clients: CLIENTS,
            seconds,
        }
    }
}

/// Relays of the network: one is attacked, three are needed.
const RELAYS: usize = 6;
const VICTIM: usize = 0;
/// Clients; the first is the one whose packets he wants.
const CLIENTS: usize = 3;
const CLIENT_FIRST: usize = RELAYS + 1;
const ALICE: usize = CLIENT_FIRST;
/// The network runs for so long before the attack: nodes know their relays by then.
const WARM_UP: Duration = Duration::from_secs(60);
/// After so many mean delays nothing rests in the relay any more, but once in three thousand times.
const DRAIN_MEANS: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_packet_alone_is_found_and_the_loops_tell() {
        let attack = attack(Preset::FAST, 120, 1, Instant::now()).unwrap();
        assert!(attack.targets > 5, "{attack:?}");
        assert!(attack.success_without_loops > 0.99, "{attack:?}");
        assert!(attack.success <= attack.success_without_loops, "{attack:?}");
        assert_eq!(attack.noticed_s.len(), CLIENTS, "{attack:?}");
        // Not before a loop can be overdue.
        assert!(
            attack.noticed_s.iter().all(|seconds| *seconds > 4.0),
            "{attack:?}"
        );
    }
}
