//! What a connection holds in each of its states.

use super::super::capability::Shared;
use super::super::frame::{Egress, Ingress};
use super::super::handshake::{NONCE_LEN, Opener};
use super::super::snappy;
use super::{CODE_LEN_MAX, FIRST_PAYLOAD_LEN_MAX, PublicKey, SecretKey};

/// How far a connection is.
pub(super) enum Stage {
    /// Accepted: waiting for the first packet.
    Auth { opener: Opener },
    /// Dialled: waiting for the answer.
    Ack {
        opener: Opener,
        remote: PublicKey,
        ephemeral: SecretKey,
        nonce: [u8; NONCE_LEN],
        auth: Vec<u8>,
    },
    /// The keys are there; the owner decides.
    Admission { remote: PublicKey, link: Box<Link> },
    /// Our Hello is out.
    Hello { remote: PublicKey, link: Box<Link> },
    /// Both Hellos are through.
    Running(Running),
    /// Nothing more happens.
    Closed,
}

impl Stage {
    /// The halves of the connection, once there are keys.
    pub(super) fn link(&mut self) -> Option<&mut Link> {
        match self {
            Stage::Admission { link, .. } | Stage::Hello { link, .. } => Some(link),
            Stage::Running(running) => Some(&mut running.link),
            Stage::Auth { .. } | Stage::Ack { .. } | Stage::Closed => None,
        }
    }
}

pub(super) struct Link {
    pub(super) egress: Egress,
    pub(super) ingress: Ingress,
}

pub(super) struct Running {
    pub(super) link: Box<Link>,
    pub(super) snappy: bool,
    pub(super) shared: Vec<Shared>,
    /// Whether the peer has opened a subprotocol.
    pub(super) open: bool,
}

impl Running {
    /// Longest payload that this state has use for.
    pub(super) const fn payload_len_max(&self, packet_len_max: usize) -> usize {
        if self.open {
            packet_len_max
        } else {
            FIRST_PAYLOAD_LEN_MAX
        }
    }

    /// Longest body that such a payload can need.
    pub(super) fn frame_len_max(&self, packet_len_max: usize) -> usize {
        let payload = self.payload_len_max(packet_len_max);
        CODE_LEN_MAX
            + if self.snappy {
                snappy::deflated_len_max(payload)
            } else {
                payload
            }
    }
}
