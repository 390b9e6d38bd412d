//! `shh_*` apart from filters and messages: keys, what is asked of peers, facts.

use legacy::identity::{KeyError, SecretKey};
use legacy::shh::Bloom;
use legacy::shh::keyring::{Keyring, KeyringFull, Symmetric};
use legacy::shh::label::Label;
use legacy::shh::seal::SymKey;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Context, Table, hexadecimal};
use crate::rpc::argument::{Arguments, Bytes};
use crate::rpc::clients::Desk;
use crate::rpc::error::Error;
use crate::rpc::number::float;
use crate::rpc::peer_url::PeerUrl;

/// `shh_info`.
#[derive(Serialize, Clone)]
#[serde(rename_all = "camelCase")]
struct Info {
    /// Bytes of the pool.
    memory: usize,
    /// Envelopes that wait to be held against the filters.
    messages: usize,
    min_pow: Box<RawValue>,
    max_message_size: usize,
}

pub(super) fn register(table: &mut Table) {
    table.method("shh_version", |params, _| async move {
        Arguments::none(params.as_deref())?;
        Ok("6.0")
    });
    table.method("shh_info", |params, context| async move {
        Arguments::none(params.as_deref())?;
        let info = context.node.info().await?;
        Ok(Info {
            memory: info.pooled_bytes,
            messages: context.clients.waiting(),
            min_pow: float(info.min_pow),
            max_message_size: info.envelope_len_max,
        })
    });
    register_settings(table);
    register_pairs(table);
    register_symmetric(table);
}

fn register_settings(table: &mut Table) {
    table.method("shh_setMaxMessageSize", |params, context| async move {
        let size: u32 = Arguments::only(params.as_deref())?;
        if size > MESSAGE_SIZE_MAX {
            let words = format!("message size too large [{size}>{MESSAGE_SIZE_MAX}]");
            return Err(Error::method(words));
        }
        context.node.set_envelope_len_max(size).await?;
        Ok(true)
    });
    table.method("shh_setMinPoW", |params, context| async move {
        let min_pow: f64 = Arguments::only(params.as_deref())?;
        if min_pow < 0.0 {
            return Err(Error::method(format!("invalid PoW: {min_pow:.6}")));
        }
        context.node.set_min_pow(min_pow).await?;
        Ok(true)
    });
    table.method("shh_setBloomFilter", |params, context| async move {
        let bytes: Bytes = Arguments::only(params.as_deref())?;
        let len = bytes.0.len();
        let bloom = <[u8; Bloom::LEN]>::try_from(bytes.0)
            .map_err(|_| Error::method(format!("invalid bloom filter size: {len}")))?;
        context.node.set_bloom(Bloom::new(bloom)).await?;
        Ok(true)
    });
    table.method("shh_markTrustedPeer", |params, context| async move {
        let url: String = Arguments::only(params.as_deref())?;
        let peer = PeerUrl::parse(&url).map_err(Error::method)?;
        context.node.trust_peer(peer.node).await?;
        Ok(true)
    });
    table.method("shh_makeLightClient", |params, context| async move {
        Arguments::none(params.as_deref())?;
        context.node.set_light(true).await?;
        Ok(true)
    });
    table.method("shh_cancelLightClient", |params, context| async move {
        Arguments::none(params.as_deref())?;
        context.node.set_light(false).await?;
        Ok(true)
    });
}

fn register_pairs(table: &mut Table) {
    table.method("shh_newKeyPair", |params, context| async move {
        Arguments::none(params.as_deref())?;
        keep(&context, Keyring::generate_pair, forget_pair).await
    });
    table.method("shh_addPrivateKey", |params, context| async move {
        let bytes: Bytes = Arguments::only(params.as_deref())?;
        let key = private_key(&bytes.0)?;
        keep(&context, move |ring| ring.add_pair(key), forget_pair).await
    });
    table.method("shh_deleteKeyPair", |params, context| async move {
        let id: String = Arguments::only(params.as_deref())?;
        let deleted = delete(&context, &id, Kind::Pair).await?;
        if !deleted {
            return Err(Error::method(format!("key pair {id} not found")));
        }
        Ok(true)
    });
    table.method("shh_hasKeyPair", |params, context| async move {
        let id: String = Arguments::only(params.as_deref())?;
        Ok(pair(&context, &id).await?.is_some())
    });
    table.method("shh_getPublicKey", |params, context| async move {
        let id: String = Arguments::only(params.as_deref())?;
        let key = pair(&context, &id).await?.ok_or_else(invalid_id)?;
        Ok(hexadecimal(&key.public().to_prefixed()))
    });
    table.method("shh_getPrivateKey", |params, context| async move {
        let id: String = Arguments::only(params.as_deref())?;
        let key = pair(&context, &id).await?.ok_or_else(invalid_id)?;
        Ok(hexadecimal(&*key.to_bytes()))
    });
}

fn register_symmetric(table: &mut Table) {
    table.method("shh_newSymKey", |params, context| async move {
        Arguments::none(params.as_deref())?;
        keep(&context, Keyring::generate_symmetric, forget_symmetric).await
    });
    table.method("shh_addSymKey", |params, context| async move {
        let bytes: Bytes = Arguments::only(params.as_deref())?;
        let len = bytes.0.len();
        let bytes = <[u8; SymKey::LEN]>::try_from(bytes.0)
            .map_err(|_| Error::method(format!("wrong key size: {len}")))?;
        let key = Symmetric::from_bytes(&bytes);
        keep(
            &context,
            move |ring| ring.add_symmetric(key),
            forget_symmetric,
        )
        .await
    });
    table.method(
        "shh_generateSymKeyFromPassword",
        |params, context| async move {
            let password: String = Arguments::only(params.as_deref())?;
            // Tens of milliseconds on purpose: not on a thread that serves others.
            let stretched =
                tokio::task::spawn_blocking(move || SymKey::from_password(password.as_bytes()));
            let key = stretched
                .await
                .map_err(|_| Error::method("method handler crashed"))?;
            let key = Symmetric::Key(key);
            keep(
                &context,
                move |ring| ring.add_symmetric(key),
                forget_symmetric,
            )
            .await
        },
    );
    table.method("shh_hasSymKey", |params, context| async move {
        let id: String = Arguments::only(params.as_deref())?;
        Ok(symmetric(&context, &id).await?.is_some())
    });
    table.method("shh_getSymKey", |params, context| async move {
        let id: String = Arguments::only(params.as_deref())?;
        let key = symmetric(&context, &id).await?.ok_or_else(no_such_key)?;
        Ok(hexadecimal(&*key.to_bytes()))
    });
    table.method("shh_deleteSymKey", |params, context| async move {
        let id: String = Arguments::only(params.as_deref())?;
        delete(&context, &id, Kind::Symmetric).await
    });
}

/// Puts a key into the ring, and on the disk where keys are kept.
async fn keep(
    context: &Context,
    add: impl FnOnce(&mut Keyring) -> Result<Label, KeyringFull> + Send + 'static,
    undo: fn(&mut Keyring, &Label),
) -> Result<String, Error> {
    let kept = context.clients.ask(move |desk| {
        let add = |ring: &mut Keyring| add(ring).map_err(|full| Error::method(full.to_string()));
        desk.change_keys(add, undo)
    });
    Ok(kept.await??.to_string())
}

fn forget_pair(ring: &mut Keyring, label: &Label) {
    ring.remove_pair(label);
}

fn forget_symmetric(ring: &mut Keyring, label: &Label) {
    ring.remove_symmetric(label);
}

/// Which of the two kinds of keys.
#[derive(Clone, Copy)]
enum Kind {
    Pair,
    Symmetric,
}

/// Takes a key out of the ring, and off the disk where keys are kept; false where there is none.
async fn delete(context: &Context, id: &str, kind: Kind) -> Result<bool, Error> {
    let Ok(label) = id.parse::<Label>() else {
        return Ok(false);
    };
    let deleted = context.clients.ask(move |desk| {
        // A key that cannot be struck off the disk is still gone from memory: the client wanted it gone.
        let remove = |ring: &mut Keyring| {
            Ok(match kind {
                Kind::Pair => ring.remove_pair(&label),
                Kind::Symmetric => ring.remove_symmetric(&label),
            })
        };
        desk.change_keys(remove, |_, _| {})
    });
    deleted.await?
}

/// The key pair of an id; nothing for an id that names none.
pub(super) async fn pair(context: &Context, id: &str) -> Result<Option<SecretKey>, Error> {
    let Ok(label) = id.parse::<Label>() else {
        return Ok(None);
    };
    let found = move |desk: &mut Desk| desk.keyring.pair(&label).cloned();
    context.clients.ask(found).await
}

/// The symmetric key of an id; nothing for an id that names none.
pub(super) async fn symmetric(context: &Context, id: &str) -> Result<Option<Symmetric>, Error> {
    let Ok(label) = id.parse::<Label>() else {
        return Ok(None);
    };
    let found = move |desk: &mut Desk| desk.keyring.symmetric(&label).cloned();
    context.clients.ask(found).await
}

/// What is said of an id that names no key pair.
pub(super) fn invalid_id() -> Error {
    Error::method("invalid id")
}

/// What is said of an id that names no symmetric key.
pub(super) fn no_such_key() -> Error {
    Error::method("non-existent key ID")
}

/// The key that seals and opens, which zeros do not.
pub(super) fn usable(key: Symmetric) -> Result<SymKey, Error> {
    match key {
        Symmetric::Key(key) => Ok(key),
        Symmetric::Zero => Err(Error::method("invalid symmetric key")),
    }
}

fn private_key(bytes: &[u8]) -> Result<SecretKey, Error> {
    let bytes: &[u8; 32] = bytes
        .try_into()
        .map_err(|_| Error::method("invalid length, need 256 bits"))?;
    SecretKey::from_bytes(bytes).map_err(|_: KeyError| {
        Error::method(if bytes.iter().all(|byte| *byte == 0) {
            "invalid private key, zero or negative"
        } else {
            "invalid private key, >=N"
        })
    })
}

/// The largest size that a client may set.
const MESSAGE_SIZE_MAX: u32 = 10 * 1024 * 1024;
