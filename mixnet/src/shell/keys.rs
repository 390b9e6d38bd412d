//! How a mix key comes into use and goes out of it while packets are peeled.
//!
//! ```text
//! install: keeper opens the file and reads it ─▶ peeler takes key and store ─▶ keeper forgets the key that made room
//! retire:  peeler drops key and store ─▶ keeper removes the file
//! ```
//!
//! The core never waits for a file.

use tokio::sync::{mpsc, oneshot};

use super::KeyError;
use super::intake::Command;
use super::keeper::Order;
use crate::replay::{Capacity, ReplayStore};
use crate::sphinx::{PublicKey, SecretKey};

/// What changing keys needs to know.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) capacity: Capacity,
    /// Nothing is remembered beyond a restart without one.
    pub(super) keeper: Option<mpsc::Sender<Order>>,
}

impl Keys {
    /// Takes one more key into use. A key that is in use already stays as it is.
    pub(super) async fn install(
        &self,
        key: SecretKey,
        packets: &mpsc::Sender<Command>,
    ) -> Result<(), KeyError> {
        let (key, store) = match &self.keeper {
            None => {
                let store = ReplayStore::of_capacity(&key, self.capacity);
                (key, store)
            }
            Some(keeper) => match ask(keeper, |done| Order::Open { key, done }).await?? {
                Some(opened) => opened,
                None => return Ok(()),
            },
        };
        let store = Box::new(store);
        let oldest = ask(packets, |done| Command::Install { key, store, done }).await?;
        if let (Some(oldest), Some(keeper)) = (oldest, &self.keeper) {
            // A keeper that has ended removes the file with the next start.
            let _ = keeper.send(Order::Forget(oldest)).await;
        }
        Ok(())
    }

    /// Takes a key out of use, with everything that was seen under it.
    pub(super) async fn retire(&self, key: PublicKey, packets: &mpsc::Sender<Command>) {
        let retired = ask(packets, |done| Command::Retire { key, done }).await;
        if let (Ok(()), Some(keeper)) = (retired, &self.keeper) {
            let _ = keeper.send(Order::Forget(key)).await;
        }
    }
}

/// Sends a command and waits for its answer.
async fn ask<C, A>(
    to: &mpsc::Sender<C>,
    command: impl FnOnce(oneshot::Sender<A>) -> C,
) -> Result<A, KeyError> {
    let (done, answer) = oneshot::channel();
    to.send(command(done))
        .await
        .map_err(|_| KeyError::Stopped)?;
    answer.await.map_err(|_| KeyError::Stopped)
}
