//! A node of go-ethereum behind its driver.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::PATIENCE;
use super::ours::Ours;
use crate::devnet::wait_until;
use crate::driver::Driver;

/// A node of go-ethereum.
pub(crate) struct Geth {
    driver: Driver,
    pub(crate) enode: String,
    pub(crate) id: String,
}

/// Who opens the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialler {
    Ours,
    Geth,
}

impl Geth {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let (driver, ready) = Driver::go("geth", "gethpeer", arguments);
        let (enode, id) = (text(&ready, "enode"), text(&ready, "node_id"));
        Self { driver, enode, id }
    }

    /// Stops it as a machine that hangs: its connections stay open and say nothing. Or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.driver.freeze(frozen);
    }

    /// Kills it without a goodbye.
    pub(crate) fn kill(self) {
        self.driver.kill();
    }

    pub(crate) fn call(&mut self, op: &str, fields: Value) -> Value {
        self.driver.call(op, fields)
    }

    /// Posts a message and returns its hash.
    pub(crate) fn post(&mut self, fields: Value) -> String {
        text(&self.call("post", fields), "hash")
    }

    /// Waits for what its filters caught of an envelope.
    pub(crate) fn wait_message(&mut self, hash: &str) -> Value {
        self.driver.wait("such a message", PATIENCE, |event| {
            event["event"] == "message" && event["hash"] == hash
        })
    }

    /// What its filters caught besides what was waited for.
    pub(crate) fn take_messages(&mut self) -> Vec<Value> {
        self.driver.take(|event| event["event"] == "message")
    }

    /// Hashes of its pool.
    pub(crate) fn pool(&mut self) -> BTreeSet<String> {
        let answer = self.call("envelopes", json!({}));
        let hashes = answer["hashes"].as_array().expect("a list");
        hashes
            .iter()
            .map(|hash| hash.as_str().expect("a hash").to_owned())
            .collect()
    }

    /// Waits until its pool has an envelope.
    pub(crate) fn wait_pooled(&mut self, hash: &str) {
        wait_until("such an envelope in geth's pool", PATIENCE, || {
            self.pool().contains(hash)
        });
    }

    /// What it knows of a peer, if that is connected.
    pub(crate) fn peer(&mut self, id: &str) -> Option<Value> {
        let answer = self.call("peers", json!({}));
        let peers = answer["peers"].as_array().expect("a list");
        peers.iter().find(|peer| peer["id"] == id).cloned()
    }

    /// It is connected to a node, and was all the time.
    pub(crate) fn never_lost(&mut self, id: &str) {
        assert!(self.peer(id).is_some(), "go-ethereum has lost {id}");
        let lost = self.driver.take(|event| event["event"] == "peer_down");
        assert!(
            lost.is_empty(),
            "connections that go-ethereum lost: {lost:?}"
        );
    }

    pub(crate) fn sym_key(&mut self, bytes: &[u8; 32]) -> String {
        text(
            &self.call("add_sym_key", json!({"sym": hex::encode(bytes)})),
            "key",
        )
    }
}

/// Brings the two together, and waits until our node knows what the other wants.
pub(crate) fn connect(dialler: Dialler, ours: &mut Ours, geth: &mut Geth) {
    match dialler {
        Dialler::Ours => ours.dial(&geth.enode),
        Dialler::Geth => {
            geth.call("add_peer", json!({"enode": ours.enode()}));
        }
    }
    ours.wait_interest(&geth.id, |_, _| true);
    assert!(
        geth.peer(&ours.id()).is_some(),
        "go-ethereum sends its Status once it lists the peer"
    );
}

pub(crate) fn text(value: &Value, field: &str) -> String {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {value}"))
        .to_owned()
}
