//! The committed vectors of MVDS, and that they are complete.
#![cfg(feature = "vectors")]
#![allow(clippy::unwrap_used, clippy::panic)]

use bridge::mvds::payload::{Dialect, Payload, is_mvds};
use bridge::vectors::{Refusal, run};
use serde_json::Value;

fn check(text: &str, kind: &str, count: usize) {
    let file: Value = serde_json::from_str(text).unwrap();
    assert_eq!(file["kind"], kind);
    let tests = file["tests"].as_array().unwrap();
    assert_eq!(tests.len(), count, "no test gets lost");
    let mut refused = 0;
    for test in tests {
        let comment = test["comment"].as_str().unwrap();
        match (
            run(kind, &test["input"]).unwrap(),
            test["result"].as_str().unwrap(),
        ) {
            (Ok(ours), "valid") => assert_eq!(ours, test["output"], "{comment}"),
            (Err(Refusal { reason }), "invalid") => {
                assert_eq!(reason, test["reason"], "{comment}");
                refused += 1;
            }
            (ours, result) => panic!("{comment}: {result}, but ours is {ours:?}"),
        }
    }
    assert!(
        refused * 10 >= count * 6,
        "{refused} of {count} are refused"
    );
}

#[test]
fn ids() {
    check(include_str!("../../vectors/mvds/id.json"), "mvds-id", IDS);
}

#[test]
fn payloads() {
    check(
        include_str!("../../vectors/mvds/payload.json"),
        "mvds-payload",
        PAYLOADS,
    );
}

/// What the vectors of the published dialect call a payload is what sniffing calls one.
#[test]
fn sniffing_agrees_with_the_vectors() {
    let file: Value =
        serde_json::from_str(include_str!("../../vectors/mvds/payload.json")).unwrap();
    for test in file["tests"].as_array().unwrap() {
        let bytes = hex::decode(test["input"]["bytes"].as_str().unwrap()).unwrap();
        if test["input"]["dialect"] == "5000" {
            let is_foreign = matches!(test["reason"].as_str(), Some("malformed" | "not_mvds"));
            assert_eq!(is_mvds(&bytes), !is_foreign, "{}", test["comment"]);
        }
    }
}

#[test]
fn canonical_vectors_encode_to_the_same_bytes() {
    let file: Value =
        serde_json::from_str(include_str!("../../vectors/mvds/payload.json")).unwrap();
    let mut compared = 0;
    for test in file["tests"].as_array().unwrap() {
        let is_other_form = test["flags"]
            .as_array()
            .unwrap()
            .iter()
            .any(|flag| flag == "order" || flag == "drop");
        if test["result"] != "valid" || is_other_form {
            continue;
        }
        let is_compact = test["input"]["dialect"] == "compact";
        let dialect = if is_compact {
            Dialect::Compact
        } else {
            Dialect::Published
        };
        let bytes = hex::decode(test["input"]["bytes"].as_str().unwrap()).unwrap();
        let decoded = Payload::decode(dialect, &bytes, 1_000).unwrap();
        assert_eq!(
            decoded.payload.encode(dialect),
            bytes,
            "{}",
            test["comment"]
        );
        compared += 1;
    }
    assert_eq!(compared, 12);
}

const IDS: usize = 23;
const PAYLOADS: usize = 73;
