//! Whether the application behind an edge is in the foreground, as far as a Whisper client shows it.
//!
//! A client says so by nothing but its connection: a phone's ends when the application goes to the background. So the window is
//! open while a client is connected. Messages have no say in it: they must not show on the line. A client that stays connected
//! day and night makes that expensive; the rule `active` closes the window after ten quiet minutes, and opens it again when the
//! client does something, which may be a message: the price is told in docs/adr.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ::legacy::identity::NodeId;
use ::mixnet::shell::Handle;
use tokio::sync::mpsc;

use super::interest::CLIENTS_MAX;
use crate::config::settings::WindowRule;

/// A client that has done nothing for so long is not looked at: as long as a step of the window.
const QUIET: Duration = ::mixnet::window::STEP;

/// Signs that wait for the follower, which only passes them on.
pub const SIGNS_MAX: usize = 16;

/// What a client shows.
#[derive(Debug, Clone, Copy)]
pub enum Sign {
    /// It is connected.
    Here(NodeId),
    /// It is gone.
    Gone(NodeId),
    /// It did something.
    Busy,
}

/// The clients of an edge.
struct Presence {
    rule: WindowRule,
    clients: BTreeSet<NodeId>,
    busy_until: Option<Instant>,
}

impl Presence {
    fn new(rule: WindowRule) -> Self {
        Self {
            rule,
            clients: BTreeSet::new(),
            busy_until: None,
        }
    }

    fn note(&mut self, now: Instant, sign: Sign) {
        match sign {
            Sign::Here(client) if self.clients.len() < CLIENTS_MAX => {
                self.clients.insert(client);
            }
            Sign::Gone(client) => {
                self.clients.remove(&client);
                return;
            }
            Sign::Here(_) | Sign::Busy => {}
        }
        self.busy_until = Some(now + QUIET);
    }

    fn is_foreground(&self, now: Instant) -> bool {
        let busy = self.busy_until.is_some_and(|until| until > now);
        match self.rule {
            WindowRule::Connected => !self.clients.is_empty(),
            WindowRule::Active => !self.clients.is_empty() && busy,
            WindowRule::Manual => false,
        }
    }

    /// When the answer may change by itself.
    fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let until = self.busy_until.filter(|until| *until > now)?;
        (self.rule == WindowRule::Active).then_some(until)
    }
}

/// Tells the mixnet whenever it changes, until nobody gives signs any more.
pub async fn follow(rule: WindowRule, mix: Handle, mut signs: mpsc::Receiver<Sign>) {
    let mut presence = Presence::new(rule);
    let mut told = false;
    loop {
        let deadline = presence.next_deadline(Instant::now());
        let quiet = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            sign = signs.recv() => match sign {
                Some(sign) => presence.note(Instant::now(), sign),
                None => return,
            },
            () = quiet => {}
        }
        let foreground = presence.is_foreground(Instant::now());
        if foreground != told {
            mix.set_foreground(foreground).await;
            told = foreground;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u8) -> NodeId {
        NodeId::new([n; 32])
    }

    #[test]
    fn a_connection_is_the_foreground_whatever_is_sent() {
        let start = Instant::now();
        let mut presence = Presence::new(WindowRule::Connected);
        presence.note(start, Sign::Busy);
        assert!(!presence.is_foreground(start));
        presence.note(start, Sign::Here(client(1)));
        presence.note(start, Sign::Here(client(2)));
        presence.note(start, Sign::Gone(client(1)));
        assert!(presence.is_foreground(start + QUIET * 100));
        assert_eq!(presence.next_deadline(start), None);
        presence.note(start, Sign::Gone(client(2)));
        assert!(!presence.is_foreground(start));
    }

    #[test]
    fn a_quiet_client_is_in_the_background_where_the_user_says_so() {
        let start = Instant::now();
        let mut presence = Presence::new(WindowRule::Active);
        presence.note(start, Sign::Here(client(1)));
        assert_eq!(presence.next_deadline(start), Some(start + QUIET));
        assert!(presence.is_foreground(start + QUIET / 2));
        assert!(!presence.is_foreground(start + QUIET));
        let later = start + QUIET * 3;
        presence.note(later, Sign::Busy);
        assert!(presence.is_foreground(later));
        presence.note(later, Sign::Gone(client(1)));
        assert!(!presence.is_foreground(later));
    }

    #[test]
    fn by_hand_nothing_opens_it() {
        let start = Instant::now();
        let mut presence = Presence::new(WindowRule::Manual);
        presence.note(start, Sign::Here(client(1)));
        presence.note(start, Sign::Busy);
        assert!(!presence.is_foreground(start));
        for n in 0..100 {
            presence.note(start, Sign::Here(client(n)));
        }
        assert_eq!(presence.clients.len(), CLIENTS_MAX);
    }
}
