//! Capabilities: which subprotocols both ends speak, and which message codes each of them gets.
//!
//! Shared is what both name with the same version; of one name only the highest shared version counts. Sorted by name, the
//! shared ones lie packed from code 16 on, each as long as its number of messages. What only one end has takes no room.
//! Spec: devp2p base protocol, capability matching.

use std::collections::BTreeMap;

/// A subprotocol that we speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: u64,
    /// How many message codes it takes.
    pub len: u64,
}

/// Whisper, the one that we always advertise.
pub const SHH: Capability = Capability {
    name: "shh",
    version: 6,
    len: 128,
};

/// A subprotocol that both ends speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The subprotocol.
    pub capability: Capability,
    /// The code of its first message.
    pub offset: u64,
}

impl Shared {
    /// The code within the subprotocol, if this code of the connection is one of its own.
    pub fn relative(&self, code: u64) -> Option<u64> {
        code.checked_sub(self.offset)
            .filter(|relative| *relative < self.capability.len)
    }
}

/// What both ends speak, in the order of the codes.
pub fn shared<'a>(
    ours: &[Capability],
    theirs: impl IntoIterator<Item = (&'a str, u64)>,
) -> Vec<Shared> {
    let mut best: BTreeMap<&str, &Capability> = BTreeMap::new();
    for (name, version) in theirs {
        let Some(capability) = ours
            .iter()
            .find(|own| own.name == name && own.version == version)
        else {
            continue;
        };
        let chosen = best.entry(capability.name).or_insert(capability);
        if chosen.version < version {
            *chosen = capability;
        }
    }
    let mut offset = BASE_LEN;
    let mut found = Vec::new();
    for capability in best.into_values() {
        found.push(Shared {
            capability: capability.clone(),
            offset,
        });
        offset += capability.len;
    }
    found
}

/// Codes that the base protocol keeps for itself.
pub const BASE_LEN: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const ETH_62: Capability = Capability {
        name: "eth",
        version: 62,
        len: 8,
    };
    const ETH_63: Capability = Capability {
        name: "eth",
        version: 63,
        len: 17,
    };
    const LES_2: Capability = Capability {
        name: "les",
        version: 2,
        len: 22,
    };

    fn offsets(ours: &[Capability], theirs: &[(&str, u64)]) -> Vec<(&'static str, u64, u64)> {
        shared(ours, theirs.iter().copied())
            .into_iter()
            .map(|shared| {
                (
                    shared.capability.name,
                    shared.capability.version,
                    shared.offset,
                )
            })
            .collect()
    }

    #[test]
    fn whisper_alone_starts_at_sixteen() {
        assert_eq!(
            offsets(&[SHH], &[("eth", 63), ("les", 2), ("shh", 6)]),
            [("shh", 6, 16)]
        );
    }

    #[test]
    fn shared_ones_are_packed_in_the_order_of_their_names() {
        assert_eq!(
            offsets(&[SHH, ETH_63], &[("shh", 6), ("eth", 63)]),
            [("eth", 63, 16), ("shh", 6, 33)]
        );
        assert_eq!(
            offsets(
                &[SHH, LES_2, ETH_62, ETH_63],
                &[("eth", 62), ("eth", 63), ("les", 2), ("shh", 6)]
            ),
            [("eth", 63, 16), ("les", 2, 33), ("shh", 6, 55)]
        );
        assert_eq!(
            offsets(&[ETH_62, ETH_63, SHH], &[("shh", 6), ("eth", 62)]),
            [("eth", 62, 16), ("shh", 6, 24)]
        );
    }

    #[test]
    fn nothing_is_shared_across_versions_or_names() {
        assert!(offsets(&[SHH], &[("shh", 5), ("shh", 7), ("shhext", 6), ("", 6)]).is_empty());
        assert!(offsets(&[SHH], &[]).is_empty());
    }

    #[test]
    fn a_name_said_twice_counts_once() {
        assert_eq!(offsets(&[SHH], &[("shh", 6), ("shh", 6)]), [("shh", 6, 16)]);
    }

    #[test]
    fn codes_belong_to_one_range() {
        let shared = Shared {
            capability: SHH,
            offset: 33,
        };
        assert_eq!(shared.relative(32), None);
        assert_eq!(shared.relative(33), Some(0));
        assert_eq!(shared.relative(160), Some(127));
        assert_eq!(shared.relative(161), None);
        assert_eq!(shared.relative(1 << 63), None);
    }
}
