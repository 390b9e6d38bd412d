//! A node in a process of its own, attacked from this one, while honest peers in a third measure what they get.
//!
//! | test | what is thrown | what must hold |
//! |---|---|---|
//! | `malformed_input` | broken handshakes, frames, Hellos, Whisper packets | no panic, no growth, honest envelopes as quick as before |
//! | `envelopes_without_end` | distinct envelopes of the least size | the caps of the pool, honest envelopes flow |
//! | `datagrams` | discovery: broken, old, forged, repeated and unasked packets, questions of strangers | no panic, no growth, no answer for who is not proven, honest peers as quick as before |
//! | `silent_connections` | connections that say nothing | few of them wait, nobody honest is lost, newcomers are served |
//! | `no_descriptors_left` | connections until the system gives no more | no spinning, a quiet log, service as soon as they are free |
//!
//! Each has a short form, which every test run runs and which asserts nothing about time, and a long one, which
//! `make hostile`, `make flood` and `make fdlimit` run: it prints a line per goal and writes a report as JSON.
//! Every attacker draws from a seed that is printed; `FERRY_ATTACK_SEED` gives it back.
#![cfg(feature = "shell")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test says what went wrong by it, and a long one what it found"
)]

mod attacker;
mod discovery;
mod fdlimit;
mod flood;
mod honest;
mod hostile;
mod inputs;
mod report;
mod target;

/// Long for anything on loopback, short for somebody who waits.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

#[test]
#[ignore = "not a test: the process of the node that is attacked"]
fn node_process() {
    target::process();
}

#[test]
#[ignore = "not a test: the process of the honest peers"]
fn honest_process() {
    honest::process();
}

#[test]
fn malformed_input() {
    hostile::malformed(&hostile::Size::SHORT);
}

#[test]
#[ignore = "long: make hostile"]
fn malformed_input_long() {
    hostile::malformed(&hostile::Size::from_env());
}

#[test]
fn envelopes_without_end() {
    hostile::envelopes(60_000, false);
}

#[test]
#[ignore = "long: make hostile"]
fn envelopes_without_end_long() {
    hostile::envelopes(1_000_000, true);
}

#[test]
fn datagrams() {
    discovery::run(&discovery::Size::SHORT);
}

#[test]
#[ignore = "long: make hostile"]
fn datagrams_long() {
    discovery::run(&discovery::Size::from_env());
}

#[test]
fn silent_connections() {
    flood::run(&flood::Size::SHORT);
}

#[test]
#[ignore = "long: make flood"]
fn silent_connections_long() {
    flood::run(&flood::Size::from_env());
}

#[test]
fn no_descriptors_left() {
    fdlimit::run(&fdlimit::Size::SHORT);
}

#[test]
#[ignore = "long: make fdlimit"]
fn no_descriptors_left_long() {
    fdlimit::run(&fdlimit::Size::LONG);
}
