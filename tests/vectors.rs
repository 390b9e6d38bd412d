//! Every file under vectors/ against this build and against its oracle, and the command that runs such files.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ferry::vectors::check_file;
use serde_json::{Value, json};

/// Part of the tests that must expect a refusal, by file.
const NEGATIVE_SHARE_MIN: f64 = 0.6;

/// The files that no program here writes.
const WITHOUT_WRITER: [&str; 2] = ["rlpx/auth.json", "rlpx/ack.json"];

/// What to do when a script of tests/oracle does not run.
const ORACLE_NEEDS: &str = "needs Python 3.10 or newer with the package `cryptography` \
    (`apt install python3 python3-cryptography`), or FERRY_PYTHON naming an interpreter that has it";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for area in fs::read_dir(root().join("vectors")).unwrap() {
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

fn oracle(script: &str, folder: &Path) -> Output {
    let python = std::env::var_os("FERRY_PYTHON").unwrap_or_else(|| "python3".into());
    Command::new(python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(root().join("tests/oracle").join(script))
        .arg(folder)
        .output()
        .expect(ORACLE_NEEDS)
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
fn the_page_names_every_kind() {
    let page = fs::read_to_string(root().join("vectors/README.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ["));
    let named: BTreeSet<&str> = rows
        .flat_map(|line| line.split('|').nth(2).unwrap().split(','))
        .map(str::trim)
        .collect();
    let files: Vec<Value> = files()
        .iter()
        .map(|path| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
        .collect();
    let kinds: BTreeSet<&str> = files
        .iter()
        .map(|file| file["kind"].as_str().unwrap())
        .collect();
    assert_eq!(named, kinds);
}

#[test]
fn most_vectors_expect_a_refusal() {
    for path in files() {
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

/// The files are what their generators write, so that nobody edits them by hand. Those of the mixnet
/// are compared where its oracle is tested.
#[test]
fn the_generators_write_these_files() {
    for (area, script) in [
        ("whisper", "whisper_vectors.py"),
        ("mailserver", "mailserver_vectors.py"),
        ("status", "status_vectors.py"),
        ("mailbox", "mailbox_vectors.py"),
        ("descriptor", "descriptor_vectors.py"),
        ("mvds", "mvds_vectors.py"),
        ("mixcodec", "mix_codec_vectors.py"),
        ("rlpx", "rlpx_vectors.py"),
        ("discv4", "discv4_vectors.py"),
        ("enr", "enr_vectors.py"),
    ] {
        let made = tempfile::tempdir().unwrap();
        let output = oracle(script, made.path());
        assert!(output.status.success(), "{ORACLE_NEEDS}: {output:?}");
        let kept: Vec<_> = files()
            .into_iter()
            .filter(|path| path.parent().unwrap().ends_with(area))
            .filter(|path| !WITHOUT_WRITER.iter().any(|file| path.ends_with(file)))
            .collect();
        assert_eq!(kept.len(), fs::read_dir(made.path()).unwrap().count());
        for path in kept {
            let fresh = fs::read(made.path().join(path.file_name().unwrap())).unwrap();
            assert!(
                fresh == fs::read(&path).unwrap(),
                "{} is not what {script} writes",
                path.display()
            );
        }
    }
}

/// A second reader agrees with the two files that no program here writes.
#[test]
fn the_oracle_reads_the_handshakes_alike() {
    let output = oracle("rlpx_check.py", &root().join("vectors/rlpx"));
    assert!(output.status.success(), "{ORACLE_NEEDS}: {output:?}");
    assert_eq!(last_line(&output), "109 agree, 0 differ");
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
