//! What came to Whisper later: confirmations, rate limits, direct messages and the mailserver's.

use std::time::{Duration, Instant};

use legacy::identity::SecretKey;
use legacy::mailserver::MemoryArchive;
use legacy::mailserver::response::Completion;
use legacy::mailserver::server;
use legacy::rlp::{self, List};
use legacy::shell::{Event, Mailserver};
use legacy::shh::{self, wire};

use super::whisper::{Heard, PATIENCE, SUBPROTOCOL, Stranger, Victim, good, list, random, unix_s};

/// What it says is taken without offence: an envelope of its is accepted afterwards.
async fn still_liked(victim: &mut Victim, stranger: &mut Stranger) {
    let one = good(&random::<8>());
    stranger.say_envelopes([&one]).await;
    victim.accepts(one.hash()).await;
}

async fn is_left(victim: &Victim, code: u64, payload: &[u8], what: &str) {
    let mut stranger = Stranger::friend(&victim.enode).await;
    stranger.say(code, payload).await;
    assert_eq!(stranger.last_word().await, SUBPROTOCOL, "{what}");
}

/// A friend that the node trusts.
async fn trusted(victim: &Victim) -> Stranger {
    let key = SecretKey::from_bytes(&random()).expect("a random key is in range");
    let node = key.public().node_id();
    victim
        .handle
        .trust_peer(node, true)
        .await
        .expect("there is room");
    Stranger::friend_as(key, &victim.enode).await
}

// ---- M16: confirmations and rate limits ---------------------------------------------------------------

#[tokio::test]
async fn m16_broken_confirmations_end_the_connection() {
    let mut victim = Victim::start(shh::Config::default());
    for (what, code, payload) in [
        (
            "an acknowledgement in a list",
            wire::BATCH_ACKNOWLEDGED,
            vec![0xc0],
        ),
        (
            "one of 31 bytes",
            wire::BATCH_ACKNOWLEDGED,
            rlp::encode_bytes(&[7; 31]),
        ),
        (
            "one of 33 bytes",
            wire::BATCH_ACKNOWLEDGED,
            rlp::encode_bytes(&[7; 33]),
        ),
        ("nothing", wire::BATCH_ACKNOWLEDGED, vec![]),
        (
            "a response that is no list",
            wire::MESSAGE_RESPONSE,
            vec![0x01],
        ),
        (
            "a response without a version",
            wire::MESSAGE_RESPONSE,
            vec![0xc0],
        ),
        ("a version alone", wire::MESSAGE_RESPONSE, vec![0xc1, 0x01]),
        (
            "a version in a list",
            wire::MESSAGE_RESPONSE,
            vec![0xc2, 0xc0, 0xc0],
        ),
        ("limits that are no list", wire::RATE_LIMITS, vec![0x05]),
        ("two limits", wire::RATE_LIMITS, vec![0xc2, 0x01, 0x02]),
    ] {
        is_left(&victim, code, &payload, what).await;
    }
    victim.survives().await;
}

#[tokio::test]
async fn m16_stray_confirmations_and_later_versions_mean_nothing() {
    let mut victim = Victim::start(shh::Config::default());
    let mut stranger = Stranger::friend(&victim.enode).await;
    for _ in 0..1000 {
        let hash = random::<32>();
        stranger
            .say(wire::BATCH_ACKNOWLEDGED, &rlp::encode_bytes(&hash))
            .await;
    }
    still_liked(&mut victim, &mut stranger).await;
    let fault = List::new()
        .bytes(&[7; 32])
        .uint(37)
        .bytes(b"very old envelope")
        .finish();
    let faults = (0..10_000).fold(List::new(), |list, _| list.raw(&fault));
    let batch = List::new().bytes(&[9; 32]).list(faults);
    for (_what, payload) in [
        (
            "ten thousand faults",
            List::new().uint(1).list(batch).finish(),
        ),
        ("version 2", list(&[&[0x02], &[0xc0]])),
        (
            "version 2^64 - 1",
            list(&[&rlp::encode_uint(u64::MAX), &[0x80]]),
        ),
        ("version 1 with nothing in it", list(&[&[0x01], &[0xc0]])),
        (
            "version 1 with a string",
            list(&[&[0x01], &rlp::encode_bytes(b"what")]),
        ),
    ] {
        stranger.say(wire::MESSAGE_RESPONSE, &payload).await;
        still_liked(&mut victim, &mut stranger).await;
    }
    for limits in [[0, 0, 0], [1, 1, 1], [u64::MAX; 3]] {
        let payload = limits.into_iter().fold(List::new(), List::uint).finish();
        stranger.say(wire::RATE_LIMITS, &payload).await;
        still_liked(&mut victim, &mut stranger).await;
    }
    victim.survives().await;
}

// ---- M17: completions ---------------------------------------------------------------------------------

/// What a string of this length, or this beginning, does to a connection with somebody who is listened to.
fn completions() -> Vec<(&'static str, Vec<u8>, bool)> {
    let with = |text: &[u8], len: usize| [text, &vec![7; len]].concat();
    [
        ("0 bytes", vec![], false),
        ("31 bytes", vec![7; 31], false),
        ("101 bytes", vec![7; 101], false),
        ("a failure of nothing", b"ERROR=".to_vec(), false),
        ("32 bytes", vec![7; 32], true),
        ("36 bytes", vec![7; 36], true),
        ("64 bytes", vec![7; 64], true),
        ("100 bytes", vec![7; 100], true),
        ("a failure of 31 bytes", with(b"ERROR=", 31), true),
        ("a failure of 32 bytes", with(b"ERROR=", 32), true),
        ("a failure with a text", with(b"ERROR=", 60), true),
    ]
    .into_iter()
    .map(|(what, bytes, good)| (what, rlp::encode_bytes(&bytes), good))
    .chain([
        ("a list", vec![0xc0], false),
        ("no bytes at all", vec![], false),
        ("a header that promises too much", vec![0xb8, 0xff], false),
    ])
    .collect()
}

#[tokio::test]
async fn m17_completions_of_strangers_are_not_looked_at() {
    let mut victim = Victim::start(shh::Config::default());
    let mut stranger = Stranger::friend(&victim.enode).await;
    for (_, payload, _) in completions() {
        // Even an empty payload is one block of Snappy.
        stranger.say(wire::REQUEST_COMPLETE, &payload).await;
    }
    still_liked(&mut victim, &mut stranger).await;
    let counters = victim.handle.counters().await.shh;
    assert_eq!(counters.untrusted_messages, completions().len() as u64);
    victim.survives().await;
}

#[tokio::test]
async fn m17_broken_completions_of_the_trusted_end_the_connection() {
    let mut victim = Victim::start(shh::Config::default());
    for (what, payload, good) in completions() {
        let mut server = trusted(&victim).await;
        server.say(wire::REQUEST_COMPLETE, &payload).await;
        if good {
            still_liked(&mut victim, &mut server).await;
        } else {
            assert_eq!(server.last_word().await, SUBPROTOCOL, "{what}");
        }
    }
    victim.survives().await;
}

// ---- M18: requests ------------------------------------------------------------------------------------

fn mailserver() -> Victim {
    let server = server::Config {
        plain: true,
        ..server::Config::default()
    };
    let mail = Mailserver::new(server, Box::new(MemoryArchive::new()));
    let config = shh::Config {
        mail: true,
        ..shh::Config::default()
    };
    Victim::with(config, Some(mail))
}

/// A request in clear of the last minute.
fn request(id: [u8; 32], change: impl FnOnce(&mut [Vec<u8>; 6])) -> Vec<u8> {
    let now = u64::from(unix_s());
    let mut fields = [
        rlp::encode_bytes(&id),
        rlp::encode_uint(now - 60),
        rlp::encode_uint(now),
        rlp::encode_uint(10),
        rlp::encode_bytes(&[]),
        rlp::encode_bytes(&[0xff; 64]),
    ];
    change(&mut fields);
    let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
    list(&fields)
}

async fn completion(stranger: &mut Stranger) -> Completion {
    loop {
        match stranger.hear().await {
            Heard::Message(wire::REQUEST_COMPLETE, payload) => {
                return Completion::decode(&payload).expect("the node sends good completions");
            }
            Heard::Message(..) => {}
            end => panic!("the node left: {end:?}"),
        }
    }
}

#[tokio::test]
async fn m18_what_is_neither_an_envelope_nor_a_request_ends_the_connection() {
    let mut victim = mailserver();
    for (what, payload) in [
        ("nothing", vec![]),
        ("an empty list", vec![0xc0]),
        ("a string", rlp::encode_bytes(b"give me everything")),
        ("five fields", list(&[&[1][..]; 5])),
        ("seven fields", list(&[&[1][..]; 7])),
        (
            "a name of 31 bytes",
            request([7; 32], |fields| fields[0] = rlp::encode_bytes(&[7; 31])),
        ),
        (
            "a time of five bytes",
            request([7; 32], |fields| fields[1] = rlp::encode_uint(1 << 32)),
        ),
        (
            "a list in the place of a time",
            request([7; 32], |fields| fields[2] = vec![0xc0]),
        ),
        ("longer than any", vec![0xff; 65 * 1024]),
    ] {
        is_left(&victim, wire::REQUEST, &payload, what).await;
    }
    victim.survives().await;
}

#[tokio::test]
async fn m18_requests_that_make_no_sense_are_told_so() {
    let mut victim = mailserver();
    let mut stranger = Stranger::friend(&victim.enode).await;
    for (number, (what, change)) in (1u8..).zip::<Vec<(&str, fn(&mut [Vec<u8>; 6]))>>(vec![
        ("an empty filter", |fields| {
            fields[5] = rlp::encode_bytes(&[])
        }),
        ("a filter of 63 bytes", |fields| {
            fields[5] = rlp::encode_bytes(&[1; 63])
        }),
        ("an end before the start", |fields| fields.swap(1, 2)),
        ("a limit of 2^32 - 1", |fields| {
            fields[3] = rlp::encode_uint(u64::from(u32::MAX))
        }),
        ("a limit of 1001", |fields| {
            fields[3] = rlp::encode_uint(1001)
        }),
        ("a cursor of 35 bytes", |fields| {
            fields[4] = rlp::encode_bytes(&[1; 35])
        }),
        ("a cursor of 37 bytes", |fields| {
            fields[4] = rlp::encode_bytes(&[1; 37])
        }),
    ]) {
        let id = [number; 32];
        stranger.say(wire::REQUEST, &request(id, change)).await;
        let answer = completion(&mut stranger).await;
        assert!(
            matches!(&answer, Completion::Failed { .. }),
            "{what}: {answer:?}"
        );
        assert_eq!(answer.id().0, id, "{what}");
    }
    // An envelope that opens with none of the keys.
    stranger
        .say(wire::REQUEST, good(b"a request that is none").raw())
        .await;
    let answer = completion(&mut stranger).await;
    assert!(matches!(answer, Completion::Failed { .. }), "{answer:?}");
    victim.survives().await;
}

#[tokio::test]
async fn m18_a_thousand_requests_at_once_are_bounded_and_others_are_served() {
    const REQUESTS: u16 = 1000;
    let mut victim = mailserver();
    let mut greedy = Stranger::friend(&victim.enode).await;
    let name = |number: u16| {
        let mut id = [7; 32];
        id[..2].copy_from_slice(&number.to_be_bytes());
        id
    };
    for number in 0..REQUESTS {
        greedy
            .say(wire::REQUEST, &request(name(number), |_| {}))
            .await;
    }
    let mut modest = Stranger::friend(&victim.enode).await;
    modest.say(wire::REQUEST, &request([9; 32], |_| {})).await;
    assert!(matches!(
        completion(&mut modest).await,
        Completion::Done { .. }
    ));
    // Each is answered once; or, where answers pile up faster than they are taken, the connection is given up.
    let mut answered = std::collections::BTreeSet::new();
    while answered.len() < usize::from(REQUESTS) {
        match greedy.hear().await {
            Heard::Message(wire::REQUEST_COMPLETE, payload) => {
                let answer = Completion::decode(&payload).expect("the node sends good completions");
                assert!(answered.insert(answer.id().0), "once each");
            }
            Heard::Message(..) => {}
            Heard::Disconnect(0x01) | Heard::Eof => break,
            end @ Heard::Disconnect(_) => panic!("{end:?}"),
        }
    }
    let mail = victim.handle.counters().await.mail.server;
    let requests = mail.expect("it is a mailserver").requests;
    assert!(requests["busy"] + requests["served"] >= answered.len() as u64);
    victim.survives().await;
}

#[tokio::test]
async fn m18_strangers_get_no_sync() {
    let mut victim = mailserver();
    let mut stranger = Stranger::friend(&victim.enode).await;
    let now = u64::from(unix_s());
    let sync = |limit: u64| {
        List::new()
            .uint(now - 60)
            .uint(now)
            .bytes(&[0xff; 64])
            .uint(limit)
            .bytes(&[])
            .finish()
    };
    // Whoever may not sync is refused before what it says is looked at.
    for payload in [sync(10), sync(0), sync(1001), vec![0xc0], vec![0x80]] {
        stranger.say(wire::SYNC_REQUEST, &payload).await;
        let refusal = loop {
            match stranger.hear().await {
                Heard::Message(wire::SYNC_RESPONSE, payload) => break payload,
                Heard::Message(..) => {}
                end => panic!("the node left: {end:?}"),
            }
        };
        let refusal = legacy::mailserver::exchange::Response::decode(&refusal)
            .expect("the node sends good responses");
        assert_eq!(refusal.count, 0);
        assert!(!refusal.error.is_empty());
    }
    still_liked(&mut victim, &mut stranger).await;
    // The same from somebody who may ends the connection.
    for payload in [sync(0), sync(1001), vec![0xc0], vec![0x80]] {
        let mut listed = trusted(&victim).await;
        listed.say(wire::SYNC_REQUEST, &payload).await;
        assert_eq!(listed.last_word().await, SUBPROTOCOL);
    }
    // Nobody asked for what a stranger brings.
    stranger.say(wire::SYNC_RESPONSE, &[0xff; 100]).await;
    still_liked(&mut victim, &mut stranger).await;
    victim.survives().await;
}

// ---- M19: direct messages -----------------------------------------------------------------------------

#[tokio::test]
async fn m19_a_flood_of_direct_messages_of_a_stranger_is_skipped() {
    const FLOOD: u64 = 20_000;
    let mut victim = Victim::start(shh::Config::default());
    let mut stranger = Stranger::friend(&victim.enode).await;
    for _ in 0..FLOOD {
        stranger.say(wire::DIRECT, &[0xff; 200]).await;
    }
    still_liked(&mut victim, &mut stranger).await;
    let counters = victim.handle.counters().await.shh;
    assert_eq!(counters.untrusted_messages, FLOOD);
    assert_eq!(counters.direct_received, 0);
    victim.survives().await;
}

#[tokio::test]
async fn m19_a_flood_of_direct_messages_of_the_trusted_waits_for_its_reader() {
    const FLOOD: usize = 20_000;
    /// Events in the channel and behind it, and what one read brings.
    const HELD_MAX: u64 = 1024 + 4096 + 2048;
    let mut victim = Victim::start(shh::Config::default());
    let mut sender = trusted(&victim).await;
    let one = good(b"straight to you");
    let bare = one.raw().to_vec();
    let sending = tokio::spawn(async move {
        for _ in 0..FLOOD {
            sender.say(wire::DIRECT, &bare).await;
        }
        sender
    });
    // Nobody reads events: the count comes to a halt.
    let (mut before, mut same, start) = (0, 0, Instant::now());
    while same < 10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let count = victim.handle.counters().await.shh.direct_received;
        same = if count == before && count > 0 {
            same + 1
        } else {
            0
        };
        before = count;
        assert!(start.elapsed() < PATIENCE, "{count} and no end");
    }
    assert!(before <= HELD_MAX, "{before} are held");
    let mut direct = 0;
    while direct < FLOOD {
        let event = tokio::time::timeout(PATIENCE, victim.events.recv()).await;
        if let Event::Direct { envelope, .. } = event.expect("in time").expect("it lives") {
            assert_eq!(envelope.hash(), one.hash());
            direct += 1;
        }
    }
    let counters = victim.handle.counters().await;
    assert_eq!(counters.pooled, 0, "past the pool");
    let mut sender = sending.await.expect("everything was taken");
    // Broken, from whomever: that is a breach.
    sender.say(wire::DIRECT, &[0xc1, 0x01]).await;
    assert_eq!(sender.last_word().await, SUBPROTOCOL);
    victim.survives().await;
}
