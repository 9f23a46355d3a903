//! AES-256-GCM of ring for snow, whose own takes two to five times as long
//! (`docs/performance.md`). The bytes are the same: Noise says how a counter becomes a nonce (§12.4).

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use snow::types::Cipher;

/// Bytes of a tag.
pub(crate) const TAG: usize = 16;

/// The key of one direction. That a counter is never used twice is snow's part.
pub(crate) struct AesGcm(LessSafeKey);

impl Default for AesGcm {
    fn default() -> Self {
        Self(key(&[0; 32]))
    }
}

fn key(bytes: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("32 bytes are a key of AES-256"))
}

/// Four zeros and the counter, big endian (Noise §12.4).
fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

impl Cipher for AesGcm {
    fn name(&self) -> &'static str {
        "AESGCM"
    }

    fn set(&mut self, bytes: &[u8; 32]) {
        self.0 = key(bytes);
    }

    fn encrypt(&self, counter: u64, authtext: &[u8], plain: &[u8], out: &mut [u8]) -> usize {
        let (sealed, rest) = out.split_at_mut(plain.len());
        sealed.copy_from_slice(plain);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce(counter), Aad::from(authtext), sealed)
            .expect("a Noise message is shorter than 2^36 bytes");
        rest[..TAG].copy_from_slice(tag.as_ref());
        plain.len() + TAG
    }

    fn decrypt(
        &self,
        counter: u64,
        authtext: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        let (sealed, tag) = sealed.split_last_chunk::<TAG>().ok_or(snow::Error::Decrypt)?;
        let plain = out.get_mut(..sealed.len()).ok_or(snow::Error::Decrypt)?;
        plain.copy_from_slice(sealed);
        let (nonce, authtext) = (nonce(counter), Aad::from(authtext));
        let opened =
            self.0.open_in_place_separate_tag(nonce, authtext, Tag::from(*tag), plain, 0..);
        opened.map(|plain| plain.len()).map_err(|_| snow::Error::Decrypt)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use snow::params::CipherChoice;
    use snow::resolvers::{CryptoResolver as _, DefaultResolver};

    use super::*;

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_cipher_that_snow_brings(
            key: [u8; 32], counter in 0..=u64::MAX, authtext: Vec<u8>, plain: Vec<u8>,
        ) {
            let mut theirs = DefaultResolver.resolve_cipher(&CipherChoice::AESGCM).unwrap();
            let mut ours = AesGcm::default();
            theirs.set(&key);
            ours.set(&key);
            let (mut expected, mut sealed) = (vec![0; plain.len() + TAG], vec![1; plain.len() + TAG]);
            theirs.encrypt(counter, &authtext, &plain, &mut expected);
            prop_assert_eq!(ours.encrypt(counter, &authtext, &plain, &mut sealed), sealed.len());
            prop_assert_eq!(&sealed, &expected);
            let mut opened = vec![2; plain.len()];
            let length = ours.decrypt(counter, &authtext, &sealed, &mut opened);
            prop_assert_eq!(length.ok(), Some(plain.len()));
            prop_assert_eq!(&opened, &plain);
            for cipher in [&ours as &dyn Cipher, &*theirs] {
                prop_assert!(cipher.decrypt(counter ^ 1, &authtext, &sealed, &mut opened).is_err());
            }
        }

        #[test]
        fn a_new_key_is_the_one_that_snow_would_make(key: [u8; 32]) {
            let mut theirs = DefaultResolver.resolve_cipher(&CipherChoice::AESGCM).unwrap();
            let mut ours = AesGcm::default();
            let mut sealed = [[0; 8 + TAG]; 2];
            for (cipher, sealed) in [&mut ours as &mut dyn Cipher, &mut *theirs].into_iter().zip(&mut sealed) {
                cipher.set(&key);
                cipher.rekey();
                cipher.encrypt(3, &[], b"8 bytes.", sealed);
            }
            prop_assert_eq!(sealed[0], sealed[1]);
        }
    }

    #[test]
    fn what_is_too_short_for_a_tag_or_too_long_for_its_place_is_not_authentic() {
        let cipher = AesGcm::default();
        let mut sealed = [0; 4 + TAG];
        cipher.encrypt(0, &[], b"four", &mut sealed);
        assert!(cipher.decrypt(0, &[], &sealed[..TAG - 1], &mut [0; 64]).is_err());
        assert!(cipher.decrypt(0, &[], &sealed, &mut [0; 3]).is_err());
        assert_eq!(cipher.decrypt(0, &[], &sealed, &mut [0; 4]).ok(), Some(4));
    }
}
