//! What a node that starts knows of its network, and with which keys it begins.

use std::path::PathBuf;

use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::keeper::{Keeper, Order};
use super::{SpawnError, directory};
use crate::address::{AddressPolicy, PeerKey};
use crate::descriptor::Descriptor;
use crate::limits::KEEPER_QUEUE_MAX;
use crate::node::Input;
use crate::replay::{Capacity, ReplayStore};
use crate::sphinx::SecretKey;
use crate::topology::Topology;

/// The network and the keys of a node that starts.
pub(super) struct Found {
    pub(super) topology: Topology,
    pub(super) key: SecretKey,
    /// Another key that is good already, and is taken into use once the node runs: our own packets end at the newest one.
    pub(super) later: Vec<SecretKey>,
    pub(super) driver: Option<(directory::Driver, directory::Access)>,
}

impl Found {
    /// The network is what a file says, and stays so.
    pub(super) fn in_a_file(
        descriptors: Vec<Descriptor>,
        policy: AddressPolicy,
        peer: PeerKey,
        key: SecretKey,
    ) -> Result<Self, SpawnError> {
        let topology = Topology::new(descriptors, policy)?;
        let own = topology.get(&peer);
        if own.is_some_and(|own| own.mix_key() != key.public()) {
            tracing::warn!(
                "the descriptor of this node in the topology has another mix key: others cannot reach it"
            );
        }
        Ok(Self {
            topology,
            key,
            later: Vec::new(),
            driver: None,
        })
    }

    /// The network is what the directory finds.
    pub(super) fn by_gossip(
        config: directory::Config,
        start: directory::Start,
        wires: directory::Wires,
    ) -> Result<Self, SpawnError> {
        let (driver, access, keys) = directory::Driver::open(config, start, wires)?;
        let mut keys = keys.into_iter();
        let key = keys.next().ok_or(SpawnError::NoKey)?;
        Ok(Self {
            topology: Topology::default(),
            key,
            later: keys.collect(),
            driver: Some((driver, access)),
        })
    }
}

/// Who writes tags, with what it is told, and the way to it.
type Keeping = ((Keeper, mpsc::Receiver<Order>), mpsc::Sender<Order>);

/// What a node remembers of the packets that it has seen.
pub(super) struct Tags {
    /// None for a node that remembers nothing beyond a restart.
    pub(super) keeper: Option<Keeping>,
    pub(super) store: ReplayStore,
}

impl Tags {
    /// Those of one key: from the files in `dir`, or none.
    pub(super) fn open(
        dir: Option<PathBuf>,
        key: &SecretKey,
        capacity: Capacity,
        core: &mpsc::Sender<Input>,
    ) -> Result<Self, SpawnError> {
        let Some(dir) = dir else {
            return Ok(Self {
                keeper: None,
                store: ReplayStore::of_capacity(key, capacity),
            });
        };
        let (keeper, store) = Keeper::new(dir, key, capacity, core.clone())?;
        let (orders, taken) = mpsc::channel(KEEPER_QUEUE_MAX);
        Ok(Self {
            keeper: Some(((keeper, taken), orders)),
            store,
        })
    }
}

/// What the directory draws must tell nothing of what the node draws.
pub(super) fn directory_seed(seed: &[u8; 32]) -> [u8; 32] {
    let hash = Sha256::new()
        .chain_update(b"ferry directory seed")
        .chain_update(seed);
    hash.finalize().into()
}
