//! Vectors of frames: `rlpx-frame` and `rlpx-frame-ciphertext`.
//!
//! ```text
//! rlpx-frame
//!   input    role, private_key, ephemeral_key, nonce, auth, ack;  frames, a list of bytes that arrive one after another;
//!            len_max (longest body; any if null)
//!            or messages, a list of {code, payload} to send
//!   output   messages: a list of {code, payload};  or frames
//!   reason   header_mac, body_mac, empty, too_long, truncated, code;  or that of the handshake
//! rlpx-frame-ciphertext
//!   input    aes; header and body, the ciphertexts of a frame without its MACs
//!   output   code, payload; sent_header, sent_body: the ciphertexts of the same message as this side sends it
//!   reason   empty, truncated, trailing, code
//! ```
//!
//! A payload stays as it is in the frame, compressed or not. The second kind is there for a published vector whose
//! MACs are constants: its ciphertexts are brought under the keys of a connection that is known, and read by that.

use ctr::cipher::StreamCipher as _;
use serde_json::{Value, json};

use super::connection::Handshake;
use super::secrets::{BLOCK_LEN, Keys, key_stream};
use super::{Refusal, array, field, given, optional, refuse};
use crate::identity::SecretKey;
use crate::limits::FRAME_LEN_MAX;
use crate::rlp::{self, Item};
use crate::rlpx::Direction;
use crate::rlpx::frame::{Egress, FrameError, HEADER_LEN, Ingress};
use crate::rlpx::secrets::{Exchange, Secrets};

pub(super) fn frame(input: &Value) -> Result<Value, Refusal> {
    let handshake = Handshake::read(input)?;
    let (mut egress, mut ingress) = Secrets::derive(&handshake.exchange()).into_halves();
    if given(input, "messages") {
        let frames = list(input, "messages")?
            .iter()
            .map(|message| {
                let code = message.get("code").and_then(Value::as_u64);
                let payload = field(message, "payload")?;
                seal(&mut egress, code.ok_or(Refusal::INPUT)?, &payload).map(hex::encode)
            })
            .collect::<Result<Vec<_>, _>>()?;
        return Ok(json!({ "frames": frames }));
    }
    let mut arrived = Vec::new();
    for frame in list(input, "frames")? {
        let text = frame.as_str().ok_or(Refusal::INPUT)?;
        arrived.extend(hex::decode(text).map_err(|_| Refusal::INPUT)?);
    }
    let len_max = optional(input, "len_max", Value::as_u64)?
        .map_or(Ok(FRAME_LEN_MAX), usize::try_from)
        .map_err(|_| Refusal::INPUT)?;
    let mut at = 0;
    let mut messages = Vec::new();
    while at < arrived.len() {
        let (code, payload) = open(&mut ingress, &mut arrived, &mut at, len_max)?;
        messages.push(json!({ "code": code, "payload": hex::encode(payload) }));
    }
    Ok(json!({ "messages": messages }))
}

pub(super) fn ciphertext(input: &Value) -> Result<Value, Refusal> {
    let aes = array(input, "aes")?;
    let mut header: [u8; BLOCK_LEN] = field(input, "header")?
        .try_into()
        .map_err(|_| refuse("truncated"))?;
    let mut body = field(input, "body")?;
    let mut cipher = key_stream(&aes);
    cipher.apply_keystream(&mut header);
    cipher.apply_keystream(&mut body);
    // The reader finds the end of a body by its MAC, which here comes after all that was given.
    let size = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
    if size > 0 && body.len() > size.next_multiple_of(BLOCK_LEN) {
        return Err(refuse("trailing"));
    }

    let [own, other] = [[1; 32], [2; 32]]
        .map(|bytes| SecretKey::from_bytes(&bytes).expect("a small number is a key"));
    let exchange = Exchange {
        direction: Direction::Accepted,
        ephemeral: &own,
        remote_ephemeral: &other.public(),
        initiator_nonce: &[0; 32],
        recipient_nonce: &[0; 32],
        auth: &[],
        ack: &[],
    };
    let keys = Keys::derive(&exchange);
    let (mut egress, mut ingress) = Secrets::derive(&exchange).into_halves();
    let mut frame = keys.incoming().frame(&header, &body);
    let (code, payload) = open(&mut ingress, &mut frame, &mut 0, FRAME_LEN_MAX)?;
    let sent = seal(&mut egress, code, &payload)?;
    let (mut sent_header, mut sent_body) = (
        sent[..BLOCK_LEN].to_vec(),
        sent[HEADER_LEN..sent.len() - BLOCK_LEN].to_vec(),
    );
    for mut cipher in [keys.key_stream(), key_stream(&aes)] {
        cipher.apply_keystream(&mut sent_header);
        cipher.apply_keystream(&mut sent_body);
    }
    Ok(json!({
        "code": code,
        "payload": hex::encode(payload),
        "sent_header": hex::encode(sent_header),
        "sent_body": hex::encode(sent_body),
    }))
}

fn seal(egress: &mut Egress, code: u64, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
    egress
        .seal(&rlp::encode_uint(code), payload)
        .map_err(refusal)
}

/// The next message, which must be there as a whole.
fn open(
    ingress: &mut Ingress,
    arrived: &mut [u8],
    at: &mut usize,
    len_max: usize,
) -> Result<(u64, Vec<u8>), Refusal> {
    let body = ingress
        .next(arrived, at, len_max)
        .map_err(refusal)?
        .ok_or(refuse("truncated"))?;
    let (code, payload) = Item::first(body).map_err(|_| refuse("code"))?;
    let code = code.uint().map_err(|_| refuse("code"))?;
    Ok((code, payload.to_vec()))
}

fn list<'a>(input: &'a Value, name: &str) -> Result<&'a [Value], Refusal> {
    let list = input.get(name).and_then(Value::as_array);
    list.map(Vec::as_slice).ok_or(Refusal::INPUT)
}

const fn refusal(error: FrameError) -> Refusal {
    refuse(match error {
        FrameError::HeaderMac => "header_mac",
        FrameError::BodyMac => "body_mac",
        FrameError::Empty => "empty",
        FrameError::TooLong { .. } => "too_long",
    })
}
