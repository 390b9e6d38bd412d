//! Whisper v6, capability `shh/6`: a gossip of sealed envelopes with topics, proof of work and short lives.
//!
//! | module | content |
//! |---|---|
//! | [`node`] | the state machine: peers in, envelopes out; the only place where the rest meets |
//! | [`wire`] | Status and the other messages as bytes |
//! | [`envelope`] | the envelope: strict parse, id, work, and its making |
//! | [`pow`] | proof of work: check and search |
//! | [`topic`], [`bloom`] | what an envelope is about, and who wants it |
//! | [`rules`] | what we accept, and why something is refused |
//! | `pool`, `peer` | what is alive; what each peer wants and knows |
//! | [`clock`] | whether our clock can be trusted |
//! | [`confirmation`], `rate` | what becomes of bundles, and how many packets somebody may send |
//! | [`message`] | the plaintext inside an envelope: payload, padding, signature |
//! | [`seal`] | its encryption, by password or to a public key |
//! | [`filter`] | which envelopes a local client can open |
//! | [`inbox`], [`keyring`] | what its filters caught until it asks; the keys that it keeps here |
//! | [`label`] | the names of both |
//! | [`interest`] | which topics a peer's bloom filter stands for |
//! | [`limits`] | every number, with its reason |

pub mod bloom;
pub mod clock;
pub mod confirmation;
pub mod envelope;
pub mod filter;
pub mod inbox;
pub mod interest;
pub mod keyring;
pub mod label;
pub mod limits;
pub mod message;
pub mod node;
mod peer;
mod pool;
pub mod pow;
mod rate;
pub mod rules;
pub mod seal;
pub mod topic;
pub mod wire;

pub use bloom::Bloom;
pub use envelope::{Draft, Envelope, EnvelopeHash};
pub use node::{Config, Counters, Input, Node, Output, PeerId};
pub use rules::Reject;
pub use topic::Topic;
