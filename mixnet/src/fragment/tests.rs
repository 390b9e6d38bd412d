#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::frame::FrameHead;
use super::*;
use crate::error::DropReason;
use crate::now::Now;

fn at(start: Instant, seconds: u64) -> Now {
    Now {
        mono: start + Duration::from_secs(seconds),
        unix_ms: 0,
    }
}

fn now() -> Now {
    at(Instant::now(), 0)
}

fn object(len: usize) -> Object {
    Object {
        kind: 2,
        tag: [7; 16],
        bytes: (0..len).map(|i| (i % 253) as u8).collect(),
    }
}

/// The frames of an object of `len` bytes under id `id`.
fn frames(len: usize, id: u8) -> Vec<Vec<u8>> {
    split(object(len), [id; 8]).unwrap().collect()
}

fn head() -> FrameHead {
    FrameHead {
        kind: 1,
        tag: [7; 16],
        object_id: [9; 8],
        index: 0,
        count: 2,
        object_len: 10,
    }
}

#[test]
fn the_bytes_of_a_frame() {
    let frame = split(
        Object {
            kind: 3,
            tag: [0xaa; 16],
            bytes: vec![1, 2, 3],
        },
        [0xbb; 8],
    )
    .unwrap()
    .next()
    .unwrap();
    let expected = [
        "0103",
        &"aa".repeat(16),
        &"bb".repeat(8),
        "0000",
        "0001",
        "00000003",
        "0003",
        "010203",
    ];
    assert_eq!(hex::encode(frame), expected.concat());
}

#[test]
fn the_number_of_frames() {
    for (len, count) in [
        (0, 1),
        (1, 1),
        (FRAME_FRAGMENT_MAX, 1),
        (FRAME_FRAGMENT_MAX + 1, 2),
        (OBJECT_LEN_MAX, 307),
    ] {
        assert_eq!(frames_for(len), count);
        let frames = split(object(len), [1; 8]).unwrap();
        assert_eq!(frames.len(), count);
        assert!(
            frames
                .clone()
                .all(|frame| frame.len() <= crate::message::FRAME_LEN_MAX)
        );
        assert_eq!(frames.count(), count);
    }
    assert_eq!(
        split(object(OBJECT_LEN_MAX + 1), [1; 8]).err(),
        Some(Oversize(OBJECT_LEN_MAX + 1))
    );
}

#[test]
fn frames_that_cannot_be() {
    let fragment = [5; 5];
    let with = |change: fn(&mut FrameHead)| {
        let mut head = head();
        change(&mut head);
        head.encode(&fragment)
    };
    let bytes = |change: fn(&mut Vec<u8>)| {
        let mut frame = head().encode(&fragment);
        change(&mut frame);
        frame
    };
    use DropReason::*;
    for (name, frame, expected) in [
        ("nothing", vec![], FrameShort),
        ("no whole header", vec![1; 35], FrameShort),
        ("no whole fragment", bytes(|f| f.truncate(40)), FrameShort),
        ("version 0", bytes(|f| f[0] = 0), FrameVersion),
        ("version 2", bytes(|f| f[0] = 2), FrameVersion),
        ("kind 5", with(|h| h.kind = 5), FrameKind),
        ("padding", bytes(|f| f.extend([0, 0, 1])), FramePadding),
        ("count 0", with(|h| h.count = 0), FrameBounds),
        (
            "count 513",
            with(|h| (h.count, h.object_len) = (513, 100_000)),
            FrameBounds,
        ),
        ("index = count", with(|h| h.index = 2), FrameBounds),
        ("index 65535", with(|h| h.index = u16::MAX), FrameBounds),
        (
            "object too long",
            with(|h| (h.count, h.object_len) = (512, 1_200_001)),
            FrameBounds,
        ),
        (
            "object of 4 GiB",
            with(|h| (h.count, h.object_len) = (512, u32::MAX)),
            FrameBounds,
        ),
        (
            "fragment longer than object",
            with(|h| h.object_len = 4),
            FrameBounds,
        ),
        (
            "nothing left for the other fragment",
            with(|h| h.object_len = 5),
            FrameBounds,
        ),
        (
            "too much left for the other fragment",
            with(|h| h.object_len = 4000),
            FrameBounds,
        ),
        (
            "one fragment that is not all",
            with(|h| h.count = 1),
            FrameBounds,
        ),
        ("empty fragment of two", head().encode(&[]), FrameBounds),
    ] {
        let error = Reassembler::default().handle(now(), &frame).unwrap_err();
        assert_eq!(error.reason(), expected, "{name}");
    }
}

#[test]
fn cover_and_padding_are_nothing() {
    let mut reassembler = Reassembler::default();
    let mut cover = vec![0; 100];
    cover[0] = 1;
    assert_eq!(reassembler.handle(now(), &cover), Ok(None));
    let mut frame = frames(10, 1).remove(0);
    frame.extend([0; 50]);
    assert_eq!(reassembler.handle(now(), &frame), Ok(Some(object(10))));
}

#[test]
fn copies_are_ignored_before_and_after_the_end() {
    let mut reassembler = Reassembler::default();
    let now = now();
    let frames = frames(10_000, 1);
    assert_eq!(reassembler.handle(now, &frames[0]), Ok(None));
    let bytes = reassembler.bytes();
    assert_eq!(reassembler.handle(now, &frames[0]), Ok(None));
    assert_eq!(reassembler.bytes(), bytes);
    assert_eq!(reassembler.handle(now, &frames[2]), Ok(None));
    assert_eq!(
        reassembler.handle(now, &frames[1]),
        Ok(Some(object(10_000)))
    );
    for frame in &frames {
        assert_eq!(reassembler.handle(now, frame), Ok(None));
    }
    assert_eq!((reassembler.open(), reassembler.bytes()), (0, 0));
    // An object of one frame, too.
    let one = self::frames(10, 2).remove(0);
    assert_eq!(reassembler.handle(now, &one), Ok(Some(object(10))));
    assert_eq!(reassembler.handle(now, &one), Ok(None));
}

#[test]
fn a_conflict_kills_the_object() {
    let other_byte = |mut frame: Vec<u8>| {
        *frame.last_mut().unwrap() ^= 1;
        frame
    };
    let other_kind = |mut frame: Vec<u8>| {
        frame[1] = 3;
        frame
    };
    let other_len = |mut frame: Vec<u8>| {
        frame[33] += 1;
        frame
    };
    let other_count = |mut frame: Vec<u8>| {
        frame[29] += 1;
        frame
    };
    type Change = fn(Vec<u8>) -> Vec<u8>;
    let changes: [(&str, Change); 4] = [
        ("content", other_byte),
        ("kind", other_kind),
        ("length", other_len),
        ("count", other_count),
    ];
    for (name, change) in changes {
        let mut reassembler = Reassembler::default();
        let now = now();
        let frames = frames(10_000, 1);
        assert_eq!(reassembler.handle(now, &frames[0]), Ok(None));
        let conflict = reassembler.handle(now, &change(frames[0].clone()));
        assert_eq!(conflict, Err(FrameError::Conflict), "{name}");
        assert_eq!((reassembler.open(), reassembler.bytes()), (0, 0), "{name}");
        for frame in &frames {
            assert_eq!(
                reassembler.handle(now, frame),
                Err(FrameError::Dead),
                "{name}"
            );
        }
    }
}

#[test]
fn fragments_that_do_not_add_up_kill_the_object() {
    let mut reassembler = Reassembler::default();
    let now = now();
    let mut head = head();
    assert_eq!(reassembler.handle(now, &head.encode(&[1; 5])), Ok(None));
    head.index = 1;
    let short = reassembler.handle(now, &head.encode(&[1; 4]));
    assert_eq!(short, Err(FrameError::Conflict));

    head.object_id = [10; 8];
    assert_eq!(reassembler.handle(now, &head.encode(&[1; 5])), Ok(None));
    head.index = 0;
    let long = reassembler.handle(now, &head.encode(&[1; 6]));
    assert_eq!(long, Err(FrameError::Conflict));
}

#[test]
fn sixteen_open_objects_for_each_tag() {
    let mut reassembler = Reassembler::default();
    let now = now();
    for id in 0..16 {
        assert_eq!(reassembler.handle(now, &frames(10_000, id)[0]), Ok(None));
    }
    let refused = reassembler.handle(now, &frames(10_000, 16)[0]);
    assert_eq!(refused, Err(FrameError::TagFull));
    // One frame that is a whole object needs no place, and another tag has its own.
    assert!(
        reassembler
            .handle(now, &frames(5, 17)[0])
            .unwrap()
            .is_some()
    );
    let mut other = frames(10_000, 16).remove(0);
    other[2] = 8;
    assert_eq!(reassembler.handle(now, &other), Ok(None));
    // A place that becomes free is used.
    assert_eq!(reassembler.handle(now, &frames(10_000, 3)[1]), Ok(None));
    assert!(
        reassembler
            .handle(now, &frames(10_000, 3)[2])
            .unwrap()
            .is_some()
    );
    assert_eq!(reassembler.handle(now, &frames(10_000, 16)[0]), Ok(None));
}

#[test]
fn thirty_seconds_without_a_fragment() {
    let mut reassembler = Reassembler::default();
    let start = Instant::now();
    let frames = frames(15_000, 1);
    assert_eq!(reassembler.handle(at(start, 0), &frames[0]), Ok(None));
    assert_eq!(reassembler.handle(at(start, 29), &frames[1]), Ok(None));
    assert_eq!(
        reassembler.next_deadline(),
        Some(start + Duration::from_secs(59))
    );
    // A copy is no progress.
    assert_eq!(reassembler.handle(at(start, 58), &frames[1]), Ok(None));
    assert_eq!(reassembler.expire(at(start, 58)), 0);
    assert_eq!(
        reassembler.handle(at(start, 59), &frames[2]),
        Err(FrameError::Dead)
    );
    assert_eq!(reassembler.expire(at(start, 59)), 1);
    assert_eq!((reassembler.open(), reassembler.bytes()), (0, 0));
    assert_eq!(reassembler.next_deadline(), None);
}

#[test]
fn two_minutes_in_all() {
    let mut reassembler = Reassembler::default();
    let start = Instant::now();
    let frames = frames(100_000, 1);
    for (i, seconds) in (0..120).step_by(20).enumerate() {
        assert_eq!(reassembler.handle(at(start, seconds), &frames[i]), Ok(None));
    }
    assert_eq!(reassembler.next_deadline(), Some(start + TOTAL));
    assert_eq!(reassembler.expire(at(start, 120)), 1);
}

#[test]
fn memory_is_bounded_and_the_oldest_pay() {
    let mut reassembler = Reassembler::new(100_000);
    let start = Instant::now();
    for n in 0..200_u8 {
        let mut frame = frames(10_000, n).remove(0);
        frame[2] = n;
        let _ = reassembler.handle(at(start, 0), &frame);
        assert!(reassembler.bytes() <= 100_000);
    }
    assert!(reassembler.take_evicted() > 150);
    assert_eq!(reassembler.take_evicted(), 0);
    // The last one is still there.
    let mut rest = frames(10_000, 199);
    rest.iter_mut().for_each(|frame| frame[2] = 199);
    assert_eq!(reassembler.handle(at(start, 1), &rest[1]), Ok(None));
    assert!(
        reassembler
            .handle(at(start, 1), &rest[2])
            .unwrap()
            .is_some()
    );
}

#[test]
fn bombs_of_512_fragments_stay_within_bounds() {
    let mut reassembler = Reassembler::new(1_000_000);
    let now = now();
    for n in 0..20_000_u32 {
        let mut head = head();
        head.tag[..4].copy_from_slice(&n.to_be_bytes());
        head.count = 512;
        head.object_len = 1_200_000;
        assert_eq!(reassembler.handle(now, &head.encode(&[1; 3913])), Ok(None));
        assert!(reassembler.bytes() <= 1_000_000);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn an_object_comes_back_in_every_order(
        len in prop_oneof![0..3 * FRAME_FRAGMENT_MAX, Just(OBJECT_LEN_MAX)],
        order: u64,
        kind in 1..=KIND_MAX,
    ) {
        let mut object = object(len);
        object.kind = kind;
        let mut frames: Vec<_> = split(object.clone(), [1; 8]).unwrap().collect();
        let count = frames.len();
        for i in 0..count {
            frames.swap(i, (order.wrapping_mul(i as u64 + 1) % count as u64) as usize);
        }
        let mut reassembler = Reassembler::default();
        let now = now();
        for frame in &frames[..count - 1] {
            prop_assert_eq!(reassembler.handle(now, frame), Ok(None));
        }
        prop_assert_eq!(reassembler.handle(now, &frames[count - 1]), Ok(Some(object)));
    }

    #[test]
    fn any_bytes_are_survived(frames in prop::collection::vec(prop::collection::vec(0_u8..6, 0..60), 0..40)) {
        let mut reassembler = Reassembler::default();
        for mut frame in frames {
            if let Some(version) = frame.first_mut() {
                *version = 1;
            }
            let _ = reassembler.handle(now(), &frame);
        }
    }
}
