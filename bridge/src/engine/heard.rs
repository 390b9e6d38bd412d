//! The envelopes that Whisper brought, as long as they are valid: which posts are there already.

use std::collections::BTreeSet;

use crate::port::EnvelopeHash;

/// Envelopes remembered; far more than Whisper holds at a time, at some 100 bytes each.
const HEARD_MAX: usize = 65_536;

#[derive(Default)]
pub(super) struct Heard {
    hashes: BTreeSet<EnvelopeHash>,
    by_expiry: BTreeSet<(u32, EnvelopeHash)>,
}

impl Heard {
    /// Notes an envelope, and forgets what has expired or is too much.
    pub(super) fn note(&mut self, hash: EnvelopeHash, expiry: u32, now_s: u32) {
        if self.hashes.insert(hash) {
            self.by_expiry.insert((expiry, hash));
        }
        while let Some((expiry, hash)) = self.by_expiry.first().copied() {
            if expiry >= now_s && self.hashes.len() <= HEARD_MAX {
                return;
            }
            self.by_expiry.pop_first();
            self.hashes.remove(&hash);
        }
    }

    pub(super) fn contains(&self, hash: &EnvelopeHash) -> bool {
        self.hashes.contains(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u32) -> EnvelopeHash {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&n.to_be_bytes());
        hash
    }

    #[test]
    fn an_envelope_is_known_until_it_expires() {
        let mut heard = Heard::default();
        heard.note(hash(1), 110, 100);
        heard.note(hash(2), 120, 100);
        heard.note(hash(1), 110, 105);
        assert!(heard.contains(&hash(1)) && heard.contains(&hash(2)));
        heard.note(hash(3), 130, 111);
        assert!(!heard.contains(&hash(1)) && heard.contains(&hash(2)));
    }

    #[test]
    fn the_number_is_bounded() {
        let mut heard = Heard::default();
        for n in 0..70_000 {
            heard.note(hash(n), 200 + n, 100);
        }
        assert_eq!(heard.hashes.len(), HEARD_MAX);
        assert_eq!(heard.by_expiry.len(), HEARD_MAX);
        assert!(heard.contains(&hash(69_999)) && !heard.contains(&hash(0)));
    }
}
