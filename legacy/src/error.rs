//! Whose fault an error is: the one question that a shell asks before it decides what to do.

/// The party that an error is blamed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The other end broke a rule: drop it.
    Peer,
    /// The machine or the network between: try again later.
    Local,
    /// The operator asked for something that cannot be: say so and stop.
    Config,
    /// We did what we must never do.
    Bug,
}
