//! The vectors of discovery of the repository against this build.
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
            assert_eq!(test["reason"], refusal.reason, "{name}");
        }
    }
    assert!(
        invalid * 10 >= tests.len() * 6,
        "{kind}: {invalid} of {} are negative",
        tests.len()
    );
}

#[test]
fn packets() {
    check(include_str!("../../vectors/discv4/packet.json"));
}

#[test]
fn neighbours() {
    check(include_str!("../../vectors/discv4/neighbour.json"));
}

#[test]
fn records() {
    check(include_str!("../../vectors/enr/text.json"));
}
