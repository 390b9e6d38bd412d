//! The page that says where each case is tested names tests that exist.

#![allow(clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

#[test]
fn every_test_that_the_page_names_exists() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(here.join("../docs/mixnet-cases.md")).unwrap();
    let mut found = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        // Names of commands stand in the first column.
        let tests = row.split(" | ").nth(1).unwrap_or_default();
        let words: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
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
    assert!(found > 60, "only {found} tests are named");
}
