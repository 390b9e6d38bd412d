//! The JSON test vectors of this crate against this build.
//!
//! The kinds, their fields and their reasons are in `vectors/mix/README.md`, `vectors/mixcodec/README.md`,
//! `vectors/mailbox/README.md` and `vectors/descriptor/README.md`. A vector of `sphinx-peel` is peeled by a hop that has seen nothing before.

mod codec;
mod descriptor;
mod mailbox;

use serde_json::{Value, json};

use crate::address::Address;
use crate::error::BuildError;
use crate::geometry::{ADDRESS_LEN, MESSAGE_LEN, PAYLOAD_LEN};
use crate::replay::ReplayStore;
use crate::sphinx::{
    Hop, Packet, Peeled, PublicKey, ReplyKey, SecretKey, SurbId, build, make_surb, peel,
};

/// Why a vector's input is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// From the closed list of the vector's kind.
    pub reason: &'static str,
}

/// Runs one vector. `None`: the kind is not one of this crate.
pub fn run(kind: &str, input: &Value) -> Option<Result<Value, Refusal>> {
    match kind {
        "sphinx-peel" => Some(run_peel(input)),
        "sphinx-build" => Some(run_build(input)),
        "sphinx-surb" => Some(run_surb(input)),
        "mix-message" => Some(codec::message(input)),
        "mix-frame" => Some(codec::frame(input)),
        _ => mailbox::run(kind, input).or_else(|| descriptor::run(kind, input)),
    }
}

fn run_peel(input: &Value) -> Result<Value, Refusal> {
    let key = SecretKey::from_bytes(field(input, "private_key")?);
    let packet =
        Packet::from_slice(&bytes(input, "packet")?).map_err(|drop| refuse(drop.as_str()))?;
    let mut replay = ReplayStore::new([0; 16]);
    let peeled = peel(&key, packet, &mut replay).map_err(|drop| refuse(drop.as_str()))?;
    Ok(match peeled {
        Peeled::Forward {
            next,
            delay_ms_mean,
            packet,
        } => json!({
            "type": "forward",
            "next_address": hex::encode(next.to_bytes()),
            "delay_ms": delay_ms_mean,
            "packet": hex::encode(packet.as_bytes()),
        }),
        Peeled::Exit {
            destination,
            message,
        } => json!({
            "type": "exit",
            "destination": hex::encode(destination.to_bytes()),
            "payload": hex::encode(*message),
        }),
        Peeled::Reply { id, delta } => json!({
            "type": "reply",
            "id": hex::encode(id.as_bytes()),
            "delta": hex::encode(*delta),
        }),
    })
}

fn run_build(input: &Value) -> Result<Value, Refusal> {
    let path = path(input)?;
    let delays = delays(input)?;
    let destination = match input.get("destination") {
        None | Some(Value::Null) => Address::NONE,
        Some(_) => address(field(input, "destination")?)?,
    };
    let secret = field(input, "secret")?;
    let (packet, entry) = build(&path, &delays, &secret, &payload(input)?, &destination)?;
    Ok(json!({
        "packet": hex::encode(packet.as_bytes()),
        "entry_address": hex::encode(entry.to_bytes()),
    }))
}

fn run_surb(input: &Value) -> Result<Value, Refusal> {
    let path = path(input)?;
    let delays = delays(input)?;
    let id = SurbId::from_bytes(field(input, "id")?).ok_or(BuildError::ZeroId)?;
    let key = ReplyKey::from_bytes(field(input, "reply_key")?);
    let payload = payload(input)?;
    let (surb, keys) = make_surb(&path, &delays, &field(input, "secret")?, id, key)?;
    let block = hex::encode(surb.to_bytes());
    let (packet, _) = surb.seal(&payload);
    // A vector that brings no delta of its own gets what the hops make of the one that was sent.
    let delta = match input.get("delta") {
        None | Some(Value::Null) => keys.after_all_hops(&packet),
        Some(_) => Box::new(field::<PAYLOAD_LEN>(input, "delta")?),
    };
    let opened = keys.open(delta).map_err(|drop| refuse(drop.as_str()))?;
    Ok(json!({
        "surb": block,
        "packet": hex::encode(packet.as_bytes()),
        "opened": hex::encode(&opened[..]),
    }))
}

fn path(input: &Value) -> Result<Vec<Hop>, Refusal> {
    let hops = input["path"].as_array().ok_or(MALFORMED)?;
    let hop = |hop: &Value| {
        Ok(Hop {
            key: PublicKey::from_bytes(field(hop, "public_key")?),
            address: address(field(hop, "address")?)?,
        })
    };
    hops.iter().map(hop).collect()
}

fn delays(input: &Value) -> Result<Vec<u16>, Refusal> {
    let delays = input["delays_ms"].as_array().ok_or(MALFORMED)?;
    let delay = |delay: &Value| u16::try_from(delay.as_u64()?).ok();
    delays.iter().map(|d| delay(d).ok_or(MALFORMED)).collect()
}

fn address(bytes: [u8; ADDRESS_LEN]) -> Result<Address, Refusal> {
    Address::from_bytes(&bytes).map_err(|_| refuse("malformed_address"))
}

fn payload(input: &Value) -> Result<[u8; MESSAGE_LEN], Refusal> {
    let payload = bytes(input, "payload")?;
    payload.try_into().map_err(|_| refuse("payload_length"))
}

fn field<const N: usize>(input: &Value, name: &str) -> Result<[u8; N], Refusal> {
    bytes(input, name)?.try_into().map_err(|_| MALFORMED)
}

fn bytes(input: &Value, name: &str) -> Result<Vec<u8>, Refusal> {
    let text = input[name].as_str().ok_or(MALFORMED)?;
    hex::decode(text).map_err(|_| MALFORMED)
}

fn refuse(reason: &'static str) -> Refusal {
    Refusal { reason }
}

impl From<BuildError> for Refusal {
    fn from(error: BuildError) -> Self {
        refuse(error.as_str())
    }
}

/// A field that is missing, no hex, or of another length than its kind has.
const MALFORMED: Refusal = Refusal {
    reason: "malformed_input",
};

#[cfg(test)]
mod tests;
