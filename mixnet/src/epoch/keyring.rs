//! The mix keys of a node, one an epoch: made ahead, kept on disk, taken into use, retired, forgotten.
//!
//! ```text
//! make ─▶ Keep (disk) ─▶ kept ─▶ named in the descriptor of the epoch before ─▶ Install ─▶ Retire and Forget
//! ```
//!
//! A key is named to others only when it is on the disk: a node that crashes comes back with the keys that it promised. What is
//! forgotten cannot be made again, so packets of a past epoch stay closed for ever (spec: persist or rotate).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_chacha::ChaCha20Rng;

use super::Epochs;
use crate::sphinx::{PublicKey, SecretKey};

/// What is to be done with a key.
#[derive(Debug)]
pub enum KeyOutput {
    /// Write it to the disk, then say so by [`KeyRing::kept`].
    Keep {
        /// Its epoch.
        epoch: u32,
        /// The key.
        key: SecretKey,
    },
    /// Take it into use: packets for it are peeled from now on.
    Install(SecretKey),
    /// Take it out of use, and remove it from the disk.
    Retire {
        /// Its epoch.
        epoch: u32,
        /// Which key.
        key: PublicKey,
    },
}

/// The keys of a node.
pub struct KeyRing {
    epochs: Epochs,
    keys: BTreeMap<u32, SecretKey>,
    kept: BTreeSet<u32>,
    installed: BTreeSet<u32>,
    rng: ChaCha20Rng,
    outputs: VecDeque<KeyOutput>,
}

impl KeyRing {
    /// A ring with the keys that were on the disk. Those whose time is over are retired at once.
    pub fn new(epochs: Epochs, found: BTreeMap<u32, SecretKey>, rng: ChaCha20Rng) -> Self {
        Self {
            epochs,
            kept: found.keys().copied().collect(),
            keys: found,
            installed: BTreeSet::new(),
            rng,
            outputs: VecDeque::new(),
        }
    }

    /// Does what is due at a time in milliseconds since 1970.
    pub fn advance(&mut self, unix_ms: u64) {
        let epoch = self.epochs.at(unix_ms);
        for needed in [epoch, epoch.saturating_add(1)] {
            if !self.keys.contains_key(&needed) {
                let key = SecretKey::generate(&mut self.rng);
                self.keys.insert(needed, key.clone());
                self.outputs
                    .push_back(KeyOutput::Keep { epoch: needed, key });
            }
        }
        let good: BTreeSet<u32> = self.epochs.good_at(unix_ms).collect();
        let first = good.first().copied().unwrap_or(epoch);
        while let Some((&old, _)) = self.keys.first_key_value().filter(|(old, _)| **old < first) {
            if let Some(key) = self.keys.remove(&old) {
                let key = key.public();
                self.outputs
                    .push_back(KeyOutput::Retire { epoch: old, key });
            }
            self.kept.remove(&old);
            self.installed.remove(&old);
        }
        // In their order, so that the newest key is the one at which our own packets end.
        for epoch in good {
            let key = self.keys.get(&epoch).filter(|_| self.kept.contains(&epoch));
            if let Some(key) = key.filter(|_| !self.installed.contains(&epoch)) {
                self.outputs.push_back(KeyOutput::Install(key.clone()));
                self.installed.insert(epoch);
            }
        }
    }

    /// The key of this epoch is on the disk.
    pub fn kept(&mut self, epoch: u32, unix_ms: u64) {
        if self.keys.contains_key(&epoch) {
            self.kept.insert(epoch);
        }
        self.advance(unix_ms);
    }

    /// The keys that the descriptor of an epoch names, once they are on the disk.
    pub fn named_in(&self, epoch: u32) -> Option<(PublicKey, PublicKey)> {
        let named = |epoch: u32| {
            let kept = self.kept.contains(&epoch);
            self.keys
                .get(&epoch)
                .filter(|_| kept)
                .map(SecretKey::public)
        };
        Some((named(epoch)?, named(epoch.checked_add(1)?)?))
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<KeyOutput> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand_core::SeedableRng;

    use super::*;

    fn ring(found: BTreeMap<u32, SecretKey>) -> KeyRing {
        KeyRing::new(Epochs::default(), found, ChaCha20Rng::from_seed([9; 32]))
    }

    /// Runs a ring whose disk answers at once; says what was kept, installed and retired.
    fn run(ring: &mut KeyRing, unix_ms: u64) -> (Vec<u32>, Vec<PublicKey>, Vec<u32>) {
        let (mut kept, mut installed, mut retired) = (vec![], vec![], vec![]);
        ring.advance(unix_ms);
        while let Some(output) = ring.poll_output() {
            match output {
                KeyOutput::Keep { epoch, .. } => {
                    kept.push(epoch);
                    ring.kept(epoch, unix_ms);
                }
                KeyOutput::Install(key) => installed.push(key.public()),
                KeyOutput::Retire { epoch, .. } => retired.push(epoch),
            }
        }
        (kept, installed, retired)
    }

    #[test]
    fn keys_come_ahead_and_go_after_their_grace() {
        let epochs = Epochs::default();
        let (mut ring, minute) = (ring(BTreeMap::new()), 60_000);
        let middle = epochs.start_ms(50) + 120 * minute;
        let (kept, installed, retired) = run(&mut ring, middle);
        assert_eq!((kept, installed.len(), retired), (vec![50, 51], 1, vec![]));
        let (own, next) = ring.named_in(50).unwrap();
        assert_eq!(installed, [own]);
        assert_eq!(run(&mut ring, middle), (vec![], vec![], vec![]));
        // Half an hour before its epoch the next key is good, too.
        let ahead = epochs.start_ms(51) - 30 * minute;
        assert_eq!(run(&mut ring, ahead), (vec![], vec![next], vec![]));
        assert_eq!(
            run(&mut ring, epochs.start_ms(51)),
            (vec![52], vec![], vec![])
        );
        assert_eq!(ring.named_in(51).unwrap().0, next);
        let after = epochs.start_ms(51) + 30 * minute;
        assert_eq!(run(&mut ring, after), (vec![], vec![], vec![50]));
        assert_eq!(ring.named_in(50), None);
    }

    #[test]
    fn nothing_is_named_or_used_before_it_is_on_the_disk() {
        let epochs = Epochs::default();
        let mut ring = ring(BTreeMap::new());
        let at = epochs.start_ms(50);
        ring.advance(at);
        assert_eq!(ring.named_in(50), None);
        let outputs: Vec<_> = std::iter::from_fn(|| ring.poll_output()).collect();
        assert!(
            outputs
                .iter()
                .all(|output| matches!(output, KeyOutput::Keep { .. }))
        );
        ring.kept(50, at);
        assert!(matches!(ring.poll_output(), Some(KeyOutput::Install(_))));
        assert_eq!(ring.named_in(50), None);
        ring.kept(51, at);
        assert!(ring.named_in(50).is_some());
    }

    #[test]
    fn a_restart_goes_on_with_the_keys_of_before() {
        let epochs = Epochs::default();
        let keys: BTreeMap<u32, SecretKey> = (48..52)
            .map(|n| (n, SecretKey::from_bytes([n as u8; 32])))
            .collect();
        let mut ring = ring(keys.clone());
        // Within the grace of 49: two keys, the newer one last.
        let (kept, installed, retired) = run(&mut ring, epochs.start_ms(50) + 1);
        assert_eq!((kept, retired), (vec![], vec![48]));
        assert_eq!(installed, [keys[&49].public(), keys[&50].public()]);
    }
}
