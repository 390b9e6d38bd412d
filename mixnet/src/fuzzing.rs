//! The bodies of the fuzz targets: each takes any bytes at all and asserts what must hold of them.
//!
//! | target | the bytes | what is asserted besides the absence of a panic |
//! |---|---|---|
//! | `packet` | how to spoil a good packet, and with what | only the good one is peeled as it was built; a refused one leaves no tag; no packet twice |
//! | `surb` | a reply block, or how to spoil a reply | what parses is laid out as it was; a spoiled reply does not open |
//! | `address` | 94 bytes | what decodes encodes to the same |
//! | `message` | what a packet says | what decodes encodes to the same |
//! | `frame` | frames, each with its length | what comes out was complete; memory stays within its bound |
//! | `fragments` | a script: objects split, frames reordered, dropped, doubled, changed | only what was sent comes out, once |
//! | `descriptor` | the text of a file of descriptors, one as bytes, a message of the directory | what parses verifies and reads the same when written |
//! | `node` | a script for a whole node | bounds of every queue; every packet that came is accounted for |
//! | `cell` | a mailbox's cell: any bytes, any content under the right key, a good one that is touched | what opens has the one form of its content; nothing else opens |
//! | `request` | the body of a put, a get or an answer | what decodes encodes to the same |
//! | `mailbox` | a script for a mailbox with a disk that may fail | it says and keeps what a model says; its bounds hold |
//! | `reader` | a script for mailboxes that answer, lie, come late or never | a reader is handed what was left, in order, once, and nothing else |
//!
//! The same functions run under libFuzzer (the folder `fuzz`, a workspace of its own) and over the committed inputs in every test
//! run. An input that once found something stays among those.

mod cells;
mod mailbox;
mod node;
mod packet;
mod reader;
mod reassembly;
mod script;

use crate::address::Address;
use crate::descriptor::Descriptor;
use crate::directory::snapshot::Snapshot;
use crate::directory::wire::{Request, Response};
use crate::geometry::{ADDRESS_LEN, MESSAGE_LEN};
use crate::message::Message;

pub use self::cells::{cell, request};
pub use self::mailbox::mailbox;
pub use self::node::node;
pub use self::packet::{packet, surb};
pub use self::reader::reader;
pub use self::reassembly::{fragments, frame};

/// The body of a target.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 12] = [
    ("address", address),
    ("cell", cell),
    ("descriptor", descriptor),
    ("fragments", fragments),
    ("frame", frame),
    ("mailbox", mailbox),
    ("message", message),
    ("node", node),
    ("packet", packet),
    ("reader", reader),
    ("request", request),
    ("surb", surb),
];

/// One address, cut or filled up with zeros.
pub fn address(data: &[u8]) {
    let bytes = filled::<ADDRESS_LEN>(data);
    if let Ok(address) = Address::from_bytes(&bytes) {
        assert_eq!(address.to_bytes(), *bytes);
        assert_eq!(address.is_none(), address.peer().is_none());
    }
}

/// One message, cut or filled up with zeros.
pub fn message(data: &[u8]) {
    let bytes = filled::<MESSAGE_LEN>(data);
    if let Ok(message) = Message::decode(&bytes) {
        let encoded = message.encode().expect("what fitted once fits again");
        let again = Message::decode(&encoded).expect("what is encoded decodes");
        assert_eq!(again, message);
    }
}

/// A file of descriptors, the same text as a single one, and the same bytes as one on the wire and as messages of the directory.
pub fn descriptor(data: &[u8]) {
    if let Ok(one) = Descriptor::from_bytes(data) {
        assert_eq!(one.to_bytes(), data);
        assert!(one.verify().is_ok());
    }
    if let Ok(request) = Request::decode(data) {
        assert_eq!(request.encode(), data);
    }
    if let Ok(response) = Response::decode(data) {
        assert_eq!(response.encode(), data);
    }
    // Descriptors that do not verify are left out, so what is read may be less than what was there.
    let _ = Snapshot::decode(data);
    let text = String::from_utf8_lossy(data);
    if let Ok(descriptors) = Descriptor::list_from_json(&text) {
        assert!(descriptors.iter().all(|one| one.verify().is_ok()));
        let written = Descriptor::list_to_json(&descriptors);
        assert_eq!(
            Descriptor::list_from_json(&written).as_ref(),
            Ok(&descriptors)
        );
    }
    if let Ok(one) = Descriptor::from_json(&text) {
        assert!(one.verify().is_ok());
        assert_eq!(
            Descriptor::from_json(&one.to_json().to_string()).as_ref(),
            Ok(&one)
        );
    }
}

/// `data` at the front of zeros, or its front.
fn filled<const N: usize>(data: &[u8]) -> Box<[u8; N]> {
    let mut bytes = Box::new([0; N]);
    let len = data.len().min(N);
    bytes[..len].copy_from_slice(&data[..len]);
    bytes
}

#[cfg(test)]
mod tests;
