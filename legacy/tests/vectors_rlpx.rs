//! The vectors of the transport of the repository against this build.
#![cfg(feature = "vectors")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what went wrong by them"
)]

use legacy::vectors::run;
use serde_json::Value;

fn check(text: &str) {
    let file: Value = serde_json::from_str(text).unwrap();
    let kind = file["kind"].as_str().unwrap();
    let tests = file["tests"].as_array().unwrap();
    assert_eq!(file["numberOfTests"], tests.len());
    let mut invalid = 0;
    for test in tests {
        let name = format!("{kind} {}: {}", test["id"], test["comment"]);
        let result = run(kind, &test["input"]).expect("a kind of this crate");
        if test["result"] == "valid" {
            let output =
                result.unwrap_or_else(|refusal| panic!("{name}: refused as {}", refusal.reason));
            for (field, expected) in test["output"].as_object().unwrap() {
                assert_eq!(&output[field], expected, "{name}: {field}");
            }
        } else {
            invalid += 1;
            let refusal = result.expect_err(&name);
            assert!(
                test["reason"] == "any" || test["reason"] == refusal.reason,
                "{name}: {}",
                refusal.reason
            );
        }
    }
    assert!(
        invalid * 10 >= tests.len() * 6,
        "{kind}: {invalid} of {} are negative",
        tests.len()
    );
}

#[test]
fn auth() {
    check(include_str!("../../vectors/rlpx/auth.json"));
}

#[test]
fn ack() {
    check(include_str!("../../vectors/rlpx/ack.json"));
}

#[test]
fn secrets() {
    check(include_str!("../../vectors/rlpx/secrets.json"));
}

#[test]
fn frame() {
    check(include_str!("../../vectors/rlpx/frame.json"));
}

#[test]
fn frame_ciphertext() {
    check(include_str!("../../vectors/rlpx/frame_ciphertext.json"));
}

#[test]
fn hello() {
    check(include_str!("../../vectors/rlpx/hello.json"));
}

#[test]
fn other_kinds_are_left_to_others() {
    assert!(run("sphinx-peel", &Value::Null).is_none());
}
