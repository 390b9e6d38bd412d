//! The shape of traffic in time: does it look as it should, and can two kinds of it be told apart?
//!
//! | module | question |
//! |---|---|
//! | [`distribution`] | are these times exponential, or sums of exponential ones? |
//! | [`classifier`] | how well can somebody who sees when packets pass tell whether they carry messages? |
//! | [`reading`] | what a trace of a running node says |
//!
//! Pure arithmetic, for measurements and tests; a node does not use it. Times are in seconds.

pub mod classifier;
pub mod distribution;
pub mod reading;
