//! `shh_post`: a message of a local client, sealed and sent. The order of the checks is go-ethereum's, since it decides
//! which of two faults a client hears of: keys, topic, sealing and mining, and only then the peer or the node's own demand.
//! Ours is one check more: while the clock is in doubt nothing is sealed, and what was sealed while it jumped is not sent.

use super::filters::public_key;
use super::shh::{invalid_id, no_such_key, pair, symmetric, usable};
use super::{Context, Table, hexadecimal};
use crate::rpc::argument::{Arguments, NewMessage};
use crate::rpc::error::Error;
use crate::rpc::peer_url::PeerUrl;
use crate::rpc::sealing::{Letter, Recipient};
use legacy::shh::Topic;

/// Seconds of life of a message that names none.
const TTL_DEFAULT: u32 = 50;

pub(super) fn register(table: &mut Table) {
    table.method("shh_post", |params, context| async move {
        let message: NewMessage = Arguments::only(params.as_deref())?;
        let (target_peer, pow_target) = (message.target_peer.clone(), message.pow_target);
        let letter = letter(&context, message).await?;
        context.node.trusts_clock().await?;
        let envelope = context.workshop.seal(letter).await?;
        context.node.trusts_clock().await?;
        let hash = envelope.hash();
        if target_peer.is_empty() {
            if pow_target < context.node.info().await?.min_pow {
                return Err(Error::method("message rejected, PoW too low"));
            }
            context.node.post(envelope).await?;
        } else {
            let peer = PeerUrl::parse(&target_peer)
                .map_err(|why| Error::method(format!("failed to parse target peer: {why}")))?;
            context.node.post_direct(peer.node, envelope).await?;
        }
        Ok(hexadecimal(hash.as_bytes()))
    });
}

async fn letter(context: &Context, message: NewMessage) -> Result<Letter, Error> {
    let by_symmetric = !message.sym_key_id.is_empty();
    if by_symmetric != message.pub_key.0.is_empty() {
        let words = "specify either a symmetric or an asymmetric key";
        return Err(Error::method(words));
    }
    let signer = if message.sig.is_empty() {
        None
    } else {
        Some(pair(context, &message.sig).await?.ok_or_else(invalid_id)?)
    };
    let recipient = if by_symmetric {
        if message.topic == Topic::default() {
            return Err(Error::method("missing topic(s)"));
        }
        let found = symmetric(context, &message.sym_key_id).await?;
        Recipient::Symmetric(usable(found.ok_or_else(no_such_key)?)?)
    } else {
        let key = public_key(&message.pub_key.0);
        Recipient::Public(key.ok_or_else(|| Error::method("invalid public key"))?)
    };
    Ok(Letter {
        recipient,
        signer,
        topic: message.topic,
        payload: message.payload.0,
        padding: message.padding.0,
        ttl: match message.ttl {
            0 => TTL_DEFAULT,
            ttl => ttl,
        },
        pow_time: message.pow_time,
        pow_target: message.pow_target,
    })
}
