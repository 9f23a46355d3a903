//! Random bytes, from a seed that the caller gives.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A ChaCha20 generator: as unpredictable as its seed, and repeatable in tests.
pub struct Entropy(ChaCha20Rng);

impl Entropy {
    /// A generator from 32 bytes, which come from the operating system outside tests.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// Fills `out` with random bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }

    /// An array of random bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// A random number.
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// An independent generator, for a session or a job on another thread.
    pub fn fork(&mut self) -> Self {
        Self::from_seed(self.array())
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_a_fork_differs() {
        let mut a = Entropy::from_seed([1; 32]);
        let mut b = Entropy::from_seed([1; 32]);
        assert_eq!(a.array::<40>(), b.array::<40>());
        assert_eq!(a.u32(), b.u32());
        assert_ne!(a.fork().array::<32>(), b.array::<32>());
    }
}
