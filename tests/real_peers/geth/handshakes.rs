//! One script, two nodes: whatever a peer may open with, our node and go-ethereum do the same.

use legacy::rlpx::disconnect::DisconnectReason;

use super::ours::Ours;
use super::scripted::{Opening, SHH, Scripted, key};
use super::theirs::Geth;

/// The key of the node that is dialled.
const NODE: u8 = 1;

/// Runs a script against our node and against one of go-ethereum.
fn both(script: impl Fn(&str)) {
    let ours = Ours::start(NODE, |_| {});
    script(&ours.enode());
    drop(ours);
    let geth = Geth::start(&["--key", &hex::encode([NODE; 32])]);
    script(&geth.enode);
}

const WHISPER: &[(&str, u64)] = &[("shh", 6)];
const MINIMAL: &[u8] = &[0xc1, 0x06];

/// Cases 3, 5 and 17.
#[test]
fn every_form_of_the_first_packet_is_answered_in_its_form() {
    both(|enode| {
        let openings = [
            Opening::Legacy,
            Opening::Eip8 {
                padding: 100,
                version: 4,
            },
            Opening::Eip8 {
                padding: 299,
                version: 56,
            },
        ];
        for (number, opening) in (0..).zip(openings) {
            let mut peer = Scripted::dial(enode, key(number), opening);
            let is_legacy = matches!(opening, Opening::Legacy);
            assert_eq!(peer.ack_len == 210, is_legacy, "{opening:?}");
            peer.greet(5, WHISPER);
            peer.exchange_status(MINIMAL);
            assert!(peer.is_answered(), "{opening:?}");
        }
    });
}

/// Cases 7 and 8: the payload of a ping is an empty list, as it is or compressed.
#[test]
fn the_version_of_the_hello_decides_about_compression() {
    both(|enode| {
        for (number, version) in [(0, 4), (1, 5), (2, 55)] {
            let mut peer = Scripted::usual(enode, key(number));
            peer.greet(version, WHISPER);
            peer.exchange_status(MINIMAL);
            assert!(peer.is_answered(), "version {version}");
        }
    });
}

/// Case 10. Both are told in place of a Hello, and not compressed.
#[test]
fn a_second_connection_and_one_to_itself_are_refused() {
    both(|enode| {
        let mut first = Scripted::usual(enode, key(0));
        first.greet(5, WHISPER);
        first.exchange_status(MINIMAL);
        let mut second = Scripted::usual(enode, key(0));
        assert_eq!(second.end(), Some(DisconnectReason::AlreadyConnected));
        assert!(first.is_answered(), "the first connection stays");
        let own = legacy::identity::SecretKey::from_bytes(&[NODE; 32]).expect("a key");
        let mut itself = Scripted::usual(enode, own);
        assert_eq!(itself.end(), Some(DisconnectReason::SelfConnection));
    });
}

/// Case 11, towards the node.
#[test]
fn who_speaks_something_else_is_useless() {
    both(|enode| {
        let mut peer = Scripted::usual(enode, key(0));
        peer.greet(4, &[("eth", 63)]);
        assert_eq!(peer.end(), Some(DisconnectReason::UselessPeer));
    });
}

/// Cases 16, 17, 18 and 21: what a Status may look like.
#[test]
fn every_form_of_status_is_accepted() {
    let bloom = |byte: &str| format!("b840{}", byte.repeat(64));
    let forms = [
        "c106".to_owned(),
        // go-ethereum's own.
        "cc06883fc999999999999a8080".to_owned(),
        // Status forks with five and with six fields.
        format!("f84e06883f50624dd2f1a9fc{}8001", bloom("00")),
        format!("f85206883ec0c6f7a0b5ed8d{}8001c30a0580", bloom("ff")),
        // No work at all, less than none by its sign only, and the least there is.
        "c20680".to_owned(),
        "ca06888000000000000000".to_owned(),
        "c20601".to_owned(),
    ];
    both(|enode| {
        for (number, form) in (0..).zip(&forms) {
            let mut peer = Scripted::usual(enode, key(number));
            peer.greet(5, WHISPER);
            peer.exchange_status(&hex::decode(form).expect("hex"));
            assert!(peer.is_answered(), "{form}");
        }
    });
}

/// Case 20: our node in both roles, the peer a light one.
#[test]
fn two_light_nodes_part() {
    const LIGHT: &str = "cc06883fc999999999999a8001";
    let script = |enode: &str, stays: bool| {
        let mut peer = Scripted::usual(enode, key(0));
        peer.greet(5, WHISPER);
        peer.say(SHH, &hex::decode(LIGHT).expect("hex"));
        if stays {
            assert!(peer.is_answered());
        } else {
            assert_eq!(peer.end(), Some(DisconnectReason::Subprotocol));
        }
    };
    for light in [false, true] {
        let ours = Ours::start(NODE, |config| config.shh.light = light);
        script(&ours.enode(), !light);
        drop(ours);
        let geth = Geth::start(if light { &["--light"] } else { &[] });
        script(&geth.enode, !light);
    }
}
