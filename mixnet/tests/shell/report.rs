//! What a long run says: a line per goal, and a file of JSON in the folder `FERRY_MIX_REPORTS`.

#![allow(dead_code, unreachable_pub, clippy::print_stdout, clippy::unwrap_used)]

use std::path::PathBuf;
use std::{env, fs};

use serde_json::{Map, Value, json};

pub struct Report {
    name: &'static str,
    facts: Map<String, Value>,
    failed: bool,
}

impl Report {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            facts: Map::new(),
            failed: false,
        }
    }

    pub fn fact(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(name.to_owned(), value.into());
    }

    /// A goal, what was found, and whether that is good enough.
    pub fn goal(&mut self, goal: &str, found: &str, good: bool) {
        let verdict = if good { "PASS" } else { "FAIL" };
        println!("{verdict} {}: {goal}: {found}", self.name);
        self.failed |= !good;
        let goals = self.facts.entry("goals").or_insert_with(|| json!([]));
        if let Some(goals) = goals.as_array_mut() {
            goals.push(json!({ "goal": goal, "found": found, "pass": good }));
        }
    }

    /// Writes the file; whether every goal was reached.
    pub fn end(mut self) -> bool {
        self.fact("name", self.name);
        self.fact("pass", !self.failed);
        let folder = env::var_os("FERRY_MIX_REPORTS").map_or_else(env::temp_dir, PathBuf::from);
        let path = folder.join(format!("{}.json", self.name));
        fs::create_dir_all(&folder).unwrap();
        fs::write(&path, serde_json::to_vec_pretty(&self.facts).unwrap()).unwrap();
        println!("{}: report in {}", self.name, path.display());
        !self.failed
    }
}
