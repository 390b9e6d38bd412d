//! The inputs that a connection's keys are made of, as `rlpx-secrets` and `rlpx-frame` have them.
//!
//! ```text
//! role             initiator or recipient: whose side is computed
//! private_key      of this side; it reads the other side's packet
//! ephemeral_key    of this side, private
//! nonce            of this side
//! auth, ack        both packets as they were on the wire
//! ```

use serde_json::Value;

use super::rlpx::refusal;
use super::{Refusal, array, field};
use crate::identity::{PublicKey, SecretKey};
use crate::rlpx::Direction;
use crate::rlpx::handshake::{Ack, Auth, NONCE_LEN};
use crate::rlpx::secrets::Exchange;

/// What one side knows after the handshake.
pub(super) struct Handshake {
    direction: Direction,
    ephemeral: SecretKey,
    remote_ephemeral: PublicKey,
    initiator_nonce: [u8; NONCE_LEN],
    recipient_nonce: [u8; NONCE_LEN],
    auth: Vec<u8>,
    ack: Vec<u8>,
}

impl Handshake {
    /// Reads the packet of the other side with the keys of this one.
    pub(super) fn read(input: &Value) -> Result<Handshake, Refusal> {
        let key = secret(input, "private_key")?;
        let ephemeral = secret(input, "ephemeral_key")?;
        let nonce = array(input, "nonce")?;
        let (auth, ack) = (field(input, "auth")?, field(input, "ack")?);
        let role = input.get("role").and_then(Value::as_str);
        let (direction, remote_ephemeral, initiator_nonce, recipient_nonce) = match role {
            Some("initiator") => {
                let theirs = Ack::read(&key, &ack).map_err(refusal)?;
                (Direction::Dialled, theirs.ephemeral, nonce, theirs.nonce)
            }
            Some("recipient") => {
                let theirs = Auth::read(&key, &auth).map_err(refusal)?;
                (Direction::Accepted, theirs.ephemeral, theirs.nonce, nonce)
            }
            _ => return Err(Refusal::INPUT),
        };
        Ok(Handshake {
            direction,
            ephemeral,
            remote_ephemeral,
            initiator_nonce,
            recipient_nonce,
            auth,
            ack,
        })
    }

    pub(super) fn exchange(&self) -> Exchange<'_> {
        Exchange {
            direction: self.direction,
            ephemeral: &self.ephemeral,
            remote_ephemeral: &self.remote_ephemeral,
            initiator_nonce: &self.initiator_nonce,
            recipient_nonce: &self.recipient_nonce,
            auth: &self.auth,
            ack: &self.ack,
        }
    }
}

fn secret(input: &Value, name: &str) -> Result<SecretKey, Refusal> {
    SecretKey::from_bytes(&array(input, name)?).map_err(|_| Refusal::INPUT)
}
