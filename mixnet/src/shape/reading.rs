//! A trace of a running node, line by line, and the ways of packets through several of them.
//!
//! ```text
//! in  TIME NEIGHBOUR BYTES MARK     a frame was read: Unix time in nanoseconds, number of the neighbour, bytes of the frame
//! on  TIME MARK                     the packet that came in at TIME leaves under this mark; nothing is written of one that ends here
//! out TIME NEIGHBOUR BYTES MARK     a frame was written
//! lost N                            so many events are missing, because the file was not written fast enough
//! ```
//!
//! A mark is the beginning of a packet as it is on the wire, in hexadecimal digits: what one node writes the next one reads.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

/// Bytes of a packet in a mark: two packets of a day have the same once in a billion days.
pub const MARK_LEN: usize = 8;

/// The beginning of a packet.
pub type Mark = [u8; MARK_LEN];

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// A frame was read.
    In(Frame),
    /// The packet that came in then leaves under this mark.
    On {
        /// When it came in.
        at_ns: u64,
        /// What it is then.
        mark: Mark,
    },
    /// A frame was written.
    Out(Frame),
    /// So many events are missing.
    Lost(u64),
}

/// One frame on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Unix time in nanoseconds.
    pub at_ns: u64,
    /// Number of the neighbour, in the order in which they appear.
    pub neighbour: u32,
    /// Bytes of the frame.
    pub bytes: u32,
    /// The packet in it.
    pub mark: Mark,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let frame = |f: &mut std::fmt::Formatter<'_>, what, frame: &Frame| {
            let mark = hex::encode(frame.mark);
            let Frame {
                at_ns,
                neighbour,
                bytes,
                ..
            } = frame;
            write!(f, "{what} {at_ns} {neighbour} {bytes} {mark}")
        };
        match self {
            Self::In(came) => frame(f, "in", came),
            Self::Out(left) => frame(f, "out", left),
            Self::On { at_ns, mark } => write!(f, "on {at_ns} {}", hex::encode(mark)),
            Self::Lost(count) => write!(f, "lost {count}"),
        }
    }
}

/// A line that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no line of a trace: {0:?}")]
pub struct NoLine(String);

impl std::str::FromStr for Line {
    type Err = NoLine;

    fn from_str(text: &str) -> Result<Self, NoLine> {
        let words: Vec<&str> = text.split(' ').collect();
        let read = match words[..] {
            ["in", at, neighbour, bytes, mark] => frame(at, neighbour, bytes, mark).map(Self::In),
            ["out", at, neighbour, bytes, mark] => frame(at, neighbour, bytes, mark).map(Self::Out),
            ["on", at, of] => at
                .parse()
                .ok()
                .zip(mark(of))
                .map(|(at_ns, mark)| Self::On { at_ns, mark }),
            ["lost", count] => count.parse().ok().map(Self::Lost),
            _ => None,
        };
        read.ok_or_else(|| NoLine(text.to_owned()))
    }
}

fn frame(at: &str, neighbour: &str, bytes: &str, of: &str) -> Option<Frame> {
    Some(Frame {
        at_ns: at.parse().ok()?,
        neighbour: neighbour.parse().ok()?,
        bytes: bytes.parse().ok()?,
        mark: mark(of)?,
    })
}

fn mark(text: &str) -> Option<Mark> {
    let mut mark = [0; MARK_LEN];
    hex::decode_to_slice(text, &mut mark).ok()?;
    Some(mark)
}

/// What one node did: the packets that came and went.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Every frame that was read, in order.
    pub came: Vec<Frame>,
    /// Every frame that was written.
    pub left: Vec<Frame>,
    /// Under which mark the packet that came then goes on; none of what came at the same nanosecond as another.
    onward: BTreeMap<u64, Option<Mark>>,
    /// Everything that goes on.
    passed: BTreeSet<Mark>,
    /// Events that are missing.
    pub lost: u64,
}

impl Node {
    /// Takes in one line.
    pub fn take(&mut self, line: Line) {
        match line {
            Line::In(frame) => self.came.push(frame),
            Line::Out(frame) => self.left.push(frame),
            Line::On { at_ns, mark } => {
                self.passed.insert(mark);
                let again = self.onward.contains_key(&at_ns);
                self.onward.insert(at_ns, (!again).then_some(mark));
            }
            Line::Lost(count) => self.lost += count,
        }
    }

    /// What this node sent of its own accord: not a packet that came in before.
    pub fn own(&self) -> impl Iterator<Item = Frame> + '_ {
        let own = |frame: &&Frame| !self.passed.contains(&frame.mark);
        self.left.iter().filter(own).copied()
    }

    fn fate(&self, came: &Frame) -> Fate {
        match self.onward.get(&came.at_ns) {
            None => Fate::Ends,
            Some(None) => Fate::Unclear,
            Some(Some(mark)) => Fate::GoesOn(*mark),
        }
    }
}

/// What becomes of a packet that came.
enum Fate {
    Ends,
    GoesOn(Mark),
    /// It cannot be told from another of the same nanosecond.
    Unclear,
}

/// One packet from the node that sent it to the one at which it ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Journey {
    /// When it left, Unix time in nanoseconds.
    pub left_ns: u64,
    /// Seconds until it had come to its end.
    pub seconds: f64,
    /// How long it rested at each relay on its way, in seconds.
    pub rests: Vec<f64>,
    /// Where it began and ended, as places in the list of nodes.
    pub ends: (usize, usize),
}

/// Follows every packet through the traces of all nodes. One that is not seen to the end is left out.
pub fn journeys(nodes: &[Node]) -> Vec<Journey> {
    let mut places = Places::default();
    for (place, node) in nodes.iter().enumerate() {
        let came = node.came.iter();
        places
            .came
            .extend(came.map(|frame| (frame.mark, (place, *frame))));
        let left = node.left.iter();
        places
            .left
            .extend(left.map(|frame| (frame.mark, frame.at_ns)));
    }
    let sent = nodes.iter().enumerate();
    let sent = sent.flat_map(|(place, node)| node.own().map(move |f| (place, f)));
    sent.filter_map(|(place, sent)| places.follow(nodes, place, &sent))
        .collect()
}

/// Where and when each packet was seen on a link.
#[derive(Default)]
struct Places {
    came: BTreeMap<Mark, (usize, Frame)>,
    left: BTreeMap<Mark, u64>,
}

impl Places {
    fn follow(&self, nodes: &[Node], place: usize, sent: &Frame) -> Option<Journey> {
        let (mut mark, mut rests) = (sent.mark, Vec::new());
        loop {
            let (at, came) = self.came.get(&mark)?;
            match nodes.get(*at)?.fate(came) {
                Fate::GoesOn(next) if rests.len() < RELAYS_MAX => {
                    rests.push(seconds(came.at_ns, *self.left.get(&next)?));
                    mark = next;
                }
                Fate::GoesOn(_) | Fate::Unclear => return None,
                Fate::Ends => {
                    return Some(Journey {
                        left_ns: sent.at_ns,
                        seconds: seconds(sent.at_ns, came.at_ns),
                        rests,
                        ends: (place, *at),
                    });
                }
            }
        }
    }
}

fn seconds(from_ns: u64, to_ns: u64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 / 1e9
}

/// More relays than any packet has: what goes on longer is a mistake of the trace.
const RELAYS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node {
        let mut node = Node::default();
        text.lines()
            .for_each(|line| node.take(line.parse().unwrap()));
        node
    }

    #[test]
    fn lines_are_read_as_they_are_written() {
        for text in [
            "in 1700000000000000001 0 4610 0011223344556677",
            "out 1700000000000000002 12 4610 ffffffffffffffff",
            "on 1700000000000000001 8899aabbccddeeff",
            "lost 7",
        ] {
            assert_eq!(text.parse::<Line>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "in 1 2 3",
            "in 1 2 3 00",
            "out 1 2 x 0011223344556677",
            "on 5",
            "lost",
            "of 1 2",
        ] {
            assert!(bad.parse::<Line>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_packet_is_followed_from_end_to_end() {
        let nodes = [
            node("out 1000000000 0 4610 0000000000000001\nout 2000000000 0 4610 000000000000000e"),
            node(
                "in 1100000000 0 4610 0000000000000001\non 1100000000 0000000000000002\nout 1400000000 1 4610 0000000000000002",
            ),
            node("in 1500000000 0 4610 0000000000000002"),
        ];
        let found = journeys(&nodes);
        assert_eq!(found.len(), 1, "the second packet was never seen again");
        assert_eq!((found[0].rests.len(), found[0].ends), (1, (0, 2)));
        assert!((found[0].seconds - 0.5).abs() < 1e-9);
        assert!((found[0].rests[0] - 0.3).abs() < 1e-9);
        assert_eq!((nodes[1].own().count(), nodes[0].own().count()), (0, 2));
    }

    #[test]
    fn two_packets_of_one_nanosecond_are_not_mixed_up() {
        let nodes = [
            node("out 1 0 4610 0000000000000001\nout 2 0 4610 0000000000000002"),
            node(
                "in 5 0 4610 0000000000000001\nin 5 1 4610 0000000000000002\non 5 0000000000000003\non 5 0000000000000004\nout 9 0 4610 0000000000000003",
            ),
            node("in 12 0 4610 0000000000000003"),
        ];
        assert!(journeys(&nodes).is_empty());
    }
}
