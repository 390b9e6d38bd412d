//! The parts that a node can take. Any node may take any of them; see [`Roles::check`] for the
//! one pair that must not share a directory.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// One part that a node takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Beside an unmodified client: a Whisper peer for it, a mixnet client for everything else.
    Edge,
    /// Between the mixnet and the Whisper network.
    Bridge,
    /// Forwards packets of the mixnet.
    Relay,
    /// Keeps messages for those who are offline.
    Mailbox,
    /// A plain Whisper node.
    Whisper,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [
        Self::Edge,
        Self::Bridge,
        Self::Relay,
        Self::Mailbox,
        Self::Whisper,
    ];

    /// Its name on the command line and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Bridge => "bridge",
            Self::Relay => "relay",
            Self::Mailbox => "mailbox",
            Self::Whisper => "whisper",
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no role: edge, bridge, relay, mailbox or whisper"))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The parts of one node: at least one, in a fixed order, none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(Vec<Role>);

impl Roles {
    /// These roles, if they can live in one node.
    pub fn check(roles: impl IntoIterator<Item = Role>) -> Result<Self, String> {
        let mut roles: Vec<Role> = roles.into_iter().collect();
        roles.sort();
        roles.dedup();
        if roles.is_empty() {
            return Err(
                "a node needs at least one role: edge, bridge, relay, mailbox or whisper"
                    .to_owned(),
            );
        }
        let on_whisper = roles
            .iter()
            .find(|role| matches!(role, Role::Bridge | Role::Whisper));
        if let (true, Some(other)) = (roles.contains(&Role::Edge), on_whisper) {
            return Err(format!(
                "edge and {other} cannot share a node: the client of an edge must never meet the \
                 Whisper network directly; make two directories"
            ));
        }
        Ok(Self(roles))
    }

    /// The roles of these names.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let roles: Result<Vec<_>, _> = names.into_iter().map(str::parse).collect();
        Self::check(roles?)
    }

    /// Whether `role` is one of them.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Whether the node speaks devp2p.
    pub fn speaks_whisper(&self) -> bool {
        self.has(Role::Edge) || self.has(Role::Bridge) || self.has(Role::Whisper)
    }

    /// Whether the node takes part in the mixnet.
    pub fn speaks_mix(&self) -> bool {
        self.has(Role::Edge) || self.is_called()
    }

    /// Whether others send packets of the mixnet to the node by its descriptor.
    pub fn is_called(&self) -> bool {
        self.has(Role::Bridge) || self.has(Role::Relay) || self.has(Role::Mailbox)
    }

    /// In their order.
    pub fn iter(&self) -> impl Iterator<Item = Role> + '_ {
        self.0.iter().copied()
    }
}

impl FromStr for Roles {
    type Err = String;

    /// Names separated by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::from_names(text.split(',').map(str::trim))
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, role) in self.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{role}")?;
        }
        Ok(())
    }
}

impl Serialize for Roles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_repetition_do_not_matter() {
        let roles: Roles = "whisper, mailbox,relay,bridge,relay".parse().unwrap();
        assert_eq!(roles.to_string(), "bridge,relay,mailbox,whisper");
        assert_eq!(roles, "relay,bridge,whisper,mailbox".parse().unwrap());
    }

    #[test]
    fn an_edge_is_never_on_the_whisper_network() {
        for text in ["edge,bridge", "whisper,edge", "edge,relay,whisper"] {
            assert!(
                text.parse::<Roles>()
                    .unwrap_err()
                    .contains("two directories"),
                "{text}"
            );
        }
        assert!("edge,relay".parse::<Roles>().is_ok());
    }

    #[test]
    fn unknown_and_missing_names_are_refused() {
        for text in ["", "edges", "mailboxes", "Edge", "edge,,relay"] {
            assert!(text.parse::<Roles>().is_err(), "{text:?}");
        }
        assert!(Roles::check([]).is_err());
    }
}
