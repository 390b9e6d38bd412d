//! The mailserver vectors of the repository against this build.
#![cfg(feature = "vectors")]

use legacy::vectors::run;
use serde_json::Value;

/// Runs one file, and demands that most of it is negative.
fn check(text: &str) {
    let file: Value = serde_json::from_str(text).expect("a file of vectors is JSON");
    let kind = file["kind"].as_str().expect("a file names its kind");
    let tests = file["tests"].as_array().expect("a file has tests");
    assert_eq!(file["numberOfTests"], tests.len());
    let negative = tests
        .iter()
        .filter(|test| test["result"] == "invalid")
        .count();
    assert!(negative * 10 >= tests.len() * 6, "{kind}: {negative}");
    for test in tests {
        let name = format!("{kind} {}: {}", test["id"], test["comment"]);
        match run(kind, &test["input"]).expect("a kind of this crate") {
            Ok(output) => {
                assert_eq!(test["result"], "valid", "{name}: accepted");
                assert_eq!(output, test["output"], "{name}");
            }
            Err(refusal) => assert_eq!(test["reason"], refusal.reason, "{name}"),
        }
    }
}

#[test]
fn request() {
    check(include_str!("../../vectors/mailserver/request.json"));
}

#[test]
fn complete() {
    check(include_str!("../../vectors/mailserver/complete.json"));
}

#[test]
fn sync() {
    check(include_str!("../../vectors/mailserver/sync.json"));
}
