//! Minimum Viable Data Synchronisation: reliable delivery to the members of a group over a transport that loses,
//! reorders, duplicates and delays.
//!
//! The specification is `proto/mvds.proto` and the table in [`node`]. This module imports nothing else of the crate.
//!
//! | module | content |
//! |---|---|
//! | [`id`] | ids of groups, messages and peers |
//! | [`payload`] | the payload codec in both dialects, and the sniffing rule |
//! | [`retry`] | when a record is sent again |
//! | [`record`] | what a node keeps on disk |
//! | [`node`] | the state machine |

pub mod id;
pub mod node;
pub mod payload;
pub mod record;
pub mod retry;
