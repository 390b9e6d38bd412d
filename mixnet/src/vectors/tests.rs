#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use super::*;

const PEEL: &str = include_str!("../../../vectors/mix/peel.json");
const BUILD: &str = include_str!("../../../vectors/mix/build.json");
const SURB: &str = include_str!("../../../vectors/mix/surb.json");
const MESSAGE: &str = include_str!("../../../vectors/mixcodec/message.json");
const FRAME: &str = include_str!("../../../vectors/mixcodec/frame.json");

/// Runs a whole file; every field of an output must be what the file says.
fn check(file: &str, least: usize) {
    let file: Value = serde_json::from_str(file).unwrap();
    let kind = file["kind"].as_str().unwrap();
    let tests = file["tests"].as_array().unwrap();
    assert_eq!(file["numberOfTests"], tests.len());
    assert!(tests.len() >= least, "{kind}: {} tests", tests.len());
    let mut invalid = 0;
    let mut ids = BTreeSet::new();
    for test in tests {
        let name = format!("{kind} {}: {}", test["id"], test["comment"]);
        assert!(ids.insert(test["id"].as_u64().unwrap()), "{name}");
        for flag in test["flags"].as_array().unwrap() {
            assert!(file["notes"][flag.as_str().unwrap()].is_object(), "{name}");
        }
        match (
            run(kind, &test["input"]).unwrap(),
            test["result"].as_str().unwrap(),
        ) {
            (Ok(output), "valid") => {
                for (field, expected) in test["output"].as_object().unwrap() {
                    assert_eq!(&output[field], expected, "{name}: {field}");
                }
            }
            (Err(refusal), "invalid") => {
                assert_eq!(refusal.reason, test["reason"], "{name}");
                invalid += 1;
            }
            (got, expected) => panic!("{name}: must be {expected}: {:?}", got.err()),
        }
    }
    assert!(invalid * 10 >= tests.len() * 6, "{kind}: {invalid} invalid");
}

#[test]
fn peel_vectors() {
    check(PEEL, 60);
}

#[test]
fn build_vectors() {
    check(BUILD, 30);
}

#[test]
fn surb_vectors() {
    check(SURB, 30);
}

#[test]
fn message_vectors() {
    check(MESSAGE, 30);
}

#[test]
fn frame_vectors() {
    check(FRAME, 30);
}

#[test]
fn other_kinds_are_not_ours() {
    assert_eq!(run("whisper-envelope", &json!({})), None);
    let refused = run("sphinx-peel", &json!({"private_key": "zz"}));
    assert_eq!(refused, Some(Err(MALFORMED)));
}
