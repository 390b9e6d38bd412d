//! Curve25519 by its u-coordinates, as both ends of a packet use it.
//!
//! Every multiplication is RFC 7748 X25519 with its clamping, so every factor is a multiple of 8 and the part of a point that has
//! low order is lost. The maker of a packet multiplies by x·b_0·…·b_{i−1}: one multiplication by the product instead of one per
//! factor. The product cannot just be taken mod ℓ, because that would lose the factor 8 and let a key with torsion give the maker
//! another secret than the hop. So the maker keeps k = (product / 8) mod ℓ and multiplies by 8, then by k.

use curve25519_dalek::{EdwardsPoint, MontgomeryPoint, Scalar, scalar::clamp_integer};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::keys::{PublicKey, SharedSecret};
use crate::error::DropReason;
use crate::geometry::HOPS_MAX;

/// The group element of a packet, in canonical form and not zero.
///
/// A hop multiplies it twice. On the Edwards form of the curve that costs less than two Montgomery ladders, even with the way there
/// and back; a point of the twist has no such form and takes the ladder. Which of the two it is, everybody can see.
pub(crate) struct Alpha {
    u: [u8; 32],
    edwards: Option<EdwardsPoint>,
}

impl Alpha {
    /// Refuses what no honest maker sends, before any work is spent on it.
    pub(super) fn parse(u: &[u8; 32]) -> Result<Self, DropReason> {
        if !is_canonical(u) {
            return Err(DropReason::NonCanonicalAlpha);
        }
        if u == &[0; 32] {
            return Err(DropReason::LowOrderAlpha);
        }
        Ok(Self {
            u: *u,
            edwards: MontgomeryPoint(*u).to_edwards(0),
        })
    }

    /// s: what the hop shares with the maker of the packet. It is zero exactly for points of low order.
    pub(super) fn agree(&self, secret: &[u8; 32]) -> Result<SharedSecret, DropReason> {
        nonzero(self.multiply(*secret)).ok_or(DropReason::LowOrderAlpha)
    }

    /// alpha for the next hop.
    pub(super) fn blind(&self, shared: &SharedSecret) -> [u8; 32] {
        self.multiply(shared.blinding(&self.u)).0
    }

    /// X25519. Clamped factors are multiples of 8, so both forms lose the same part of low order.
    fn multiply(&self, factor: [u8; 32]) -> MontgomeryPoint {
        match &self.edwards {
            Some(point) => point.mul_clamped(factor).to_montgomery(),
            None => MontgomeryPoint(self.u).mul_clamped(factor),
        }
    }
}

/// Below p = 2^255 − 19 as a little-endian integer; this refuses a set top bit, too. The point is public, so time may tell.
fn is_canonical(point: &[u8; 32]) -> bool {
    let all_ones = point[1..31].iter().all(|&byte| byte == 0xff);
    point[31] < 0x7f || (point[31] == 0x7f && !(all_ones && point[0] >= 0xed))
}

/// Whether a maker of packets can share a secret with the owner of this key.
pub(super) fn is_usable(key: &PublicKey) -> bool {
    let point = MontgomeryPoint(*key.as_bytes());
    is_canonical(&point.0) && nonzero(point.mul_clamped([0; 32])).is_some()
}

fn nonzero(point: MontgomeryPoint) -> Option<SharedSecret> {
    let secret = SharedSecret(point.0);
    (!bool::from(secret.0.ct_eq(&[0; 32]))).then_some(secret)
}

/// The running product x·b_0·…·b_{i−1} of the maker of a packet.
#[derive(ZeroizeOnDrop)]
pub(super) struct Blinding {
    /// The product divided by 8, mod ℓ.
    eighth: Scalar,
    /// The factors one by one, for keys on the twist.
    factors: [[u8; 32]; HOPS_MAX],
    #[zeroize(skip)]
    len: usize,
}

impl Blinding {
    pub(super) fn new(x: &[u8; 32]) -> Self {
        let mut factors = [[0; 32]; HOPS_MAX];
        factors[0] = *x;
        Self {
            eighth: divided_by_8(x),
            factors,
            len: 1,
        }
    }

    /// alpha_i: the base point times the product. The base point has order ℓ, so 8·k mod ℓ is as good as the product.
    pub(super) fn alpha(&self) -> [u8; 32] {
        let product = Zeroizing::new(self.eighth * Scalar::from(8_u8));
        EdwardsPoint::mul_base(&product).to_montgomery().0
    }

    /// s_i: the hop's key times the product; `None` for a key that no hop can have.
    pub(super) fn agree(&self, key: &PublicKey) -> Option<SharedSecret> {
        if !is_canonical(key.as_bytes()) {
            return None;
        }
        let key = MontgomeryPoint(*key.as_bytes());
        match key.to_edwards(0) {
            Some(point) => nonzero((point.mul_by_cofactor() * self.eighth).to_montgomery()),
            // The twist has another order than ℓ, so the product must not be reduced.
            None => nonzero(
                self.factors[..self.len]
                    .iter()
                    .fold(key, |point, factor| point.mul_clamped(*factor)),
            ),
        }
    }

    /// Takes the next factor in.
    pub(super) fn multiply(&mut self, factor: [u8; 32]) {
        self.eighth *= Scalar::from_bytes_mod_order(clamp_integer(factor));
        if let Some(place) = self.factors.get_mut(self.len) {
            *place = factor;
            self.len += 1;
        }
    }
}

/// clamped(x) / 8, mod ℓ: the three low bits of a clamped scalar are zero.
fn divided_by_8(x: &[u8; 32]) -> Scalar {
    let mut bytes = clamp_integer(*x);
    let mut carry = 0;
    for byte in bytes.iter_mut().rev() {
        let low = *byte & 7;
        *byte = (*byte >> 3) | carry;
        carry = low << 5;
    }
    let scalar = Scalar::from_bytes_mod_order(bytes);
    bytes.zeroize();
    scalar
}

#[cfg(test)]
mod tests;
