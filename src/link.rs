//! The adapters: the only place where the bridge and the two networks meet.
//!
//! [`legacy`] and [`mixnet`] mirror each other. Each translates what its network says into the words of
//! `bridge::port`, for the role of the bridge and for the role of the edge, and carries back what the core wants done.
//! They hold no protocol logic: what is accepted, repeated or refused is decided in the crates.
//!
//! [`interest`] and [`foreground`] read what an edge's client wants, and whether it is there.
//!
//! | network | bridge role | edge role |
//! |---|---|---|
//! | Whisper | new envelopes in; posts out, sealed when asked | the client's envelopes and wishes in; deliveries out |
//! | mixnet | requests and acks in; replies out by reply blocks | responses and deliveries in; requests out |

pub mod foreground;
pub mod interest;
pub mod legacy;
pub mod mixnet;
