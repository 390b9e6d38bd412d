//! What peers do wrong, and what each costs them.
//!
//! Costs are points that fade, one every [`POINT_FADES_AFTER`](crate::limits::POINT_FADES_AFTER). A hundred points ban a
//! node. What an honest peer may do in a bad moment costs little; what no honest program does costs half a ban or more.

use crate::rlpx::frame::FrameError;
use crate::rlpx::session;
use crate::shh::wire;

/// What a peer did wrong. A packet is one offence, however much in it is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Offence {
    /// Its first packet does not open: it wants somebody else, or tries its luck.
    BadHandshake,
    /// It connected and did not finish the handshake in time.
    SlowHandshake,
    /// Its Hello breaks the encoding or names nobody.
    BadHello,
    /// Its Hello names somebody else than the handshake proved.
    WrongIdentity,
    /// It speaks nothing that we speak.
    UselessPeer,
    /// A frame does not verify, is empty, or does not inflate.
    BadFrame,
    /// A message whose code belongs to nobody.
    UnknownCode,
    /// A Whisper packet breaks its encoding.
    MalformedPacket,
    /// Its Status is no good, or something else came first.
    BadStatus,
    /// It sent no Status in time.
    LateStatus,
    /// A packet with an envelope of less work than it was told to bring.
    LowPow,
    /// Such packets again and again, until Whisper ended the connection.
    LowPowAgain,
    /// A packet that is longer than allowed.
    Oversized,
    /// Packet after packet above the rate that it was told.
    Flood,
    /// It stays connected and takes nothing that is sent to it.
    Mute,
    /// It asks the mailserver for what it must not, or too often.
    MailAbuse,
}

impl Offence {
    /// Every offence.
    pub const ALL: &[Offence] = &[
        Offence::BadHandshake,
        Offence::SlowHandshake,
        Offence::BadHello,
        Offence::WrongIdentity,
        Offence::UselessPeer,
        Offence::BadFrame,
        Offence::UnknownCode,
        Offence::MalformedPacket,
        Offence::BadStatus,
        Offence::LateStatus,
        Offence::LowPow,
        Offence::LowPowAgain,
        Offence::Oversized,
        Offence::Flood,
        Offence::Mute,
        Offence::MailAbuse,
    ];

    /// The price, in points.
    pub const fn cost(self) -> u32 {
        match self {
            // Somebody with an old enode of ours dials every 35 s: that alone must not ban the address at once.
            Offence::BadHandshake => 10,
            Offence::SlowHandshake => 5,
            Offence::BadHello => 50,
            Offence::WrongIdentity => 100,
            // A node of another network dials whom discovery names; five times in a quarter of an hour are enough.
            Offence::UselessPeer => 20,
            Offence::BadFrame => 50,
            Offence::UnknownCode => 50,
            Offence::MalformedPacket => 50,
            Offence::BadStatus => 50,
            Offence::LateStatus => 20,
            // Clocks and versions differ: only many are bad will.
            Offence::LowPow => 1,
            Offence::LowPowAgain => 50,
            Offence::Oversized => 25,
            Offence::Flood => 50,
            Offence::Mute => 10,
            Offence::MailAbuse => 20,
        }
    }

    /// One word for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Offence::BadHandshake => "bad_handshake",
            Offence::SlowHandshake => "slow_handshake",
            Offence::BadHello => "bad_hello",
            Offence::WrongIdentity => "wrong_identity",
            Offence::UselessPeer => "useless_peer",
            Offence::BadFrame => "bad_frame",
            Offence::UnknownCode => "unknown_code",
            Offence::MalformedPacket => "malformed_packet",
            Offence::BadStatus => "bad_status",
            Offence::LateStatus => "late_status",
            Offence::LowPow => "low_pow",
            Offence::LowPowAgain => "low_pow_again",
            Offence::Oversized => "oversized",
            Offence::Flood => "flood",
            Offence::Mute => "mute",
            Offence::MailAbuse => "mail_abuse",
        }
    }

    /// What a broken connection says of the peer. Silence is the network's fault more often than the peer's.
    pub const fn of_session(error: &session::Error) -> Option<Offence> {
        Some(match error {
            session::Error::Handshake(_) => Offence::BadHandshake,
            session::Error::HandshakeTimeout => Offence::SlowHandshake,
            session::Error::Frame(FrameError::TooLong { .. })
            | session::Error::Oversized { .. }
            | session::Error::HelloTooLong { .. } => Offence::Oversized,
            session::Error::Frame(_) | session::Error::Code(_) | session::Error::Snappy(_) => {
                Offence::BadFrame
            }
            session::Error::Hello(_) | session::Error::ExpectedHello { .. } => Offence::BadHello,
            session::Error::UnexpectedIdentity => Offence::WrongIdentity,
            session::Error::Useless => Offence::UselessPeer,
            session::Error::UnknownCode { .. } => Offence::UnknownCode,
            session::Error::WriteTimeout => Offence::Mute,
            session::Error::ReadTimeout
            | session::Error::NotOurCode { .. }
            | session::Error::PayloadTooLong { .. }
            | session::Error::NotRunning => return None,
        })
    }

    /// What the error that ends a Whisper connection says of the peer.
    pub const fn of_whisper(error: &wire::Error) -> Option<Offence> {
        Some(match error {
            wire::Error::Malformed { .. }
            | wire::Error::TooManyEnvelopes { .. }
            | wire::Error::Pow(_)
            | wire::Error::BloomLength(_) => Offence::MalformedPacket,
            wire::Error::Version(_) | wire::Error::BeforeStatus(_) => Offence::BadStatus,
            wire::Error::StatusTimeout(_) => Offence::LateStatus,
            wire::Error::Oversized { .. } => Offence::Oversized,
            wire::Error::LowPow(_) => Offence::LowPowAgain,
            wire::Error::Flood(_) => Offence::Flood,
            wire::Error::Mail(_) => Offence::MailAbuse,
            wire::Error::BothLight | wire::Error::TooManyPeers(_) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::limits::{BAN_NODE_AT, POINT_FADES_AFTER};

    #[test]
    fn words_are_unique_and_nothing_is_free() {
        let words: BTreeSet<&str> = Offence::ALL.iter().map(|one| one.as_str()).collect();
        assert_eq!(words.len(), Offence::ALL.len());
        assert!(Offence::ALL.iter().all(|one| one.cost() > 0));
        assert!(Offence::ALL.iter().all(|one| one.cost() <= BAN_NODE_AT));
    }

    /// Somebody who dials us with an old key, as often as go-ethereum does, stays below the bound for an address.
    #[test]
    fn an_old_enode_of_ours_bans_nobody_at_once() {
        let per_dial = 35 / POINT_FADES_AFTER.as_secs();
        let gain = u64::from(Offence::BadHandshake.cost()) - per_dial;
        let dials = u64::from(crate::limits::BAN_ADDRESS_AT) / gain;
        assert!(dials >= 50, "{dials}");
    }
}
