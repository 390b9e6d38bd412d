//! What leaves: bundles of envelopes, one peer at a time and each on its own tick.

use std::sync::Arc;

use rand_core::Rng as _;

use super::{Node, Output, PeerId, unix_seconds};
use crate::now::Now;
use crate::rlpx::payload::Payload;
use crate::shh::confirmation::BatchHash;
use crate::shh::envelope::{Envelope, EnvelopeHash};
use crate::shh::limits;
use crate::shh::peer::{Peer, Phase};
use crate::shh::pool::Seq;
use crate::shh::wire;

impl Node {
    /// Queues a pooled envelope for every peer that wants it.
    pub(super) fn offer(&mut self, now: Now, seq: Seq) {
        let Some(entry) = self.pool.get(seq) else {
            return;
        };
        for peer in self.peers.values_mut() {
            peer.offer(
                seq,
                entry,
                now.mono,
                self.tick,
                self.config.pool_envelopes_max,
            );
        }
    }

    /// Hands out nothing for a peer whose connection does not keep up, or goes on. What waits meanwhile may die or give
    /// way in the pool.
    pub fn hold(&mut self, peer: PeerId, held: bool) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.outbox.held = held;
        }
    }

    /// Sends a bundle to every peer whose turn it is.
    pub(super) fn relay(&mut self, now: Now) {
        let due = |peer: &Peer| {
            peer.outbox
                .due_at(&peer.pace)
                .is_some_and(|at| at <= now.mono)
        };
        let due: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(_, peer)| due(peer))
            .map(|(id, _)| *id)
            .collect();
        let mut bundles = Vec::new();
        for peer in due {
            self.flush(now, peer, &mut bundles);
        }
    }

    fn flush(&mut self, now: Now, id: PeerId, bundles: &mut Vec<Bundle>) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let Phase::Ready(wants) = &peer.phase else {
            return;
        };
        if let Some((code, payload)) = peer.outbox.take_reply(now.mono, &peer.pace) {
            self.outputs.push_back(Output::Send {
                peer: id,
                code,
                payload: payload.into(),
            });
            return;
        }
        let unix = unix_seconds(now);
        if std::mem::take(&mut peer.outbox.rescan) {
            peer.outbox
                .queue
                .extend(self.pool.iter().map(|(seq, _)| seq));
        }
        let (mut seqs, mut content_len) = (Vec::new(), 0);
        while let Some(seq) = peer.outbox.queue.first().copied() {
            let sendable = self.pool.get(seq).filter(|entry| {
                let envelope = &entry.envelope;
                !entry.is_known_to(peer.slot)
                    && wants.accepts(envelope.topic(), entry.pow)
                    && envelope.expiry() >= unix.saturating_add(limits::LIFE_LEFT_MIN)
                    && envelope.sent() <= unix.saturating_add(limits::FORWARD_AHEAD_MAX)
            });
            if let Some(entry) = sendable {
                let len = entry.envelope.raw().len();
                let fits =
                    content_len + len + LIST_HEADER_LEN_MAX <= self.config.packet_out_len_max;
                if !fits && !seqs.is_empty() {
                    break;
                }
                content_len += len;
                seqs.push(seq);
            }
            peer.outbox.queue.pop_first();
        }
        if !seqs.is_empty() {
            peer.outbox.spend(now.mono, &peer.pace);
        }
        peer.outbox.settle(now.mono);
        let slot = peer.slot;
        for seq in &seqs {
            if let Some(entry) = self.pool.get_mut(*seq) {
                entry.know(slot);
            }
        }
        self.send_bundle(id, seqs, bundles);
    }

    /// Sends a bundle. Peers that get the same envelopes in one turn get the same bytes, encoded and compressed once.
    fn send_bundle(&mut self, peer: PeerId, seqs: Vec<Seq>, bundles: &mut Vec<Bundle>) {
        if seqs.is_empty() {
            return;
        }
        let at = bundles.iter().position(|bundle| bundle.seqs == seqs);
        let at = at.unwrap_or_else(|| {
            bundles.push(self.encode(seqs));
            bundles.len() - 1
        });
        let Bundle {
            payload, hashes, ..
        } = &bundles[at];
        self.counters.bundles_sent += 1;
        self.counters.envelopes_sent += hashes.len() as u64;
        self.expect_answer(peer, || BatchHash::of(payload), hashes);
        self.outputs.push_back(Output::Send {
            peer,
            code: wire::ENVELOPES,
            payload: payload.clone(),
        });
        self.outputs.push_back(Output::Sent {
            peer,
            hashes: hashes.clone(),
        });
    }

    fn encode(&mut self, seqs: Vec<Seq>) -> Bundle {
        let mut order: Vec<Seq> = seqs.clone();
        self.shuffle(&mut order);
        let envelopes: Vec<&Envelope> = order
            .iter()
            .filter_map(|seq| self.pool.get(*seq))
            .map(|entry| &*entry.envelope)
            .collect();
        let payload = wire::encode_envelopes(envelopes.iter().map(|envelope| &envelope.raw()[..]));
        Bundle {
            seqs,
            payload: payload.into(),
            hashes: envelopes.iter().map(|envelope| envelope.hash()).collect(),
        }
    }

    /// The order of arrival would tell a peer which of two envelopes is our own.
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.rng.next_u64() % (last as u64 + 1);
            items.swap(last, usize::try_from(other).expect("not above an index"));
        }
    }
}

/// What leaves in one turn, for one peer or more.
struct Bundle {
    /// In the order of arrival: by this two bundles are compared.
    seqs: Vec<Seq>,
    payload: Payload,
    hashes: Arc<[EnvelopeHash]>,
}

/// Longest header of a bundle that any packet limit allows.
const LIST_HEADER_LEN_MAX: usize = 5;
