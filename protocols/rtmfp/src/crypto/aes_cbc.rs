//! AES-128-CBC with a zero initialisation vector for every packet, in place.

use aes::Aes128;
use aes::cipher::{Array, Block, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit};

/// Bytes of a cipher block.
pub(crate) const BLOCK: usize = 16;

/// An expanded key.
pub(crate) struct AesCbc(Aes128);

impl AesCbc {
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        Self(Aes128::new(key.into()))
    }

    /// Encrypts in place. `data` is whole blocks; a shorter tail would be left as it is.
    pub(crate) fn encrypt(&self, data: &mut [u8]) {
        let (blocks, tail) = Block::<Aes128>::slice_as_chunks_mut(data);
        debug_assert!(tail.is_empty(), "whole blocks");
        cbc::Encryptor::inner_iv_init(&self.0, &Array::default()).encrypt_blocks(blocks);
    }

    /// Decrypts in place. `data` is whole blocks; a shorter tail would be left as it is.
    pub(crate) fn decrypt(&self, data: &mut [u8]) {
        let (blocks, tail) = Block::<Aes128>::slice_as_chunks_mut(data);
        debug_assert!(tail.is_empty(), "whole blocks");
        cbc::Decryptor::inner_iv_init(&self.0, &Array::default()).decrypt_blocks(blocks);
    }
}

impl std::fmt::Debug for AesCbc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AesCbc(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    /// FIPS 197 appendix B: with a zero vector the first block of CBC is plain AES.
    #[test]
    fn one_block_is_that_of_the_standard() {
        let key = hex("2b7e151628aed2a6abf7158809cf4f3c").try_into().expect("16 bytes");
        let cipher = AesCbc::new(&key);
        let mut data = hex("3243f6a8885a308d313198a2e0370734");
        cipher.encrypt(&mut data);
        assert_eq!(data, hex("3925841d02dc09fbdc118597196a0b32"));
        cipher.decrypt(&mut data);
        assert_eq!(data, hex("3243f6a8885a308d313198a2e0370734"));
    }

    #[test]
    fn blocks_are_chained() {
        let cipher = AesCbc::new(&[7; 16]);
        let mut data = [9; 48];
        cipher.encrypt(&mut data);
        assert_ne!(data[..16], data[16..32]);
        cipher.decrypt(&mut data);
        assert_eq!(data, [9; 48]);
    }
}
