//! RLPx: the encrypted transport below Whisper.
//!
//! | module | content |
//! |---|---|
//! | [`ecies`] | encryption to a public key, used by the handshake and by Whisper's asymmetric payloads |
//! | [`handshake`] | auth and ack, in both of their forms |
//! | [`secrets`] | the keys of a connection |
//! | [`frame`] | encryption and authentication of messages |
//! | [`snappy`] | compression of payloads |
//! | [`payload`] | a payload that many connections send, compressed once |
//! | [`hello`], [`disconnect`], [`capability`] | the base protocol: who speaks what, and why it ends |
//! | [`session`] | all of it put together: one connection, bytes in and out |

pub mod capability;
pub mod disconnect;
pub mod ecies;
pub mod frame;
pub mod handshake;
pub mod hello;
pub mod payload;
pub mod secrets;
pub mod session;
pub mod snappy;

#[cfg(test)]
pub(crate) mod fixtures;

/// Which end opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// We did.
    Dialled,
    /// They did.
    Accepted,
}
