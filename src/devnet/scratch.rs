//! Directories that nobody asked for: with names that nobody has had, whatever processes before left behind, and removed at the end.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use crate::exit::Exit;
use crate::failure::Failure;

/// A new one, that only its owner may enter, among the system's temporary ones.
pub(crate) fn fresh(prefix: &str) -> Result<TempDir, Failure> {
    let within = std::env::temp_dir();
    let made = tempfile::Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(&within);
    made.map_err(|error| Failure::file(Exit::Resources, "make a directory in", &within, &error))
}
