//! The reply blocks of a registration: each pays for one packet to its client.
//!
//! They are spent in the order in which the client made them. A top-up that discards what came before it also
//! discards what was made before it and arrives later, since packets overtake each other.

use std::collections::BTreeMap;

use crate::engine::turn::Turn;
use crate::gateway::request::BLOCK_TTL_S_MAX;
use crate::port::{REPLY_BLOCK_LEN, ReplyBlock, Tag};
use crate::store::Family;

/// Reply blocks of one registration; far more than a client keeps in stock.
pub(super) const BLOCKS_MAX: usize = 256;
/// Reply blocks of all registrations: 190 MB.
pub(super) const BLOCKS_TOTAL_MAX: usize = 262_144;

/// Blocks that serve for less time are not counted as stock, seconds: the client makes others while these still serve.
const FRESH_S: u32 = 300;

/// When a box was made: renewals of the registration, then counter.
type Order = (u32, u64);

/// A block, and until when it serves, Unix seconds.
struct Held {
    block: ReplyBlock,
    until: u32,
}

#[derive(Default)]
pub(super) struct Credit {
    blocks: BTreeMap<(Order, u16), Held>,
    /// Blocks of earlier boxes are not taken.
    from: Order,
    /// The latest box that brought some.
    newest: Order,
}

impl Credit {
    pub(super) fn restore(from: &[u8]) -> Option<Self> {
        let from = parse_order(from)?;
        Some(Self {
            blocks: BTreeMap::new(),
            from,
            newest: Order::default(),
        })
    }

    /// Puts a stored block back.
    pub(super) fn load(&mut self, now_s: u32, key: &[u8], value: &[u8]) -> Option<()> {
        let (order, index) = key.split_at_checked(12)?;
        let index = u16::from_be_bytes(index.try_into().ok()?);
        // Before there were limits, a block stood alone.
        let (block, until) = match value.len() {
            REPLY_BLOCK_LEN => (value, now_s.saturating_add(BLOCK_TTL_S_MAX)),
            _ => {
                let (block, until) = value.split_at_checked(REPLY_BLOCK_LEN)?;
                (block, u32::from_be_bytes(until.try_into().ok()?))
            }
        };
        let block = ReplyBlock::new(block.to_vec())?;
        let order = parse_order(order)?;
        self.newest = self.newest.max(order);
        self.blocks.insert((order, index), Held { block, until });
        Some(())
    }

    pub(super) fn taken_from(&self) -> Vec<u8> {
        order_bytes(self.from)
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Blocks that serve for a while yet.
    pub(super) fn fresh(&self, now_s: u32) -> usize {
        let from = now_s.saturating_add(FRESH_S);
        self.blocks
            .values()
            .filter(|held| held.until > from)
            .count()
    }

    /// One more than the counter of the latest box under the present keys that brought blocks; 0: none did.
    pub(super) fn newest(&self, renewals: u32) -> u64 {
        if self.newest.0 == renewals {
            self.newest.1
        } else {
            0
        }
    }

    /// Throws away what serves no longer; says how many there were.
    pub(super) fn expire(&mut self, turn: &mut Turn<'_>, tag: Tag) -> usize {
        let now_s = turn.now.unix();
        let over: Vec<(Order, u16)> = self
            .blocks
            .iter()
            .filter(|(_, held)| held.until <= now_s)
            .map(|(key, _)| *key)
            .collect();
        for (order, index) in &over {
            self.blocks.remove(&(*order, *index));
            turn.ledger
                .delete(Family::ReplyBlocks, block_key(tag, *order, *index));
        }
        over.len()
    }

    /// Takes the blocks of a box; says how many there was no room for.
    pub(super) fn add(
        &mut self,
        turn: &mut Turn<'_>,
        tag: Tag,
        order: Order,
        (blocks, ttl_s): (Vec<ReplyBlock>, u32),
        room: usize,
    ) -> usize {
        self.newest = self.newest.max(order);
        if order < self.from {
            return blocks.len();
        }
        let room = room.min(BLOCKS_MAX.saturating_sub(self.blocks.len()));
        let left_out = blocks.len().saturating_sub(room);
        let until = turn.now.unix().saturating_add(ttl_s);
        for (index, block) in (0u16..).zip(blocks.into_iter().take(room)) {
            turn.ledger.put(
                Family::ReplyBlocks,
                block_key(tag, order, index),
                [block.bytes(), &until.to_be_bytes()[..]].concat(),
            );
            self.blocks.insert((order, index), Held { block, until });
        }
        left_out
    }

    /// Throws away what was made before a box.
    pub(super) fn discard_before(&mut self, turn: &mut Turn<'_>, tag: Tag, order: Order) {
        self.from = self.from.max(order);
        let kept = self.blocks.split_off(&(self.from, 0));
        for ((order, index), _) in std::mem::replace(&mut self.blocks, kept) {
            turn.ledger
                .delete(Family::ReplyBlocks, block_key(tag, order, index));
        }
    }

    /// Spends the oldest blocks.
    pub(super) fn spend(&mut self, turn: &mut Turn<'_>, tag: Tag, count: usize) -> Vec<ReplyBlock> {
        let mut spent = Vec::with_capacity(count);
        while spent.len() < count {
            let Some(((order, index), held)) = self.blocks.pop_first() else {
                break;
            };
            turn.ledger
                .delete(Family::ReplyBlocks, block_key(tag, order, index));
            spent.push(held.block);
        }
        spent
    }

    /// Removes all from the store.
    pub(super) fn clear(&mut self, turn: &mut Turn<'_>, tag: Tag) {
        for ((order, index), _) in std::mem::take(&mut self.blocks) {
            turn.ledger
                .delete(Family::ReplyBlocks, block_key(tag, order, index));
        }
    }
}

fn block_key(tag: Tag, order: Order, index: u16) -> Vec<u8> {
    [
        tag.bytes().as_slice(),
        &order_bytes(order),
        &index.to_be_bytes(),
    ]
    .concat()
}

fn order_bytes((renewals, counter): Order) -> Vec<u8> {
    [renewals.to_be_bytes().as_slice(), &counter.to_be_bytes()].concat()
}

fn parse_order(bytes: &[u8]) -> Option<Order> {
    let (renewals, counter) = bytes.split_first_chunk::<4>()?;
    Some((
        u32::from_be_bytes(*renewals),
        u64::from_be_bytes(counter.try_into().ok()?),
    ))
}
