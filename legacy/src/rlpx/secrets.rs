//! The keys of a connection, derived by both ends from what the handshake carried.
//!
//! ```text
//! e   = agreement of the ephemeral keys
//! s   = keccak256(e ‖ keccak256(recipient nonce ‖ initiator nonce))
//! aes = keccak256(e ‖ s)        mac = keccak256(e ‖ aes)
//! initiator → recipient   running MAC starts with (mac XOR recipient nonce) ‖ auth
//! recipient → initiator   running MAC starts with (mac XOR initiator nonce) ‖ ack
//! ```
//!
//! `auth` and `ack` are the packets as they were on the wire, prefix included. Both directions encrypt with the same key
//! and counter; that weakness is part of the protocol. Spec: RLPx secrets.

use zeroize::Zeroizing;

use super::Direction;
use super::frame::{Egress, Ingress};
use super::handshake::NONCE_LEN;
use crate::identity::{PublicKey, SecretKey};
use crate::keccak::{Hasher, keccak256};

/// Everything that both ends know after the two packets.
pub struct Exchange<'a> {
    /// Which end we are.
    pub direction: Direction,
    /// Our ephemeral key.
    pub ephemeral: &'a SecretKey,
    /// Theirs.
    pub remote_ephemeral: &'a PublicKey,
    /// The nonce in the auth.
    pub initiator_nonce: &'a [u8; NONCE_LEN],
    /// The nonce in the ack.
    pub recipient_nonce: &'a [u8; NONCE_LEN],
    /// The auth on the wire.
    pub auth: &'a [u8],
    /// The ack on the wire.
    pub ack: &'a [u8],
}

/// The keys of one connection.
pub struct Secrets {
    aes: Zeroizing<[u8; 32]>,
    mac: Zeroizing<[u8; 32]>,
    egress: Hasher,
    ingress: Hasher,
}

impl Secrets {
    /// Derives them.
    pub fn derive(exchange: &Exchange<'_>) -> Secrets {
        let e = exchange.ephemeral.agree(exchange.remote_ephemeral);
        let nonces = keccak256(&[&exchange.recipient_nonce[..], exchange.initiator_nonce].concat());
        let shared = hash_pair(&e, &nonces);
        let aes = hash_pair(&e, &shared);
        let mac = hash_pair(&e, &aes);
        let from_initiator = running_mac(&mac, exchange.recipient_nonce, exchange.auth);
        let from_recipient = running_mac(&mac, exchange.initiator_nonce, exchange.ack);
        let (egress, ingress) = match exchange.direction {
            Direction::Dialled => (from_initiator, from_recipient),
            Direction::Accepted => (from_recipient, from_initiator),
        };
        Secrets {
            aes,
            mac,
            egress,
            ingress,
        }
    }

    /// The two halves of the connection.
    pub fn into_halves(self) -> (Egress, Ingress) {
        (
            Egress::new(&self.aes, &self.mac, self.egress),
            Ingress::new(&self.aes, &self.mac, self.ingress),
        )
    }
}

fn hash_pair(first: &[u8; 32], second: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    let mut hasher = Hasher::new();
    hasher.absorb(first);
    hasher.absorb(second);
    Zeroizing::new(hasher.digest())
}

fn running_mac(mac: &[u8; 32], nonce: &[u8; NONCE_LEN], packet: &[u8]) -> Hasher {
    let seed: Zeroizing<[u8; 32]> = Zeroizing::new(std::array::from_fn(|at| mac[at] ^ nonce[at]));
    let mut hasher = Hasher::new();
    hasher.absorb(&*seed);
    hasher.absorb(packet);
    hasher
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::rlpx::fixtures::*;

    /// The secrets of the published exchange of Auth2 and Ack2, as one end derives them.
    pub(crate) fn published(direction: Direction) -> Secrets {
        let (a, b) = (secret(EPHEMERAL_A), secret(EPHEMERAL_B));
        let (own, other) = match direction {
            Direction::Dialled => (&a, b.public()),
            Direction::Accepted => (&b, a.public()),
        };
        Secrets::derive(&Exchange {
            direction,
            ephemeral: own,
            remote_ephemeral: &other,
            initiator_nonce: &bytes(NONCE_A).try_into().unwrap(),
            recipient_nonce: &bytes(NONCE_B).try_into().unwrap(),
            auth: &bytes(AUTH_2),
            ack: &bytes(ACK_2),
        })
    }

    #[test]
    fn published_secrets() {
        for direction in [Direction::Dialled, Direction::Accepted] {
            let secrets = published(direction);
            assert_eq!(
                hex::encode(*secrets.aes),
                "80e8632c05fed6fc2a13b0f8d31a3cf645366239170ea067065aba8e28bac487"
            );
            assert_eq!(
                hex::encode(*secrets.mac),
                "2ea74ec5dae199227dff1af715362700e989d889d7a493cb0639691efb8e5f98"
            );
        }
    }

    #[test]
    fn published_running_macs() {
        let mut secrets = published(Direction::Accepted);
        assert_eq!(
            hex::encode(secrets.ingress.digest()),
            "1876ff58fc175e0a177afd2044d57eff497080dc0386a382aa44d9eb2f182aab"
        );
        assert_eq!(
            hex::encode(secrets.egress.digest()),
            "7a076efd50d3771655f22190654053ba82f6f47f3123be6a4ba61df58845abc6"
        );
        secrets.ingress.absorb(b"foo");
        assert_eq!(
            hex::encode(secrets.ingress.digest()),
            "0c7ec6340062cc46f5e9f1e3cf86f8c8c403c5a0964f5df0ebd34a75ddc86db5"
        );
    }

    #[test]
    fn published_intermediates() {
        let (a, b) = (secret(EPHEMERAL_A), secret(EPHEMERAL_B));
        let expected = "1a08ef840fa6b55e5b2630351aa45804cc16b48e526b64e6ee667b224967ef24";
        assert_eq!(hex::encode(*a.agree(&b.public())), expected);
        assert_eq!(
            hex::encode(a.public().to_bytes()),
            "654d1044b69c577a44e5f01a1209523adb4026e70c62d1c13a067acabc09d2667a49821a0ad4b634554d330a15a58fe61f8a8e0544b310c6de7b0c8da7528a8d"
        );
        assert_eq!(
            hex::encode(b.public().to_bytes()),
            "b6d82fa3409da933dbf9cb0140c5dde89f4e64aec88d476af648880f4a10e1e49fe35ef3e69e93dd300b4797765a747c6384a6ecf5db9c2690398607a86181e4"
        );
    }
}
