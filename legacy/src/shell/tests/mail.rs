//! Mail between two nodes on loopback.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::*;
use crate::mailserver::archive::{Page, Prune, Query, Row, Totals};
use crate::mailserver::client::{Access, Sealed};
use crate::mailserver::{HistoryError, HistoryRequest, MemoryArchive, SyncError, SyncRequest};
use crate::shh::seal::{OpenKey, SymKey};

/// An archive that can be looked at after its node has ended.
#[derive(Clone, Default)]
struct Shared {
    archive: Arc<Mutex<MemoryArchive>>,
    /// Its disk takes nothing, while set.
    full: Arc<AtomicBool>,
}

impl Shared {
    fn with<T>(&self, act: impl FnOnce(&mut MemoryArchive) -> T) -> T {
        act(&mut self.archive.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Archive for Shared {
    fn store(&mut self, rows: &[Row]) -> Result<u64, ArchiveError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(ArchiveError::Io("full".to_owned()));
        }
        self.with(|archive| archive.store(rows))
    }

    fn read(&mut self, query: &Query) -> Result<Page, ArchiveError> {
        self.with(|archive| archive.read(query))
    }

    fn prune(&mut self, prune: &Prune) -> Result<u64, ArchiveError> {
        self.with(|archive| archive.prune(prune))
    }

    fn totals(&self) -> Totals {
        self.with(|archive| archive.totals())
    }

    fn newest(&self) -> Result<Option<u32>, ArchiveError> {
        self.with(|archive| archive.newest())
    }

    fn flush(&mut self) -> Result<(), ArchiveError> {
        self.with(|archive| archive.flush())
    }
}

fn password() -> SymKey {
    SymKey::from_bytes(&[7; 32]).unwrap()
}

fn serving(number: u8, archive: Shared, change: impl FnOnce(&mut server::Config)) -> Running {
    let mut config = server::Config {
        keys: vec![OpenKey::Symmetric(password())],
        plain: true,
        min_pow: 0.0,
        envelope_min_pow: 0.0,
        ..server::Config::default()
    };
    change(&mut config);
    start(number, |node| {
        node.shh.min_pow = 0.0;
        node.mailserver = Some(Mailserver::new(config, Box::new(archive)));
    })
}

fn bulky(count: u32, len: usize) -> Vec<Envelope> {
    let now = u32::try_from(now().unix_s()).unwrap();
    let draft = |number: u32| {
        let mut data = vec![0; len];
        data.extend(number.to_be_bytes());
        Draft::new(now + 60, 60 + number, Topic::of_name("mail"), &data).finish(0)
    };
    (0..count).map(draft).collect()
}

/// A node that is connected to another and hears nothing of it but mail.
async fn client(number: u8, of: &Running) -> Running {
    let mut client = start(number, |config| {
        config.shh.min_pow = 0.0;
        config.shh.bloom = Some(Bloom::EMPTY);
        config.static_peers.push(of.enode());
    });
    client.ready().await;
    client
}

fn request(of: &Running, access: Access) -> HistoryRequest {
    HistoryRequest::new(of.enode().node_id(), 0, 0, access)
}

#[tokio::test]
async fn a_history_larger_than_any_queue_arrives_in_order() {
    let archive = Shared::default();
    let envelopes = bulky(60, 200_000);
    let rows: Vec<Row> = envelopes.iter().map(Row::of).collect();
    archive.with(|archive| archive.store(&rows)).unwrap();
    let server = serving(1, archive, |_| {});
    let mut client = client(2, &server).await;
    let mut expected: Vec<_> = rows.iter().map(|row| row.key.cursor()).collect();
    expected.sort();
    for access in [
        Access::Plain,
        Access::Password(password(), Sealed::Seven),
        Access::Password(password(), Sealed::Raw),
    ] {
        let asking = client.handle.clone();
        let request = request(&server, access);
        let asked = tokio::spawn(async move { asking.request_history(request).await });
        for place in &expected {
            let hash = client
                .wait(|event| match event {
                    Event::Direct { envelope, .. } => Some(envelope.hash()),
                    _ => None,
                })
                .await;
            assert_eq!(hash, place.hash());
        }
        let history = asked.await.unwrap().unwrap();
        assert_eq!((history.envelopes, history.complete), (60, true));
    }
    let mail = server.handle.counters().await.mail;
    assert_eq!(mail.server.unwrap().envelopes_sent, 180);
    assert_eq!(
        server.handle.counters().await.closed.len(),
        0,
        "nobody left"
    );
    client.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn what_was_accepted_is_stored_before_the_node_ends() {
    let archive = Shared::default();
    let server = serving(1, archive.clone(), |_| {});
    let envelopes = bulky(300, 10);
    for envelope in &envelopes {
        server.handle.post(envelope.clone()).await.unwrap();
    }
    server.stop().await;
    assert_eq!(archive.totals().rows, 300);
}

#[tokio::test]
async fn nothing_is_confirmed_that_the_archive_does_not_have() {
    let archive = Shared::default();
    archive.full.store(true, Ordering::Relaxed);
    let server = serving(1, archive.clone(), |_| {});
    let mut client = client(2, &server).await;
    let envelopes = bulky(10, 10);
    for envelope in &envelopes {
        client.handle.post(envelope.clone()).await.unwrap();
    }
    let failures = || async {
        let mail = server.handle.counters().await.mail;
        mail.server.map_or(0, |server| server.failures)
    };
    let patience = Instant::now() + PATIENCE;
    while failures().await == 0 || server.handle.counters().await.pooled < envelopes.len() {
        assert!(Instant::now() < patience, "nothing is tried");
        tokio::task::yield_now().await;
    }
    let sent = server.handle.counters().await.shh.confirmations_sent;
    assert_eq!((sent, archive.totals().rows), (0, 0));
    archive.full.store(false, Ordering::Relaxed);
    let mut confirmed = BTreeSet::new();
    while confirmed.len() < envelopes.len() {
        let hashes = client
            .wait(|event| match event {
                Event::Confirmed { hashes, .. } => Some(hashes),
                _ => None,
            })
            .await;
        let rows = archive.totals().rows;
        confirmed.extend(hashes.iter().copied());
        assert!(rows >= confirmed.len() as u64, "{rows} rows");
    }
    client.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn one_server_copies_the_other() {
    let (full, empty) = (Shared::default(), Shared::default());
    let rows: Vec<Row> = bulky(50, 30_000).iter().map(Row::of).collect();
    full.with(|archive| archive.store(&rows)).unwrap();
    let key_of_copier = key(2).public().node_id();
    let server = serving(1, full, |config| {
        config.sync_with.insert(key_of_copier);
    });
    let mut copier = serving(2, empty.clone(), |_| {});
    copier.handle.add_peer(server.enode()).await.unwrap();
    copier.ready().await;
    let request = SyncRequest {
        node: server.enode().node_id(),
        lower: 0,
        upper: 0,
        bloom: Bloom::FULL,
        limit: 7,
    };
    let synced = copier.handle.sync_from(request.clone()).await.unwrap();
    assert_eq!((synced.envelopes, synced.refused, synced.pages), (50, 0, 8));
    assert_eq!(empty.totals().rows, 50, "it is there when it is told");
    let plain = client(3, &server).await;
    let refused = plain.handle.sync_from(request).await;
    assert_eq!(refused, Err(Refused::Sync(SyncError::NoArchive)));
    for node in [plain, copier, server] {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_node_that_is_no_mailserver_does_not_answer_and_is_not_waited_for_after_it_left() {
    let server = start(1, |config| config.shh.min_pow = 0.0);
    let client = client(2, &server).await;
    let asking = client.handle.clone();
    let request = request(&server, Access::Plain);
    let asked = tokio::spawn(async move { asking.request_history(request).await });
    while client.handle.counters().await.mail.client.requests == 0 {
        tokio::task::yield_now().await;
    }
    server.stop().await;
    let ended = asked.await.unwrap();
    assert_eq!(ended, Err(Refused::History(HistoryError::NotConnected)));
    client.stop().await;
}
