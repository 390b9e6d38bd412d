//! How a node takes part in the directory of the mixnet, and what it waits for at its start.

use std::time::Duration;

use ::mixnet::descriptor::Descriptor;
use ::mixnet::directory::Mode;
use ::mixnet::shell::directory::{Config, Places};
use ::mixnet::{PeerKey, Topology};

use super::parts::Mix;
use crate::config::Settings;
use crate::directory::Directory;
use crate::identity;
use crate::keystore::Keys;

// ---- Our bounds ----

/// How long an edge looks for a bridge in the directory before it says that there is none.
const BRIDGE_WITHIN: Duration = Duration::from_secs(40);

/// How the node takes part: who offers something keeps a registry, everybody else fetches the active set.
pub(super) fn config(settings: &Settings, directory: &Directory, keys: &Keys) -> Config {
    let profile = identity::profile(settings, keys);
    Config {
        mode: match profile.capabilities.serves() {
            true => Mode::Full,
            false => Mode::Light,
        },
        epochs: settings.mix.epochs,
        profile,
        // With a seed every start makes the same keys, and keeps none.
        places: settings.node.seed.is_none().then(|| Places {
            keys: directory.epoch_keys(),
            known: directory.mix_known(),
        }),
    }
}

/// The nodes among which an edge chooses: those of the file first, in its order, with what is known of them by now, then the others of
/// the network, in an order of this node's own, so that no key is a better one for everybody. Waits until one of them `is_wanted`.
pub(super) async fn found(
    settings: &Settings,
    mix: &Mix,
    begin: &[Descriptor],
    is_wanted: impl Fn(&Descriptor) -> bool,
) -> Vec<Descriptor> {
    if !settings.mix.gossip {
        return begin.to_vec();
    }
    let mut topologies = mix.handle.topology();
    if !begin.iter().any(&is_wanted) {
        let named = topologies.wait_for(|network| network.iter().any(&is_wanted));
        // Without one the edge says that there is none.
        let _ = tokio::time::timeout(BRIDGE_WITHIN, named).await;
    }
    let network = topologies.borrow().clone();
    in_order(mix.handle.peer(), begin, &network)
}

fn in_order(own: PeerKey, begin: &[Descriptor], network: &Topology) -> Vec<Descriptor> {
    let newest = |old: &Descriptor| network.get(&old.peer()).unwrap_or(old).clone();
    let first = begin.iter().map(newest);
    let is_first = |peer: PeerKey| begin.iter().any(|old| old.peer() == peer);
    let mut others: Vec<&Descriptor> = network.iter().collect();
    others.retain(|descriptor| !is_first(descriptor.peer()));
    others.sort_by_cached_key(|descriptor| own.rank(&descriptor.peer()));
    first.chain(others.into_iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use ::mixnet::descriptor::{Capabilities, Statement};
    use ::mixnet::{AddressPolicy, PublicKey};

    use super::*;

    fn node(n: u8, epoch: u32) -> Descriptor {
        let statement = Statement {
            capabilities: Capabilities {
                bridge: true,
                ..Capabilities::default()
            },
            gateway_key: Some([n; 32]),
            ..Statement::new(epoch, PublicKey::from_bytes([9; 32]))
        };
        Descriptor::sign(statement, &[n; 32]).unwrap()
    }

    /// What the operator wrote comes first; among the others no key is first for everybody.
    #[test]
    fn the_file_is_preferred_and_the_rest_is_in_an_order_of_ones_own() {
        let nodes: Vec<Descriptor> = (1..=5).map(|n| node(n, 3)).collect();
        let network = Topology::new(nodes.clone(), AddressPolicy::default()).unwrap();
        let begin = [node(4, 0), node(9, 0)];
        let firsts = (1..=40).map(|own| {
            let own = node(own, 0).peer();
            let order = in_order(own, &begin, &network);
            assert_eq!(order.len(), 6);
            // The known one with what it says now, the unknown one as it was.
            assert_eq!(order[..2], [nodes[3].clone(), begin[1].clone()]);
            assert_eq!(order, in_order(own, &begin, &network));
            order[2].peer()
        });
        let firsts: std::collections::BTreeSet<PeerKey> = firsts.collect();
        assert_eq!(firsts.len(), 4);
    }
}
