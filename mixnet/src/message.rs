//! What the 3968 bytes of a packet say.
//!
//! ```text
//! message = pad length 2 BE ‖ zeros ‖ data
//! data    = codec length (LEB128) ‖ codec ‖ body
//! ```
//!
//! The codec of a reply is empty. Ours are `/ferry/gateway/1`, whose body is one frame, and `/ferry/cover/1`, whose body is one
//! byte and what belongs to it: 0, a loop, with the 16 bytes by which its maker knows it again; 1, drop cover; 2, a probe that ends
//! at a relay, with a reply block of 734 bytes; 3, the relay's answer through that block, with the packets that it forwards in a
//! second, times 1000, 4 BE; and `/wmb/put/1` and `/wmb/get/1` of [`crate::mailbox::request`]. Codecs of others may put read rules and
//! reply blocks before the body; ours have neither, which leaves more room for the frame.

use crate::error::DropReason;
use crate::geometry::{MESSAGE_LEN, SURB_LEN};

/// A decoded message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A frame for the gateway.
    Gateway(&'a [u8]),
    /// A frame that answers through a reply block, or what a mailbox answers ([`crate::mailbox::Answer`]).
    Reply(&'a [u8]),
    /// A cell for a mailbox ([`crate::mailbox::Put`]).
    MailboxPut(&'a [u8]),
    /// A question to a mailbox ([`crate::mailbox::Get`]).
    MailboxGet(&'a [u8]),
    /// Cover that comes back to its maker.
    Loop([u8; LOOP_ID_LEN]),
    /// Cover that ends here.
    Drop,
    /// Cover that asks a relay how much it forwards: the reply block for the answer.
    Probe(&'a [u8; SURB_LEN]),
    /// The answer: thousandths of a packet per second.
    Load(u32),
}

impl<'a> Message<'a> {
    /// The bytes for the packet; `None` when the frame is longer than [`FRAME_LEN_MAX`], or for a reply [`REPLY_LEN_MAX`].
    pub fn encode(&self) -> Option<Box<[u8; MESSAGE_LEN]>> {
        match self {
            Self::Gateway(frame) => encode(GATEWAY_CODEC, &[frame]),
            Self::Reply(frame) => encode("", &[frame]),
            Self::MailboxPut(body) => encode(MAILBOX_PUT_CODEC, &[body]),
            Self::MailboxGet(body) => encode(MAILBOX_GET_CODEC, &[body]),
            Self::Loop(id) => encode(COVER_CODEC, &[&[LOOP], id]),
            Self::Drop => encode(COVER_CODEC, &[&[DROP]]),
            Self::Probe(block) => encode(COVER_CODEC, &[&[PROBE], *block]),
            Self::Load(rate) => encode(COVER_CODEC, &[&[LOAD], &rate.to_be_bytes()]),
        }
    }

    /// Reads what [`Message::encode`] wrote.
    pub fn decode(message: &'a [u8; MESSAGE_LEN]) -> Result<Self, DropReason> {
        let (pad_len, rest) = message
            .split_first_chunk()
            .expect("a message is longer than its pad length");
        let pad_len = usize::from(u16::from_be_bytes(*pad_len));
        let (pad, data) = rest
            .split_at_checked(pad_len)
            .ok_or(DropReason::MessagePadding)?;
        if pad.iter().any(|&byte| byte != 0) {
            return Err(DropReason::MessagePadding);
        }
        let (codec_len, rest) =
            unsigned_varint::decode::usize(data).map_err(|_| DropReason::UnknownCodec)?;
        let (codec, body) = rest
            .split_at_checked(codec_len)
            .ok_or(DropReason::UnknownCodec)?;
        if codec.is_empty() {
            Ok(Self::Reply(body))
        } else if codec == GATEWAY_CODEC.as_bytes() {
            Ok(Self::Gateway(body))
        } else if codec == COVER_CODEC.as_bytes() {
            cover(body)
        } else if codec == MAILBOX_PUT_CODEC.as_bytes() {
            Ok(Self::MailboxPut(body))
        } else if codec == MAILBOX_GET_CODEC.as_bytes() {
            Ok(Self::MailboxGet(body))
        } else {
            Err(DropReason::UnknownCodec)
        }
    }
}

fn cover(body: &[u8]) -> Result<Message<'_>, DropReason> {
    match body.split_first() {
        Some((&LOOP, id)) => id
            .try_into()
            .map(Message::Loop)
            .map_err(|_| DropReason::UnknownCodec),
        Some((&DROP, [])) => Ok(Message::Drop),
        Some((&PROBE, block)) => block
            .try_into()
            .map(Message::Probe)
            .map_err(|_| DropReason::UnknownCodec),
        Some((&LOAD, rate)) => rate
            .try_into()
            .map(|rate| Message::Load(u32::from_be_bytes(rate)))
            .map_err(|_| DropReason::UnknownCodec),
        Some(_) | None => Err(DropReason::UnknownCodec),
    }
}

fn encode(codec: &str, body: &[&[u8]]) -> Option<Box<[u8; MESSAGE_LEN]>> {
    let data_len = CODEC_LEN_LEN + codec.len() + body.iter().map(|part| part.len()).sum::<usize>();
    let pad_len = (MESSAGE_LEN - PAD_LEN_LEN).checked_sub(data_len)?;
    let mut message = Box::new([0; MESSAGE_LEN]);
    message[..PAD_LEN_LEN].copy_from_slice(&u16::try_from(pad_len).ok()?.to_be_bytes());
    let mut at = PAD_LEN_LEN + pad_len;
    // A codec of ours is shorter than 128 bytes, so its LEB128 length is one byte.
    for part in [&[codec.len() as u8], codec.as_bytes()].iter().chain(body) {
        message[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    Some(message)
}

/// Bytes of the pad length.
const PAD_LEN_LEN: usize = 2;
/// Bytes of a codec's length, for codecs shorter than 128 bytes.
const CODEC_LEN_LEN: usize = 1;
/// The codec of gateway frames.
pub const GATEWAY_CODEC: &str = "/ferry/gateway/1";
/// The codec of cover.
pub const COVER_CODEC: &str = "/ferry/cover/1";
/// The codec of cells for a mailbox.
pub const MAILBOX_PUT_CODEC: &str = "/wmb/put/1";
/// The codec of questions to a mailbox.
pub const MAILBOX_GET_CODEC: &str = "/wmb/get/1";
/// Bytes of the id of a loop.
pub const LOOP_ID_LEN: usize = 16;
const LOOP: u8 = 0;
const DROP: u8 = 1;
const PROBE: u8 = 2;
const LOAD: u8 = 3;

/// Room for a frame on its way to a gateway: 3968 − 2 − 1 − 16 = 3949.
pub const FRAME_LEN_MAX: usize = REPLY_LEN_MAX - GATEWAY_CODEC.len();
/// Room for a frame in a reply: 3968 − 2 − 1 = 3965.
pub const REPLY_LEN_MAX: usize = MESSAGE_LEN - PAD_LEN_LEN - CODEC_LEN_LEN;
/// Room for what a mailbox is asked: 3968 − 2 − 1 − 10 = 3955.
pub const MAILBOX_BODY_MAX: usize = REPLY_LEN_MAX - MAILBOX_PUT_CODEC.len();

const _: () =
    assert!(MAILBOX_PUT_CODEC.len() == MAILBOX_GET_CODEC.len() && MAILBOX_BODY_MAX == 3955);
const _: () = assert!(FRAME_LEN_MAX == 3949 && REPLY_LEN_MAX == 3965);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn comes_back() {
        let long = [9; FRAME_LEN_MAX];
        for message in [
            Message::Gateway(&[]),
            Message::Gateway(&[0, 0, 1]),
            Message::Gateway(&long),
            Message::Reply(&long),
            Message::Reply(&[]),
            Message::MailboxPut(&long),
            Message::MailboxGet(&[]),
            Message::Loop([3; 16]),
            Message::Drop,
            Message::Probe(&[5; SURB_LEN]),
            Message::Load(u32::MAX),
        ] {
            assert_eq!(Message::decode(&message.encode().unwrap()), Ok(message));
        }
    }

    #[test]
    fn has_the_room_it_says() {
        let bytes = [1; REPLY_LEN_MAX + 1];
        assert!(Message::Gateway(&bytes[..FRAME_LEN_MAX]).encode().is_some());
        assert!(
            Message::Gateway(&bytes[..=FRAME_LEN_MAX])
                .encode()
                .is_none()
        );
        let most = &bytes[..MAILBOX_BODY_MAX];
        assert!(Message::MailboxPut(most).encode().is_some());
        let more = &bytes[..=MAILBOX_BODY_MAX];
        assert!(Message::MailboxGet(more).encode().is_none());
        assert!(Message::Reply(&bytes[..REPLY_LEN_MAX]).encode().is_some());
        assert!(Message::Reply(&bytes).encode().is_none());
    }

    #[test]
    fn has_the_bytes_of_the_layout() {
        let message = Message::Gateway(b"frame").encode().unwrap();
        let pad = 3966 - 1 - 16 - 5;
        assert_eq!(message[..2], [(pad >> 8) as u8, (pad & 255) as u8]);
        assert!(message[2..2 + pad].iter().all(|&byte| byte == 0));
        assert_eq!(&message[2 + pad..], b"\x10/ferry/gateway/1frame");
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let good = Message::Drop.encode().unwrap();
        let altered = |change: fn(&mut [u8; MESSAGE_LEN])| {
            let mut bytes = good.clone();
            change(&mut bytes);
            Message::decode(&bytes).unwrap_err()
        };
        assert_eq!(altered(|b| b[0] = 0xff), DropReason::MessagePadding);
        assert_eq!(
            altered(|b| b[1] = 3967_u16.to_be_bytes()[1]),
            DropReason::MessagePadding
        );
        assert_eq!(altered(|b| b[100] = 1), DropReason::MessagePadding);
        assert_eq!(
            altered(|b| b[MESSAGE_LEN - 1] = 4),
            DropReason::UnknownCodec
        );
        assert_eq!(
            altered(|b| b[MESSAGE_LEN - 2] = b'2'),
            DropReason::UnknownCodec
        );
        assert_eq!(
            altered(|b| b[MESSAGE_LEN - 16] = 0xff),
            DropReason::UnknownCodec
        );
        // Nothing but padding: there is no codec length.
        assert_eq!(
            altered(|b| {
                *b = [0; MESSAGE_LEN];
                b[..2].copy_from_slice(&3966_u16.to_be_bytes());
            }),
            DropReason::UnknownCodec
        );
    }

    #[test]
    fn cover_has_exactly_what_its_kind_says() {
        let short = [PROBE; SURB_LEN];
        let long = [PROBE; SURB_LEN + 2];
        for body in [
            &[][..],
            &[LOOP],
            &[LOOP; 16],
            &[LOOP; 18],
            &[DROP, 0],
            &[PROBE],
            &short,
            &long,
            &[LOAD, 0, 0, 0],
            &[LOAD, 0, 0, 0, 0, 0],
            &[4],
        ] {
            let bytes = encode(COVER_CODEC, &[body]).unwrap();
            assert_eq!(Message::decode(&bytes), Err(DropReason::UnknownCodec));
        }
    }
}
