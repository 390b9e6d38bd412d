//! Directories that only the node's user reads, and names that outlast a crash.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Makes the directory and those above it, with mode 0700, unless it is there.
pub(super) fn private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// The name of a new file is on the disk only when its directory is.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}
