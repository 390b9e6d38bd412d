//! Our client pages through the history of statusd.

use legacy::mailserver::HistoryError;
use legacy::mailserver::client::{Access, Sealed};
use legacy::shell::Refused;
use legacy::shh::{Bloom, Envelope, Topic};
use serde_json::json;

use super::statusd::Statusd;
use super::{direct, hashes, history, numbers, password, request, sealed, sorted, wait_confirmed};
use crate::devnet::wait_until;
use crate::geth::PATIENCE;
use crate::geth::ours::Ours;

/// A daemon with a history, and a node of ours that asks it.
fn filled(envelopes: &[Envelope]) -> (Statusd, Ours, Ours) {
    let statusd = Statusd::start(&json!({}));
    let mut poster = Ours::without_work(1);
    poster.dial(&statusd.enode);
    poster.wait_interest(&statusd.id, |_, _| true);
    for envelope in envelopes {
        poster.post(envelope);
    }
    wait_confirmed(&mut poster, envelopes);
    let mut client = Ours::without_work(2);
    client.dial(&statusd.enode);
    client.wait_interest(&statusd.id, |_, _| true);
    (statusd, poster, client)
}

#[test]
fn its_history_comes_once_and_in_order_whatever_the_page() {
    let envelopes = history(23, Topic::of_name("history"), 300, numbers);
    let (statusd, poster, mut client) = filled(&envelopes);
    let mut before = 0;
    for access in [Access::Plain, sealed(Sealed::Seven)] {
        for limit in [0, 1, 2, 10] {
            let mut request = request(&statusd.id, access.clone());
            request.limit = limit;
            let history = client.request_history(request).expect("its history");
            assert!(history.complete, "it says that this is all");
            assert_eq!(history.envelopes, 23);
            assert_eq!(history.last, sorted(&envelopes).last().copied());
            let pages = 23u32.checked_div(limit).map_or(1, |pages| pages + 1);
            assert_eq!(history.pages, pages, "pages of {limit}");
            wait_until("what it sent", PATIENCE, || {
                direct(&mut client).len() >= before + 23
            });
            let found = direct(&mut client).split_off(before);
            assert_eq!(hashes(&found), sorted(&envelopes), "pages of {limit}");
            before += 23;
        }
    }
    client.lost_nobody();
    drop((poster, statusd));
}

#[test]
fn only_what_the_filter_takes_comes() {
    let [one, two] = ["one", "two"].map(Topic::of_name);
    let mut envelopes = history(5, one, 300, numbers);
    envelopes.extend(history(7, two, 300, numbers));
    let (statusd, _poster, client) = filled(&envelopes);
    let mut request = request(&statusd.id, sealed(Sealed::Seven));
    request.bloom = Bloom::of_topics([two]);
    let history = client.request_history(request).expect("its history");
    assert_eq!((history.envelopes, history.complete), (7, true));
}

#[test]
fn a_history_larger_than_a_packet_comes_whole() {
    let topic = Topic::of_name("large");
    let envelopes = history(30, topic, 300, |number| vec![number as u8; 200_000]);
    let (statusd, _poster, mut client) = filled(&envelopes);
    let request = request(&statusd.id, Access::Plain);
    let history = client.request_history(request).expect("its history");
    assert_eq!((history.envelopes, history.complete), (30, true));
    wait_until("what it sent", PATIENCE, || direct(&mut client).len() == 30);
    assert_eq!(hashes(&direct(&mut client)), sorted(&envelopes));
    client.lost_nobody();
}

#[test]
fn what_it_refuses_is_told_in_its_words() {
    let (statusd, _poster, mut client) = filled(&[]);
    let refused = |client: &Ours, access| match client.request_history(request(&statusd.id, access))
    {
        Err(Refused::History(HistoryError::Refused(text))) => text,
        other => panic!("{other:?}"),
    };
    let wrong = Access::Password(password("something else"), Sealed::Seven);
    assert_eq!(refused(&client, wrong), "failed to decrypt p2p request");
    // It reads what clients before 0.40 sealed as the raw form, and that as nonsense.
    let old = refused(&client, sealed(Sealed::Six));
    assert!(old.starts_with("query range"), "{old}");
    client.lost_nobody();
}

#[test]
fn it_is_asked_too_often() {
    let statusd = Statusd::start(&json!({"MailServerRateLimit": 600}));
    let mut client = Ours::without_work(2);
    client.dial(&statusd.enode);
    client.wait_interest(&statusd.id, |_, _| true);
    let first = client.request_history(request(&statusd.id, sealed(Sealed::Seven)));
    assert!(first.expect("an empty history").complete);
    for access in [sealed(Sealed::Seven), Access::Plain] {
        let again = client.request_history(request(&statusd.id, access));
        let text = "rate limit exceeded".to_owned();
        assert_eq!(again, Err(Refused::History(HistoryError::Refused(text))));
    }
    client.lost_nobody();
}
