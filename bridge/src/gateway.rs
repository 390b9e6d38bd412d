//! The gateway protocol: what a client behind the mixnet and a bridge say to each other.
//!
//! The specification is `proto/mixbridge.proto`.
//!
//! | module | content |
//! |---|---|
//! | [`client`] | the edge: registers, posts and receives for a local client |
//! | [`kinds`] | type and tag of a frame, reply blocks |
//! | [`prefix`] | topic prefixes |
//! | [`seal`] | the AEAD boxes that objects travel in |
//! | [`request`] | what a client asks, typed and validated |
//! | [`response`] | what a bridge answers, typed and validated |

pub mod client;
pub mod kinds;
pub mod prefix;
pub mod request;
pub mod response;
pub mod seal;
pub(crate) mod server;
