//! The kinds of `vectors/mailbox`.

use serde_json::{Value, json};

use super::{MALFORMED, Refusal, bytes, field, refuse};
use crate::address::PeerKey;
use crate::mailbox::place::score;
use crate::mailbox::{Answer, BoxId, Cell, ChainKey, Request, RequestError, cell};

/// Runs one vector. `None`: the kind is not one of mailboxes.
pub(super) fn run(kind: &str, input: &Value) -> Option<Result<Value, Refusal>> {
    match kind {
        "mailbox-chain" => Some(run_chain(input)),
        "mailbox-place" => Some(run_place(input)),
        "mailbox-cell" => Some(run_cell(input)),
        "mailbox-put" => Some(run_put(input)),
        "mailbox-get" => Some(run_get(input)),
        "mailbox-answer" => Some(run_answer(input)),
        _ => None,
    }
}

fn run_chain(input: &Value) -> Result<Value, Refusal> {
    let key = ChainKey::from_bytes(field(input, "key")?);
    let proof = key.proof(index(input)?);
    Ok(json!({
        "proof": hex::encode(proof.as_bytes()),
        "id": hex::encode(proof.box_id().as_bytes()),
    }))
}

fn run_place(input: &Value) -> Result<Value, Refusal> {
    let id = BoxId::from_bytes(field(input, "id")?);
    let peers = input["peers"].as_array().ok_or(MALFORMED)?;
    let peer = |peer: &Value| {
        let bytes = hex::decode(peer.as_str()?).ok()?;
        PeerKey::from_bytes(bytes.try_into().ok()?).ok()
    };
    let peers: Option<Vec<PeerKey>> = peers.iter().map(peer).collect();
    let mut peers = peers.ok_or(MALFORMED)?;
    peers.sort_by_cached_key(|peer| score(&id, peer));
    let order: Vec<String> = peers
        .iter()
        .map(|peer| hex::encode(peer.as_bytes()))
        .collect();
    Ok(json!({ "order": order }))
}

fn run_cell(input: &Value) -> Result<Value, Refusal> {
    let key = ChainKey::from_bytes(field(input, "key")?);
    let index = index(input)?;
    let sealed = Cell::from_slice(&bytes(input, "cell")?).ok_or(MALFORMED)?;
    let part = cell::open(&key, index, &sealed).map_err(|error| refuse(error.as_str()))?;
    Ok(json!({
        "first": part.first,
        "count": part.count,
        "object_len": part.object_len,
        "fragment": hex::encode(&part.fragment),
    }))
}

fn run_put(input: &Value) -> Result<Value, Refusal> {
    match Request::decode_put(&bytes(input, "body")?)? {
        Request::Put { put, .. } => Ok(json!({
            "id": hex::encode(put.id.as_bytes()),
            "proof": hex::encode(put.proof.as_bytes()),
            "cell": hex::encode(put.cell.as_bytes()),
        })),
        Request::Get { .. } => Err(MALFORMED),
    }
}

fn run_get(input: &Value) -> Result<Value, Refusal> {
    match Request::decode_get(&bytes(input, "body")?)? {
        Request::Get { get, answers } => Ok(json!({
            "ids": get.ids.map(|id| hex::encode(id.as_bytes())),
            "answers": answers.len(),
        })),
        Request::Put { .. } => Err(MALFORMED),
    }
}

fn run_answer(input: &Value) -> Result<Value, Refusal> {
    Ok(match Answer::decode(&bytes(input, "body")?)? {
        Answer::Put(status) => json!({ "type": "put", "status": status.as_str() }),
        Answer::Get { place, cell } => json!({
            "type": "get",
            "place": place,
            "cell": hex::encode(cell.as_bytes()),
        }),
    })
}

fn index(input: &Value) -> Result<u64, Refusal> {
    input["index"].as_u64().ok_or(MALFORMED)
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        refuse(error.as_str())
    }
}
