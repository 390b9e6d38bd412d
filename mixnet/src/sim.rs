//! Simulations of networks larger than any machine can run.
//!
//! | module | question |
//! |---|---|
//! | [`pki`] | does gossip reach a million nodes, while some leave and others lie? |

pub mod pki;
