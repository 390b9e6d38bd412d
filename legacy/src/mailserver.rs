//! Mailservers: nodes that keep what passes, and hand it to those who were away.
//!
//! ```text
//! client ── 126 request ──▶ server        server ── 123 request ──▶ server
//!        ◀── 127 envelopes ─                     ◀── 124 envelopes ─
//!        ◀── 125 completion ─                    ◀── 124 final ────
//! ```
//!
//! | module | content |
//! |---|---|
//! | [`request`], [`response`], [`exchange`] | the messages as bytes, in every form that peers use |
//! | [`key`], [`archive`] | the order of archived envelopes; where they are kept |
//! | [`server`] | keeps envelopes, answers requests, syncs with other servers |
//! | [`client`] | asks another node for what was missed, page by page |
//! | [`limits`] | every number, with its reason |
//!
//! Server and client are state machines of their own beside the Whisper node, which hands them the messages of these codes and
//! decides whose are taken. Spec: mailserver.

pub mod archive;
pub mod client;
pub mod exchange;
pub mod key;
pub mod limits;
pub mod request;
pub mod response;
pub mod server;

pub use archive::{Archive, ArchiveError, MemoryArchive};
pub use client::{Client, History, HistoryError, HistoryRequest};
pub use key::{Cursor, Key};
pub use request::{Form, MailId, Request, RequestError, Wanted};
pub use server::{Breach, Server, SyncError, SyncRequest, Synced};
