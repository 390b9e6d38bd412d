//! What leaves: bundles of envelopes, one peer at a time and each on its own tick.

use std::sync::Arc;

use rand_core::Rng as _;

use super::{Node, Output, PeerId, unix_seconds};
use crate::now::Now;
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
        for peer in due {
            self.flush(now, peer);
        }
    }

    fn flush(&mut self, now: Now, id: PeerId) {
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
                payload,
            });
            return;
        }
        let unix = unix_seconds(now);
        if std::mem::take(&mut peer.outbox.rescan) {
            peer.outbox
                .queue
                .extend(self.pool.iter().map(|(seq, _)| seq));
        }
        let (mut bundle, mut content_len): (Vec<(Seq, Arc<Envelope>)>, usize) = (Vec::new(), 0);
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
                if !fits && !bundle.is_empty() {
                    break;
                }
                content_len += len;
                bundle.push((seq, entry.envelope.clone()));
            }
            peer.outbox.queue.pop_first();
        }
        if !bundle.is_empty() {
            peer.outbox.spend(now.mono, &peer.pace);
        }
        peer.outbox.settle(now.mono);
        let slot = peer.slot;
        for (seq, _) in &bundle {
            if let Some(entry) = self.pool.get_mut(*seq) {
                entry.know(slot);
            }
        }
        self.send_bundle(id, bundle);
    }

    fn send_bundle(&mut self, peer: PeerId, mut bundle: Vec<(Seq, Arc<Envelope>)>) {
        if bundle.is_empty() {
            return;
        }
        self.shuffle(&mut bundle);
        let payload =
            wire::encode_envelopes(bundle.iter().map(|(_, envelope)| &envelope.raw()[..]));
        self.counters.bundles_sent += 1;
        self.counters.envelopes_sent += bundle.len() as u64;
        let hashes: Arc<[EnvelopeHash]> =
            bundle.iter().map(|(_, envelope)| envelope.hash()).collect();
        self.expect_answer(peer, || BatchHash::of(&payload), &hashes);
        self.outputs.push_back(Output::Send {
            peer,
            code: wire::ENVELOPES,
            payload,
        });
        let sent = bundle.iter().map(|(_, envelope)| Output::Sent {
            peer,
            hash: envelope.hash(),
        });
        self.outputs.extend(sent);
    }

    /// The order of arrival would tell a peer which of two envelopes is our own.
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.rng.next_u64() % (last as u64 + 1);
            items.swap(last, usize::try_from(other).expect("not above an index"));
        }
    }
}

/// Longest header of a bundle that any packet limit allows.
const LIST_HEADER_LEN_MAX: usize = 5;
