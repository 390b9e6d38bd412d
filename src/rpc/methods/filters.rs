//! `shh_newMessageFilter` and what belongs to it, `shh_subscribe`, and the message as clients see it.

use std::sync::Arc;

use jsonrpsee::PendingSubscriptionSink;
use legacy::identity::PublicKey;
use legacy::shh::filter::{Filter, Received};
use legacy::shh::label::Label;
use legacy::shh::seal::OpenKey;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::Notify;

use super::shh::{invalid_id, no_such_key, pair, symmetric, usable};
use super::{Context, Table, hexadecimal};
use crate::rpc::argument::{Arguments, Criteria};
use crate::rpc::error::Error;
use crate::rpc::number::float;

/// A message as it is given out. Members that say nothing are left out, as go-ethereum leaves them out.
#[derive(Serialize, Clone)]
struct Message {
    #[serde(skip_serializing_if = "Option::is_none")]
    sig: Option<String>,
    ttl: u32,
    timestamp: u32,
    topic: String,
    payload: String,
    padding: String,
    pow: Box<RawValue>,
    hash: String,
    #[serde(rename = "recipientPublicKey", skip_serializing_if = "Option::is_none")]
    recipient: Option<String>,
}

impl Message {
    fn of(received: &Received) -> Self {
        let key = |key: &PublicKey| hexadecimal(&key.to_prefixed());
        let (envelope, plaintext) = (&received.envelope, &received.plaintext);
        Self {
            sig: plaintext.signer.as_ref().map(key),
            ttl: envelope.ttl(),
            timestamp: envelope.sent(),
            topic: hexadecimal(envelope.topic().as_bytes()),
            payload: hexadecimal(&plaintext.payload),
            padding: hexadecimal(&plaintext.padding),
            pow: float(envelope.pow()),
            hash: hexadecimal(envelope.hash().as_bytes()),
            recipient: received.recipient.as_ref().map(key),
        }
    }
}

pub(super) fn register(table: &mut Table) {
    table.method("shh_newMessageFilter", |params, context| async move {
        let criteria: Criteria = Arguments::only(params.as_deref())?;
        let filter = polled(&context, criteria).await?;
        Ok(install(&context, filter).await?.to_string())
    });
    table.method("shh_getFilterMessages", |params, context| async move {
        let id: String = Arguments::only(params.as_deref())?;
        let taken = match id.parse::<Label>() {
            Ok(label) => context.clients.ask(move |desk| desk.take(&label)).await?,
            Err(_) => None,
        };
        let taken = taken.ok_or_else(|| Error::method("filter not found"))?;
        Ok(taken.iter().map(|one| Message::of(one)).collect::<Vec<_>>())
    });
    table.method("shh_deleteMessageFilter", |params, context| async move {
        let id: String = Arguments::only(params.as_deref())?;
        let removed = match id.parse::<Label>() {
            Ok(label) => context.clients.ask(move |desk| desk.remove(&label)).await?,
            Err(_) => false,
        };
        if !removed {
            return Err(Error::method("Unsubscribe: Invalid ID"));
        }
        Ok(true)
    });
    let subscription = table.0.register_subscription(
        "shh_subscribe",
        "shh_subscription",
        "shh_unsubscribe",
        |params, pending, context, _| async move {
            let params = params.as_str().map(str::to_owned);
            subscribe(params, pending, context).await;
        },
    );
    subscription.expect("every method has a name of its own");
}

/// One subscription, until the client ends it or is gone.
async fn subscribe(
    params: Option<String>,
    pending: PendingSubscriptionSink,
    context: Arc<Context>,
) {
    let (label, arrived) = match begin(params.as_deref(), &context).await {
        Ok(begun) => begun,
        Err(error) => return pending.reject(error).await,
    };
    if let Ok(sink) = pending.accept().await {
        loop {
            tokio::select! {
                () = sink.closed() => break,
                () = arrived.notified() => {}
            }
            let taken = context.clients.ask(move |desk| desk.take(&label)).await;
            for received in taken.ok().flatten().unwrap_or_default() {
                let message = to_raw_value(&Message::of(&received));
                let Ok(message) = message else { continue };
                if sink.send(message).await.is_err() {
                    break;
                }
            }
        }
    }
    let _ = context.clients.ask(move |desk| desk.remove(&label)).await;
}

/// Installs the filter of a subscription.
async fn begin(params: Option<&str>, context: &Context) -> Result<(Label, Arc<Notify>), Error> {
    let mut arguments = Arguments::read(params)?;
    let _name: String = arguments.next()?;
    let criteria: Criteria = arguments.next()?;
    arguments.end()?;
    let filter = subscribed(context, criteria).await?;
    let label = install(context, filter).await?;
    let arrived = context
        .clients
        .ask(move |desk| desk.subscribe(label))
        .await?;
    Ok((label, arrived))
}

/// The filter of `shh_newMessageFilter`. Unlike a subscription it may listen to a symmetric key on every topic.
async fn polled(context: &Context, criteria: Criteria) -> Result<Filter, Error> {
    let by_symmetric = one_key(&criteria)?;
    let signer = signer(&criteria)?;
    let key = if by_symmetric {
        let found = symmetric(context, &criteria.sym_key_id).await?;
        OpenKey::Symmetric(usable(found.ok_or_else(no_such_key)?)?)
    } else {
        let found = pair(context, &criteria.private_key_id).await?;
        OpenKey::Private(found.ok_or_else(invalid_id)?)
    };
    Ok(filter(key, signer, criteria))
}

/// The filter of `shh_subscribe`.
async fn subscribed(context: &Context, criteria: Criteria) -> Result<Filter, Error> {
    let by_symmetric = one_key(&criteria)?;
    let signer = signer(&criteria)?;
    let key = if by_symmetric {
        if criteria.topics.is_empty() {
            return Err(Error::method("missing topic(s)"));
        }
        let found = symmetric(context, &criteria.sym_key_id).await?;
        OpenKey::Symmetric(usable(found.ok_or_else(no_such_key)?)?)
    } else {
        let found = pair(context, &criteria.private_key_id).await?;
        OpenKey::Private(found.ok_or_else(|| Error::method("invalid public key"))?)
    };
    Ok(filter(key, signer, criteria))
}

/// Whether the one key that must be named is the symmetric one.
fn one_key(criteria: &Criteria) -> Result<bool, Error> {
    let symmetric = !criteria.sym_key_id.is_empty();
    if symmetric != criteria.private_key_id.is_empty() {
        let words = "specify either a symmetric or an asymmetric key";
        return Err(Error::method(words));
    }
    Ok(symmetric)
}

fn signer(criteria: &Criteria) -> Result<Option<PublicKey>, Error> {
    if criteria.sig.0.is_empty() {
        return Ok(None);
    }
    public_key(&criteria.sig.0)
        .map(Some)
        .ok_or_else(|| Error::method("invalid signing public key"))
}

/// A key in the uncompressed form, the only one that Whisper writes.
pub(super) fn public_key(bytes: &[u8]) -> Option<PublicKey> {
    PublicKey::from_prefixed(bytes.try_into().ok()?).ok()
}

fn filter(key: OpenKey, signer: Option<PublicKey>, criteria: Criteria) -> Filter {
    Filter {
        key,
        topics: criteria.topics.into_iter().collect(),
        signer,
        min_pow: criteria.min_pow,
        direct: criteria.allow_p2p,
    }
}

/// Installs a filter. A node that asks peers only for some topics asks for these as well from now on, as go-ethereum does;
/// it never asks for fewer, and a filter without topics asks for nothing more.
async fn install(context: &Context, filter: Filter) -> Result<Label, Error> {
    let topics = filter.topics.clone();
    let label = context
        .clients
        .ask(move |desk| desk.install(filter))
        .await??;
    context.node.want_topics(&topics).await?;
    Ok(label)
}
