//! `ferry run` as a mailserver that is killed while envelopes arrive: what it confirmed, and what it handed out before, it still has.

use std::collections::BTreeSet;

use legacy::mailserver::client::Access;
use legacy::shell::Event;
use legacy::shh::{Bloom, EnvelopeHash, Topic};

use super::{LATE_STATUS_POW, direct, hashes, history, request};
use crate::devnet::wait_until;
use crate::geth::PATIENCE;
use crate::geth::ours::Ours;
use crate::geth::rpc::Ferry;

/// How often it is killed.
const KILLS: u8 = 3;
/// Confirmations before a kill: some batches of the archive.
const CONFIRMED_MIN: usize = 60;

#[test]
fn a_killed_server_has_what_it_confirmed_and_what_it_served() {
    let mut ferry = Ferry::start_with(2_500, LATE_STATUS_POW, &["mailserver.enabled=true"]);
    let mut owed = BTreeSet::new();
    for round in 0..KILLS {
        owed.extend(confirmed_until_killed(&mut ferry, round));
        let served = everything(&ferry, round);
        let lost = owed.difference(&served).count();
        assert_eq!(lost, 0, "round {round}: of {} owed", owed.len());
        // Whoever was given it may ask again.
        owed.extend(served);
    }
}

/// Posts without a pause, and kills the server when it has confirmed some; what it has confirmed by then.
fn confirmed_until_killed(ferry: &mut Ferry, round: u8) -> BTreeSet<EnvelopeHash> {
    let mut sender = Ours::start(10 + round, |config| {
        config.shh.min_pow = 0.0;
        config.shh.bloom = Some(Bloom::EMPTY);
    });
    sender.dial(&ferry.enode);
    wait_until("a connection", PATIENCE, || !sender.peers().is_empty());
    let mut number = 0u32;
    let mut confirmed = BTreeSet::new();
    wait_until("confirmations", PATIENCE, || {
        for envelope in history(20, Topic::of_name("killed"), 300, |at| {
            [&[round][..], &(number + at).to_be_bytes()].concat()
        }) {
            sender.post(&envelope);
        }
        number += 20;
        confirmed = confirmed_by(&mut sender);
        confirmed.len() >= CONFIRMED_MIN
    });
    ferry.kill();
    // The last words may be on their way.
    confirmed.extend(confirmed_by(&mut sender));
    drop(sender);
    assert!(confirmed.len() < number as usize, "it was killed at work");
    ferry.start_again();
    confirmed
}

fn confirmed_by(sender: &mut Ours) -> BTreeSet<EnvelopeHash> {
    let of = |event: &Event| match event {
        Event::Confirmed { hashes, faults, .. } => {
            assert_eq!(faults.len(), 0, "good envelopes");
            Some(hashes.to_vec())
        }
        _ => None,
    };
    sender.log().iter().filter_map(of).flatten().collect()
}

/// All that it hands out to somebody who has never heard of anything. Its pool is new, so that this is its archive.
fn everything(ferry: &Ferry, round: u8) -> BTreeSet<EnvelopeHash> {
    let mut reader = Ours::start(20 + round, |config| {
        config.shh.min_pow = 0.0;
        config.shh.bloom = Some(Bloom::EMPTY);
    });
    reader.dial(&ferry.enode);
    let id = ferry.id();
    reader.wait_interest(&id, |_, _| true);
    let history = reader.request_history(request(&id, Access::Plain));
    let history = history.expect("its history");
    let count = usize::try_from(history.envelopes).expect("some thousand");
    wait_until("all that it sent", PATIENCE, || {
        direct(&mut reader).len() == count
    });
    let found: BTreeSet<EnvelopeHash> = hashes(&direct(&mut reader)).into_iter().collect();
    assert_eq!(found.len(), count, "each once");
    found
}
