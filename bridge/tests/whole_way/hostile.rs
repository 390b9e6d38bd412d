//! Frames that were captured, forged or made to exhaust: no second effect, nothing that grows.

use bridge::counters::{Direction, DropReason};
use bridge::engine;
use bridge::gateway::request::{Body, Mode, Register};
use bridge::gateway::response::{Registered, Response, ResponseBody, Status};
use bridge::gateway::seal::{Context, End, ExchangeSecret, Session};
use bridge::mvds::id::{GroupId, PeerId};
use bridge::port::{Kind, Object, Prefix, Tag};
use secp256k1::{PublicKey, SecretKey};

use crate::stranger::{ask, ask_bytes, draw};
use crate::world::{CALM, Who, World, bridge_info};
use crate::{all_arrived, assert_once, register, talk};

fn dropped(world: &World, direction: Direction, reason: DropReason) -> u64 {
    world
        .bridge
        .as_ref()
        .unwrap()
        .status()
        .counters
        .dropped(direction, reason)
}

/// A REGISTER by hand.
fn terms(secret: [u8; 32], group: [u8; 32], kx: &ExchangeSecret) -> Register {
    let key = PublicKey::from_secret_key(&SecretKey::from_secret_bytes(secret).unwrap());
    Register {
        group: GroupId::new(group),
        client: PeerId::new(key.serialize_uncompressed()),
        filters: vec![Prefix::EVERYTHING],
        exclude: Vec::new(),
        lease_s: 3600,
        since: 0,
        mode: Mode::Batch,
        pace_ms: 0,
        max_backlog: 3,
        max_item_bytes: 0,
        kx: kx.public(),
        renew: None,
    }
}

/// Registers by hand; gives the answer.
fn register_by_hand(
    world: &mut World,
    id: [u8; 16],
    terms: Register,
    secret: [u8; 32],
) -> Response {
    let signed = terms.sign(&bridge_info().id, &secret).unwrap();
    let mut exchange = ask(world, id, Body::Register(signed), 1);
    world.run_for(500);
    exchange.answers(world).remove(0)
}

fn granted(response: &Response) -> Registered {
    match &response.body {
        Some(ResponseBody::Registered(granted)) => granted.clone(),
        other => panic!("{:?}: {other:?}", response.status),
    }
}

/// Case 74: everything that was ever sent, sent again.
#[test]
fn replayed_frames_have_no_second_effect() {
    let mut world = World::new(21, CALM, Mode::Batch);
    register(&mut world);
    let (mut down, mut up) = talk(&mut world, 5);
    world.run_until(20_000, "all messages", |world| {
        all_arrived(world, &down, &up)
    });
    for restart in [false, true] {
        if restart {
            world.crash(Who::Bridge);
            world.run_for(2000);
        }
        let before = world.bridge.as_ref().unwrap().status();
        let sent = world.sent_to_edge.len();
        let captured = world.captured.clone();
        for object in &captured {
            world.tell_bridge(engine::Input::Object(object.clone()));
        }
        world.run_for(1000);
        let after = world.bridge.as_ref().unwrap().status();
        assert_eq!(after.registrations, before.registrations);
        assert_eq!(after.posts_open, 0);
        assert_eq!(world.sent_to_edge.len(), sent, "no answer to a replay");
        let replayed = after
            .counters
            .dropped(Direction::ToWhisper, DropReason::Replayed)
            - before
                .counters
                .dropped(Direction::ToWhisper, DropReason::Replayed);
        assert_eq!(replayed, captured.len() as u64, "every one is recognised");
        // Credit was not made up by old blocks: they would be spent twice now.
        let (more_down, more_up) = talk(&mut world, 30);
        down.extend(more_down);
        up.extend(more_up);
        world.run_until(60_000, "all messages", |world| {
            all_arrived(world, &down, &up)
        });
        world.run_for(100);
    }
    assert_once(&world, &down);
}

/// Case 76: nothing is believed under another tag.
#[test]
fn forged_frames_are_ignored() {
    let mut world = World::new(22, CALM, Mode::Batch);
    register(&mut world);
    let kx = ExchangeSecret::from_bytes([3; 32]);
    let terms = terms([4; 32], [5; 32], &kx);
    let own = granted(&register_by_hand(&mut world, [1; 16], terms, [4; 32]));
    let mut session = Session::derive(End::Client, &kx, &own.kx, &[5; 32]).unwrap();

    let victim = world
        .captured
        .iter()
        .find(|object| object.kind == Kind::TopUp)
        .unwrap()
        .tag;
    assert_ne!(victim, own.tag);
    let mut forged = Vec::new();
    for kind in [Kind::Mvds, Kind::TopUp, Kind::Request, Kind::Cover] {
        // Sealed with the keys of another registration, or for another tag or kind.
        let bytes = session
            .sealer
            .seal(Context::new(kind, victim), b"")
            .unwrap();
        forged.push(Object {
            kind,
            tag: victim,
            bytes,
        });
        let bytes = session
            .sealer
            .seal(Context::new(kind, own.tag), b"")
            .unwrap();
        forged.push(Object {
            kind,
            tag: victim,
            bytes: bytes.clone(),
        });
        let other = if kind == Kind::Mvds {
            Kind::TopUp
        } else {
            Kind::Mvds
        };
        forged.push(Object {
            kind: other,
            tag: own.tag,
            bytes,
        });
        forged.push(Object {
            kind,
            tag: own.tag,
            bytes: vec![0; 23],
        });
        forged.push(Object {
            kind,
            tag: own.tag,
            bytes: Vec::new(),
        });
    }
    let mut expected = forged.len() as u64;
    for object in forged {
        // A cover is never opened.
        expected -= u64::from(object.kind == Kind::Cover);
        world.tell_bridge(engine::Input::Object(object));
    }
    world.run_for(100);
    // Counters that were there before are refused before anything is decrypted.
    let refused: u64 = [
        DropReason::Forged,
        DropReason::Malformed,
        DropReason::Replayed,
    ]
    .into_iter()
    .map(|reason| dropped(&world, Direction::ToWhisper, reason))
    .sum();
    assert_eq!(refused, expected);
    for kind in [Kind::Mvds, Kind::TopUp] {
        let object = Object {
            kind,
            tag: Tag::new([9; 16]),
            bytes: vec![1; 100],
        };
        world.tell_bridge(engine::Input::Object(object));
    }
    world.run_for(100);
    assert_eq!(
        dropped(&world, Direction::ToWhisper, DropReason::UnknownTag),
        2
    );
    let (down, up) = talk(&mut world, 5);
    world.run_until(20_000, "all messages", |world| {
        all_arrived_but_stranger(world, &down, &up)
    });
    assert_once(&world, &down);
}

/// The stranger never acknowledges.
fn all_arrived_but_stranger(
    world: &World,
    down: &[bridge::port::Envelope],
    up: &[bridge::port::Envelope],
) -> bool {
    down.iter()
        .all(|envelope| world.delivered.contains_key(&envelope.facts.hash))
        && up.iter().all(|envelope| {
            world
                .seen_on_whisper
                .contains_key(&envelope.facts.content_id)
        })
}

#[test]
fn requests_that_do_not_parse_are_dropped() {
    let mut world = World::bridge_only(23);
    world.run_for(50);
    let commits = world.sent_to_edge.len();
    for content in [&b""[..], b"\xff\xff\xff", b"\x0a\x01\x00", &[0x0a; 400]] {
        ask_bytes(&mut world, content);
    }
    let tag = Tag::new(draw(&mut world));
    for bytes in [Vec::new(), vec![0; 47], vec![0; 48], vec![7; 3000]] {
        world.tell_bridge(engine::Input::Object(Object {
            kind: Kind::Request,
            tag,
            bytes,
        }));
    }
    world.run_for(200);
    assert_eq!(
        dropped(&world, Direction::ToWhisper, DropReason::Malformed),
        4
    );
    assert_eq!(dropped(&world, Direction::ToWhisper, DropReason::Forged), 4);
    assert_eq!(world.sent_to_edge.len(), commits);
}

/// Case 87, and what a registration may not do.
#[test]
fn nobody_joins_the_group_of_another() {
    let mut world = World::bridge_only(24);
    let kx = ExchangeSecret::from_bytes([3; 32]);
    let first = terms([4; 32], [5; 32], &kx);
    let tag = granted(&register_by_hand(
        &mut world,
        [1; 16],
        first.clone(),
        [4; 32],
    ))
    .tag;

    let same_group = terms([6; 32], [5; 32], &kx);
    let answer = register_by_hand(&mut world, [2; 16], same_group, [6; 32]);
    assert_eq!(answer.status, Status::Bad);
    let same_peer = terms([4; 32], [7; 32], &kx);
    let answer = register_by_hand(&mut world, [3; 16], same_peer, [4; 32]);
    assert_eq!(answer.status, Status::Bad);
    let mut stolen = terms([6; 32], [5; 32], &kx);
    stolen.renew = Some(tag);
    let answer = register_by_hand(&mut world, [4; 16], stolen, [6; 32]);
    assert_eq!(answer.status, Status::Bad);
    let mut nothing = terms([6; 32], [8; 32], &kx);
    nothing.renew = Some(Tag::new([1; 16]));
    let answer = register_by_hand(&mut world, [5; 16], nothing, [6; 32]);
    assert_eq!(answer.status, Status::Gone);
    // Signed for another bridge.
    let other = terms([6; 32], [8; 32], &kx);
    let signed = other
        .sign(&bridge::port::BridgeId([2; 33]), &[6; 32])
        .unwrap();
    let mut exchange = ask(&mut world, [6; 16], Body::Register(signed), 1);
    world.run_for(500);
    assert_eq!(exchange.answers(&world)[0].status, Status::Unauth);

    // A repetition of the first, under a new one-shot tag, and a renewal.
    let again = register_by_hand(&mut world, [1; 16], first.clone(), [4; 32]);
    assert_eq!(granted(&again).tag, tag);
    let renewal = Register {
        renew: Some(tag),
        ..first
    };
    let renewed = granted(&register_by_hand(&mut world, [7; 16], renewal, [4; 32]));
    assert_eq!(renewed.tag, tag);
    assert_ne!(renewed.kx, granted(&again).kx, "new keys");
    assert_eq!(world.bridge.as_ref().unwrap().status().registrations, 1);
}

#[test]
fn backlog_and_blocks_of_a_registration_are_bounded() {
    let mut world = World::bridge_only(25);
    let kx = ExchangeSecret::from_bytes([3; 32]);
    let terms = terms([4; 32], [5; 32], &kx);
    let own = granted(&register_by_hand(&mut world, [1; 16], terms, [4; 32]));
    for n in 0..10 {
        let envelope = world.make(0x33, n);
        world.whisper_says(&envelope);
        world.run_for(50);
    }
    assert_eq!(
        world.bridge.as_ref().unwrap().status().deliveries_waiting,
        3
    );
    assert_eq!(
        dropped(&world, Direction::ToMix, DropReason::BacklogFull),
        7
    );

    let mut session = Session::derive(End::Client, &kx, &own.kx, &[5; 32]).unwrap();
    for _ in 0..80 {
        let blocks = (0..5).map(|_| world.make_block()).collect();
        let top_up = bridge::gateway::request::TopUp {
            blocks,
            discard_previous: false,
            ttl_s: 1_800,
        };
        let context = Context::new(Kind::TopUp, own.tag);
        let bytes = session.sealer.seal(context, &top_up.encode()).unwrap();
        world.tell_bridge(engine::Input::Object(Object {
            kind: Kind::TopUp,
            tag: own.tag,
            bytes,
        }));
    }
    world.run_for(100);
    let full = dropped(&world, Direction::ToMix, DropReason::BlocksFull);
    assert!((400 - 256 - 10..=400 - 256).contains(&full), "{full}");
    // Its lease ends: nothing of it is left.
    world.run_for(3_700_000);
    let status = world.bridge.as_ref().unwrap().status();
    assert_eq!((status.registrations, status.deliveries_waiting), (0, 0));
    assert_eq!(dropped(&world, Direction::ToMix, DropReason::LeaseEnded), 3);
    for family in [
        bridge::store::Family::Registrations,
        bridge::store::Family::ReplyBlocks,
        bridge::store::Family::Envelopes,
        bridge::store::Family::MvdsMessages,
    ] {
        assert_eq!(world.bridge_store.count(family), 0, "{}", family.name());
    }
}
