//! Disconnect: why a connection ends, in one byte.
//!
//! We send `[reason]`. Others were seen to send a bare integer or an empty list, and a peer that is leaving need not be
//! taught: whatever does not decode counts as "requested". Spec: devp2p base protocol, Disconnect.

use std::fmt;

use crate::rlp::{Item, List};

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The operator wants it.
    Requested,
    /// The network failed.
    Network,
    /// The base protocol was broken.
    ProtocolBreach,
    /// There is no capability that both have.
    UselessPeer,
    /// There is no room.
    TooManyPeers,
    /// The same key is connected already.
    AlreadyConnected,
    /// The versions of the base protocol do not go together.
    IncompatibleVersion,
    /// The Hello names no identity.
    NullIdentity,
    /// The node shuts down.
    Quitting,
    /// The Hello names another identity than the handshake proved.
    UnexpectedIdentity,
    /// We have reached ourselves.
    SelfConnection,
    /// A ping was not answered.
    PingTimeout,
    /// A rule of a subprotocol was broken; all of Whisper's are this one.
    Subprotocol,
    /// A number that has no meaning.
    Unknown(u8),
}

impl DisconnectReason {
    /// The number on the wire.
    pub const fn code(self) -> u8 {
        match self {
            DisconnectReason::Requested => 0x00,
            DisconnectReason::Network => 0x01,
            DisconnectReason::ProtocolBreach => 0x02,
            DisconnectReason::UselessPeer => 0x03,
            DisconnectReason::TooManyPeers => 0x04,
            DisconnectReason::AlreadyConnected => 0x05,
            DisconnectReason::IncompatibleVersion => 0x06,
            DisconnectReason::NullIdentity => 0x07,
            DisconnectReason::Quitting => 0x08,
            DisconnectReason::UnexpectedIdentity => 0x09,
            DisconnectReason::SelfConnection => 0x0a,
            DisconnectReason::PingTimeout => 0x0b,
            DisconnectReason::Subprotocol => 0x10,
            DisconnectReason::Unknown(code) => code,
        }
    }

    /// The reason behind a number.
    pub const fn from_code(code: u8) -> DisconnectReason {
        match code {
            0x00 => DisconnectReason::Requested,
            0x01 => DisconnectReason::Network,
            0x02 => DisconnectReason::ProtocolBreach,
            0x03 => DisconnectReason::UselessPeer,
            0x04 => DisconnectReason::TooManyPeers,
            0x05 => DisconnectReason::AlreadyConnected,
            0x06 => DisconnectReason::IncompatibleVersion,
            0x07 => DisconnectReason::NullIdentity,
            0x08 => DisconnectReason::Quitting,
            0x09 => DisconnectReason::UnexpectedIdentity,
            0x0a => DisconnectReason::SelfConnection,
            0x0b => DisconnectReason::PingTimeout,
            0x10 => DisconnectReason::Subprotocol,
            code => DisconnectReason::Unknown(code),
        }
    }

    /// One word for metrics; every meaningless number is the same word, so that a peer cannot invent labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            DisconnectReason::Requested => "requested",
            DisconnectReason::Network => "network",
            DisconnectReason::ProtocolBreach => "protocol_breach",
            DisconnectReason::UselessPeer => "useless_peer",
            DisconnectReason::TooManyPeers => "too_many_peers",
            DisconnectReason::AlreadyConnected => "already_connected",
            DisconnectReason::IncompatibleVersion => "incompatible_version",
            DisconnectReason::NullIdentity => "null_identity",
            DisconnectReason::Quitting => "quitting",
            DisconnectReason::UnexpectedIdentity => "unexpected_identity",
            DisconnectReason::SelfConnection => "self",
            DisconnectReason::PingTimeout => "ping_timeout",
            DisconnectReason::Subprotocol => "subprotocol",
            DisconnectReason::Unknown(_) => "unknown",
        }
    }

    /// The payload of the message.
    pub fn encode(self) -> Vec<u8> {
        List::new().uint(u64::from(self.code())).finish()
    }

    /// The reason in a payload, whatever it looks like.
    pub fn decode(payload: &[u8]) -> DisconnectReason {
        let Ok((item, _)) = Item::first(payload) else {
            return DisconnectReason::Requested;
        };
        let number = match item.list() {
            Ok(mut items) => items.required().and_then(|item| item.uint()),
            Err(_) => item.uint(),
        };
        match number.map(u8::try_from) {
            Ok(Ok(code)) => DisconnectReason::from_code(code),
            Ok(Err(_)) => DisconnectReason::Unknown(u8::MAX),
            Err(_) => DisconnectReason::Requested,
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#04x})", self.as_str(), self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives() {
        for code in 0..=u8::MAX {
            let reason = DisconnectReason::from_code(code);
            assert_eq!(reason.code(), code);
            assert_eq!(DisconnectReason::decode(&reason.encode()), reason);
        }
    }

    #[test]
    fn odd_forms_are_understood() {
        for (payload, reason) in [
            (&[0xc1, 0x04][..], DisconnectReason::TooManyPeers),
            (&[0x04], DisconnectReason::TooManyPeers),
            (&[0x80], DisconnectReason::Requested),
            (&[0xc0], DisconnectReason::Requested),
            (&[], DisconnectReason::Requested),
            (&[0xc5, 0x08, 1, 2, 3, 4], DisconnectReason::Quitting),
            (&[0xc1, 0x0c], DisconnectReason::Unknown(0x0c)),
            (&[0xc3, 0x82, 0x01, 0x00], DisconnectReason::Unknown(0xff)),
            (&[0xff, 0xff], DisconnectReason::Requested),
        ] {
            assert_eq!(DisconnectReason::decode(payload), reason, "{payload:02x?}");
        }
    }
}
