//! Eight sponges side by side, where the processor has AVX-512: eight permutations take the time of one.
//!
//! ```text
//! word 0    lane 0 │ lane 1 │ … │ lane 7        one vector register
//! …
//! word 24   lane 0 │ lane 1 │ … │ lane 7
//! ```
//!
//! Whoever calls asks with `None` in mind: without those instructions there are no lanes, and the ordinary sponge
//! does the work. Spec: `Keccak-f[1600]`, rate 1088.

use std::arch::x86_64::__m512i;

use pulp::x86::V4;

use super::DIGEST_LEN;

/// How many sponges there are.
pub(super) const LANES: usize = 8;

/// Word by word, the states of all lanes.
type State = [[u64; LANES]; WORDS];

/// Whether this processor has them.
pub(super) fn are_there() -> bool {
    V4::is_available()
}

/// The digests of up to eight inputs, in their order; the rest are of nothing.
pub(super) fn digests(inputs: &[&[u8]]) -> Option<[[u8; DIGEST_LEN]; LANES]> {
    let simd = V4::try_new()?;
    let mut digests = [[0; DIGEST_LEN]; LANES];
    let lanes = || inputs.iter().take(LANES).enumerate();
    let blocks = lanes().map(|(_, input)| input.len() / RATE + 1).max()?;
    let mut state: State = [[0; LANES]; WORDS];
    for block in 0..blocks {
        for (lane, input) in lanes() {
            let Some(rest) = input.get(block * RATE..) else {
                continue; // It is through, and its lane runs idle.
            };
            match rest.first_chunk() {
                Some(whole) => absorb(&mut state, lane, whole),
                None => absorb(&mut state, lane, &padded(rest)),
            }
        }
        permute(simd, &mut state);
        for (lane, _) in lanes().filter(|(_, input)| input.len() / RATE == block) {
            for (bytes, word) in digests[lane].chunks_exact_mut(8).zip(&state) {
                bytes.copy_from_slice(&word[lane].to_le_bytes());
            }
        }
    }
    Some(digests)
}

/// Sponges that have absorbed one and the same prefix, each to be finished by a nonce of its own.
#[derive(Clone)]
pub(super) struct Nonces {
    simd: V4,
    state: Box<State>,
    /// What is left of the prefix after its last whole block.
    rest: [u8; RATE],
    rest_len: usize,
}

impl Nonces {
    /// Absorbs the prefix.
    pub(super) fn new(prefix: &[u8]) -> Option<Nonces> {
        let simd = V4::try_new()?;
        let mut state: Box<State> = Box::new([[0; LANES]; WORDS]);
        let (blocks, tail) = prefix.as_chunks::<RATE>();
        for block in blocks {
            absorb_all(&mut state, block);
            permute(simd, &mut state);
        }
        let mut rest = [0; RATE];
        rest[..tail.len()].copy_from_slice(tail);
        Some(Nonces {
            simd,
            state,
            rest,
            rest_len: tail.len(),
        })
    }

    /// The first eight bytes of the digests of prefix ‖ nonce, as big-endian numbers, for eight nonces from this one on.
    pub(super) fn heads(&self, from: u64) -> [u64; LANES] {
        let mut state = *self.state;
        if self.rest_len + NONCE_LEN < RATE {
            self.finish(&mut state, from);
        } else {
            self.finish_across(&mut state, from);
        }
        state[0].map(u64::swap_bytes)
    }

    /// The nonce and the padding fit the last block.
    fn finish(&self, state: &mut State, from: u64) {
        let block = padded(&self.rest[..self.rest_len + NONCE_LEN]);
        absorb_all(state, &block);
        // The nonce may lie across two words, which hold zeros where it goes.
        let (word, shift) = (self.rest_len / 8, 8 * (self.rest_len % 8));
        let nonces: [u64; LANES] =
            std::array::from_fn(|lane| from.wrapping_add(lane as u64).swap_bytes());
        for (lane, nonce) in state[word].iter_mut().zip(nonces) {
            *lane ^= nonce << shift;
        }
        if shift > 0 {
            for (lane, nonce) in state[word + 1].iter_mut().zip(nonces) {
                *lane ^= nonce >> (64 - shift);
            }
        }
        permute(self.simd, state);
    }

    /// They need another block.
    fn finish_across(&self, state: &mut State, from: u64) {
        let mut lasts = [[0; RATE]; LANES];
        for (lane, last) in lasts.iter_mut().enumerate() {
            let mut both = [0; 2 * RATE];
            both[..self.rest_len].copy_from_slice(&self.rest[..self.rest_len]);
            let end = self.rest_len + NONCE_LEN;
            let nonce = from.wrapping_add(lane as u64).to_be_bytes();
            both[self.rest_len..end].copy_from_slice(&nonce);
            let (whole, rest) = both.split_at(RATE);
            let whole = whole.first_chunk().expect("split there");
            absorb(state, lane, whole);
            *last = padded(&rest[..end - RATE]);
        }
        permute(self.simd, state);
        for (lane, last) in lasts.iter().enumerate() {
            absorb(state, lane, last);
        }
        permute(self.simd, state);
    }
}

#[inline(always)]
fn absorb(state: &mut State, lane: usize, block: &[u8; RATE]) {
    for (word, bytes) in state.iter_mut().zip(block.as_chunks().0) {
        word[lane] ^= u64::from_le_bytes(*bytes);
    }
}

#[inline(always)]
fn absorb_all(state: &mut State, block: &[u8; RATE]) {
    for (word, bytes) in state.iter_mut().zip(block.as_chunks().0) {
        let value = u64::from_le_bytes(*bytes);
        word.iter_mut().for_each(|lane| *lane ^= value);
    }
}

/// The last block of an input.
#[inline(always)]
fn padded(rest: &[u8]) -> [u8; RATE] {
    let mut block = [0; RATE];
    block[..rest.len()].copy_from_slice(rest);
    block[rest.len()] ^= PADDING_FIRST;
    block[RATE - 1] ^= PADDING_LAST;
    block
}

/// `Keccak-f[1600]` in all lanes.
fn permute(simd: V4, state: &mut State) {
    simd.vectorize(
        #[inline(always)]
        || permute_with(simd, state),
    );
}

#[inline(always)]
fn permute_with(simd: V4, state: &mut State) {
    let avx = simd.avx512f;
    let mut a: [__m512i; WORDS] = pulp::cast(*state);
    let mut c: [__m512i; 5];
    // Every index is a literal: that keeps the state in registers, and makes this four times as fast as loops do.
    macro_rules! xor_3 {
        ($a:expr, $b:expr, $c:expr) => {
            avx._mm512_ternarylogic_epi64::<XOR_3>($a, $b, $c)
        };
    }
    macro_rules! column {
        ($x:literal) => {
            xor_3!(xor_3!(a[$x], a[$x + 5], a[$x + 10]), a[$x + 15], a[$x + 20])
        };
    }
    macro_rules! mix {
        ($($x:literal: $left:literal $right:literal),*) => {$(
            let right = avx._mm512_rol_epi64::<1>(c[$right]);
            mix!($x, right, $left, 0 5 10 15 20);
        )*};
        ($x:literal, $right:ident, $left:literal, $($row:literal)*) => {$(
            a[$row + $x] = xor_3!(a[$row + $x], c[$left], $right);
        )*};
    }
    macro_rules! turn_and_move {
        ($($to:literal <- $by:literal),*) => {
            let moved = a[1];
            $(
                let (next, turned) = (a[$to], avx._mm512_rol_epi64::<$by>(moved));
                a[$to] = turned;
                let moved = next;
            )*
            let _ = moved;
        };
    }
    macro_rules! rows {
        ($($row:literal)*) => {$(
            let before = [a[$row], a[$row + 1], a[$row + 2], a[$row + 3], a[$row + 4]];
            rows!($row, before, 0 1 2, 1 2 3, 2 3 4, 3 4 0, 4 0 1);
        )*};
        ($row:literal, $before:ident, $($x:literal $next:literal $after:literal),*) => {$(
            a[$row + $x] = avx._mm512_ternarylogic_epi64::<CHI>($before[$x], $before[$next], $before[$after]);
        )*};
    }
    for constant in ROUNDS {
        c = [column!(0), column!(1), column!(2), column!(3), column!(4)];
        mix!(0: 4 1, 1: 0 2, 2: 1 3, 3: 2 4, 4: 3 0);
        turn_and_move!(
            10 <- 1, 7 <- 3, 11 <- 6, 17 <- 10, 18 <- 15, 3 <- 21, 5 <- 28, 16 <- 36,
            8 <- 45, 21 <- 55, 24 <- 2, 4 <- 14, 15 <- 27, 23 <- 41, 19 <- 56, 13 <- 8,
            12 <- 25, 2 <- 43, 20 <- 62, 14 <- 18, 22 <- 39, 9 <- 61, 6 <- 20, 1 <- 44
        );
        rows!(0 5 10 15 20);
        a[0] = avx._mm512_xor_si512(a[0], pulp::cast([constant; LANES]));
    }
    *state = pulp::cast(a);
}

/// Words of a state.
const WORDS: usize = 25;
/// Bytes that one permutation takes in.
pub(super) const RATE: usize = 136;
const NONCE_LEN: usize = 8;
pub(super) const PADDING_FIRST: u8 = 0x01;
pub(super) const PADDING_LAST: u8 = 0x80;
/// Truth table of a ^ b ^ c.
pub(super) const XOR_3: i32 = 0x96;
/// Truth table of a ^ (!b & c).
pub(super) const CHI: i32 = 0xd2;
/// The constant of each round.
pub(super) const ROUNDS: [u64; 24] = [
    0x0000_0000_0000_0001,
    0x0000_0000_0000_8082,
    0x8000_0000_0000_808a,
    0x8000_0000_8000_8000,
    0x0000_0000_0000_808b,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8009,
    0x0000_0000_0000_008a,
    0x0000_0000_0000_0088,
    0x0000_0000_8000_8009,
    0x0000_0000_8000_000a,
    0x0000_0000_8000_808b,
    0x8000_0000_0000_008b,
    0x8000_0000_0000_8089,
    0x8000_0000_0000_8003,
    0x8000_0000_0000_8002,
    0x8000_0000_0000_0080,
    0x0000_0000_0000_800a,
    0x8000_0000_8000_000a,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8080,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8008,
];
