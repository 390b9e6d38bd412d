//! Mailservers: ours and those of status-go and go-ethereum, and the clients of each.
//!
//! | module | content |
//! |---|---|
//! | `statusd` | the unmodified daemon with its mailserver |
//! | `from_statusd` | our client pages through its history |
//! | `status_client` | a client of status-go asks our server |
//! | `geth` | go-ethereum's client and server, which know only the raw form |
//! | `sync` | ours and statusd copy from each other |
//! | `limits` | one script of requests for ours and for statusd |
//! | `killed` | `ferry run` as a mailserver, killed while envelopes arrive |

mod from_statusd;
mod geth;
mod killed;
mod limits;
mod status_client;
mod statusd;
mod sync;

use std::collections::BTreeSet;

use ferry::archive::RocksArchive;
use legacy::identity::{NodeId, SecretKey};
use legacy::mailserver::client::{Access, Sealed};
use legacy::mailserver::{HistoryRequest, server};
use legacy::shell::{Config, Event, Mailserver};
use legacy::shh::seal::{OpenKey, SymKey};
use legacy::shh::{Draft, Envelope, EnvelopeHash, Topic};
use tempfile::TempDir;

use crate::devnet::wait_until;
use crate::geth::PATIENCE;
use crate::geth::ours::{Ours, unix_now};

/// What every Status client knows.
const PASSWORD: &str = "status-offline-inbox";

/// What Status nodes of the last year ask for: large envelopes do not come by it for nothing.
const LATE_STATUS_POW: f64 = 0.000_002;

fn password(text: &str) -> SymKey {
    SymKey::from_password(text.as_bytes())
}

fn node_id(hex_id: &str) -> NodeId {
    let bytes = hex::decode(hex_id).expect("an id in hex");
    NodeId::new(bytes.try_into().expect("an id has 32 bytes"))
}

/// Envelopes that were sent one after the other, the first of them a while ago, and live for so long from now on.
fn history(
    count: u32,
    topic: Topic,
    lives: u32,
    mut data: impl FnMut(u32) -> Vec<u8>,
) -> Vec<Envelope> {
    let now = unix_now();
    (0..count)
        .map(|number| {
            let age = 2 * (count - number);
            let draft = Draft::new(now + lives, lives + age, topic, &data(number));
            let nonce = draft.search(LATE_STATUS_POW, 0).run(1 << 20, || false);
            draft.finish(nonce.expect("a few hundred tries"))
        })
        .collect()
}

fn numbers(number: u32) -> Vec<u8> {
    format!("number {number}").into_bytes()
}

/// Before any of it, for the start of a request.
fn an_hour_ago() -> u32 {
    unix_now() - 3600
}

/// Everything from an hour ago on.
fn request(id: &str, access: Access) -> HistoryRequest {
    HistoryRequest::new(node_id(id), an_hour_ago(), 0, access)
}

fn sealed(form: Sealed) -> Access {
    Access::Password(password(PASSWORD), form)
}

/// What came straight from a peer so far.
fn direct(ours: &mut Ours) -> Vec<Envelope> {
    let of = |event: &Event| match event {
        Event::Direct { envelope, .. } => Some(Envelope::clone(envelope)),
        _ => None,
    };
    ours.log().iter().filter_map(of).collect()
}

/// Waits until a peer has confirmed all of them.
fn wait_confirmed(ours: &mut Ours, envelopes: &[Envelope]) {
    wait_until("confirmations of everything posted", PATIENCE, || {
        let of = |event: &Event| match event {
            Event::Confirmed { hashes, .. } => Some(hashes.to_vec()),
            _ => None,
        };
        let confirmed: BTreeSet<EnvelopeHash> =
            ours.log().iter().filter_map(of).flatten().collect();
        envelopes
            .iter()
            .all(|envelope| confirmed.contains(&envelope.hash()))
    });
}

/// A mailserver of ours over a database on the disk.
fn mailserver(number: u8, change: impl FnOnce(&mut server::Config)) -> (Ours, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = RocksArchive::open(folder.path()).expect("a database");
    let key = SecretKey::from_bytes(&[number; 32]).expect("any small number is a key");
    let mut server = server::Config {
        keys: vec![
            OpenKey::Symmetric(password(PASSWORD)),
            OpenKey::Private(key),
        ],
        plain: true,
        min_pow: 0.0,
        envelope_min_pow: 0.0,
        ..server::Config::default()
    };
    change(&mut server);
    let ours = Ours::start(number, |config: &mut Config| {
        config.shh.min_pow = 0.0;
        config.mailserver = Some(Mailserver::new(server, Box::new(archive)));
    });
    (ours, folder)
}

/// Posts, and waits until all of it is in the archive.
fn fill(ours: &Ours, envelopes: &[Envelope]) {
    for envelope in envelopes {
        ours.post(envelope);
    }
    wait_archived(ours, envelopes.len() as u64);
}

fn wait_archived(ours: &Ours, count: u64) {
    wait_until("so many archived envelopes", PATIENCE, || {
        ours.counters().mail.totals.rows == count
    });
}

/// Waits until nothing is alive any more, so that what comes from now on comes from an archive.
fn wait_expired(ours: &Ours) {
    wait_until("an empty pool", PATIENCE, || ours.counters().pooled == 0);
}

/// In the order of a server's archive.
fn sorted(envelopes: &[Envelope]) -> Vec<EnvelopeHash> {
    let mut sorted: Vec<_> = envelopes
        .iter()
        .map(|envelope| (envelope.sent(), envelope.hash()))
        .collect();
    sorted.sort();
    sorted.into_iter().map(|(_, hash)| hash).collect()
}

fn hashes(envelopes: &[Envelope]) -> Vec<EnvelopeHash> {
    envelopes.iter().map(Envelope::hash).collect()
}
