//! Watches whether messages get the protection that the user chose, and holds or refuses them where they do not.
//!
//! ```text
//! loops ───────▶ alarm ─▶ messages are held, cover takes their slots, until a loop proves the paths in use
//! traffic ─────▶ pool = packets a second at a relay × delay; below 8:
//!                warn: the user is told · adapt: delays climb until it suffices · refuse, strict: nothing leaves
//! copies ──────▶ two paths without a common relay need six relays; with fewer: the user is told · strict: refused
//! much lost ───▶ frames that somebody waits for leave twice, the second time in place of cover, and the user is told · strict: once
//! ```

use std::time::{Duration, Instant};

use crate::alarm::Guard;
use crate::level::{LADDER_MS, LowTraffic, POOL_MIN, Protection, millis, raised};
use crate::limits::RELAYS_NEEDED;
use crate::quality::Change;
use crate::traffic::{Estimate, Traffic};

// ---- Our constants ----

/// How often the traffic is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Only the floor is known at first; after this time it is taken for what it is. The first probes are back by then.
const FLOOR_AFTER: Duration = Duration::from_secs(120);

/// A delay goes down again when the pool would hold so much more than it must, so that it does not swing.
const MARGIN: f64 = 1.25;

/// Whether the delays mix anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Not known yet.
    #[default]
    Unknown,
    /// The pool holds enough packets.
    Enough,
    /// It holds fewer than [`POOL_MIN`].
    Low,
}

impl Verdict {
    /// The label in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Enough => "enough",
            Self::Low => "low",
        }
    }
}

/// What the local user is told when it changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Notice {
    /// Loops vanish that came back before: messages are held.
    LoopsVanish,
    /// A loop came back over the paths in use: messages leave again.
    LoopsBack,
    /// There is too little traffic for the delays in use.
    TrafficLow {
        /// Packets that rest at a relay at a time.
        pool: f64,
    },
    /// There is enough.
    TrafficEnough {
        /// Packets that rest at a relay at a time.
        pool: f64,
    },
    /// Much of what is sent is lost: frames that somebody waits for leave twice where a slot is free.
    LossHigh,
    /// That is over.
    LossUsual,
    /// The delays of all classes are multiplied by this from now on.
    Delays {
        /// 1 is as configured.
        factor: f64,
    },
}

/// A snapshot of the watch.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct WatchStatus {
    /// How much traffic there is.
    pub estimate: Estimate,
    /// Packets that rest at a relay at a time, at the shortest delay in use.
    pub pool: f64,
    /// Whether that is enough.
    pub verdict: Verdict,
    /// What the configured delays are multiplied by.
    pub delay_factor: f64,
    /// Loops vanish: messages are held.
    pub alarm: bool,
    /// There is too little traffic and the user wants no message to leave then.
    pub refusing: bool,
    /// Two copies of a packet share relays, because there are too few.
    pub copies_share_relays: bool,
    /// So much is lost that frames leave twice where a slot is free.
    pub copies_for_loss: bool,
}

pub(crate) struct Watch {
    protection: Protection,
    guard: Guard,
    pub(crate) traffic: Traffic,
    started: Instant,
    look_at: Option<Instant>,
    estimate: Estimate,
    verdict: Verdict,
    factor: f64,
    /// Whether two paths without a common relay can be had.
    apart: bool,
    /// Whether much is lost.
    lossy: bool,
}

impl Watch {
    pub(crate) fn new(protection: Protection, now: Instant) -> Self {
        let mut traffic = Traffic::new(now);
        let estimate = traffic.estimate(now, false, RELAYS_NEEDED, 0.0);
        Self {
            protection,
            guard: Guard::default(),
            traffic,
            started: now,
            look_at: Some(now),
            estimate,
            verdict: Verdict::Unknown,
            factor: 1.0,
            apart: true,
            lossy: false,
        }
    }

    /// Whether messages may leave now; otherwise cover takes their slots.
    pub(crate) fn lets_messages_leave(&self) -> bool {
        let unknown = self.verdict == Verdict::Unknown && self.protection.refuses_low_traffic();
        !self.guard.is_raised() && !self.is_refusing() && !unknown
    }

    /// Whether messages are refused for lack of traffic.
    pub(crate) fn is_refusing(&self) -> bool {
        self.verdict == Verdict::Low && self.protection.refuses_low_traffic()
    }

    /// Whether copies are refused for lack of relays.
    pub(crate) fn refuses_copies(&self) -> bool {
        self.protection.strict && self.copies_share_relays()
    }

    /// Whether a frame that somebody waits for leaves a second time in place of cover. Two packets pass more relays than one, so
    /// a user who wants the chosen protection or none gets none of this.
    pub(crate) fn adds_copies(&self) -> bool {
        self.lossy && !self.protection.strict
    }

    fn copies_share_relays(&self) -> bool {
        !self.apart && self.protection.levels.has_copies()
    }

    /// Packets that rest at a relay while one of ours does, at the shortest delay.
    pub(crate) fn pool(&self) -> f64 {
        self.estimate.pool(millis(self.delay_ms_min()))
    }

    fn delay_ms_min(&self) -> u16 {
        raised(self.protection.levels.delay_ms_min(), self.factor)
    }

    /// What delays are multiplied by.
    pub(crate) fn factor(&self) -> f64 {
        self.factor
    }

    /// Takes in what the end of a loop changed.
    pub(crate) fn loops(&mut self, now: Instant, change: &Change) -> Option<Notice> {
        if change.raised && self.guard.raise(now) {
            return Some(Notice::LoopsVanish);
        }
        let proved = change
            .proved
            .is_some_and(|departed| self.guard.prove(departed));
        proved.then_some(Notice::LoopsBack)
    }

    /// Takes in how much is lost.
    pub(crate) fn loss(&mut self, change: &Change) -> Option<Notice> {
        self.lossy = change.lossy?;
        Some(if self.lossy {
            Notice::LossHigh
        } else {
            Notice::LossUsual
        })
    }

    /// When [`Watch::look`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.look_at
    }

    /// Looks no more.
    pub(crate) fn stop(&mut self) {
        self.look_at = None;
    }

    /// Looks at the traffic if it is time: in a network of `usable` relays beside this node, which is one of them or not, where
    /// `floor` packets a second are sent by rule.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        relay: bool,
        usable: usize,
        floor: f64,
    ) -> Vec<Notice> {
        if self.look_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.look_at = Some(now + LOOK_EVERY);
        self.apart = usable >= 2 * RELAYS_NEEDED;
        let relays = usable + usize::from(relay);
        self.estimate = self.traffic.estimate(now, relay, relays, floor);
        let mut notices = Vec::new();
        let is_floor = self.estimate.source == crate::traffic::Source::Floor;
        if is_floor && now.saturating_duration_since(self.started) < FLOOR_AFTER {
            return notices;
        }
        if self.protection.low_traffic == LowTraffic::Adapt {
            let factor = self.wanted_factor();
            if factor != self.factor {
                self.factor = factor;
                notices.push(Notice::Delays { factor });
            }
        }
        let pool = self.pool();
        let verdict = match pool < POOL_MIN {
            true => Verdict::Low,
            false => Verdict::Enough,
        };
        if verdict != self.verdict {
            // That all is well is news only after it was not.
            match verdict {
                Verdict::Low => notices.push(Notice::TrafficLow { pool }),
                Verdict::Enough if self.verdict == Verdict::Low => {
                    notices.push(Notice::TrafficEnough { pool });
                }
                Verdict::Enough | Verdict::Unknown => {}
            }
            self.verdict = verdict;
        }
        notices
    }

    /// The least factor that takes the shortest delay to a rung where the pool suffices, or to the last one. On the way down the
    /// pool must suffice with a margin.
    fn wanted_factor(&self) -> f64 {
        let least = self.protection.levels.delay_ms_min();
        let now_ms = self.delay_ms_min();
        let suffices = |rung: &u16| {
            let margin = if *rung < now_ms { MARGIN } else { 1.0 };
            self.estimate.pool(millis(*rung)) >= POOL_MIN * margin
        };
        let mut rungs = LADDER_MS.into_iter().filter(|rung| *rung >= least);
        let rung = rungs.find(|rung| suffices(rung));
        let rung = rung.unwrap_or(LADDER_MS[LADDER_MS.len() - 1]);
        f64::from(rung) / f64::from(least)
    }

    pub(crate) fn status(&self) -> WatchStatus {
        WatchStatus {
            estimate: self.estimate,
            pool: self.pool(),
            verdict: self.verdict,
            delay_factor: self.factor,
            alarm: self.guard.is_raised(),
            refusing: self.is_refusing(),
            copies_share_relays: self.copies_share_relays(),
            copies_for_loss: self.adds_copies(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::{Class, Level, Levels};
    use crate::preset::Preset;

    fn protection(low_traffic: LowTraffic, strict: bool) -> Protection {
        Protection {
            levels: Levels::of(&Preset::FAST),
            low_traffic,
            strict,
        }
    }

    /// A relay that takes in `rate` packets a second for so many seconds from `from` on, looking at every one.
    fn drive(watch: &mut Watch, from: Instant, rate: u32, seconds: u32) -> Vec<Notice> {
        let mut notices = Vec::new();
        for n in 0..rate * seconds {
            let now = from + Duration::from_secs(1) / rate * n;
            watch.traffic.forwarded(now);
            notices.extend(watch.look(now, true, 5, 1.0));
        }
        notices
    }

    #[test]
    fn too_little_traffic_is_told_once_and_holds_nothing_by_default() {
        let start = Instant::now();
        let mut watch = Watch::new(protection(LowTraffic::Warn, false), start);
        assert!(watch.lets_messages_leave());
        let notices = drive(&mut watch, start, 20, 120);
        assert!(
            matches!(notices[..], [Notice::TrafficLow { pool }] if (1.5..1.7).contains(&pool)),
            "{notices:?}"
        );
        assert!(watch.lets_messages_leave() && !watch.is_refusing());
        assert_eq!(watch.status().verdict, Verdict::Low);
        let notices = drive(&mut watch, start + Duration::from_secs(120), 200, 600);
        assert!(
            matches!(notices[..], [Notice::TrafficEnough { pool }] if pool >= POOL_MIN),
            "{notices:?}"
        );
    }

    #[test]
    fn strict_and_refuse_hold_what_is_unknown_and_refuse_what_is_low() {
        let start = Instant::now();
        for (rule, strict) in [(LowTraffic::Warn, true), (LowTraffic::Refuse, false)] {
            let mut watch = Watch::new(protection(rule, strict), start);
            assert!(!watch.lets_messages_leave() && !watch.is_refusing());
            drive(&mut watch, start, 20, 60);
            assert!(!watch.lets_messages_leave() && watch.is_refusing());
            drive(&mut watch, start + Duration::from_secs(60), 200, 700);
            assert!(watch.lets_messages_leave() && !watch.is_refusing());
        }
    }

    #[test]
    fn delays_climb_until_the_pool_suffices_and_come_down_with_a_margin() {
        let start = Instant::now();
        let mut watch = Watch::new(protection(LowTraffic::Adapt, false), start);
        // 25 a second rest 400 ms each: ten; at 200 ms it would be five.
        let notices = drive(&mut watch, start, 25, 60);
        assert_eq!(notices, [Notice::Delays { factor: 5.0 }]);
        assert_eq!(
            (watch.delay_ms_min(), watch.verdict),
            (400, Verdict::Enough)
        );
        // At 43 a second 200 ms suffice, but with no margin; at 60 they do.
        let later = start + Duration::from_secs(60);
        assert_eq!(drive(&mut watch, later, 43, 700), []);
        let later = later + Duration::from_secs(700);
        assert_eq!(
            drive(&mut watch, later, 60, 700),
            [Notice::Delays { factor: 2.5 }]
        );
        // With hardly any traffic the last rung is not enough either, and it is said.
        let later = later + Duration::from_secs(700);
        let notices = drive(&mut watch, later, 2, 700);
        assert!(
            matches!(notices.last(), Some(Notice::TrafficLow { .. })),
            "{notices:?}"
        );
        assert_eq!(watch.delay_ms_min(), 1600);
    }

    #[test]
    fn the_floor_is_not_believed_at_once() {
        let start = Instant::now();
        let mut watch = Watch::new(protection(LowTraffic::Warn, false), start);
        assert_eq!(watch.look(start, false, 5, 3.0), []);
        assert_eq!(watch.status().verdict, Verdict::Unknown);
        let later = start + FLOOR_AFTER;
        assert!(!watch.look(later, false, 5, 3.0).is_empty());
        assert_eq!(watch.status().verdict, Verdict::Low);
    }

    #[test]
    fn an_alarm_holds_messages_until_a_loop_answers_it() {
        let start = Instant::now();
        let mut watch = Watch::new(protection(LowTraffic::Warn, false), start);
        let raised = Change {
            raised: true,
            ..Change::default()
        };
        let proved = |departed| Change {
            proved: Some(departed),
            ..Change::default()
        };
        assert_eq!(watch.loops(start, &proved(start)), None);
        let alarm = start + Duration::from_secs(9);
        assert_eq!(watch.loops(alarm, &raised), Some(Notice::LoopsVanish));
        assert_eq!(watch.loops(alarm, &raised), None);
        assert!(!watch.lets_messages_leave() && watch.status().alarm);
        assert_eq!(watch.loops(alarm, &proved(start)), None);
        assert_eq!(watch.loops(alarm, &proved(alarm)), Some(Notice::LoopsBack));
        assert!(watch.lets_messages_leave());
    }

    #[test]
    fn copies_need_six_relays() {
        let start = Instant::now();
        let mut strict = protection(LowTraffic::Warn, true);
        let twice = Level::new(80, 2).unwrap();
        strict.levels = strict.levels.with(Class::Interactive, twice).unwrap();
        let mut watch = Watch::new(strict, start);
        watch.look(start, false, 5, 1.0);
        assert!(watch.refuses_copies() && watch.status().copies_share_relays);
        watch.look(start + LOOK_EVERY, false, 6, 1.0);
        assert!(!watch.refuses_copies() && !watch.status().copies_share_relays);
    }

    #[test]
    fn much_loss_adds_copies_unless_the_protection_is_strict() {
        let start = Instant::now();
        let lossy = |answer| Change {
            lossy: Some(answer),
            ..Change::default()
        };
        for strict in [false, true] {
            let mut watch = Watch::new(protection(LowTraffic::Warn, strict), start);
            assert_eq!(watch.loss(&Change::default()), None);
            assert!(!watch.adds_copies());
            assert_eq!(watch.loss(&lossy(true)), Some(Notice::LossHigh));
            assert_eq!(watch.loss(&Change::default()), None);
            assert_eq!(watch.adds_copies(), !strict);
            assert_eq!(watch.loss(&lossy(false)), Some(Notice::LossUsual));
            assert!(!watch.adds_copies());
        }
    }
}
