//! RLPx: the encrypted transport below Whisper.
//!
//! | module | content |
//! |---|---|
//! | [`ecies`] | encryption to a public key, used by the handshake and by Whisper's asymmetric payloads |

pub mod ecies;
