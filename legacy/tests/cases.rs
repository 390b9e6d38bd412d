//! The page that says where each case and each hole is tested names tests that exist.
#![allow(clippy::panic, reason = "a test says what went wrong by it")]

use std::fs;
use std::path::Path;

#[test]
fn every_test_that_the_page_names_exists() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(here.join("../docs/whisper-cases.md")).expect("the page");
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let mut found = 0;
    for row in rows {
        let words: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
        for pair in words.chunks(2) {
            let [file, test] = pair else {
                panic!("{row}: a file without a test");
            };
            let base = if file.starts_with("tests/real_peers") {
                here.join("..")
            } else {
                here.to_owned()
            };
            let text = fs::read_to_string(base.join(file));
            let text = text.unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(text.contains(&format!("fn {test}(")), "{file}: no {test}");
            found += 1;
        }
    }
    assert!(found > 40, "only {found} tests are named");
}
