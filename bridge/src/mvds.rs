//! Minimum Viable Data Synchronisation: reliable delivery to the members of a group over a transport that loses,
//! reorders, duplicates and delays.
//!
//! The specification is `proto/mvds.proto` and the table in [`node`]. This module imports nothing else of the crate.
//!
//! | module | content |
//! |---|---|
//! | [`id`] | ids of groups, messages and peers |

pub mod id;
