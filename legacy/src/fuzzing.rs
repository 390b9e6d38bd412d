//! The bodies of the fuzz targets: each takes any bytes at all and asserts what must hold of them.
//!
//! | target | the bytes | what is asserted besides the absence of a panic |
//! |---|---|---|
//! | `envelope` | one envelope | laid out anew it is the same bytes; work is a number; the checks of time bound it |
//! | `packet` | code, payload | what decodes encodes to what decodes to the same |
//! | `mail` | which, and a request, completion or sync message of mailservers | the same; what is checked is within its bounds |
//! | `handshake` | auth or ack, cut once | arriving in two pieces or in one makes no difference |
//! | `opener` | auth or ack, cut once, its tag put right | the same, under keys that are agreed already; a good tag opens |
//! | `handshake_body` | what an auth or ack decrypts to | keys are points, whatever the form |
//! | `discv4` | a datagram, its hash put right | written anew it reads as the same; who is believed is a point at a place |
//! | `enr` | text | one record has one text; its key is a point |
//! | `enr_pairs` | a node record, up to its signature | its key is a point, its places are in it |
//! | `signature` | a digest and a signature | who is recovered is a point, by which all but a high s verifies, and the same together with others |
//! | `frame` | a script: sealed, damaged, cut | only what was sealed comes out, in its order, within the bound |
//! | `base` | a Hello, a Disconnect, a Snappy block | reasons keep their number; inflated is within the bound |
//! | `enode` | text | displayed it reads as the same enode |
//! | `message` | the plaintext of an envelope | the parts are no longer than the whole; sealed anew they are the same |
//! | `message_parts` | the same, up to its signature | the parts are the whole |
//! | `session` | a script for one connection from the Hello on | order of events, one pong at most, silence after the end |
//! | `node` | a script for a Whisper node | caps of the pool, no echo, no second delivery, silence after a Disconnect |
//!
//! `message`, `handshake`, `enr` and `signature` compute on the curve for most of what comes far, some thousand times a
//! second; the parsers in them have targets of their own that leave it out.
//!
//! The same functions run under libFuzzer (the folder `fuzz`, which has a workspace of its own) and over the committed
//! inputs in every test run. An input that once found something stays among those.

mod connection;
mod discovery;
mod mail;
mod node;
mod script;

use std::sync::OnceLock;

use crate::enode::Enode;
use crate::identity::{PublicKey, SecretKey};
use crate::limits::HANDSHAKE_PACKET_LEN_MAX;
use crate::rlp::Item;
use crate::rlpx::disconnect::DisconnectReason;
use crate::rlpx::ecies::{self, EciesError};
use crate::rlpx::handshake::{self, Ack, Auth, Form, HandshakeError, Opened, Opener};
use crate::rlpx::hello::Hello;
use crate::rlpx::snappy;
use crate::shh::confirmation::{self, Fault, Reply};
use crate::shh::message::{self, Padding};
use crate::shh::wire::{self, Envelopes, RateLimits, Status};
use crate::shh::{Bloom, Draft, Envelope, limits, rules};

pub use self::connection::{frame, session};
pub use self::discovery::{discv4, enr, enr_pairs, signature};
pub use self::mail::mail;
pub use self::node::node;

/// The body of a target.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 17] = [
    ("base", base),
    ("discv4", discv4),
    ("enode", enode),
    ("enr", enr),
    ("enr_pairs", enr_pairs),
    ("envelope", envelope),
    ("frame", frame),
    ("handshake", handshake),
    ("handshake_body", handshake_body),
    ("mail", mail),
    ("message", message),
    ("message_parts", message_parts),
    ("node", node),
    ("opener", opener),
    ("packet", packet),
    ("session", session),
    ("signature", signature),
];

/// One envelope.
pub fn envelope(data: &[u8]) {
    let Ok(envelope) = Envelope::parse(data) else {
        return;
    };
    let fields = *envelope.fields();
    assert_eq!(&envelope.raw()[..], data);
    assert_eq!(
        envelope.size(),
        limits::ENVELOPE_HEADER_LEN + envelope.data().len()
    );
    let draft = Draft::new(
        fields.expiry(),
        fields.ttl(),
        fields.topic(),
        envelope.data(),
    );
    assert_eq!(
        draft.finish(fields.nonce()),
        envelope,
        "one envelope has one encoding"
    );
    assert!(Bloom::of_topic(envelope.topic()).wants(envelope.topic()));
    for now in [
        0,
        fields.sent(),
        fields.expiry(),
        fields.expiry() / 2,
        u32::MAX,
    ] {
        let pow = envelope.pow_at(now);
        assert!(pow >= 0.0, "{pow} can be compared");
        if rules::check_times(&fields, now, limits::TTL_MAX).is_ok() {
            assert!((1..=limits::TTL_MAX).contains(&fields.ttl()));
            assert!(fields.expiry() >= now && fields.ttl() <= fields.expiry());
            assert!(pow.is_finite(), "what lives has finite work");
        }
    }
}

/// A message of Whisper: its code, and its payload.
pub fn packet(data: &[u8]) {
    let Some((code, payload)) = data.split_first() else {
        return;
    };
    match u64::from(*code) {
        wire::STATUS => {
            if let Ok(status) = Status::decode(payload) {
                // No limits are said as limits of zero.
                let limits = Some(status.rate_limits.unwrap_or_default());
                let said = Status {
                    rate_limits: limits,
                    ..status
                };
                assert_eq!(Status::decode(&status.encode()), Ok(said));
            }
        }
        wire::ENVELOPES => envelopes(payload),
        wire::POW_REQUIREMENT => {
            if let Ok(required) = wire::decode_pow(payload) {
                assert_eq!(wire::encode_pow(required), payload);
            }
        }
        wire::BLOOM_FILTER => {
            if let Ok(bloom) = wire::decode_bloom(payload) {
                assert_eq!(wire::encode_bloom(&bloom), payload);
            }
        }
        wire::BATCH_ACKNOWLEDGED => {
            if let Ok(batch) = confirmation::decode_acknowledgement(payload) {
                assert_eq!(confirmation::encode_acknowledgement(&batch), payload);
            }
        }
        wire::MESSAGE_RESPONSE => response(payload),
        wire::RATE_LIMITS => {
            if let Ok(limits) = RateLimits::decode(payload) {
                assert_eq!(RateLimits::decode(&limits.encode()), Ok(limits));
            }
        }
        wire::DIRECT => {
            if let Ok(envelopes) = wire::decode_direct(payload) {
                let raw = envelopes.iter().map(|envelope| &envelope.raw()[..]);
                let alone = envelopes.len() == 1 && &envelopes[0].raw()[..] == payload;
                assert!(alone || wire::encode_envelopes(raw) == payload);
            }
        }
        _ => {}
    }
}

fn response(payload: &[u8]) {
    let Ok(Reply::Response(response)) = Reply::decode(payload) else {
        return;
    };
    let faults: Vec<Fault> = response.faults().collect();
    assert!(faults.len() <= payload.len() / 34, "each names an envelope");
    let again = confirmation::encode_response(&response.batch(), &faults);
    let Ok(Reply::Response(again)) = Reply::decode(&again) else {
        unreachable!("we read what we write");
    };
    assert_eq!(again.batch(), response.batch());
    // A text that was no text is cut where its replacement has become too long.
    let same = |(one, other): (&Fault, Fault)| {
        (one.envelope, one.code) == (other.envelope, other.code)
            && one
                .text
                .starts_with(other.text.trim_end_matches('\u{fffd}'))
    };
    assert!(faults.iter().zip(again.faults()).all(same));
    assert_eq!(again.faults().count(), faults.len());
}

fn envelopes(payload: &[u8]) {
    let Ok(bundle) = Envelopes::decode(payload) else {
        return;
    };
    assert_eq!(bundle.iter().count(), bundle.count());
    let elements = Item::exact(payload)
        .and_then(|list| list.list())
        .expect("a bundle is a list");
    let raw = elements.map(|element| element.expect("every element was looked at").raw());
    assert_eq!(wire::encode_envelopes(raw.clone()), payload);
    for (raw, outline) in raw.zip(bundle.iter()) {
        let envelope = Envelope::parse(raw).expect("it was looked at");
        assert_eq!(envelope.hash(), outline.hash());
    }
}

/// An auth or an ack as it arrives: which of them, where it is cut, and its bytes.
pub fn handshake(data: &[u8]) {
    let [choice, cut, packet @ ..] = data else {
        return;
    };
    let cut = usize::from(*cut) * 4 % (packet.len() + 1);
    let auth = choice & 1 == 0;
    let (own, opener): (_, fn() -> Opener) = if auth {
        (known(RECIPIENT), Opener::auth)
    } else {
        (known(INITIATOR), Opener::ack)
    };
    let whole = opener().open(&own, packet).map(parsed);
    let mut waiting = opener();
    let parts = match waiting.open(&own, &packet[..cut]) {
        Ok(None) => waiting.open(&own, packet),
        found => found,
    };
    assert_eq!(parts.map(parsed), whole);
    if auth {
        drop(Auth::read(&own, packet));
    } else {
        drop(Ack::read(&own, packet));
    }
}

/// Where it ends and what is in it.
fn parsed(opened: Option<Opened>) -> Option<(Form, usize, Vec<u8>)> {
    opened.map(|opened| (opened.form, opened.len, opened.text.to_vec()))
}

/// The same, under keys that are agreed already; the tag may be put right.
pub fn opener(data: &[u8]) {
    static KEYS: OnceLock<ecies::Keys> = OnceLock::new();
    let keys = KEYS.get_or_init(|| ecies::Keys::known(&key(1), &key(2).public()));
    let [choice, cut, packet @ ..] = data else {
        return;
    };
    let (opener, legacy_len): (fn() -> Opener, _) = if choice & 1 == 0 {
        (Opener::auth, handshake::LEGACY_AUTH_LEN)
    } else {
        (Opener::ack, handshake::LEGACY_ACK_LEN)
    };
    let mut packet = packet.to_vec();
    let mended = match (choice >> 1 & 3, packet.first_chunk::<2>().copied()) {
        (1, Some(prefix)) => {
            let sealed = packet.get_mut(2..2 + usize::from(u16::from_be_bytes(prefix)));
            sealed.map(|sealed| keys.mend(sealed, &prefix)).is_some()
        }
        (2, _) => {
            let sealed = packet.get_mut(..legacy_len);
            sealed.map(|sealed| keys.mend(sealed, &[])).is_some()
        }
        _ => false,
    };
    let open = |opener: &mut Opener, arrived: &[u8]| {
        opener.open_by(arrived, |packet, mac_data| keys.decrypt(packet, mac_data))
    };
    let whole = open(&mut opener(), &packet);
    if let Err(HandshakeError::Ecies(EciesError::Tag)) = whole {
        assert!(!mended || choice >> 1 & 3 == 2, "the tag fits");
    }
    let whole = whole.map(parsed);
    if let Ok(Some((form, len, text))) = &whole {
        let around = packet.len().min(HANDSHAKE_PACKET_LEN_MAX);
        assert!(text.len() + ecies::OVERHEAD <= *len && *len <= around);
        assert!(*form == Form::Eip8 || *len == legacy_len);
    }
    let mut waiting = opener();
    let cut = usize::from(*cut) * 4 % (packet.len() + 1);
    let parts = match open(&mut waiting, &packet[..cut]) {
        Ok(None) => open(&mut waiting, &packet),
        found => found,
    };
    assert_eq!(parts.map(parsed), whole);
}

/// What an auth or an ack decrypts to.
pub fn handshake_body(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else {
        return;
    };
    let form = if choice & 2 == 0 {
        Form::Eip8
    } else {
        Form::Legacy
    };
    let opened = Opened {
        form,
        text: text.to_vec().into(),
        len: text.len(),
    };
    if choice & 1 == 0 {
        if let Ok(auth) = Auth::parse(&key(1), &opened) {
            is_point(&auth.initiator);
            is_point(&auth.ephemeral);
        }
    } else if let Ok(ack) = Ack::parse(&opened) {
        is_point(&ack.ephemeral);
    }
}

fn is_point(key: &PublicKey) {
    assert_eq!(PublicKey::from_bytes(&key.to_bytes()).as_ref(), Ok(key));
}

/// What the base protocol reads: a Hello, a Disconnect, a compressed payload.
pub fn base(data: &[u8]) {
    let Some((choice, payload)) = data.split_first() else {
        return;
    };
    match choice % 4 {
        0 => {
            if let Ok(hello) = Hello::decode(payload) {
                assert!(hello.capabilities.len() < payload.len());
                assert!(hello.public_key.iter().any(|byte| *byte != 0));
            }
        }
        1 => {
            let reason = DisconnectReason::decode(payload);
            assert_eq!(DisconnectReason::decode(&reason.encode()), reason);
        }
        2 => {
            if let Ok(plain) = snappy::inflate(payload, INFLATED_LEN_MAX) {
                assert!(plain.len() <= INFLATED_LEN_MAX);
            }
        }
        _ => {
            let block = snappy::deflate(payload).expect("short enough");
            assert!(block.len() <= snappy::deflated_len_max(payload.len()));
            assert_eq!(
                snappy::inflate(&block, payload.len()).as_deref(),
                Ok(payload)
            );
        }
    }
}

/// An enode URL.
pub fn enode(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(enode) = text.parse::<Enode>() {
        let shown = enode.to_string();
        assert_eq!(shown.parse(), Ok(enode));
        is_point(enode.public_key());
    }
}

/// The plaintext of an envelope.
pub fn message(data: &[u8]) {
    let Ok(plain) = message::decode(data) else {
        return;
    };
    assert!(plain.payload.len() + plain.padding.len() < data.len());
    if let Some(signer) = &plain.signer {
        is_point(signer);
    }
    let padding = Padding::Verbatim(&plain.padding);
    let signer = plain.signer.map(|_| key(2));
    let again = message::encode(&plain.payload, padding, signer.as_ref(), &mut script::rng())
        .expect("it was shorter than the most that can be said");
    let again = message::decode(&again).expect("we read what we write");
    assert_eq!(
        (again.payload, again.padding),
        (plain.payload, plain.padding)
    );
    assert_eq!(again.signer, signer.map(|key| key.public()));
}

/// The same, up to its signature.
pub fn message_parts(data: &[u8]) {
    let Ok(parts) = message::Parts::read(data) else {
        return;
    };
    let signature: &[u8] = parts.signature.map_or(&[], |signature| signature);
    assert_eq!([parts.signed, signature].concat(), data);
    let length_len = parts.signed.len() - 1 - parts.payload.len() - parts.padding.len();
    assert!(length_len <= 3, "{length_len} bytes of length");
    assert!(parts.signed.ends_with(parts.padding));
    let padding = Padding::Verbatim(parts.padding);
    let again = message::encode(parts.payload, padding, None, &mut script::rng())
        .expect("it was shorter than the most that can be said");
    let again = message::Parts::read(&again).expect("we read what we write");
    assert_eq!(
        (again.payload, again.padding),
        (parts.payload, parts.padding)
    );
}

/// One of a few keys.
fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32]).expect("a small number is in range")
}

fn known(hex: &str) -> SecretKey {
    let bytes = hex::decode(hex).expect("a constant is hex");
    let bytes = bytes.try_into().expect("a constant is 32 bytes");
    SecretKey::from_bytes(&bytes).expect("a constant is in range")
}

/// The published key of the side that dials: the acks of the vectors are for it.
const INITIATOR: &str = "49a7b37aa6f6645917e7b807e9d1c00d4fa71f18343b0d4122a4d2df64dd6fee";
/// The published key of the side that is dialled: the auths of the vectors are for it.
const RECIPIENT: &str = "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291";
/// What a compressed payload may come to in the target `base`.
const INFLATED_LEN_MAX: usize = 4096;

#[cfg(test)]
mod tests;
