//! Our mailserver and statusd copy from each other.

use std::collections::BTreeSet;

use legacy::mailserver::archive::Row;
use legacy::mailserver::client::Access;
use legacy::mailserver::{SyncError, SyncRequest, Synced};
use legacy::shell::Refused;
use legacy::shh::{Bloom, Envelope, Topic};
use serde_json::json;

use super::statusd::Statusd;
use super::{
    an_hour_ago, direct, fill, hashes, history, mailserver, node_id, numbers, request, sorted,
    wait_archived, wait_confirmed,
};
use crate::devnet::wait_until;
use crate::geth::PATIENCE;
use crate::geth::ours::{Ours, unix_now};

fn envelopes() -> Vec<Envelope> {
    history(23, Topic::of_name("history"), 300, numbers)
}

fn sync(id: &str, limit: u32) -> SyncRequest {
    SyncRequest {
        node: node_id(id),
        lower: an_hour_ago(),
        upper: 0,
        bloom: Bloom::FULL,
        limit,
    }
}

/// The cursors behind each of them, in the order of an archive.
fn places(envelopes: &[Envelope]) -> Vec<String> {
    let places: BTreeSet<_> = envelopes
        .iter()
        .map(|envelope| Row::of(envelope).key.cursor())
        .collect();
    places
        .iter()
        .map(|place| hex::encode(place.to_bytes()))
        .collect()
}

#[test]
fn ours_copies_what_statusd_has() {
    let statusd = Statusd::start(&json!({}));
    let mut poster = Ours::without_work(1);
    poster.dial(&statusd.enode);
    poster.wait_interest(&statusd.id, |_, _| true);
    let envelopes = envelopes();
    for envelope in &envelopes {
        poster.post(envelope);
    }
    wait_confirmed(&mut poster, &envelopes);
    for limit in [1, 10, 1000] {
        let (mut ours, _folder) = mailserver(2, |_| {});
        // What it hears must not count as copied.
        ours.set_bloom(Bloom::EMPTY);
        ours.dial(&statusd.enode);
        ours.wait_interest(&statusd.id, |_, _| true);
        let synced = ours
            .sync_from(sync(&statusd.id, limit))
            .expect("its archive");
        let pages = 23 / limit + 1;
        let expected = Synced {
            envelopes: 23,
            refused: 0,
            pages,
        };
        assert_eq!(synced, expected, "pages of {limit}");
        assert_eq!(ours.counters().mail.totals.rows, 23);
        for limit in [0, 1001] {
            let refused = ours.sync_from(sync(&statusd.id, limit));
            assert_eq!(refused, Err(Refused::Sync(SyncError::Limit(limit))));
        }
        // What was copied is served.
        let mut client = Ours::without_work(3);
        client.dial(&ours.enode());
        client.wait_interest(&ours.id(), |_, _| true);
        let id = ours.id();
        let history = client
            .request_history(request(&id, Access::Plain))
            .expect("ours");
        assert_eq!(history.envelopes, 23);
        wait_until("what we sent", PATIENCE, || direct(&mut client).len() == 23);
        assert_eq!(hashes(&direct(&mut client)), sorted(&envelopes));
        ours.lost_nobody();
    }
}

#[test]
fn ours_syncs_by_itself_from_a_listed_server() {
    let statusd = Statusd::start(&json!({}));
    let mut poster = Ours::without_work(1);
    poster.dial(&statusd.enode);
    poster.wait_interest(&statusd.id, |_, _| true);
    let envelopes = envelopes();
    for envelope in &envelopes {
        poster.post(envelope);
    }
    wait_confirmed(&mut poster, &envelopes);
    let id = node_id(&statusd.id);
    let (ours, _folder) = mailserver(2, |config| config.sync_from = BTreeSet::from([id]));
    ours.set_bloom(Bloom::EMPTY);
    ours.dial(&statusd.enode);
    wait_archived(&ours, 23);
}

#[test]
fn statusd_copies_what_ours_has() {
    let mut statusd = Statusd::start(&json!({}));
    let id = node_id(&statusd.id);
    let (mut ours, _folder) = mailserver(1, |config| config.sync_with = BTreeSet::from([id]));
    let envelopes = history(23, Topic::of_name("history"), 2, numbers);
    fill(&ours, &envelopes);
    // Dead, so that they come from the archive alone.
    super::wait_expired(&ours);
    ours.dial(&statusd.enode);
    ours.wait_interest(&statusd.id, |_, _| true);
    let enode = ours.enode();
    statusd.call("shh_markTrustedPeer", json!([enode]));
    let page = |limit: usize, cursor: &str| json!({"mailServerPeer": enode, "from": an_hour_ago(), "to": unix_now(), "limit": limit, "cursor": cursor});
    for limit in [0, 1001] {
        let asked = statusd.try_call("shhext_syncMessages", json!([page(limit, "")]));
        let error = asked.expect_err("no such page");
        assert!(error.contains("invalid 'Limit' value"), "{error}");
    }
    let places = places(&envelopes);
    for (number, start) in [0, 10, 20].into_iter().enumerate() {
        let cursor = if start == 0 { "" } else { &places[start - 1] };
        statusd.start_sync(&page(10, cursor));
        wait_until("an answer to a sync", PATIENCE, || {
            let counters = ours.counters().mail.server.expect("a mailserver");
            counters.syncs["served"] == number as u64 + 1
        });
    }
    let counters = ours.counters().mail.server.expect("a mailserver");
    assert_eq!(counters.envelopes_sent, 23, "three pages");
    // It has them now: another node of ours gets them from it.
    let mut client = Ours::without_work(3);
    client.dial(&statusd.enode);
    client.wait_interest(&statusd.id, |_, _| true);
    wait_until("everything at statusd", PATIENCE, || {
        let history = client.request_history(request(&statusd.id, Access::Plain));
        history.expect("its history").envelopes == 23
    });
    ours.lost_nobody();
}

#[test]
fn a_stranger_copies_nothing() {
    let mut statusd = Statusd::start(&json!({}));
    let (mut ours, _folder) = mailserver(1, |_| {});
    fill(&ours, &history(3, Topic::of_name("history"), 300, numbers));
    ours.dial(&statusd.enode);
    ours.wait_interest(&statusd.id, |_, _| true);
    let enode = ours.enode();
    statusd.call("shh_markTrustedPeer", json!([enode]));
    statusd.start_sync(
        &json!({"mailServerPeer": enode, "from": an_hour_ago(), "to": unix_now(), "limit": 10}),
    );
    wait_until("a sync that is refused", PATIENCE, || {
        let counters = ours.counters().mail.server.expect("a mailserver");
        counters.syncs["stranger"] == 1
    });
    let counters = ours.counters().mail.server.expect("a mailserver");
    assert_eq!(counters.envelopes_sent, 0);
    ours.lost_nobody();
}
