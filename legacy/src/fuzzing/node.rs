//! A script for a Whisper node: peers come and go, say anything, time passes and jumps, and we post. After each step the
//! node is held against what was seen of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::script::{Clock, Script};
use crate::identity::NodeId;
use crate::shh::confirmation::{self, BatchHash, Fault};
use crate::shh::wire::{self, Envelopes, RateLimits, Status};
use crate::shh::{
    Bloom, Config, Draft, Envelope, EnvelopeHash, Input, Node, Output, PeerId, Topic,
};
use crate::shh::{limits, rules};

/// A Whisper node with up to four peers.
pub fn node(data: &[u8]) {
    let mut script = Script::new(data);
    let mut run = Run::new();
    while let Some(choice) = script.below(16) {
        if run.step(choice, &mut script).is_none() {
            return;
        }
        run.drain();
        run.forget();
        run.check();
    }
}

struct Run {
    clock: Clock,
    node: Node,
    /// Who is connected, and what each is known to have.
    peers: BTreeMap<PeerId, BTreeSet<EnvelopeHash>>,
    /// Who has said what it wants.
    ready: BTreeSet<PeerId>,
    names: BTreeMap<PeerId, NodeId>,
    batches: BTreeMap<PeerId, Vec<BatchHash>>,
    confirmed: BTreeSet<(PeerId, BatchHash)>,
    delivered: BTreeSet<EnvelopeHash>,
    made: Vec<Envelope>,
    /// Whether the wall clock ever went back: then what expired and was forgotten can be valid again, and what is delivered or
    /// said a second time is no fault.
    went_back: bool,
    next_peer: u64,
}

impl Run {
    fn new() -> Run {
        let config = Config {
            min_pow: 0.0,
            pool_envelopes_max: POOL_ENVELOPES_MAX,
            pool_bytes_max: POOL_BYTES_MAX,
            packet_out_len_max: PACKET_OUT_LEN_MAX,
            mail: true,
            rate_limits: Some(RateLimits {
                ip: 40,
                peer: 20,
                topic: 0,
            }),
            ..Config::default()
        };
        Run {
            clock: Clock::new(),
            node: Node::new(config, [7; 32]),
            peers: BTreeMap::new(),
            ready: BTreeSet::new(),
            names: BTreeMap::new(),
            batches: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            delivered: BTreeSet::new(),
            made: Vec::new(),
            went_back: false,
            next_peer: 0,
        }
    }

    /// Nothing where the script ends.
    fn step(&mut self, choice: u8, script: &mut Script<'_>) -> Option<()> {
        match choice {
            0 => {
                let number = script.below(4)?;
                if self.peers.len() < 4 {
                    let peer = PeerId(self.next_peer);
                    self.next_peer += 1;
                    self.peers.insert(peer, BTreeSet::new());
                    let node = NodeId::new([number; 32]);
                    let ip = Some(IpAddr::from([192, 0, 2, number / 2]));
                    self.handle(Input::PeerUp { peer, node, ip });
                    self.names.insert(peer, node);
                }
            }
            1 => {
                let peer = self.peer(script)?;
                self.peers.remove(&peer);
                self.ready.remove(&peer);
                self.handle(Input::PeerDown { peer });
            }
            2 => {
                let peer = self.peer(script)?;
                let status = status(script)?;
                self.say(peer, wire::STATUS, status.encode());
            }
            3 => {
                let (peer, code) = (self.peer(script)?, script.byte()?);
                let payload = script.piece()?.to_vec();
                self.say(peer, u64::from(code), payload);
            }
            4 => {
                let (peer, count) = (self.peer(script)?, script.below(6)?);
                let some = (0..count)
                    .map(|_| self.make(script))
                    .collect::<Option<Vec<Envelope>>>()?;
                self.bring(peer, &some);
            }
            5 => {
                let (peer, number) = (self.peer(script)?, usize::from(script.byte()?));
                let number = number.checked_rem(self.made.len())?;
                let copy = self.made.get(number).cloned()?;
                self.bring(peer, &[copy]);
            }
            6 => {
                let own = self.make(script)?;
                let hash = own.hash();
                let accepted = self.node.post(self.clock.now(), own);
                assert!(accepted.is_err() || accepted == Ok(hash));
            }
            7 => {
                let min_pow = pow(script)?;
                let taken = self.node.set_min_pow(self.clock.now(), min_pow);
                taken.expect("a number that can be compared");
            }
            8 => {
                let wanted = bloom(script)?;
                self.node.set_bloom(self.clock.now(), wanted);
            }
            9 => {
                let (back, seconds) = (script.below(2)?, u64::from(script.below(30)?));
                if back == 0 {
                    self.clock.unix_ms += seconds * 1000;
                } else {
                    self.clock.unix_ms -= seconds * 1000;
                    self.went_back = true;
                }
            }
            10 => {
                self.clock.advance(u64::from(script.short()?));
                self.tick();
            }
            11 => {
                let (node, trusted) = (NodeId::new([script.below(4)?; 32]), script.below(2)? == 0);
                let taken = self.node.trust(node, trusted);
                assert!(taken.is_ok() && self.node.is_trusted(&node) == trusted);
            }
            12 => {
                let node = NodeId::new([script.below(4)?; 32]);
                let envelope = Arc::new(self.make(script)?);
                // Where nobody of that name is ready, nothing is sent: the drain sees to it.
                let _ = self.node.send_direct(self.clock.now(), node, &[envelope]);
            }
            13 => self.node.set_light(script.below(2)? == 0),
            14 => self.answer(script)?,
            _ => {
                let (peer, pow) = (self.peer(script)?, pow(script)?);
                let code = if script.below(2)? == 0 {
                    self.say(
                        peer,
                        wire::BLOOM_FILTER,
                        wire::encode_bloom(&bloom(script)?.unwrap_or(Bloom::FULL)),
                    );
                    return Some(());
                } else {
                    wire::POW_REQUIREMENT
                };
                self.say(peer, code, wire::encode_pow(pow));
            }
        }
        Some(())
    }

    /// A peer answers a bundle of ours, or one that there never was.
    fn answer(&mut self, script: &mut Script<'_>) -> Option<()> {
        let (peer, number, form) = (self.peer(script)?, script.byte()?, script.below(3)?);
        let sent = self.batches.get(&peer);
        let batch = sent
            .and_then(|sent| sent.get(usize::from(number)))
            .copied()
            .unwrap_or(BatchHash::new([number; 32]));
        let (code, payload) = if form == 0 {
            let payload = confirmation::encode_acknowledgement(&batch);
            (wire::BATCH_ACKNOWLEDGED, payload)
        } else {
            let fault = |text: &str| Fault {
                envelope: EnvelopeHash::new([number; 32]),
                code: u64::from(form),
                text: text.to_owned(),
            };
            let faults = [fault("why"), fault("and why")];
            let payload = confirmation::encode_response(&batch, &faults);
            (wire::MESSAGE_RESPONSE, payload)
        };
        self.say(peer, code, payload);
        Some(())
    }

    /// One of those that are connected.
    fn peer(&self, script: &mut Script<'_>) -> Option<PeerId> {
        let number = usize::from(script.byte()?);
        let number = number.checked_rem(self.peers.len())?;
        self.peers.keys().nth(number).copied()
    }

    fn make(&mut self, script: &mut Script<'_>) -> Option<Envelope> {
        let (sent, ttl) = (script.byte()?, u32::from(script.below(64)?));
        let topic = topic(script)?;
        let (len, nonce) = (script.byte()?, script.byte()?);
        // From 32 seconds ago to 31 ahead.
        let sent = (self.clock.now().unix_s() + u64::from(sent % 64)).checked_sub(32)?;
        let expiry = u32::try_from(sent).ok()?.checked_add(ttl)?;
        let data = vec![nonce; usize::from(len) * 3];
        let envelope = Draft::new(expiry, ttl, topic, &data).finish(u64::from(nonce));
        if self.made.len() < MADE_MAX {
            self.made.push(envelope.clone());
        }
        Some(envelope)
    }

    fn bring(&mut self, peer: PeerId, envelopes: &[Envelope]) {
        let payload = wire::encode_envelopes(envelopes.iter().map(|envelope| &envelope.raw()[..]));
        self.say(peer, wire::ENVELOPES, payload);
        let unix =
            u32::try_from(self.clock.now().unix_s()).expect("the clock of a script is in range");
        for envelope in envelopes {
            // What comes at a wrong time is not even looked up: nobody learns that the peer has it.
            let looked_up = rules::check_times(envelope.fields(), unix, limits::TTL_MAX).is_ok();
            if looked_up
                && self.node.envelope(&envelope.hash()).is_some()
                && let Some(known) = self.peers.get_mut(&peer)
            {
                known.insert(envelope.hash());
            }
        }
    }

    fn say(&mut self, peer: PeerId, code: u64, payload: Vec<u8>) {
        self.handle(Input::Message {
            peer,
            code,
            payload,
        });
    }

    fn handle(&mut self, input: Input) {
        self.node.handle(self.clock.now(), input);
    }

    /// What is due gets done: after a burst of bundles at most, the next deadline lies ahead.
    fn tick(&mut self) {
        let now = self.clock.now().mono;
        for _ in 0..TICKS_MAX {
            self.handle(Input::Tick);
            self.drain();
            if self.node.next_deadline().is_none_or(|next| next > now) {
                return;
            }
        }
        assert!(
            self.node.next_deadline().is_none_or(|next| next > now),
            "something stays due"
        );
    }

    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            if let Output::Send {
                peer,
                code,
                payload,
            } = &output
            {
                assert!(
                    self.peers.contains_key(peer),
                    "nothing is said to who is gone"
                );
                if *code == wire::ENVELOPES {
                    self.bundle(*peer, payload);
                } else if *code == wire::DIRECT {
                    assert!(self.ready.contains(peer), "nothing before its Status");
                }
            } else if let Output::Disconnect { peer, .. } = &output {
                assert!(self.peers.remove(peer).is_some(), "it was connected");
                self.ready.remove(peer);
            } else if let Output::PeerStatus { peer, wants } = &output {
                assert!(wants.min_pow.is_finite() && wants.min_pow >= 0.0);
                self.ready.insert(*peer);
            } else if let Output::Envelope { envelope, from } = &output {
                let first = self.delivered.insert(envelope.hash());
                assert!(first || self.went_back, "nothing is delivered twice");
                assert!(from.is_none_or(|from| from.0 < self.next_peer));
            } else if let Output::Direct { from, .. } = &output {
                let name = self.names.get(from).expect("it was connected");
                assert!(self.node.is_trusted(name) || self.node.info().light);
            } else if let Output::Mail {
                peer, node, code, ..
            } = &output
            {
                assert_eq!(self.names.get(peer), Some(node));
                let anybody = [wire::SYNC_REQUEST, wire::REQUEST].contains(code);
                assert!(anybody || self.node.is_trusted(node));
            } else if let Output::Confirmed {
                peer,
                batch,
                hashes,
                faults,
            } = &output
            {
                let sent = self.batches.get_mut(peer).expect("it was sent something");
                assert!(sent.contains(batch), "what was sent is confirmed");
                assert!(self.confirmed.insert((*peer, *batch)), "and once");
                assert!(faults.len() <= hashes.len());
            }
        }
    }

    fn bundle(&mut self, peer: PeerId, payload: &[u8]) {
        assert!(self.ready.contains(&peer), "nothing before its Status");
        let bundle = Envelopes::decode(payload).expect("we send good bundles");
        assert!(bundle.count() == 1 || payload.len() <= PACKET_OUT_LEN_MAX);
        assert!(bundle.count() > 0);
        self.batches
            .entry(peer)
            .or_default()
            .push(BatchHash::of(payload));
        let known = self.peers.get_mut(&peer).expect("it is connected");
        for outline in bundle.iter() {
            assert!(
                known.insert(outline.hash()),
                "nothing is said twice, nor echoed"
            );
        }
    }

    /// What the node has forgotten, it may say again once the wall clock went back.
    fn forget(&mut self) {
        if self.went_back {
            for known in self.peers.values_mut() {
                known.retain(|hash| self.node.envelope(hash).is_some());
            }
        }
    }

    fn check(&self) {
        assert!(self.node.pooled() <= POOL_ENVELOPES_MAX);
        assert!(self.node.pooled_bytes() <= POOL_BYTES_MAX);
        assert_eq!(self.node.envelopes().count(), self.node.pooled());
        for peer in self.peers.keys() {
            assert!(self.node.wants(*peer).is_none() || self.ready.contains(peer));
        }
    }
}

fn status(script: &mut Script<'_>) -> Option<Status> {
    let flags = script.byte()?;
    Some(Status {
        min_pow: pow(script)?,
        bloom: bloom(script)?,
        light: flags & 1 != 0,
        confirmations: flags & 2 != 0,
        rate_limits: (flags & 4 != 0).then_some(RateLimits {
            ip: 10,
            peer: u64::from(flags >> 4),
            topic: 10,
        }),
    })
}

fn pow(script: &mut Script<'_>) -> Option<f64> {
    Some([0.0, 0.0, 0.001, 0.1, 1e9][usize::from(script.below(5)?)])
}

fn bloom(script: &mut Script<'_>) -> Option<Option<Bloom>> {
    Some(match script.below(4)? {
        0 => None,
        1 => Some(Bloom::EMPTY),
        _ => Some(Bloom::of_topics([topic(script)?])),
    })
}

fn topic(script: &mut Script<'_>) -> Option<Topic> {
    Some(Topic::new([script.below(4)?; Topic::LEN]))
}

/// A small pool, so that a short script fills it.
const POOL_ENVELOPES_MAX: usize = 16;
/// Three of the largest envelopes of a script and some small ones.
const POOL_BYTES_MAX: usize = 6 * 1024;
/// A bundle has room for about one of the largest.
const PACKET_OUT_LEN_MAX: usize = 1024;
/// Envelopes that a script can repeat.
const MADE_MAX: usize = 256;
/// Ticks until nothing is due: a burst of bundles for each of four peers, and the turn of a second.
const TICKS_MAX: usize = 32;
