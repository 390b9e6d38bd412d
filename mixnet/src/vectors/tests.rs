#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use super::*;

const PEEL: &str = include_str!("../../../vectors/mix/peel.json");
const BUILD: &str = include_str!("../../../vectors/mix/build.json");
const SURB: &str = include_str!("../../../vectors/mix/surb.json");
const MESSAGE: &str = include_str!("../../../vectors/mixcodec/message.json");
const FRAME: &str = include_str!("../../../vectors/mixcodec/frame.json");
const CELL: &str = include_str!("../../../vectors/mailbox/cell.json");

const DESCRIPTOR: &str = include_str!("../../../vectors/descriptor/descriptor.json");
const ACTIVE_SET: &str = include_str!("../../../vectors/descriptor/active_set.json");

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
fn cell_vectors() {
    check(CELL, 30);
}

/// The oracle's cells are opened above; here ours are sealed, and must be the oracle's to the byte.
#[test]
fn objects_are_sealed_into_the_cells_of_the_oracle() {
    let file: Value = serde_json::from_str(CELL).unwrap();
    let tests = file["tests"].as_array().unwrap().iter();
    let valid: Vec<&Value> = tests.filter(|test| test["result"] == "valid").collect();
    // The parts of one object stand one after the other.
    let mut sealed = 0;
    for (n, test) in valid.iter().enumerate() {
        let (input, output) = (&test["input"], &test["output"]);
        let count = output["count"].as_u64().unwrap() as usize;
        if input["index"] != output["first"] {
            continue;
        }
        let part = |n: usize| bytes(&valid[n]["output"], "fragment").unwrap();
        let object: Vec<u8> = (n..n + count).flat_map(part).collect();
        let key = crate::mailbox::ChainKey::from_bytes(field(input, "key").unwrap());
        let first = output["first"].as_u64().unwrap();
        for at in 0..count {
            let cell = crate::mailbox::cell::seal_part(&key, first, &object, at).unwrap();
            let theirs = bytes(&valid[n + at]["input"], "cell").unwrap();
            assert!(cell.as_bytes()[..] == theirs, "{}", test["comment"]);
            sealed += 1;
        }
    }
    assert!(sealed >= 6, "{sealed} cells");
}

#[test]
fn descriptor_vectors() {
    check(DESCRIPTOR, 60);
    check(ACTIVE_SET, 12);
}

#[test]
fn other_kinds_are_not_ours() {
    assert_eq!(run("whisper-envelope", &json!({})), None);
    let refused = run("sphinx-peel", &json!({"private_key": "zz"}));
    assert_eq!(refused, Some(Err(MALFORMED)));
}
