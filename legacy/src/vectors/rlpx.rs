//! Vectors of the handshake: `rlpx-auth` and `rlpx-ack`.
//!
//! ```text
//! input    private_key of the receiver, packet as it was on the wire
//! output   form (eip8, legacy), version, nonce, ephemeral_public_key;  of an auth also signature and public_key
//! reason   incomplete, size_underflow, size_overflow, trailing, point, tag, body, static_key, ephemeral_key, signature
//! ```

use serde_json::{Value, json};

use super::{Refusal, array, field};
use crate::identity::SecretKey;
use crate::rlpx::ecies::EciesError;
use crate::rlpx::handshake::{Ack, Auth, Form, HandshakeError};

pub(super) fn auth(input: &Value) -> Result<Value, Refusal> {
    let auth = Auth::read(&key(input)?, &field(input, "packet")?).map_err(refusal)?;
    Ok(json!({
        "form": form(auth.form),
        "version": auth.version,
        "nonce": hex::encode(auth.nonce),
        "signature": hex::encode(auth.signature),
        "public_key": hex::encode(auth.initiator.to_bytes()),
        "ephemeral_public_key": hex::encode(auth.ephemeral.to_bytes()),
    }))
}

pub(super) fn ack(input: &Value) -> Result<Value, Refusal> {
    let ack = Ack::read(&key(input)?, &field(input, "packet")?).map_err(refusal)?;
    Ok(json!({
        "form": form(ack.form),
        "version": ack.version,
        "nonce": hex::encode(ack.nonce),
        "ephemeral_public_key": hex::encode(ack.ephemeral.to_bytes()),
    }))
}

fn key(input: &Value) -> Result<SecretKey, Refusal> {
    SecretKey::from_bytes(&array(input, "private_key")?).map_err(|_| Refusal::INPUT)
}

const fn form(form: Form) -> &'static str {
    match form {
        Form::Eip8 => "eip8",
        Form::Legacy => "legacy",
    }
}

pub(super) const fn refusal(error: HandshakeError) -> Refusal {
    let reason = match error {
        HandshakeError::Incomplete { .. } | HandshakeError::Ecies(EciesError::TooShort { .. }) => {
            "incomplete"
        }
        HandshakeError::SizeUnderflow { .. } => "size_underflow",
        HandshakeError::SizeOverflow { .. } => "size_overflow",
        HandshakeError::Trailing { .. } => "trailing",
        HandshakeError::Ecies(EciesError::Point(_)) => "point",
        HandshakeError::Ecies(EciesError::Tag) => "tag",
        HandshakeError::Body(_) => "body",
        HandshakeError::StaticKey(_) => "static_key",
        HandshakeError::EphemeralKey(_) => "ephemeral_key",
        HandshakeError::Signature(_) => "signature",
    };
    Refusal { reason }
}
