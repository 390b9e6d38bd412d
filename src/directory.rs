//! The directory of one node.
//!
//! ```text
//! DIR/            mode 0700
//!   config.toml   the configuration
//!   ferry.json    which roles the keys and the database belong to
//!   keys/         mode 0700, one file of mode 0600 per key
//!   topology.json where the mixnet begins: signed descriptors (put there by the operator)
//!   mix.known     mix nodes that the directory knew last
//!   replay/       tags of the packets that each mix key has seen
//!   whisper.nodes Whisper nodes that discovery knew last, and this node's own record
//!   db/           the database of a bridge or an edge
//!   ferry.ipc     the unix socket of JSON-RPC, while the node runs
//!   clients.keys  keys that clients made through JSON-RPC, if they are kept
//!   lock          held by a running node
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::role::Roles;

/// A directory that `ferry init` made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Makes the directory for a new node. An existing one must be empty.
    pub fn create(path: &Path, roles: &Roles) -> Result<Self, Failure> {
        let what = || format!("cannot make a node in {}", path.display());
        match fs::read_dir(path) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(Self::occupied(path, roles, what()));
                }
                fs::set_permissions(path, fs::Permissions::from_mode(DIRECTORY_MODE))
                    .map_err(|error| Failure::file(Exit::Config, "protect", path, &error))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut builder = DirBuilder::new();
                builder.recursive(true).mode(DIRECTORY_MODE);
                builder
                    .create(path)
                    .map_err(|error| Failure::file(Exit::Config, "make", path, &error))?;
            }
            Err(error) => return Err(Failure::file(Exit::Config, "read", path, &error)),
        }
        let directory = Self {
            path: absolute(path)?,
        };
        let names: Vec<String> = roles.iter().map(|role| role.to_string()).collect();
        let marker = serde_json::json!({ "ferry_directory": MARKER_VERSION, "roles": names });
        write_new(
            &directory.marker(),
            format!("{marker}\n").as_bytes(),
            FILE_MODE,
        )
        .map_err(|error| Failure::file(Exit::Config, "write", &directory.marker(), &error))?;
        Ok(directory)
    }

    /// Why an existing directory is left alone.
    fn occupied(path: &Path, roles: &Roles, what: String) -> Failure {
        let elsewhere = "choose another --dir, or remove this one first";
        match read_roles(path) {
            Ok(other) if other == *roles => Failure::new(
                Exit::Config,
                what,
                format!(
                    "it already holds a node with the role {other}; its keys are never overwritten"
                ),
                format!(
                    "start it with `ferry run --dir {}`, or {elsewhere}",
                    path.display()
                ),
            ),
            Ok(other) => Failure::new(
                Exit::Config,
                what,
                format!("it holds a node of another role: {other}, not {roles}"),
                elsewhere,
            ),
            Err(_) => Failure::new(
                Exit::Config,
                what,
                "the directory is not empty and was not made by ferry",
                elsewhere,
            ),
        }
    }

    /// Opens the directory of an existing node and checks that nobody else can change it.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let path = absolute(path)?;
        let metadata = fs::metadata(&path)
            .map_err(|error| Failure::file(Exit::Config, "open the node in", &path, &error))?;
        if !metadata.is_dir() {
            return Err(Failure::new(
                Exit::Config,
                format!("cannot open the node in {}", path.display()),
                "it is a file, not a directory",
                "give the directory that `ferry init` made",
            ));
        }
        check_ancestors(&path)?;
        Ok(Self { path })
    }

    /// The roles that keys and database belong to.
    pub fn roles(&self) -> Result<Roles, Failure> {
        read_roles(&self.path).map_err(|why| {
            Failure::new(
                Exit::Config,
                format!("{} is not the directory of a node", self.path.display()),
                why,
                "make one with `ferry init --role edge --dir D`, or give the right --dir",
            )
        })
    }

    /// Refuses a configuration whose roles are not those that the directory was made for.
    pub fn check_roles(&self, configured: &Roles) -> Result<(), Failure> {
        let made_for = self.roles()?;
        if made_for == *configured {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Config,
            format!("{} is the directory of another role", self.path.display()),
            format!("it was made for {made_for}, but its configuration says {configured}"),
            format!(
                "set roles back to {made_for} in {}, or make a new directory with \
                 `ferry init --role {configured} --dir D`",
                self.config().display()
            ),
        ))
    }

    /// Holds the directory against a second node until the file is dropped.
    pub fn lock(&self) -> Result<File, Failure> {
        let path = self.path.join("lock");
        let fail = |error: &io::Error| Failure::file(Exit::Config, "lock", &path, error);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(|error| fail(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Failure::new(
                Exit::InUse,
                format!("the node in {} is already running", self.path.display()),
                "its database is locked by the running node",
                "stop the other `ferry run` first, or make a second node with `ferry init`",
            )),
            Err(TryLockError::Error(error)) => Err(fail(&error)),
        }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.toml`.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// `keys/`.
    pub fn keys(&self) -> PathBuf {
        self.path.join("keys")
    }

    /// `clients.keys`.
    pub fn kept_keys(&self) -> PathBuf {
        self.path.join("clients.keys")
    }

    /// `db/`.
    pub fn database(&self) -> PathBuf {
        self.path.join("db")
    }

    /// `keys/epochs/`.
    pub fn epoch_keys(&self) -> PathBuf {
        self.keys().join("epochs")
    }

    /// What the directory of the mixnet keeps for the next start.
    pub fn mix_known(&self) -> PathBuf {
        self.path.join("mix.known")
    }

    /// `replay/`.
    pub fn replay(&self) -> PathBuf {
        self.path.join("replay")
    }

    /// What discovery keeps for the next start.
    pub fn whisper_nodes(&self) -> PathBuf {
        self.path.join("whisper.nodes")
    }

    /// `archive/`.
    pub fn archive(&self) -> PathBuf {
        self.path.join("archive")
    }

    /// `mailbox/`.
    pub fn mailbox(&self) -> PathBuf {
        self.path.join("mailbox")
    }

    fn marker(&self) -> PathBuf {
        self.path.join(MARKER)
    }
}

/// Makes a file that did not exist, with this mode from the first moment, and waits for the disk.
pub fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Whoever may write to a directory above can put another one in this place. Sticky directories
/// such as /tmp are fine: only owners rename there.
fn check_ancestors(path: &Path) -> Result<(), Failure> {
    for (depth, place) in path.ancestors().enumerate() {
        let Ok(metadata) = fs::metadata(place) else {
            continue;
        };
        let mode = metadata.mode();
        let sticky = depth > 0 && mode & 0o1000 != 0;
        if mode & 0o002 != 0 && !sticky {
            return Err(Failure::new(
                Exit::Keys,
                format!("the node's directory is not safe: {}", place.display()),
                format!("everybody may write to it (mode {:o})", mode & 0o7777),
                format!("chmod o-w {}", place.display()),
            ));
        }
    }
    Ok(())
}

fn read_roles(path: &Path) -> Result<Roles, String> {
    let marker = path.join(MARKER);
    let text = fs::read_to_string(&marker).map_err(|error| format!("{MARKER}: {error}"))?;
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| format!("{MARKER}: {error}"))?;
    if value["ferry_directory"] != MARKER_VERSION {
        return Err(format!(
            "{MARKER} has version {}, this build knows {MARKER_VERSION}",
            value["ferry_directory"]
        ));
    }
    let names = value["roles"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str());
    Roles::from_names(names).map_err(|why| format!("{MARKER}: {why}"))
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::file(Exit::Config, "find", path, &error))
}

/// Says that a directory is ours, and for which roles.
const MARKER: &str = "ferry.json";

/// The version of the layout above.
const MARKER_VERSION: u32 = 1;

/// Only the owner reads and enters.
pub const DIRECTORY_MODE: u32 = 0o700;

/// Only the owner reads and writes.
pub const FILE_MODE: u32 = 0o600;

#[cfg(test)]
mod tests {
    use super::*;

    fn relay() -> Roles {
        "relay".parse().unwrap()
    }

    #[test]
    fn a_directory_remembers_its_roles_and_is_private() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("a/b");
        let made = Directory::create(&path, &relay()).unwrap();
        let mode = fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o700);
        let opened = Directory::open(&path).unwrap();
        assert_eq!(opened, made);
        assert_eq!(opened.roles().unwrap(), relay());
        assert!(
            opened
                .check_roles(&"bridge".parse().unwrap())
                .unwrap_err()
                .why
                .contains("relay")
        );
    }

    #[test]
    fn what_is_there_is_never_overwritten() {
        let base = tempfile::tempdir().unwrap();
        Directory::create(base.path(), &relay()).unwrap();
        let again = Directory::create(base.path(), &relay()).unwrap_err();
        assert!(again.why.contains("already holds"), "{again}");
        let other = Directory::create(base.path(), &"edge".parse().unwrap()).unwrap_err();
        assert!(
            other.why.contains("another role: relay, not edge"),
            "{other}"
        );
        let foreign = tempfile::tempdir().unwrap();
        fs::write(foreign.path().join("letter.txt"), "dear").unwrap();
        let refused = Directory::create(foreign.path(), &relay()).unwrap_err();
        assert!(refused.why.contains("not empty"), "{refused}");
    }

    #[test]
    fn places_that_are_no_node_are_named() {
        let base = tempfile::tempdir().unwrap();
        let missing = Directory::open(&base.path().join("none")).unwrap_err();
        assert_eq!(missing.exit, Exit::Config);
        assert!(missing.what_to_do.contains("ferry init"), "{missing}");
        let file = base.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Directory::open(&file).unwrap_err().why.contains("a file"));
        let bare = Directory::open(base.path()).unwrap();
        assert!(
            bare.roles()
                .unwrap_err()
                .what
                .contains("not the directory of a node")
        );
        fs::write(
            base.path().join(MARKER),
            r#"{"ferry_directory":9,"roles":["relay"]}"#,
        )
        .unwrap();
        assert!(bare.roles().unwrap_err().why.contains("version 9"));
    }

    #[test]
    fn a_place_that_everybody_may_change_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("open/node");
        Directory::create(&path, &relay()).unwrap();
        let parent = base.path().join("open");
        fs::set_permissions(&parent, fs::Permissions::from_mode(0o777)).unwrap();
        let refused = Directory::open(&path).unwrap_err();
        assert_eq!(refused.exit, Exit::Keys);
        assert!(refused.what_to_do.contains("chmod o-w"), "{refused}");
        fs::set_permissions(&parent, fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(Directory::open(&path).is_ok());
    }

    #[test]
    fn two_nodes_cannot_share_a_directory() {
        let base = tempfile::tempdir().unwrap();
        let directory = Directory::create(base.path(), &relay()).unwrap();
        let held = directory.lock().unwrap();
        let refused = directory.lock().unwrap_err();
        assert_eq!(refused.exit, Exit::InUse);
        drop(held);
        assert!(directory.lock().is_ok());
    }
}
