//! The kinds of `vectors/descriptor`.

use serde_json::{Value, json};

use super::{MALFORMED, Refusal, bytes, refuse};
use crate::address::PeerKey;
use crate::descriptor::{Descriptor, DescriptorError};
use crate::directory::active::{ActiveSet, SetError};

/// Runs one vector. `None`: the kind is not one of descriptors.
pub(super) fn run(kind: &str, input: &Value) -> Option<Result<Value, Refusal>> {
    match kind {
        "mix-descriptor" => Some(run_descriptor(input)),
        "mix-active-set" => Some(run_active_set(input)),
        _ => None,
    }
}

fn run_descriptor(input: &Value) -> Result<Value, Refusal> {
    let given = bytes(input, "descriptor")?;
    let descriptor = Descriptor::from_bytes(&given)?;
    // There is one way to write a descriptor, so what was read must be what is written.
    if descriptor.to_bytes() != given {
        return Err(MALFORMED);
    }
    let said = descriptor.statement();
    Ok(json!({
        "epoch": said.epoch,
        "serial": said.serial,
        "peer": hex::encode(descriptor.peer().as_bytes()),
        "address": said.address.map(|address| address.to_string()),
        "transport": said.transport.name(),
        "mix_key": hex::encode(said.mix_key.as_bytes()),
        "next_mix_key": said.next_mix_key.map(|key| hex::encode(key.as_bytes())),
        "capabilities": said.capabilities.names(),
        "capacity": said.capacity,
        "load": said.load,
        "gateway_key": said.gateway_key.map(hex::encode),
        "digest": hex::encode(descriptor.digest()),
    }))
}

fn run_active_set(input: &Value) -> Result<Value, Refusal> {
    let epoch = input["epoch"].as_u64().and_then(|n| u32::try_from(n).ok());
    let epoch = epoch.ok_or(MALFORMED)?;
    let given = input["descriptors"].as_array().ok_or(MALFORMED)?;
    let mut descriptors = Vec::new();
    for text in given {
        let bytes = text.as_str().and_then(|text| hex::decode(text).ok());
        descriptors.push(Descriptor::from_bytes(&bytes.ok_or(MALFORMED)?)?);
    }
    let set = ActiveSet::received(epoch, descriptors, false)?;
    let hex = |peer: &PeerKey| hex::encode(peer.as_bytes());
    Ok(json!({
        "root": hex::encode(set.root()),
        "relays": set.relays_in_order().map(hex).collect::<Vec<_>>(),
    }))
}

impl From<DescriptorError> for Refusal {
    fn from(error: DescriptorError) -> Self {
        refuse(error.as_str())
    }
}

impl From<SetError> for Refusal {
    fn from(error: SetError) -> Self {
        refuse(error.as_str())
    }
}
