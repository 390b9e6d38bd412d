//! Simulations of networks larger than any machine can run.
//!
//! | module | question |
//! |---|---|
//! | [`anonymity`] | how much does somebody learn who sees every packet? |
//! | [`cores`] | what do real nodes do, on virtual time? |
//! | [`pki`] | does gossip reach a million nodes, while some leave and others lie? |

pub mod anonymity;
pub mod cores;
pub mod pki;
