//! Limits of requests, byte for byte the same for our server and for statusd: none means a thousand, and more is refused.

use std::time::{Duration, Instant};

use legacy::mailserver::archive::Row;
use legacy::mailserver::response::Completion;
use legacy::mailserver::{Form, MailId, Request, Wanted};
use legacy::rlp::{Item, List};
use legacy::rlpx::disconnect::DisconnectReason;
use legacy::shh::{Bloom, Topic, wire};
use serde_json::json;

use super::statusd::Statusd;
use super::{
    an_hour_ago, fill, history, mailserver, numbers, sorted, wait_archived, wait_confirmed,
};
use crate::geth::ours::{Ours, unix_now};
use crate::geth::scripted::{SHH, Scripted, key};

/// One more than fit into an answer.
const ENVELOPES: u32 = 1001;

/// A friend of a server. One with the same key may just have left, and a server that has not noticed yet refuses the next.
fn friend(server: &str, number: u8) -> Scripted {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let mut friend = Scripted::usual(server, key(number));
        if friend.is_greeted(5, &[("shh", 6)]) {
            friend.exchange_status(&[0xc1, 0x06]);
            return friend;
        }
        assert!(Instant::now() < end, "the server takes no friend");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn everything(limit: u32) -> Vec<u8> {
    let request = Request {
        lower: an_hour_ago(),
        upper: unix_now() + 60,
        wanted: Wanted::ALL,
        limit,
        cursor: None,
        batch: true,
    };
    request.encode(Form::Plain, ID)
}

fn sync(limit: u32) -> Vec<u8> {
    List::new()
        .uint(u64::from(an_hour_ago()))
        .uint(u64::from(unix_now()))
        .bytes(Bloom::FULL.as_bytes())
        .uint(u64::from(limit))
        .bytes(&[])
        .finish()
}

const ID: MailId = MailId([0x31; 32]);

/// How many envelopes a direct message has: one that is bare, or a list of them.
fn envelopes(payload: &[u8]) -> usize {
    let mut items = Item::exact(payload).expect("RLP").list().expect("a list");
    let first = items.required().expect("no message is empty");
    if !first.is_list() {
        return 1;
    }
    1 + items.count()
}

/// What comes of a request: how many envelopes, and how it ends.
fn ask(friend: &mut Scripted, request: &[u8]) -> (usize, Completion) {
    friend.say(SHH + wire::REQUEST, request);
    let mut came = 0;
    loop {
        let (code, payload) = friend.hear().expect("an answer");
        match code - SHH.min(code) {
            wire::DIRECT => came += envelopes(&payload),
            wire::REQUEST_COMPLETE => {
                return (came, Completion::decode(&payload).expect("an end"));
            }
            _ => {}
        }
    }
}

/// What a server says to every limit at the bounds.
fn limits(server: &str, may_sync: u8) -> Vec<String> {
    let mut said = Vec::new();
    for limit in [0, 1, 1000, 1001] {
        let (came, end) = ask(&mut friend(server, 1), &everything(limit));
        said.push(format!("{limit}: {came}, {end:?}"));
    }
    for limit in [0, 1001] {
        let mut friend = friend(server, may_sync);
        friend.say(SHH + wire::SYNC_REQUEST, &sync(limit));
        assert_eq!(friend.end(), Some(DisconnectReason::Subprotocol));
    }
    for limit in [1, 1000] {
        let mut friend = friend(server, may_sync);
        friend.say(SHH + wire::SYNC_REQUEST, &sync(limit));
        let mut came = 0;
        loop {
            let (code, payload) = friend.hear().expect("an answer to a sync");
            if code != SHH + wire::SYNC_RESPONSE {
                continue;
            }
            let mut fields = Item::exact(&payload).expect("RLP").list().expect("a list");
            came += fields.required().unwrap().list().unwrap().count();
            let cursor = fields.required().unwrap().bytes().unwrap().to_vec();
            if fields.required().unwrap().boolean().unwrap() {
                said.push(format!("sync {limit}: {came}, {}", hex::encode(cursor)));
                break;
            }
        }
    }
    said
}

#[test]
fn limits_of_nothing_and_of_too_much() {
    let all = history(ENVELOPES, Topic::of_name("history"), 300, numbers);
    let statusd = Statusd::start(&json!({}));
    let mut poster = Ours::without_work(1);
    poster.dial(&statusd.enode);
    poster.wait_interest(&statusd.id, |_, _| true);
    for envelope in &all {
        poster.post(envelope);
    }
    wait_confirmed(&mut poster, &all);
    let theirs = limits(&statusd.enode, 2);

    let syncs = key(2).public().node_id();
    let (ours, _folder) = mailserver(2, |config| {
        config.sync_with.insert(syncs);
    });
    fill(&ours, &all);
    wait_archived(&ours, u64::from(ENVELOPES));
    assert_eq!(limits(&ours.enode(), 2), theirs);

    let places = sorted(&all);
    let place = |at: usize| {
        let envelope = all.iter().find(|one| one.hash() == places[at]);
        let row = Row::of(envelope.expect("one of them"));
        hex::encode(row.key.cursor().to_bytes())
    };
    assert!(theirs[0].starts_with("0: 1000, Done"), "{theirs:?}");
    assert!(theirs[3].starts_with("1001: 0, Failed"), "{theirs:?}");
    assert_eq!(
        theirs[4..],
        [
            format!("sync 1: 1, {}", place(0)),
            format!("sync 1000: 1000, {}", place(999)),
        ]
    );
}
