//! The lives of a store: how often a core was opened on it.
//!
//! A core draws tags, ids and keys from its seed. A seed that is the same after a restart must not give the same ones
//! again: the other side would take them for replays, and a key would seal twice. So the number of the life goes into it.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use sha2::{Digest, Sha256};

use crate::ledger::Ledger;
use crate::store::{Family, StoreError};

/// Where the number stands.
const KEY: &[u8] = b"lives";

/// The generator of this life. Its number is durable before anything that was drawn from it leaves.
pub(crate) fn rng<E>(ledger: &mut Ledger<E>, seed: &[u8; 32]) -> Result<ChaCha20Rng, StoreError> {
    let life = match ledger.get(Family::Meta, KEY)? {
        Some(bytes) => {
            let bytes = bytes.as_slice().try_into();
            u64::from_be_bytes(bytes.map_err(|_| StoreError::corrupt(Family::Meta))?)
        }
        None => 0,
    };
    ledger.put(Family::Meta, KEY, life.saturating_add(1).to_be_bytes());
    let seed = Sha256::new()
        .chain_update(b"bridge life")
        .chain_update(seed)
        .chain_update(life.to_be_bytes())
        .finalize();
    Ok(ChaCha20Rng::from_seed(seed.into()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rand_core::Rng as _;

    use super::*;
    use crate::ledger::Step;
    use crate::store::{MemoryStore, Store};

    #[test]
    fn each_life_draws_otherwise_and_one_life_alike() {
        let store = Arc::new(MemoryStore::new());
        let mut drawn = Vec::new();
        for is_durable in [false, true, true] {
            let mut ledger = Ledger::<()>::new(store.clone());
            drawn.push(rng(&mut ledger, &[1; 32]).unwrap().next_u64());
            ledger.close();
            if let (true, Some(Step::Commit(_, batch))) = (is_durable, ledger.poll()) {
                store.write(&batch, true).unwrap();
            }
        }
        // Nothing of the first life left: it may be lived again.
        assert_eq!(drawn[0], drawn[1]);
        assert_ne!(drawn[1], drawn[2]);
    }
}
