//! What the process ends with. Scripts and service managers may rely on these numbers.

use std::process::ExitCode;

/// The exit codes of `ferry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// What was asked for did not succeed: a vector failed, a message did not arrive.
    Failed = 1,
    /// The command line, or a file named on it, cannot be understood.
    Usage = 2,
    /// The configuration, the node's directory or its relay list.
    Config = 10,
    /// A key is missing, damaged or readable by others.
    Keys = 11,
    /// The database was written by another version.
    DatabaseVersion = 12,
    /// The database is damaged.
    DatabaseCorrupt = 13,
    /// An address to listen on is taken or cannot be bound.
    PortInUse = 14,
    /// File descriptors, disk or memory do not suffice.
    Resources = 15,
    /// The clock cannot be right.
    Clock = 16,
    /// The directory is in use by a running node.
    InUse = 17,
    /// `doctor` found problems.
    Doctor = 20,
    /// A mistake in this program.
    Bug = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
