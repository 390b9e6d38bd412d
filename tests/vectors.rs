//! Every file under vectors/ against this build, and the command that runs such files.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ferry::vectors::check_file;
use serde_json::{Value, json};

/// Kinds that have no invalid input: every topic has a bloom filter, every message an id.
const WITHOUT_REFUSALS: [&str; 2] = ["whisper-bloom", "mvds-id"];

/// Part of the tests that must expect a refusal, by file.
const NEGATIVE_SHARE_MIN: f64 = 0.6;

fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut files = Vec::new();
    for area in fs::read_dir(root).unwrap() {
        let area = area.unwrap().path();
        if area.is_dir() {
            let entries = fs::read_dir(area)
                .unwrap()
                .map(|entry| entry.unwrap().path());
            files.extend(entries.filter(|path| path.extension().is_some_and(|e| e == "json")));
        }
    }
    files.sort();
    files
}

fn check(paths: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ferry"))
        .args(["vectors", "check"])
        .args(paths)
        .output()
        .unwrap()
}

fn last_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .last()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn every_published_vector_passes() {
    let files = files();
    assert!(files.len() >= 8, "{files:?}");
    for path in &files {
        let outcome = check_file(path).unwrap_or_else(|error| panic!("{} {error}", path.display()));
        assert_eq!(outcome.failures, [""; 0], "{}", path.display());
    }
    let paths: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let output = check(&paths);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        last_line(&output).ends_with(" passed, 0 failed"),
        "{}",
        last_line(&output)
    );
}

#[test]
fn most_vectors_expect_a_refusal() {
    for path in files() {
        let file: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        if WITHOUT_REFUSALS.contains(&file["kind"].as_str().unwrap()) {
            continue;
        }
        let outcome = check_file(&path).unwrap();
        let tests = outcome.passed + outcome.failures.len();
        let share = outcome.negative as f64 / tests as f64;
        assert!(
            share >= NEGATIVE_SHARE_MIN,
            "{}: {share:.2}",
            path.display()
        );
    }
}

/// Changing any expectation of a file must make the check fail: a checker that compares nothing
/// would pass everything.
#[test]
fn a_changed_expectation_fails() {
    let base = tempfile::tempdir().unwrap();
    for path in files() {
        let mut file: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let tests = file["tests"].as_array_mut().unwrap();
        let mut changed = 0;
        for test in tests.iter_mut() {
            changed += usize::from(spoil(test));
        }
        let spoilt = base.path().join("spoilt.json");
        fs::write(&spoilt, file.to_string()).unwrap();
        let outcome = check_file(&spoilt).unwrap();
        assert_eq!(
            outcome.failures.len(),
            changed,
            "{}: {:?}",
            path.display(),
            outcome.failures
        );
        assert!(changed > 0, "{}", path.display());
    }
}

/// Turns an expectation into a wrong one; false if there is nothing to turn.
fn spoil(test: &mut Value) -> bool {
    if test["result"] == "invalid" {
        test["reason"] = json!("no_such_reason");
        return true;
    }
    let output = test["output"].as_object_mut().unwrap();
    let Some(name) = output.keys().next().cloned() else {
        return false;
    };
    output.insert(name, json!("something else"));
    true
}

#[test]
fn the_exit_code_tells_a_failure_from_an_unreadable_file() {
    let base = tempfile::tempdir().unwrap();
    let put = |name: &str, text: String| {
        let path = base.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let good = files()
        .into_iter()
        .find(|path| path.ends_with("whisper/bloom.json"))
        .unwrap();
    let file = |kind: &str| {
        json!({ "schema": "ferry-vectors/1", "kind": kind, "tests": [
            { "id": 1, "input": { "topic": "00000000" }, "result": "valid", "output": { "bloom": "00" } }
        ]})
        .to_string()
    };
    let wrong = put("wrong.json", file("whisper-bloom"));
    let unknown = put("unknown.json", file("teapot"));
    let broken = put("broken.json", "{".to_owned());
    let missing = base.path().join("missing.json");

    let output = check(&[&wrong]);
    assert_eq!(
        (output.status.code(), last_line(&output)),
        (Some(1), "0 passed, 1 failed".to_owned())
    );
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        shown.contains("wrong.json: test 1") && shown.contains("output.bloom"),
        "{shown}"
    );
    for path in [&unknown, &broken, &missing] {
        let output = check(&[path]);
        assert_eq!(output.status.code(), Some(2), "{}", path.display());
        assert_eq!(last_line(&output), "0 passed, 0 failed");
    }
    // The other files are checked all the same, and the worst outcome decides.
    let output = check(&[&wrong, &unknown, &good]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        last_line(&output).ends_with("passed, 1 failed") && !last_line(&output).starts_with("0 ")
    );
}
