//! Why a command ends early, in the three sentences that a person needs: what, why, what to do.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::exit::Exit;

/// The end of a command, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What the process ends with.
    pub exit: Exit,
    /// What did not work.
    pub what: String,
    /// Why it did not.
    pub why: String,
    /// What the reader can do about it.
    pub what_to_do: String,
}

impl Failure {
    /// A failure in three sentences.
    pub fn new(
        exit: Exit,
        what: impl Into<String>,
        why: impl Into<String>,
        what_to_do: impl Into<String>,
    ) -> Self {
        Self {
            exit,
            what: what.into(),
            why: why.into(),
            what_to_do: what_to_do.into(),
        }
    }

    /// A file or directory that cannot be read or written.
    pub fn file(exit: Exit, doing: &str, path: &Path, error: &io::Error) -> Self {
        let what_to_do = match error.kind() {
            io::ErrorKind::NotFound => "check the path; `ferry init` makes a new directory",
            io::ErrorKind::PermissionDenied => {
                "run as the user that owns it, or change its owner or mode"
            }
            io::ErrorKind::StorageFull => "free some space on this disk",
            _ => "check the disk and the path",
        };
        Self::new(
            exit,
            format!("cannot {doing} {}", path.display()),
            error.to_string(),
            what_to_do,
        )
    }

    /// A mistake of ours.
    pub fn bug(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(
            Exit::Bug,
            what,
            why,
            "this is a mistake in ferry: please report it",
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\n  why: {}\n  what to do: {}",
            self.what, self.why, self.what_to_do
        )
    }
}

impl std::error::Error for Failure {}

/// Why a node does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be bound.
    #[error("cannot listen on {address} for {purpose}: {source}")]
    Listen {
        /// What it is for: `whisper`, `mix` or `api`, the section of the configuration; or `rpc.http`, with its key.
        purpose: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Another process has the database open.
    #[error("the database {path} is locked by a running node")]
    DatabaseLocked {
        /// Where it is.
        path: PathBuf,
    },
    /// The database holds what it must not.
    #[error("the database {path} is damaged: {why}")]
    DatabaseCorrupt {
        /// Where it is.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// The database was written by another version.
    #[error("the database {path} has schema {found}, this build reads {known}")]
    DatabaseVersion {
        /// Where it is.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The database cannot be opened for another reason: disk full, no permission.
    #[error("the database {path} cannot be opened: {why}")]
    Database {
        /// Where it is.
        path: PathBuf,
        /// What RocksDB says.
        why: String,
    },
    /// The relay list is refused, or cannot be read.
    #[error("the relay list {path} is refused: {why}")]
    Topology {
        /// The file.
        path: PathBuf,
        /// Which entry, and what is wrong with it.
        why: String,
    },
    /// The unix socket of JSON-RPC cannot be bound.
    #[error("cannot listen on the unix socket {path}: {source}")]
    Socket {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of a secret that an operator wrote, or the keys that clients left here.
    #[error("{path} cannot be used: {why}")]
    Secret {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
        /// What to do about it.
        what_to_do: String,
    },
    /// The configuration asks for something that cannot be.
    #[error("the configuration cannot be used: {key}: {why}")]
    Config {
        /// The key, as `section.key`.
        key: &'static str,
        /// What is wrong.
        why: String,
        /// What to write instead.
        what_to_do: String,
    },
    /// A key that a role needs is not there, or is no key.
    #[error("the key {name} cannot be used: {why}")]
    Keys {
        /// Its file under `keys/`.
        name: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The mix keys of the epochs cannot be read or kept.
    #[error("{0}")]
    EpochKeys(String),
    /// The tags of the packets that were seen cannot be read or kept.
    #[error("{0}")]
    ReplayTags(String),
    /// File descriptors, threads or memory.
    #[error("not enough resources: {0}")]
    Resources(String),
    /// A mistake of ours.
    #[error("internal: {0}")]
    Bug(String),
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let why = error.to_string();
        match error {
            StartError::Listen {
                purpose,
                address,
                source,
            } => listen_failure(purpose, address, &source),
            StartError::DatabaseLocked { path } => Self::new(
                Exit::InUse,
                format!("the node of {} is already running", shown_parent(&path)),
                why,
                "stop the other `ferry run` first, or give this one a directory of its own",
            ),
            StartError::DatabaseCorrupt { .. } => Self::new(
                Exit::DatabaseCorrupt,
                "the database is damaged",
                why,
                "restore a copy; or move the folder away: keys stay, messages on their way are lost",
            ),
            StartError::DatabaseVersion { found, known, .. } => Self::new(
                Exit::DatabaseVersion,
                "the database was written by another version of ferry",
                why,
                if found > known {
                    "run the newer ferry that wrote it"
                } else {
                    "run the ferry that wrote it once, so that it delivers what it holds; then start afresh"
                },
            ),
            StartError::Database { .. } => Self::new(
                Exit::Resources,
                "the database cannot be opened",
                why,
                "check the free space and the owner of the directory",
            ),
            StartError::Topology { .. } => Self::new(
                Exit::Config,
                "the relay list cannot be used",
                why,
                "get the list again from where it came; the descriptor of a single node is what `ferry id` prints there",
            ),
            StartError::Socket { .. } => Self::new(
                Exit::PortInUse,
                "cannot listen on the unix socket for [rpc]",
                why,
                "choose a shorter path (the system takes about 100 characters) in [rpc] ipc of config.toml, or leave it empty",
            ),
            StartError::Secret { what_to_do, .. } => {
                Self::new(Exit::Keys, "a secret cannot be used", why, what_to_do)
            }
            StartError::Config { what_to_do, .. } => Self::new(
                Exit::Config,
                "the configuration cannot be used",
                why,
                what_to_do,
            ),
            StartError::Keys { .. } => Self::new(
                Exit::Keys,
                "a key cannot be used",
                why,
                "restore it from a backup, or make a new node with `ferry init`",
            ),
            StartError::EpochKeys(_) => Self::new(
                Exit::Keys,
                "the mix keys of the epochs cannot be used",
                why,
                "such keys are good for hours: set right what is wrong with the disk, or remove the file, and start again",
            ),
            StartError::ReplayTags(_) => Self::new(
                Exit::DatabaseCorrupt,
                "the tags of packets that were seen cannot be used",
                why,
                "set right what is wrong with the disk; or move the file away, and packets that were seen under its key can be sent once more",
            ),
            StartError::Resources(_) => Self::new(
                Exit::Resources,
                "the node cannot start",
                why,
                "raise the limit (`ulimit -n`, or LimitNOFILE in the unit), or lower the peers in config.toml",
            ),
            StartError::Bug(_) => Self::bug("the node cannot start", why),
        }
    }
}

/// What to say about an address that cannot be bound. The purpose is a section, or a section and its key.
fn listen_failure(purpose: &str, address: SocketAddr, source: &io::Error) -> Failure {
    let (purpose, key) = purpose.split_once('.').unwrap_or((purpose, "listen"));
    let what_to_do = match source.kind() {
        io::ErrorKind::AddrInUse => format!(
            "stop the program that uses port {}, or set another port in [{purpose}] {key} of config.toml",
            address.port()
        ),
        io::ErrorKind::PermissionDenied => {
            format!("choose a port above 1023 in [{purpose}] {key} of config.toml")
        }
        _ => format!("set an address of this machine in [{purpose}] {key} of config.toml"),
    };
    Failure::new(
        Exit::PortInUse,
        format!("cannot listen on {address} for [{purpose}]"),
        source.to_string(),
        what_to_do,
    )
}

/// The directory that holds `path`, for a sentence.
fn shown_parent(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_the_port_the_section_and_exit_14() {
        let address = "127.0.0.1:30303".parse().unwrap();
        let source = io::Error::from(io::ErrorKind::AddrInUse);
        let failure = Failure::from(StartError::Listen {
            purpose: "whisper",
            address,
            source,
        });
        assert_eq!(failure.exit, Exit::PortInUse);
        let shown = failure.to_string();
        for part in [
            "127.0.0.1:30303",
            "[whisper]",
            "what to do: stop the program that uses port 30303",
        ] {
            assert!(shown.contains(part), "{shown}");
        }
    }

    #[test]
    fn each_start_error_has_its_exit_code() {
        let path = PathBuf::from("d/db");
        let cases = [
            (
                StartError::DatabaseLocked { path: path.clone() },
                Exit::InUse,
            ),
            (
                StartError::DatabaseCorrupt {
                    path: path.clone(),
                    why: "x".into(),
                },
                Exit::DatabaseCorrupt,
            ),
            (
                StartError::DatabaseVersion {
                    path: path.clone(),
                    found: 2,
                    known: 1,
                },
                Exit::DatabaseVersion,
            ),
            (
                StartError::Database {
                    path: path.clone(),
                    why: "x".into(),
                },
                Exit::Resources,
            ),
            (
                StartError::Topology {
                    path,
                    why: "x".into(),
                },
                Exit::Config,
            ),
            (
                StartError::Keys {
                    name: "mix",
                    why: "x".into(),
                },
                Exit::Keys,
            ),
            (StartError::Resources("x".into()), Exit::Resources),
            (StartError::Bug("x".into()), Exit::Bug),
        ];
        for (error, exit) in cases {
            let failure = Failure::from(error);
            assert_eq!(failure.exit, exit, "{failure}");
            assert!(!failure.what_to_do.is_empty());
        }
    }
}
