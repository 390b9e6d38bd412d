//! The reply blocks of a registration: each pays for one packet to its client.
//!
//! They are spent in the order in which the client made them. A top-up that discards what came before it also
//! discards what was made before it and arrives later, since packets overtake each other.

use std::collections::BTreeMap;

use crate::engine::turn::Turn;
use crate::port::{ReplyBlock, Tag};
use crate::store::Family;

/// Reply blocks of one registration; far more than a client keeps in stock.
pub(super) const BLOCKS_MAX: usize = 256;
/// Reply blocks of all registrations: 190 MB.
pub(super) const BLOCKS_TOTAL_MAX: usize = 262_144;

/// When a box was made: renewals of the registration, then counter.
type Order = (u32, u64);

#[derive(Default)]
pub(super) struct Credit {
    blocks: BTreeMap<(Order, u16), ReplyBlock>,
    /// Blocks of earlier boxes are not taken.
    from: Order,
}

impl Credit {
    pub(super) fn restore(from: &[u8]) -> Option<Self> {
        let from = parse_order(from)?;
        Some(Self {
            blocks: BTreeMap::new(),
            from,
        })
    }

    /// Puts a stored block back.
    pub(super) fn load(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let (order, index) = key.split_at_checked(12)?;
        let index = u16::from_be_bytes(index.try_into().ok()?);
        let block = ReplyBlock::new(value.to_vec())?;
        self.blocks.insert((parse_order(order)?, index), block);
        Some(())
    }

    pub(super) fn taken_from(&self) -> Vec<u8> {
        order_bytes(self.from)
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Takes the blocks of a box; says how many there was no room for.
    pub(super) fn add(
        &mut self,
        turn: &mut Turn<'_>,
        tag: Tag,
        order: Order,
        blocks: Vec<ReplyBlock>,
        room: usize,
    ) -> usize {
        if order < self.from {
            return blocks.len();
        }
        let room = room.min(BLOCKS_MAX.saturating_sub(self.blocks.len()));
        let left_out = blocks.len().saturating_sub(room);
        for (index, block) in (0u16..).zip(blocks.into_iter().take(room)) {
            turn.ledger.put(
                Family::ReplyBlocks,
                block_key(tag, order, index),
                block.bytes(),
            );
            self.blocks.insert((order, index), block);
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
            let Some(((order, index), block)) = self.blocks.pop_first() else {
                break;
            };
            turn.ledger
                .delete(Family::ReplyBlocks, block_key(tag, order, index));
            spent.push(block);
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
