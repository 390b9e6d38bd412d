//! How much a global observer learns: the mixing of a node, its clocks and its delays, on virtual time.
//!
//! The observer sees every packet arrive and leave, and knows the program. What it does not see is which of the packets that
//! rest in a node is the one that leaves: since delays are exponential, all of them are equally likely. So it writes a
//! probability on every packet, "this is the one that I look for", and at every departure spreads it evenly:
//!
//! ```text
//! a node holds n packets with the probability m among them ─▶ one leaves: it carries m/n, and m·(n-1)/n stays
//! ```
//!
//! | module | question |
//! |---|---|
//! | [`observer`] | what is written on a packet that leaves? |
//! | [`theory`] | what the formulas say |
//! | [`pool`] | one node: from how many packets could this one be? |
//! | [`network`] | layers of nodes: where did this packet leave? which of two senders sent it? |
//! | [`disclosure`] | who gets messages when Alice is there? |
//! | [`blending`] | can one packet be singled out at a relay, and who notices? |
//!
//! Delays and waiting are those of a real node ([`crate::delay`]), senders those of a real client (a Poisson clock); packets
//! carry no bytes, because the observer learns nothing from them. Entropies are in bits. Spec: simulating anonymity.

pub mod blending;
pub mod disclosure;
pub mod network;
pub mod observer;
pub mod pool;
pub mod theory;

use serde::Serialize;

/// A mean with its standard deviation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean of the samples.
    pub mean: f64,
    /// Their standard deviation.
    pub sd: f64,
    /// How many there were.
    pub samples: usize,
}

impl Estimate {
    fn of(samples: &[f64]) -> Estimate {
        let len = samples.len().max(1) as f64;
        let mean = samples.iter().sum::<f64>() / len;
        let variance = samples
            .iter()
            .map(|sample| (sample - mean).powi(2))
            .sum::<f64>()
            / len;
        Estimate {
            mean,
            sd: variance.sqrt(),
            samples: samples.len(),
        }
    }
}
