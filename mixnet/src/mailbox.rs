//! Mailboxes: storage that any node may offer to those who are offline (spec: offline receivers).
//!
//! A writer and a reader share the key of a *chain* of boxes. Each box takes one *cell* of a fixed size, once. Nobody else can tell
//! that two boxes belong together, and a mailbox learns neither who writes nor who reads: both are three relays away.
//!
//! ```text
//! writer ─ put: box id, proof, cell, one reply block ─▶ two mailboxes of the box ─ status ─▶ writer
//! reader ─ get: five ids, three reply blocks ─────────▶ one of them ─ a cell for each block, real or random ─▶ reader
//! ```
//!
//! - [`chain`]: box ids and the keys of cells, from the key of the chain
//! - [`cell`]: sealed cells, and objects in several of them
//! - [`place`]: which mailboxes keep a box
//! - [`request`]: what travels
//! - [`store`], [`server`]: the mailbox itself
//! - [`client`]: when to poll, what to put, and whom to believe
//!
//! docs/mixnet-protocol.md, "Mailboxes", has the bytes.

pub mod cell;
pub mod chain;
pub mod client;
pub mod place;
pub mod request;
pub mod server;
pub mod store;

pub use cell::{CELL_FRAGMENT_MAX, CELL_LEN, Cell, boxes_for};
pub use chain::{BoxId, ChainKey, WriteProof};
pub use client::{Client, Event, Label, LeaveError};
pub use request::{Answer, Get, Put, PutStatus, Request, RequestError};
pub use server::{Server, ServerConfig, ServerCounters};
pub use store::{CellStore, CellStoreError, Kept, MemoryCells};
