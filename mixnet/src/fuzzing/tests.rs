//! Every committed input once more, on the stable compiler.
//!
//! One file per target, `fuzz/corpus/<target>.txt`: an input per line, in hex; what a `#` starts is a remark.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use super::TARGETS;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let path = corpus().join(target).with_extension("txt");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| hex::decode(line).unwrap()).collect()
}

#[test]
fn every_committed_input_passes() {
    for (name, target) in TARGETS {
        let inputs = inputs(name);
        let count = inputs.len();
        assert!(count >= INPUTS_MIN, "{name} has {count} inputs");
        inputs.iter().for_each(|input| target(input));
    }
}

#[test]
fn the_corpora_are_small_and_every_one_has_its_target() {
    let mut len = 0;
    for entry in fs::read_dir(corpus()).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(TARGETS.iter().any(|(target, _)| *target == name), "{name}");
        len += entry.metadata().unwrap().len();
    }
    assert!(len <= CORPORA_LEN_MAX, "{len} bytes");
}

/// Fewer would be a corpus that somebody lost.
const INPUTS_MIN: usize = 8;
/// A clone of the repository carries them for ever.
const CORPORA_LEN_MAX: u64 = 1 << 20;
