use super::*;
use crate::address::Transport;
use crate::descriptor::tests::{identity, peer_key};
use crate::descriptor::{Capabilities, Statement};
use crate::sphinx::PublicKey;

pub(in crate::directory) const ANYWHERE: AddressPolicy = AddressPolicy {
    allow_private: true,
};

/// The descriptor of a relay.
pub(in crate::directory) fn said(n: u16, epoch: u32, serial: u32) -> Descriptor {
    let statement = Statement {
        serial,
        address: Some(std::net::SocketAddrV4::new([127, 0, 0, 1].into(), 5000 + n)),
        transport: Transport::Tcp,
        next_mix_key: Some(PublicKey::from_bytes([10; 32])),
        capabilities: Capabilities {
            relay: true,
            ..Capabilities::default()
        },
        ..Statement::new(epoch, PublicKey::from_bytes([9; 32]))
    };
    Descriptor::sign(statement, &identity(n)).unwrap()
}

fn registry(nodes: impl IntoIterator<Item = u16>) -> Registry {
    let mut registry = Registry::new(ANYWHERE);
    for n in nodes {
        assert_eq!(registry.insert(said(n, 7, 0)), Admission::New);
    }
    registry
}

#[test]
fn what_is_known_costs_no_signature_and_what_is_newer_replaces() {
    let mut registry = Registry::new(ANYWHERE);
    let first = said(1, 7, 5).to_bytes();
    assert_eq!(registry.admit(&first, 7), Admission::New);
    assert_eq!(registry.admit(&first, 7), Admission::Known);
    // An older serial is known whatever its signature.
    let mut older = said(1, 7, 4).to_bytes();
    let last = older.len() - 1;
    older[last] ^= 1;
    assert_eq!(registry.admit(&older, 7), Admission::Known);
    assert_eq!(registry.admit(&said(1, 7, 6).to_bytes(), 7), Admission::New);
    assert_eq!(registry.newest(&peer_key(1)).unwrap().statement().serial, 6);
    assert_eq!(registry.admit(&said(1, 8, 0).to_bytes(), 7), Admission::New);
    assert_eq!(registry.len(), 1);
    assert_eq!(registry.newest(&peer_key(1)).unwrap().epoch(), 8);
}

#[test]
fn what_does_not_fit_is_refused_by_its_reason() {
    let mut registry = Registry::new(ANYWHERE);
    let mut refused = |bytes: &[u8], now| match registry.admit(bytes, now) {
        Admission::Refused(refusal) => refusal.as_str(),
        other => panic!("{other:?}"),
    };
    let good = said(1, 7, 0).to_bytes();
    assert_eq!(refused(&good, 9), "epoch");
    assert_eq!(refused(&good, 5), "epoch");
    assert_eq!(refused(&good[1..], 7), "length");
    let mut forged = good.clone();
    forged[60] ^= 1;
    assert_eq!(refused(&forged, 7), "signature");
    let sign = |change: fn(&mut Statement)| {
        let mut statement = said(1, 7, 0).statement().clone();
        change(&mut statement);
        Descriptor::sign(statement, &identity(1))
            .unwrap()
            .to_bytes()
    };
    assert_eq!(
        refused(&sign(|s| s.capabilities = Capabilities::default()), 7),
        "offers_nothing"
    );
    assert_eq!(refused(&sign(|s| s.next_mix_key = None), 7), "no_next_key");
    let mut strict = Registry::new(AddressPolicy::default());
    assert_eq!(strict.admit(&good, 7), Admission::Refused(Refusal::Address));
    let mut small = Registry::with_nodes_max(ANYWHERE, 2);
    for n in [1, 2] {
        assert_eq!(small.admit(&said(n, 7, 0).to_bytes(), 7), Admission::New);
    }
    assert_eq!(
        small.admit(&said(3, 7, 0).to_bytes(), 7),
        Admission::Refused(Refusal::Full)
    );
    // Who is in stays up to date.
    assert_eq!(small.admit(&said(2, 8, 0).to_bytes(), 7), Admission::New);
}

#[test]
fn nodes_are_registered_since_the_earliest_epoch_that_they_spoke_for() {
    let mut registry = registry([1]);
    registry.insert(said(1, 8, 0));
    registry.insert(said(2, 8, 0));
    registry.insert(said(2, 7, 0));
    let since = |registry: &Registry, n| registry.nodes[&peer_key(n)].since;
    assert_eq!((since(&registry, 1), since(&registry, 2)), (7, 7));
    registry.expire(9);
    assert_eq!(registry.len(), 2);
    assert_eq!((since(&registry, 1), since(&registry, 2)), (7, 7));
    registry.expire(10);
    assert!(registry.is_empty());
}

#[test]
fn equal_registries_have_one_digest_and_others_exchange_only_what_differs() {
    let (mut a, mut b) = (registry(1..40), registry((1..40).rev()));
    assert_eq!(a.digest(), b.digest());
    assert_eq!(a.differing(&b.summary(), 0, 100), (vec![], vec![]));
    for n in 50..60 {
        a.insert(said(n, 7, 0));
        b.insert(said(n + 20, 7, 0));
    }
    a.insert(said(3, 7, 9));
    b.insert(said(4, 7, 9));
    assert_ne!(a.digest(), b.digest());
    let (buckets, mentions) = b.differing(&a.summary(), 200, 100);
    let (wants, gives) = a.compare(&buckets, &mentions, 100);
    assert_eq!((wants.len(), gives.len()), (11, 11));
    for given in gives {
        assert_eq!(b.insert(given), Admission::New);
    }
    let given: Vec<_> = b.about(&wants).cloned().collect();
    for given in given {
        assert_eq!(a.insert(given), Admission::New);
    }
    assert_eq!(a.digest(), b.digest());
}

#[test]
fn lists_are_bounded_and_every_difference_has_its_turn() {
    let mut a = registry([]);
    let mut b = registry(1..120);
    for _ in 0..100 {
        let (buckets, mentions) = b.differing(&a.summary(), 17, 8);
        assert!(mentions.len() <= 8);
        let (wants, gives) = a.compare(&buckets, &mentions, 4);
        assert!(wants.len() <= 4 && gives.is_empty());
        let given: Vec<_> = b.about(&wants).cloned().collect();
        for given in given {
            a.insert(given);
        }
    }
    assert_eq!(a.digest(), b.digest());
}
