//! Modular exponentiation for finite-field Diffie-Hellman, in time that does not depend on the
//! exponent.
//!
//! The one crate of this workspace with `unsafe`: it wraps the big-number functions of AWS-LC, which
//! are a good deal faster than what pure Rust offers (numbers in `Cargo.toml`). [`Modulus`] is built
//! once per group and shared by all threads.
//!
//! Powers of the generator use a comb (Lim and Lee 1994): the table holds the products of
//! `2^(2^i)` that a column of exponent bits can ask for, so that an ephemeral public key costs one
//! multiplication per five bits of exponent and almost no squarings. Table entries are picked by
//! reading the whole row, for the index is secret.

use std::sync::OnceLock;

mod bn;
use bn::{Bn, Ctx, Mont};

/// Exponent bits that one multiplication of the comb consumes. With 5, a row is 32 entries, which
/// is read in less time than the multiplication takes.
const TEETH: usize = 5;
/// Rows of the comb table; squarings are exponent bits / (TEETH * ROWS).
const ROWS: usize = 8;
const ROW_ENTRIES: usize = 1 << TEETH;

/// An odd prime modulus with what is precomputed for it.
pub struct Modulus {
    prime: Bn,
    mont: Mont,
    /// Bytes of the modulus.
    len: usize,
    /// Exponent bits that the comb covers.
    exponent_bits: usize,
    comb: OnceLock<Option<Box<[u64]>>>,
}

impl Modulus {
    /// A modulus from its big-endian bytes. `exponent_bits` is the longest exponent that
    /// [`power_of_two`](Self::power_of_two) serves from its table; longer ones take the general way.
    ///
    /// `None` for an even modulus, one below 128 bits, one whose length is no multiple of 8 bytes,
    /// or when memory ends.
    pub fn new(prime: &[u8], exponent_bits: usize) -> Option<Self> {
        if prime.len() < 16
            || !prime.len().is_multiple_of(8)
            || prime[0] == 0
            || prime[prime.len() - 1] & 1 == 0
        {
            return None;
        }
        let ctx = Ctx::new()?;
        let number = Bn::from_be(prime)?;
        let mont = Mont::new(&number, &ctx)?;
        let step = TEETH * ROWS;
        Some(Self {
            prime: number,
            mont,
            len: prime.len(),
            exponent_bits: exponent_bits.div_ceil(step) * step,
            comb: OnceLock::new(),
        })
    }

    /// Bytes of the modulus, and of every result.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: a modulus has at least 16 bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `base ^ exponent`, both big-endian; the result is padded with zeros to [`len`](Self::len).
    /// Time depends on the length of the exponent in bytes, not on its value.
    ///
    /// `None` when `base` is not below the modulus or memory ends.
    pub fn power(&self, base: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
        let ctx = Ctx::new()?;
        let base = Bn::from_be(base)?;
        if !base.is_below(&self.prime) {
            return None;
        }
        let exponent = Bn::from_be(exponent)?;
        let mut result = Bn::new()?;
        result.power(&base, &exponent, &self.prime, &ctx, &self.mont)?;
        result.to_be(self.len)
    }

    /// `2 ^ exponent`: a public key of the Diffie-Hellman groups, whose generator is 2.
    ///
    /// `None` when memory ends.
    pub fn power_of_two(&self, exponent: &[u8]) -> Option<Vec<u8>> {
        let comb = self.comb.get_or_init(|| self.build_comb());
        match comb {
            Some(comb) if exponent.len() * 8 <= self.exponent_bits => {
                self.comb_power(comb, exponent)
            }
            _ => self.power(&[2], exponent),
        }
    }

    /// Bits of the exponent that one tooth covers.
    fn tooth_bits(&self) -> usize {
        self.exponent_bits / TEETH
    }

    fn words(&self) -> usize {
        self.len / 8
    }

    fn build_comb(&self) -> Option<Box<[u64]>> {
        if self.exponent_bits == 0 {
            return None;
        }
        let ctx = Ctx::new()?;
        let words = self.words();
        let columns = self.tooth_bits() / ROWS;
        // powers[i] = 2^(2^i), for the bit positions at which a tooth of a row begins.
        let mut power = Bn::from_be(&[2])?;
        power.enter_montgomery(&self.mont, &ctx)?;
        let mut starts = Vec::with_capacity(TEETH * ROWS);
        for bit in 0..self.exponent_bits {
            if bit.is_multiple_of(columns) {
                starts.push(power.copy()?);
            }
            let square = power.copy()?;
            power.set_product(&square, &square, &self.mont, &ctx)?;
        }
        let mut one = Bn::from_be(&[1])?;
        one.enter_montgomery(&self.mont, &ctx)?;
        let mut table = vec![0_u64; ROWS * ROW_ENTRIES * words];
        let mut bytes = vec![0_u8; self.len];
        for row in 0..ROWS {
            let mut entries: Vec<Bn> = Vec::with_capacity(ROW_ENTRIES);
            for mask in 0..ROW_ENTRIES {
                let entry = if mask == 0 {
                    one.copy()?
                } else {
                    let tooth = mask.trailing_zeros() as usize;
                    let start = &starts[tooth * ROWS + row];
                    let mut product = Bn::new()?;
                    product.set_product(&entries[mask & (mask - 1)], start, &self.mont, &ctx)?;
                    product
                };
                entry.to_le(&mut bytes)?;
                let at = (row * ROW_ENTRIES + mask) * words;
                for (word, chunk) in table[at..at + words].iter_mut().zip(bytes.chunks_exact(8)) {
                    *word = u64::from_le_bytes(chunk.try_into().ok()?);
                }
                entries.push(entry);
            }
        }
        Some(table.into_boxed_slice())
    }

    fn comb_power(&self, comb: &[u64], exponent: &[u8]) -> Option<Vec<u8>> {
        let ctx = Ctx::new()?;
        let words = self.words();
        let tooth_bits = self.tooth_bits();
        let columns = tooth_bits / ROWS;
        let bit = |i: usize| -> usize {
            match exponent.len().checked_sub(1 + i / 8) {
                Some(at) => usize::from(exponent[at] >> (i % 8) & 1),
                None => 0,
            }
        };
        let mut picked = vec![0_u64; words];
        let mut bytes = vec![0_u8; self.len];
        let mut factor = Bn::new()?;
        let mut accumulator = Bn::from_be(&[1])?;
        accumulator.enter_montgomery(&self.mont, &ctx)?;
        let mut product = Bn::new()?;
        for column in (0..columns).rev() {
            if column + 1 != columns {
                product.set_product(&accumulator, &accumulator, &self.mont, &ctx)?;
                std::mem::swap(&mut product, &mut accumulator);
            }
            for row in 0..ROWS {
                let mut index = 0;
                for tooth in 0..TEETH {
                    index |= bit(tooth * tooth_bits + row * columns + column) << tooth;
                }
                let at = row * ROW_ENTRIES * words;
                pick(&comb[at..at + ROW_ENTRIES * words], index, &mut picked);
                for (chunk, word) in bytes.chunks_exact_mut(8).zip(&picked) {
                    chunk.copy_from_slice(&word.to_le_bytes());
                }
                factor.set_le(&bytes)?;
                product.set_product(&accumulator, &factor, &self.mont, &ctx)?;
                std::mem::swap(&mut product, &mut accumulator);
            }
        }
        accumulator.leave_montgomery(&self.mont, &ctx)?;
        accumulator.to_be(self.len)
    }
}

impl std::fmt::Debug for Modulus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Modulus").field("bits", &(self.len * 8)).finish_non_exhaustive()
    }
}

/// Copies entry `index` of `row` into `out`, reading every entry.
fn pick(row: &[u64], index: usize, out: &mut [u64]) {
    out.fill(0);
    for (i, entry) in row.chunks_exact(out.len()).enumerate() {
        // All ones when i == index, without a branch: the borrow of (i ^ index) - 1.
        let difference = std::hint::black_box((i ^ index) as u64);
        let mask = 0_u64.wrapping_sub((difference.wrapping_sub(1) & !difference) >> 63);
        for (o, e) in out.iter_mut().zip(entry) {
            *o |= e & mask;
        }
    }
}

#[cfg(test)]
mod tests;
