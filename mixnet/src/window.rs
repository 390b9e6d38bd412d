//! The window: the full rate while the application is in the foreground, the idle rate otherwise.
//!
//! ```text
//! foreground   ______██████████████████████__________________________
//! window       ______|-- step --|-- step --|-- step --|______________      a step is ten minutes
//! ```
//!
//! A window opens when the application comes to the foreground, and closes at the end of the step in which it left it. So an
//! observer of the line learns when the application was opened and, to ten minutes, for how long; never that a message was sent:
//! nothing that waits in a queue opens, holds or closes a window. A node starts with one step, in which it measures its relays.
//! Spec: windows under a payload clock.

use std::time::{Duration, Instant};

use crate::preset::Preset;

// ---- Of the specification ----

/// The quantum of a window's length.
pub const STEP: Duration = Duration::from_secs(600);

// ---- Our bounds ----

/// Steps for which a window can be opened at once: a day. Who needs more chooses a preset that is always open.
pub const STEPS_MAX: u16 = 144;

/// What a node's window is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowState {
    /// The preset knows no window: the full rate at all times.
    Always,
    /// The full rate.
    Open {
        /// When it closes, unless the application is in the foreground then.
        until: Instant,
        /// Whether the application is in the foreground.
        foreground: bool,
    },
    /// The idle rate.
    Closed,
}

impl WindowState {
    /// Whether packets leave at the full rate.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Always | Self::Open { .. } => true,
            Self::Closed => false,
        }
    }

    /// The label in the API.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Open { .. } => "open",
            Self::Closed => "closed",
        }
    }
}

/// The window of one node.
pub(crate) struct Window {
    always: bool,
    foreground: bool,
    /// The end of the last step that is wanted; none while it is closed.
    until: Option<Instant>,
}

impl Window {
    pub(crate) fn new(preset: &Preset, start: Instant) -> Self {
        let always = preset.is_always_open();
        Self {
            always,
            foreground: false,
            until: (!always).then(|| start + STEP),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.always || self.until.is_some()
    }

    /// The application came to the foreground, or left it.
    pub(crate) fn set_foreground(&mut self, now: Instant, foreground: bool) {
        self.advance(now);
        self.foreground = foreground;
        if foreground && !self.is_open() {
            self.until = Some(now + STEP);
        }
    }

    /// The user wants so many steps from now on, whatever the application does; with none, what was wanted before ends with the
    /// step in progress.
    pub(crate) fn request(&mut self, now: Instant, steps: u16) {
        self.advance(now);
        let Some(until) = self.until else {
            if steps > 0 && !self.always {
                self.until = Some(now + STEP * u32::from(steps.min(STEPS_MAX)));
            }
            return;
        };
        // The length stays a whole number of steps: the new end lies on the grid of the old one.
        let left = until.saturating_duration_since(now).as_secs_f64();
        let grid = left % STEP.as_secs_f64();
        let first = now + Duration::from_secs_f64(grid);
        let wanted = now + STEP * u32::from(steps.min(STEPS_MAX));
        let mut end = first;
        while end < wanted || end <= now {
            end += STEP;
        }
        self.until = Some(if steps == 0 { end } else { end.max(until) });
    }

    /// Ends the steps that are over.
    pub(crate) fn advance(&mut self, now: Instant) {
        while let Some(until) = self.until.filter(|until| *until <= now) {
            self.until = self.foreground.then(|| until + STEP);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.until
    }

    pub(crate) fn state(&self) -> WindowState {
        match self.until {
            _ if self.always => WindowState::Always,
            Some(until) => WindowState::Open {
                until,
                foreground: self.foreground,
            },
            None => WindowState::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(n: u64) -> Duration {
        Duration::from_secs(60 * n)
    }

    /// Minutes for which the window is still open, or none.
    fn left(window: &mut Window, now: Instant) -> Option<u64> {
        window.advance(now);
        match window.state() {
            WindowState::Open { until, .. } => Some(until.duration_since(now).as_secs() / 60),
            WindowState::Always | WindowState::Closed => None,
        }
    }

    #[test]
    fn a_start_is_one_step() {
        let start = Instant::now();
        let mut window = Window::new(&Preset::FAST, start);
        assert_eq!(left(&mut window, start), Some(10));
        assert_eq!(window.next_deadline(), Some(start + STEP));
        assert_eq!(left(&mut window, start + STEP), None);
        assert!(!window.is_open() && window.next_deadline().is_none());
    }

    #[test]
    fn the_length_is_whole_steps_whenever_the_foreground_ends() {
        let start = Instant::now();
        for away in 1..35 {
            let mut window = Window::new(&Preset::FAST, start);
            let opened = start + minutes(60);
            window.set_foreground(opened, true);
            window.advance(opened + minutes(away));
            window.set_foreground(opened + minutes(away), false);
            let closes = opened + minutes(10 * (away / 10 + 1));
            assert_eq!(window.next_deadline(), Some(closes), "{away}");
            assert_eq!(left(&mut window, closes - minutes(1)), Some(1));
            assert_eq!(left(&mut window, closes), None, "{away}");
        }
    }

    #[test]
    fn who_comes_back_in_time_keeps_the_grid() {
        let start = Instant::now();
        let mut window = Window::new(&Preset::FAST, start);
        window.set_foreground(start + minutes(3), true);
        window.set_foreground(start + minutes(4), false);
        window.set_foreground(start + minutes(9), true);
        assert_eq!(left(&mut window, start + minutes(14)), Some(6));
        window.set_foreground(start + minutes(14), false);
        assert_eq!(left(&mut window, start + minutes(20)), None);
    }

    #[test]
    fn a_request_holds_without_the_application_and_can_be_taken_back() {
        let start = Instant::now();
        let mut window = Window::new(&Preset::FAST, start);
        window.request(start + minutes(4), 2);
        assert_eq!(window.next_deadline(), Some(start + minutes(30)));
        // A shorter one changes nothing, none at all ends it with the step.
        window.request(start + minutes(5), 1);
        assert_eq!(window.next_deadline(), Some(start + minutes(30)));
        window.request(start + minutes(12), 0);
        assert_eq!(window.next_deadline(), Some(start + minutes(20)));
        window.request(start + minutes(40), 0);
        assert!(!window.is_open());
        window.request(start + minutes(50), u16::MAX);
        assert_eq!(left(&mut window, start + minutes(50)), Some(1440));
    }

    #[test]
    fn some_presets_are_always_open() {
        let start = Instant::now();
        for preset in [Preset::HIGH, Preset::SERVICE, Preset::RELAY] {
            let mut window = Window::new(&preset, start);
            window.request(start, 1);
            window.set_foreground(start, true);
            window.set_foreground(start, false);
            window.advance(start + minutes(600));
            assert!(window.is_open() && window.next_deadline().is_none());
            assert_eq!(window.state(), WindowState::Always);
        }
    }
}
