//! Lines for people and programs. A closed pipe is no error: the reader has seen enough.

use std::io::{self, Write};

/// One line to standard output, at once.
pub(super) fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// One line to standard error.
pub(super) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
