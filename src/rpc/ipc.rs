//! The unix socket: JSON values one after the other, without any frame, each answered on a line of its own.
//!
//! Only the user of the node can open it (mode 0600 in a directory of mode 0700), so it needs no token and offers every
//! namespace, as go-ethereum's does.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonrpsee::Methods;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::conversation::{self, Ear, Heard, Mouth};
use super::error::Error;
use super::json::{First, Splitter};
use super::limits::{ACCEPT_PAUSE, CONNECTIONS_MAX, REQUEST_LEN_MAX};
use super::talk::{Numbers, Talk};

/// A socket in the file system, removed when it is dropped.
pub(crate) struct Socket {
    listener: UnixListener,
    _file: File,
}

struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Socket {
    /// Binds it. A socket that a node left behind when it was killed is removed; the caller holds the lock of the directory,
    /// so no node listens there. Anything else at its place is left alone.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) | Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        let file = File(path.to_owned());
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Self {
            listener,
            _file: file,
        })
    }

    /// Serves until the task is dropped, and with it every connection.
    pub(crate) async fn serve(self, methods: Methods, numbers: Numbers) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            while connections.try_join_next().is_some() {}
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection to the unix socket cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let talk = Talk::lasting(methods.clone(), numbers.next());
            connections.spawn(async move {
                converse(talk, stream).await;
                drop(place);
            });
        }
    }
}

async fn converse(talk: Talk, stream: UnixStream) {
    let (read, write) = stream.into_split();
    let incoming = Incoming {
        stream: read,
        splitter: Splitter::default(),
    };
    conversation::converse(talk, incoming, Outgoing(write)).await;
}

struct Incoming {
    stream: OwnedReadHalf,
    splitter: Splitter,
}

impl Ear for Incoming {
    async fn hear(&mut self) -> Heard {
        let mut buffer = [0; READ_LEN];
        loop {
            match self.splitter.next() {
                First::Value(value) => return Heard::Message(value),
                First::Broken(words) => return Heard::Refused(Error::parse(words)),
                First::Unfinished => {}
            }
            if self.splitter.len() > REQUEST_LEN_MAX {
                let words = format!("a request has at most {REQUEST_LEN_MAX} bytes");
                return Heard::Refused(Error::request(words));
            }
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return Heard::End,
                Ok(len) => self.splitter.push(&buffer[..len]),
            }
        }
    }
}

struct Outgoing(OwnedWriteHalf);

impl Mouth for Outgoing {
    async fn say(&mut self, mut text: String) -> bool {
        text.push('\n');
        self.0.write_all(text.as_bytes()).await.is_ok()
    }

    async fn wave(&mut self) -> bool {
        // The kernel tells when the other end of a unix socket is gone.
        true
    }
}

/// Bytes of one read.
const READ_LEN: usize = 16 * 1024;
