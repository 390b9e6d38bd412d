//! Messages each way: what one side seals the other opens, equal to the last byte.

use legacy::identity::SecretKey;
use legacy::shell::Refused;
use legacy::shh::filter::Received;
use legacy::shh::seal::{OpenKey, SealTo, SymKey};
use legacy::shh::{Reject, Topic};
use serde_json::{Value, json};

use super::PATIENCE;
use super::ours::{Ours, TTL, mined};
use super::theirs::{Dialler, Geth, connect, text};
use crate::devnet::wait_until;

/// The password that both sides make their key of.
const PASSWORD: &str = "test";
const TOPIC: Topic = Topic::new([0x9c, 0x22, 0xff, 0x5f]);

/// Both nodes, and what each of them subscribes to: the shared key and both key pairs.
struct Pair {
    ours: Ours,
    geth: Geth,
    sym: SymKey,
    our_key: SecretKey,
    geth_key: SecretKey,
    /// What go-ethereum calls the keys.
    sym_id: String,
    geth_key_id: String,
}

/// How a message is sealed.
#[derive(Clone, Copy, Debug)]
struct How {
    symmetric: bool,
    signed: bool,
}

impl Pair {
    fn new(dialler: Dialler, mut ours: Ours, mut geth: Geth) -> Self {
        let sym = SymKey::from_password(PASSWORD.as_bytes());
        let answer = geth.call("sym_key_from_password", json!({"password": PASSWORD}));
        assert_eq!(
            text(&answer, "sym"),
            hex::encode(*sym.to_bytes()),
            "the key of a password"
        );
        let sym_id = text(&answer, "key");
        let answer = geth.call("new_keypair", json!({}));
        let geth_key_id = text(&answer, "key");
        let mut bytes = [0; 32];
        hex::decode_to_slice(text(&answer, "private"), &mut bytes).expect("32 bytes");
        let geth_key = SecretKey::from_bytes(&bytes).expect("a key");
        assert_eq!(
            text(&answer, "public"),
            hex::encode(geth_key.public().to_prefixed())
        );
        let our_key = SecretKey::from_bytes(&[0x5a; 32]).expect("a key");
        let private = hex::encode(*our_key.to_bytes());
        let our_key_id = text(
            &geth.call("add_private_key", json!({"private": private})),
            "key",
        );
        let topic = hex::encode(TOPIC.as_bytes());
        geth.call("subscribe", json!({"sym_key": sym_id, "topics": [topic]}));
        for key in [&geth_key_id, &our_key_id] {
            geth.call("subscribe", json!({"key": key, "topics": [topic]}));
        }
        ours.subscribe(OpenKey::Symmetric(sym.clone()), &[TOPIC]);
        ours.subscribe(OpenKey::Private(our_key.clone()), &[TOPIC]);
        ours.subscribe(OpenKey::Private(geth_key.clone()), &[]);
        connect(dialler, &mut ours, &mut geth);
        Self {
            ours,
            geth,
            sym,
            our_key,
            geth_key,
            sym_id,
            geth_key_id,
        }
    }

    fn post_from_geth(&mut self, how: How, payload: &[u8], pow: f64) -> String {
        let mut fields = json!({"ttl": TTL, "topic": hex::encode(TOPIC.as_bytes()),
            "payload": hex::encode(payload), "pow_target": pow, "pow_time": 20});
        if how.symmetric {
            fields["sym_key"] = self.sym_id.clone().into();
        } else {
            fields["public_key"] = hex::encode(self.our_key.public().to_prefixed()).into();
        }
        if how.signed {
            fields["sig"] = self.geth_key_id.clone().into();
        }
        self.geth.post(fields)
    }

    fn post_from_us(&mut self, how: How, payload: &[u8], pow: f64) -> String {
        let recipient = self.geth_key.public();
        let to = if how.symmetric {
            SealTo::Symmetric(&self.sym)
        } else {
            SealTo::Public(&recipient)
        };
        let signer = how.signed.then_some(&self.our_key);
        let envelope = self.ours.seal(to, signer, TOPIC, payload, pow);
        self.ours.post(&envelope).to_string()
    }

    /// Both sides have opened the message, and see the same.
    fn both_see(&mut self, hash: &str, from_geth: bool, how: How, payload: &[u8]) {
        let theirs = self.geth.wait_message(hash);
        let envelope = if from_geth {
            self.ours.wait_envelope(hash)
        } else {
            self.ours.wait("our own envelope", |event| match event {
                legacy::shell::Event::Envelope {
                    envelope,
                    from: None,
                } if envelope.hash().to_string() == hash => Some(envelope.clone()),
                _ => None,
            })
        };
        let ours = self.ours.open(&envelope);
        same(&ours, &theirs);
        let (signer, recipient) = if from_geth {
            (&self.geth_key, &self.our_key)
        } else {
            (&self.our_key, &self.geth_key)
        };
        let plaintext = &ours.plaintext;
        assert!(
            plaintext.payload == payload,
            "another payload of {} bytes",
            payload.len()
        );
        assert_eq!(plaintext.signer, how.signed.then(|| signer.public()));
        assert_eq!(ours.recipient, (!how.symmetric).then(|| recipient.public()));
        let len_bytes = match payload.len() {
            0..256 => 1,
            256..65_536 => 2,
            _ => 3,
        };
        let unpadded = 1 + len_bytes + payload.len() + if how.signed { 65 } else { 0 };
        assert_eq!(
            plaintext.padding.len(),
            256 - unpadded % 256,
            "fills up, and is never empty"
        );
    }
}

/// What our filter and go-ethereum's say of one envelope.
fn same(ours: &Received, theirs: &Value) {
    let envelope = &ours.envelope;
    let public = |key: &legacy::identity::PublicKey| hex::encode(key.to_prefixed());
    assert_eq!(theirs["hash"], envelope.hash().to_string());
    assert!(
        theirs["payload"] == hex::encode(&ours.plaintext.payload),
        "payloads differ"
    );
    assert_eq!(theirs["padding"], hex::encode(&ours.plaintext.padding));
    assert_eq!(theirs["topic"], hex::encode(envelope.topic().as_bytes()));
    assert_eq!(
        theirs["sig"],
        json!(ours.plaintext.signer.as_ref().map(public))
    );
    assert_eq!(
        theirs["recipient"],
        json!(ours.recipient.as_ref().map(public))
    );
    assert_eq!(theirs["ttl"], envelope.ttl());
    assert_eq!(theirs["timestamp"], envelope.sent());
    // Reading a number out of JSON may cost its last bit.
    let (their_pow, our_pow) = (theirs["pow"].as_f64().expect("a number"), envelope.pow());
    assert!(
        (their_pow / our_pow - 1.0).abs() < 1e-15,
        "work of {their_pow} and {our_pow}"
    );
}

const EVERY_WAY: [How; 4] = [
    How {
        symmetric: true,
        signed: false,
    },
    How {
        symmetric: true,
        signed: true,
    },
    How {
        symmetric: false,
        signed: false,
    },
    How {
        symmetric: false,
        signed: true,
    },
];

#[test]
fn mined_messages_when_we_dialled() {
    mined_messages(Dialler::Ours);
}

#[test]
fn mined_messages_when_geth_dialled() {
    mined_messages(Dialler::Geth);
}

/// Both nodes with their defaults, each message with the work that go-ethereum asks for.
fn mined_messages(dialler: Dialler) {
    let mut pair = Pair::new(dialler, Ours::start(1, |_| {}), Geth::start(&[]));
    for how in EVERY_WAY {
        let hash = pair.post_from_geth(how, b"from go-ethereum", 0.5);
        pair.both_see(&hash, true, how, b"from go-ethereum");
        let hash = pair.post_from_us(how, b"from ferry", 0.5);
        pair.both_see(&hash, false, how, b"from ferry");
    }
    let more = pair.geth.take_messages();
    assert!(more.is_empty(), "caught twice: {more:?}");
    // geth may echo one of ours: it notes only after storing an envelope who brought it. It never sends its own twice.
    assert!(pair.ours.counters().shh.duplicates <= EVERY_WAY.len() as u64);
    pair.geth.never_lost(&pair.ours.id());
    pair.ours.lost_nobody();
}

/// Payloads around the steps of the padding and of the length field.
const LENGTHS: [usize; 11] = [
    0, 1, 188, 189, 190, 254, 255, 256, 65_535, 65_536, 1_000_000,
];

#[test]
fn payloads_of_every_length_from_geth() {
    every_length(true);
}

#[test]
fn payloads_of_every_length_to_geth() {
    every_length(false);
}

fn every_length(from_geth: bool) {
    let geth = Geth::start(&["--min-pow", "0"]);
    let mut pair = Pair::new(Dialler::Geth, Ours::without_work(1), geth);
    let mut posted = Vec::new();
    for len in LENGTHS {
        let payload: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        for how in EVERY_WAY {
            let hash = if from_geth {
                pair.post_from_geth(how, &payload, 0.0)
            } else {
                pair.post_from_us(how, &payload, 0.0)
            };
            posted.push((hash, how, payload.clone()));
        }
    }
    for (hash, how, payload) in posted {
        pair.both_see(&hash, from_geth, how, &payload);
    }
    pair.geth.never_lost(&pair.ours.id());
    pair.ours.lost_nobody();
}

/// The limit of one envelope, from both sides.
#[test]
fn the_largest_envelope() {
    const MIB: usize = 1 << 20;
    let geth = Geth::start(&["--min-pow", "0"]);
    let mut pair = Pair::new(Dialler::Geth, Ours::without_work(1), geth);
    // Ours: with all its headers it still fits into a packet that go-ethereum takes.
    let largest = mined(TTL, TOPIC, &vec![0xaa; MIB - 40], 0.0);
    let hash = pair.ours.post(&largest);
    pair.geth.wait_pooled(&hash.to_string());
    let huge = mined(TTL, TOPIC, &vec![0xaa; MIB + 1], 0.0);
    let refused = Reject::Oversized {
        size: MIB + 21,
        max: MIB,
    };
    assert_eq!(pair.ours.try_post(&huge), Err(Refused::Envelope(refused)));
    pair.geth.never_lost(&pair.ours.id());
    // Theirs: an operator may allow more, and we stay connected.
    pair.geth.call("max_message_size", json!({"size": 2 * MIB}));
    let mut post = |data_len: usize| {
        // Flags, three bytes of length and four of padding; the tag and the nonce of AES-GCM.
        let payload = vec![0xbb; data_len - 8 - 28];
        pair.geth
            .post(json!({"ttl": TTL, "topic": hex::encode(TOPIC.as_bytes()),
            "sym_key": pair.sym_id, "payload": hex::encode(payload), "padding": "01020304"}))
    };
    let (too_long, fits) = (post(MIB + 1), post(MIB - 40));
    let envelope = pair.ours.wait_envelope(&fits);
    assert_eq!(envelope.data().len(), MIB - 40);
    same(&pair.ours.open(&envelope), &pair.geth.wait_message(&fits));
    wait_until("refusal", PATIENCE, || {
        pair.ours.counters().shh.rejected["oversized"] == 2
    });
    assert_eq!(pair.ours.times_new(&too_long), 0);
    pair.geth.never_lost(&pair.ours.id());
    pair.ours.lost_nobody();
}

/// The vector of the password key, in case both sides err in the same way.
#[test]
fn the_key_of_a_password() {
    let mut geth = Geth::start(&["--listen", ""]);
    for (password, key) in [
        (
            "test",
            "a82a520aff70f7a989098376e48ec128f25f767085e84d7fb995a9815eebff0a",
        ),
        (
            "status",
            "36224048e42c49e5c59c57bba5024fbb8822d6b4ee6ac5fbefd8b77f5323ecc4",
        ),
    ] {
        let answer = geth.call("sym_key_from_password", json!({"password": password}));
        assert_eq!(text(&answer, "sym"), key);
        assert_eq!(
            hex::encode(*SymKey::from_password(password.as_bytes()).to_bytes()),
            key
        );
    }
}
