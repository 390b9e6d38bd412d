//! Vectors of discovery: `discv4-packet`, `discv4-neighbour`, `enr-text`.
//!
//! ```text
//! discv4-packet     input    packet; now, in seconds (its age is not checked if null)
//!                   output   hash, public_key, type (ping, pong, findnode, neighbours, enrrequest, enrresponse) and its fields
//!                   reason   too_short, too_long, hash, type, malformed, signature, record, expired
//! discv4-neighbour  input    sender, an IP address; ip, the bytes; udp, tcp; public_key (64)
//!                   output   ip, as text; udp, tcp, public_key
//!                   reason   low_port, no_address, special_network, loopback, lan, key
//! enr-text          input    text
//!                   output   record, seq, public_key (64), ip, ip6, tcp, tcp6, udp, udp6 (null if they are not there)
//!                   reason   prefix, base64, too_long, malformed, odd_count, duplicate_key, not_sorted, scheme, no_key, key,
//!                            signature_length, signature
//! ```

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{Refusal, array, field, optional, refuse};
use crate::discv4::endpoint::{Endpoint, Neighbour, address_from};
use crate::discv4::packet::{Message, decode};
use crate::enr::{EnrError, Record};

pub(super) fn packet(input: &Value) -> Result<Value, Refusal> {
    let now = optional(input, "now", Value::as_u64)?;
    let packet = decode(&field(input, "packet")?).map_err(|error| refuse(error.as_str()))?;
    let expiration = packet.message.expiration();
    if let (Some(now), Some(expiration)) = (now, expiration)
        && expiration < now
    {
        return Err(refuse("expired"));
    }
    let mut output = message(&packet.message);
    output["type"] = packet.message.as_str().into();
    output["hash"] = hex::encode(packet.hash).into();
    output["public_key"] = hex::encode(packet.sender.to_bytes()).into();
    if let Some(expiration) = expiration {
        output["expiration"] = expiration.into();
    }
    Ok(output)
}

fn message(message: &Message) -> Value {
    match message {
        Message::Ping {
            version,
            from,
            to,
            record_seq,
            expiration: _,
        } => json!({
            "version": version, "from": endpoint(from), "to": endpoint(to), "record_seq": record_seq,
        }),
        Message::Pong {
            to,
            ping,
            record_seq,
            expiration: _,
        } => json!({ "to": endpoint(to), "ping": hex::encode(ping), "record_seq": record_seq }),
        Message::FindNode {
            target,
            expiration: _,
        } => json!({ "target": hex::encode(target) }),
        Message::Neighbours {
            nodes,
            expiration: _,
        } => {
            let nodes: Vec<Value> = nodes
                .iter()
                .map(|node| {
                    let mut shown = endpoint(&node.endpoint);
                    shown["public_key"] = hex::encode(node.public_key).into();
                    shown
                })
                .collect();
            json!({ "nodes": nodes })
        }
        Message::EnrRequest { expiration: _ } => json!({}),
        Message::EnrResponse { request, record } => {
            json!({ "request": hex::encode(request), "record": hex::encode(record) })
        }
    }
}

fn endpoint(endpoint: &Endpoint) -> Value {
    let ip = endpoint.ip.map(|ip| ip.to_string());
    json!({ "ip": ip, "udp": endpoint.udp, "tcp": endpoint.tcp })
}

pub(super) fn neighbour(input: &Value) -> Result<Value, Refusal> {
    let sender: Option<IpAddr> = optional(input, "sender", |value| value.as_str()?.parse().ok())?;
    let port = |name| {
        optional(input, name, |value| u16::try_from(value.as_u64()?).ok())?.ok_or(Refusal::INPUT)
    };
    let neighbour = Neighbour {
        endpoint: Endpoint {
            ip: address_from(&field(input, "ip")?),
            udp: port("udp")?,
            tcp: port("tcp")?,
        },
        public_key: array(input, "public_key")?,
    };
    let contact = neighbour
        .believed(sender.ok_or(Refusal::INPUT)?)
        .map_err(|why| refuse(why.as_str()))?;
    Ok(json!({
        "ip": contact.ip().to_string(),
        "udp": contact.udp().port(),
        "tcp": contact.tcp_port(),
        "public_key": hex::encode(contact.public_key().to_bytes()),
    }))
}

pub(super) fn record(input: &Value) -> Result<Value, Refusal> {
    let text = input
        .get("text")
        .and_then(Value::as_str)
        .ok_or(Refusal::INPUT)?;
    let record: Record = text.parse().map_err(|error| match error {
        EnrError::Prefix => refuse("prefix"),
        EnrError::Base64 => refuse("base64"),
        EnrError::TooLong { .. } => refuse("too_long"),
        EnrError::Malformed(_) => refuse("malformed"),
        EnrError::OddCount => refuse("odd_count"),
        EnrError::DuplicateKey => refuse("duplicate_key"),
        EnrError::NotSorted => refuse("not_sorted"),
        EnrError::Scheme => refuse("scheme"),
        EnrError::NoKey => refuse("no_key"),
        EnrError::Key(_) => refuse("key"),
        EnrError::SignatureLength { .. } => refuse("signature_length"),
        EnrError::Signature => refuse("signature"),
    })?;
    let place = record.place();
    Ok(json!({
        "record": hex::encode(record.raw()),
        "seq": record.seq(),
        "public_key": hex::encode(record.public_key().to_bytes()),
        "ip": place.ip.map(|ip| ip.to_string()),
        "ip6": place.ip6.map(|ip| ip.to_string()),
        "tcp": place.tcp,
        "tcp6": place.tcp6,
        "udp": place.udp,
        "udp6": place.udp6,
    }))
}
