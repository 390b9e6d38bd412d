//! The test vectors of Whisper put to go-ethereum. Where it answers otherwise than the file says, vectors/README.md must say so, and
//! nowhere else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::driver::Driver;

/// Below which the table of differences stands.
const HEADING: &str = "## What go-ethereum says to them";

/// A file and the id of a test in it, and the word of the table for what go-ethereum does.
type Differences = BTreeMap<(String, u64), String>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

#[test]
fn geth_differs_from_the_vectors_exactly_where_the_table_says() {
    let (mut geth, _) = Driver::go("geth", "vectorpeer", &[]);
    let (mut found, mut asked, mut agreed) = (Differences::new(), 0, 0);
    let mut files: Vec<PathBuf> = fs::read_dir(folder().join("whisper"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    for path in files {
        let file: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for test in file["tests"].as_array().unwrap() {
            asked += 1;
            let question = json!({"Kind": file["kind"], "Input": test["input"]});
            match difference(test, &geth.call("check", question)) {
                Some(word) => {
                    found.insert(
                        (name.clone(), test["id"].as_u64().unwrap()),
                        word.to_owned(),
                    );
                }
                None => agreed += 1,
            }
        }
    }
    assert!(
        agreed > 400,
        "only {agreed} of {asked} tests agree: is the driver right?"
    );
    assert_eq!(
        found,
        listed(),
        "left: what go-ethereum does; right: the table in vectors/README.md"
    );
}

/// What go-ethereum does in place of what the test says; nothing where it does just that.
fn difference(test: &Value, answer: &Value) -> Option<&'static str> {
    match (
        test["result"].as_str().unwrap(),
        answer["result"].as_str().unwrap(),
    ) {
        (_, "not_asked") => Some("is not asked"),
        (_, "panic") => Some("panics"),
        ("valid", "valid") => {
            (!same(&test["output"], &answer["output"])).then_some("answers otherwise")
        }
        ("invalid", "invalid") => None,
        ("invalid", _) => Some("accepts"),
        (_, _) => Some("refuses"),
    }
}

/// Every field that go-ethereum gives has the value of the file; fractions agree to twelve digits.
fn same(wanted: &Value, given: &Value) -> bool {
    given
        .as_object()
        .unwrap()
        .iter()
        .all(|(field, given)| match (&wanted[field.as_str()], given) {
            (Value::Number(wanted), Value::Number(given)) => {
                let (wanted, given) = (wanted.as_f64().unwrap(), given.as_f64().unwrap());
                (wanted - given).abs() <= 1e-12 * wanted.abs()
            }
            (wanted, given) => wanted == given,
        })
}

/// The rows of the table: file, ids, what go-ethereum does, why.
fn listed() -> Differences {
    let page = fs::read_to_string(folder().join("README.md")).unwrap();
    let (_, section) = page.split_once(HEADING).expect("the page has the section");
    let rows = section
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1);
    let mut differences = Differences::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [file, ids, word, _] = cells[..] else {
            panic!("four cells: {row}")
        };
        for id in ids.split(", ").flat_map(range) {
            let twice =
                differences.insert((file.trim_matches('`').to_owned(), id), word.to_owned());
            assert_eq!(twice, None, "{file} {id} is listed twice");
        }
    }
    differences
}

/// `7`, or `7–9`.
fn range(text: &str) -> std::ops::RangeInclusive<u64> {
    let (first, last) = text.split_once('–').unwrap_or((text, text));
    first.parse().unwrap()..=last.parse().unwrap()
}
