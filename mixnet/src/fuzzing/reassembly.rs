//! Frames of strangers, and objects whose frames arrive in any state.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::script::Script;
use crate::fragment::{BYTES_MAX, FRAME_FRAGMENT_MAX, Object, Reassembler, TAG_LEN, split};
use crate::message::FRAME_LEN_MAX;
use crate::now::Now;

/// Two clocks that a script moves.
pub(super) struct Time {
    start: Instant,
    passed: Duration,
}

impl Time {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            passed: Duration::ZERO,
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.passed += time;
    }

    pub(super) fn now(&self) -> Now {
        Now {
            mono: self.start + self.passed,
            unix_ms: 1_700_000_000_000 + self.passed.as_millis() as u64,
        }
    }
}

/// Frames one after the other, each behind two bytes with its length.
pub fn frame(data: &[u8]) {
    let mut script = Script::new(data);
    let mut reassembler = Reassembler::default();
    let mut time = Time::new();
    for _ in 0..FRAMES_MAX {
        let Some(high) = script.step() else { break };
        let len = usize::from(u16::from_be_bytes([high & 0x0f, script.byte()]));
        time.pass(Duration::from_secs(u64::from(high >> 4)));
        if let Ok(Some(object)) = reassembler.handle(time.now(), script.bytes(len)) {
            assert!(object.kind >= 1 && object.bytes.len() <= data.len());
        }
        assert!(reassembler.bytes() <= BYTES_MAX);
        reassembler.expire(time.now());
    }
    time.pass(Duration::from_secs(24 * 3600));
    reassembler.expire(time.now());
    assert_eq!((reassembler.open(), reassembler.bytes()), (0, 0));
}

/// Objects that are split, whose frames then come in an order and a state that the script decides.
pub fn fragments(data: &[u8]) {
    let mut script = Script::new(data);
    let mut reassembler = Reassembler::default();
    let mut time = Time::new();
    let mut sent: Vec<Object> = Vec::new();
    let mut frames: Vec<Vec<u8>> = Vec::new();
    let mut damaged = false;
    let mut came = BTreeSet::new();
    for _ in 0..STEPS_MAX {
        let Some(step) = script.step() else { break };
        match step % 6 {
            0 => {
                let fragments = usize::from(script.byte() % 8);
                let len = fragments * FRAME_FRAGMENT_MAX
                    + usize::from(script.number()) % FRAME_FRAGMENT_MAX;
                let number = sent.len() as u8;
                let object = Object {
                    kind: 1 + step / 6 % 4,
                    tag: [step / 64; TAG_LEN],
                    bytes: vec![number; len.max(1)],
                };
                let Ok(split) = split(object.clone(), [number; 8]) else {
                    continue;
                };
                frames.extend(split);
                sent.push(object);
            }
            // One frame arrives: each in its turn, or any.
            1 | 2 => {
                if frames.is_empty() {
                    continue;
                }
                let at = usize::from(script.byte()) % frames.len();
                let frame = if step % 6 == 1 {
                    frames.remove(at)
                } else {
                    frames[at].clone()
                };
                if let Ok(Some(object)) = reassembler.handle(time.now(), &frame) {
                    let known = sent.iter().position(|one| *one == object);
                    assert!(damaged || known.is_some());
                    // A frame that is doubled after its object is whole opens it anew, at most to be whole again.
                    came.extend(known);
                }
            }
            3 => {
                let Some(frame) = frames.last_mut() else {
                    continue;
                };
                let at = usize::from(script.number()) % frame.len().max(1);
                if let Some(byte) = frame.get_mut(at) {
                    *byte ^= script.byte();
                    damaged = true;
                }
            }
            4 => {
                frames.pop();
            }
            _ => time.pass(Duration::from_secs(script.byte().into())),
        }
        reassembler.expire(time.now());
        assert!(reassembler.bytes() <= BYTES_MAX);
        assert!(frames.iter().all(|frame| frame.len() <= FRAME_LEN_MAX));
    }
    assert!(came.len() <= sent.len());
}

/// More says nothing new and takes longer.
const FRAMES_MAX: usize = 64;
const STEPS_MAX: usize = 200;
