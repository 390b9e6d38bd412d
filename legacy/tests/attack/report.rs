//! What a long run says: a line per goal, and a file.

use std::path::PathBuf;
use std::{env, fs};

use serde_json::{Map, Value, json};

pub(super) struct Report {
    name: &'static str,
    facts: Map<String, Value>,
    failed: bool,
}

impl Report {
    pub(super) fn new(name: &'static str) -> Report {
        Report {
            name,
            facts: Map::new(),
            failed: false,
        }
    }

    pub(super) fn fact(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(name.to_owned(), value.into());
    }

    /// A goal, what was found, and whether that is good enough.
    pub(super) fn goal(&mut self, goal: &str, found: &str, good: bool) {
        println!(
            "{} {}: {goal}: {found}",
            if good { "PASS" } else { "FAIL" },
            self.name
        );
        self.failed |= !good;
        let goals = self.facts.entry("goals").or_insert_with(|| json!([]));
        if let Some(goals) = goals.as_array_mut() {
            goals.push(json!({ "goal": goal, "found": found, "pass": good }));
        }
    }

    /// Writes the file and fails if a goal did.
    pub(super) fn end(mut self) {
        self.fact("name", self.name);
        self.fact("pass", !self.failed);
        let folder = env::var_os("FERRY_ATTACK_REPORTS").map_or_else(env::temp_dir, PathBuf::from);
        let path = folder.join(format!("{}.json", self.name));
        fs::create_dir_all(&folder).unwrap();
        fs::write(&path, serde_json::to_vec_pretty(&self.facts).unwrap()).unwrap();
        println!("{}: report in {}", self.name, path.display());
        assert!(!self.failed, "{} missed a goal", self.name);
    }
}

/// A number from the environment.
pub(super) fn size(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The seed of a run: given, or new; printed in any case.
pub(super) fn seed(name: &str) -> u64 {
    let fresh = u64::from_be_bytes(super::target::random());
    let seed = size("FERRY_ATTACK_SEED", fresh);
    println!("SEED={seed} ({name})");
    seed
}
