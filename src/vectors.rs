//! Checks files of test vectors against this build.
//!
//! ```text
//! { "schema": "ferry-vectors/1", "kind": K, "numberOfTests": N (optional), "notes": {…},
//!   "tests": [ { "id", "comment", "flags", "input", "result": "valid", "output" }
//!            | { …, "result": "invalid", "reason": R or "any" } ] }
//! ```
//!
//! A valid test passes if every field of its `output` is in ours with the same value; ours may have
//! more. An invalid test passes if the input is refused for the named reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

/// What a crate says to one input: its output, or the reason of its refusal.
pub type Answer = Result<Value, &'static str>;

/// Why a file cannot be checked at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file cannot be opened or read.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// Not JSON, or not the shape above.
    #[error("is not a file of vectors: {0}")]
    Shape(#[from] serde_json::Error),
    /// Another schema.
    #[error("has the schema {0:?}; this build reads \"ferry-vectors/1\"")]
    Schema(String),
    /// No part of this build answers to the kind.
    #[error("is of the kind {0:?}, which this build does not know")]
    Kind(String),
    /// Truncated or edited by hand.
    #[error("says that it has {said} tests, but has {has}")]
    Count {
        /// The field `numberOfTests`.
        said: usize,
        /// What the file holds.
        has: usize,
    },
    /// A file without a test proves nothing.
    #[error("has no tests")]
    Empty,
    /// Two tests could not be told apart.
    #[error("has two tests with the id {0}")]
    RepeatedId(u64),
    /// A test without what its result needs.
    #[error("test {id}: {why}")]
    Test {
        /// Its id.
        id: u64,
        /// What is missing or too much.
        why: &'static str,
    },
}

/// The outcome of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Tests that passed.
    pub passed: usize,
    /// One line for each test that did not.
    pub failures: Vec<String>,
    /// Tests that expect a refusal.
    pub negative: usize,
}

/// Checks one file against this build.
pub fn check_file(path: &Path) -> Result<Outcome, FileError> {
    check_text(&fs::read_to_string(path)?)
}

/// Checks the content of a file against this build.
pub fn check_text(text: &str) -> Result<Outcome, FileError> {
    check_with(text, run)
}

/// Checks the content of a file against `run`, which answers None to a kind that it does not know.
pub fn check_with(
    text: &str,
    run: impl Fn(&str, &Value) -> Option<Answer>,
) -> Result<Outcome, FileError> {
    let file = File::read(text)?;
    let mut outcome = Outcome::default();
    for test in &file.tests {
        let answer =
            run(&file.kind, &test.input).ok_or_else(|| FileError::Kind(file.kind.clone()))?;
        outcome.negative += usize::from(test.result == Verdict::Invalid);
        match test.compare(&answer) {
            Ok(()) => outcome.passed += 1,
            Err(why) => outcome.failures.push(test.describe(&why)),
        }
    }
    Ok(outcome)
}

/// Asks the crates, each of which knows its own kinds.
fn run(kind: &str, input: &Value) -> Option<Answer> {
    legacy::vectors::run(kind, input)
        .map(|answer| answer.map_err(|refusal| refusal.reason))
        .or_else(|| {
            mixnet::vectors::run(kind, input).map(|answer| answer.map_err(|refusal| refusal.reason))
        })
        .or_else(|| {
            bridge::vectors::run(kind, input).map(|answer| answer.map_err(|refusal| refusal.reason))
        })
}

#[derive(Deserialize)]
struct File {
    schema: String,
    kind: String,
    #[serde(rename = "numberOfTests")]
    number_of_tests: Option<usize>,
    tests: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    id: u64,
    #[serde(default)]
    comment: String,
    input: Value,
    result: Verdict,
    output: Option<Value>,
    reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Valid,
    Invalid,
}

impl File {
    fn read(text: &str) -> Result<Self, FileError> {
        let file: Self = serde_json::from_str(text)?;
        if file.schema != SCHEMA {
            return Err(FileError::Schema(file.schema));
        }
        let has = file.tests.len();
        if let Some(said) = file.number_of_tests.filter(|said| *said != has) {
            return Err(FileError::Count { said, has });
        }
        if file.tests.is_empty() {
            return Err(FileError::Empty);
        }
        let mut ids = BTreeSet::new();
        for test in &file.tests {
            if !ids.insert(test.id) {
                return Err(FileError::RepeatedId(test.id));
            }
            test.check()?;
        }
        Ok(file)
    }
}

impl Test {
    fn check(&self) -> Result<(), FileError> {
        let wrong = |why| Err(FileError::Test { id: self.id, why });
        match self.result {
            Verdict::Valid if !self.output.as_ref().is_some_and(Value::is_object) => {
                wrong("a valid test needs an object `output`")
            }
            Verdict::Valid if self.reason.is_some() => wrong("a valid test has no `reason`"),
            Verdict::Invalid if self.reason.is_none() => wrong("an invalid test needs a `reason`"),
            Verdict::Invalid if self.output.is_some() => wrong("an invalid test has no `output`"),
            Verdict::Valid | Verdict::Invalid => Ok(()),
        }
    }

    fn compare(&self, answer: &Answer) -> Result<(), String> {
        match (self.result, answer) {
            (Verdict::Valid, Ok(ours)) => {
                let expected = self.output.as_ref().unwrap_or(&Value::Null);
                difference("output", expected, ours).map_or(Ok(()), Err)
            }
            (Verdict::Valid, Err(reason)) => Err(format!("is valid, but was refused: {reason}")),
            (Verdict::Invalid, Ok(_)) => {
                Err(format!("is invalid ({}), but was accepted", self.reason()))
            }
            (Verdict::Invalid, Err(reason)) => {
                let expected = self.reason();
                if expected == ANY_REASON || expected == *reason {
                    return Ok(());
                }
                Err(format!(
                    "must be refused as {expected:?}, but was refused as {reason:?}"
                ))
            }
        }
    }

    fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or(ANY_REASON)
    }

    fn describe(&self, why: &str) -> String {
        let comment = if self.comment.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.comment)
        };
        format!("test {}{comment}: {why}", self.id)
    }
}

/// The first place where `ours` lacks something of `expected` or says something else.
fn difference(path: &str, expected: &Value, ours: &Value) -> Option<String> {
    match (expected, ours) {
        (Value::Object(expected), Value::Object(ours)) => {
            expected.iter().find_map(|(name, value)| {
                let path = format!("{path}.{name}");
                match ours.get(name) {
                    Some(other) => difference(&path, value, other),
                    None => Some(format!("{path} is missing")),
                }
            })
        }
        (Value::Array(expected), Value::Array(ours)) if expected.len() == ours.len() => {
            let pairs = expected.iter().zip(ours).enumerate();
            pairs
                .into_iter()
                .find_map(|(i, (a, b))| difference(&format!("{path}[{i}]"), a, b))
        }
        (Value::Number(a), Value::Number(b)) if close(a, b) => None,
        _ if expected == ours => None,
        _ => Some(format!(
            "{path} must be {}, but is {}",
            shown(expected),
            shown(ours)
        )),
    }
}

/// Whole numbers are equal or not; fractions may be printed with another last digit.
fn close(a: &serde_json::Number, b: &serde_json::Number) -> bool {
    if a.is_f64() || b.is_f64() {
        let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else {
            return false;
        };
        return (a - b).abs() <= FRACTION_TOLERANCE * a.abs().max(b.abs());
    }
    a == b
}

/// A value in one line that fits a terminal.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.len()),
        None => text,
    }
}

/// The schema that this build reads.
const SCHEMA: &str = "ferry-vectors/1";

/// A reason that stands for every refusal.
const ANY_REASON: &str = "any";

/// A packet of 4608 bytes is 9216 digits; the start is enough to see what it is about.
const SHOWN_CHARS_MAX: usize = 100;

/// Shortest printing of a double keeps 17 digits; other languages may keep 15.
const FRACTION_TOLERANCE: f64 = 1e-14;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A kind that doubles numbers below 100.
    fn double(kind: &str, input: &Value) -> Option<Answer> {
        (kind == "double").then(|| match input["n"].as_u64() {
            Some(n) if n < 100 => {
                Ok(json!({ "n": 2 * n, "half": n as f64 / 2.0, "list": [{"n": n, "more": 1}] }))
            }
            Some(_) => Err("too_large"),
            None => Err("malformed"),
        })
    }

    fn file(tests: Value) -> String {
        json!({ "schema": "ferry-vectors/1", "kind": "double", "tests": tests }).to_string()
    }

    fn failures(test: Value) -> Vec<String> {
        check_with(&file(json!([test])), double).unwrap().failures
    }

    #[test]
    fn what_is_right_passes() {
        let tests = json!([
            {"id": 1, "input": {"n": 3}, "result": "valid", "output": {"n": 6}},
            {"id": 2, "input": {"n": 3}, "result": "valid", "output": {"n": 6, "half": 1.5, "list": [{"n": 3}]}},
            {"id": 3, "input": {"n": 100}, "result": "invalid", "reason": "too_large"},
            {"id": 4, "input": {}, "result": "invalid", "reason": "any"},
        ]);
        let outcome = check_with(&file(tests), double).unwrap();
        assert_eq!(
            outcome,
            Outcome {
                passed: 4,
                failures: vec![],
                negative: 2
            }
        );
    }

    #[test]
    fn what_is_wrong_fails_and_is_explained() {
        for (test, part) in [
            (
                json!({"id": 1, "input": {"n": 3}, "result": "valid", "output": {"n": 7}}),
                "output.n must be 7, but is 6",
            ),
            (
                json!({"id": 1, "input": {"n": 3}, "result": "valid", "output": {"m": 7}}),
                "output.m is missing",
            ),
            (
                json!({"id": 1, "input": {"n": 3}, "result": "valid", "output": {"n": "6"}}),
                "must be \"6\"",
            ),
            (
                json!({"id": 1, "input": {"n": 3}, "result": "valid", "output": {"half": 1.500001}}),
                "output.half",
            ),
            (
                json!({"id": 1, "input": {"n": 3}, "result": "valid", "output": {"list": [{"n": 4}]}}),
                "output.list[0].n",
            ),
            (
                json!({"id": 1, "input": {"n": 3}, "result": "valid", "output": {"list": []}}),
                "output.list",
            ),
            (
                json!({"id": 1, "input": {"n": 300}, "result": "valid", "output": {"n": 600}}),
                "was refused: too_large",
            ),
            (
                json!({"id": 1, "input": {"n": 3}, "result": "invalid", "reason": "any"}),
                "was accepted",
            ),
            (
                json!({"id": 1, "input": {}, "result": "invalid", "reason": "too_large"}),
                "refused as \"malformed\"",
            ),
        ] {
            let found = failures(test);
            assert!(
                found.len() == 1 && found[0].contains(part),
                "{part}: {found:?}"
            );
        }
    }

    #[test]
    fn files_that_cannot_be_checked_are_refused() {
        let good = json!({"id": 1, "input": {"n": 3}, "result": "valid", "output": {"n": 6}});
        let with = |name: &str, value: Value| {
            let mut file =
                json!({ "schema": "ferry-vectors/1", "kind": "double", "tests": [good] });
            file[name] = value;
            file.to_string()
        };
        for (text, part) in [
            (String::new(), "is not a file of vectors"),
            ("[]".into(), "is not a file of vectors"),
            (with("tests", json!([])), "has no tests"),
            (
                with("tests", json!([good, good])),
                "two tests with the id 1",
            ),
            (with("schema", json!("wycheproof/1")), "schema"),
            (with("kind", json!("triple")), "does not know"),
            (
                with("numberOfTests", json!(2)),
                "says that it has 2 tests, but has 1",
            ),
            (
                with(
                    "tests",
                    json!([{"id": 1, "input": {}, "result": "acceptable"}]),
                ),
                "not a file of vectors",
            ),
            (
                with("tests", json!([{"id": 1, "input": {}, "result": "valid"}])),
                "needs an object `output`",
            ),
            (
                with(
                    "tests",
                    json!([{"id": 1, "input": {}, "result": "invalid"}]),
                ),
                "needs a `reason`",
            ),
            (
                with(
                    "tests",
                    json!([{"id": 1, "input": {}, "result": "invalid", "reason": "any", "output": {}}]),
                ),
                "has no `output`",
            ),
        ] {
            let error = check_with(&text, double).unwrap_err().to_string();
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
