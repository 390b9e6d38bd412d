//! The Whisper vectors of the repository against this build.
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
    assert!(
        negative * 10 >= tests.len() * 6,
        "{kind}: {negative} of {} are negative",
        tests.len()
    );
    let failures: Vec<String> = tests
        .iter()
        .filter_map(|test| failure(kind, test))
        .collect();
    assert_eq!(failures, Vec::<String>::new(), "{kind}");
}

fn failure(kind: &str, test: &Value) -> Option<String> {
    let name = || format!("{}: {}", test["id"], test["comment"]);
    match run(kind, &test["input"]).expect("a kind of this crate") {
        Ok(output) if test["result"] == "valid" => {
            let wanted = test["output"]
                .as_object()
                .expect("a valid test has an output");
            let differs = wanted
                .iter()
                .find(|(field, value)| output[field.as_str()] != **value)?;
            Some(format!(
                "{}: {} is {}, not {}",
                name(),
                differs.0,
                output[differs.0.as_str()],
                differs.1
            ))
        }
        Ok(_) => Some(format!("{}: accepted, not {}", name(), test["reason"])),
        Err(refusal) if test["result"] == "invalid" && test["reason"] == refusal.reason => None,
        Err(refusal) => Some(format!(
            "{}: refused as {}, not {}",
            name(),
            refusal.reason,
            test["reason"]
        )),
    }
}

#[test]
fn envelope() {
    check(include_str!("../../vectors/whisper/envelope.json"));
}

#[test]
fn payload() {
    check(include_str!("../../vectors/whisper/payload.json"));
}

#[test]
fn bloom() {
    check(include_str!("../../vectors/whisper/bloom.json"));
}

#[test]
fn status() {
    check(include_str!("../../vectors/whisper/status.json"));
}

#[test]
fn pow() {
    check(include_str!("../../vectors/whisper/pow.json"));
}

#[test]
fn key() {
    check(include_str!("../../vectors/whisper/key.json"));
}

#[test]
fn topic() {
    check(include_str!("../../vectors/whisper/topic.json"));
}

#[test]
fn packet() {
    check(include_str!("../../vectors/whisper/packet.json"));
}

#[test]
fn status_packet() {
    check(include_str!("../../vectors/status/packet.json"));
}
