use super::*;
use crate::crypto::sha256;
use crate::testing::hex;
use crate::testing::vectors::*;

fn agreed(group: Group, x_i: &str, x_r: &str, y_i: &str, y_r: &str, s: &str) {
    let initiator = KeyPair::from_exponent(group, &hex(x_i)).expect("pair");
    let responder = KeyPair::from_exponent(group, &hex(x_r)).expect("pair");
    assert_eq!(initiator.public(), hex(y_i));
    assert_eq!(responder.public(), hex(y_r));
    assert_eq!(initiator.agree(responder.public()).expect("secret"), hex(s));
    assert_eq!(responder.agree(initiator.public()).expect("secret"), hex(s));
}

/// Vectors V3 and V4.
#[test]
fn rtmfp_011_keys_and_secrets_are_those_of_the_vectors() {
    agreed(Group::Modp1024, V3_X_I, V3_X_R, V3_Y_I, V3_Y_R, V3_S);
    agreed(Group::Modp2048, V4_X_I, V4_X_R, V4_Y_I, V4_Y_R, V4_S);
}

/// Vector V5.
#[test]
fn rtmfp_012_a_secret_has_no_leading_zeros() {
    let initiator = KeyPair::from_exponent(Group::Modp1024, &hex(V3_X_I)).expect("pair");
    let responder = KeyPair::from_exponent(Group::Modp1024, &hex(V5_X_R)).expect("pair");
    let secret = initiator.agree(responder.public()).expect("secret");
    assert_eq!(secret.len(), 127);
    assert_eq!(secret, hex(V5_S));
    assert_eq!(sha256(&secret).to_vec(), hex(V5_S_HASH));
    assert_eq!(responder.agree(initiator.public()).expect("secret"), secret);
}

/// Each prime is 2^n - 2^(n-64) - 1 + 2^64 (floor(2^k pi) + c): ones at both ends, the same digits
/// of pi between, and the hash of the whole as computed from the published primes.
#[test]
fn primes_are_the_published_ones() {
    for group in [Group::Modp1024, Group::Modp2048, Group::Modp4096] {
        let prime = group.prime();
        assert_eq!(Group::from_id(group.id()), Some(group));
        assert_eq!(prime[..8], [0xff; 8]);
        assert_eq!(prime[prime.len() - 8..], [0xff; 8]);
        // Fermat: 2^(p-1) = 1, so 2^p = 2. A wrong digit anywhere makes the number composite.
        let modulus = &group.parameters().expect("parameters").modulus;
        let mut two = vec![0; prime.len()];
        two[prime.len() - 1] = 2;
        assert_eq!(modulus.power(&[2], &prime), Some(two), "{group:?}");
    }
    assert_eq!(Group::Modp1024.prime().len(), 128);
    assert_eq!(Group::Modp2048.prime().len(), 256);
    assert_eq!(Group::Modp4096.prime().len(), 512);
    assert_eq!(Group::from_id(5), None);
}

#[test]
fn rtmfp_011_bad_public_keys_are_refused() {
    for group in [Group::Modp1024, Group::Modp2048] {
        let pair = KeyPair::generate(group, &mut Entropy::from_seed([3; 32]));
        let prime = group.prime();
        let len = prime.len();
        let minus = |value: u32| {
            let mut key = prime.clone();
            let low = u32::from_be_bytes(key[len - 4..].try_into().expect("4")) - value;
            key[len - 4..].copy_from_slice(&low.to_be_bytes());
            key
        };
        let mut few_ones = vec![0; 100];
        few_ones[..3].copy_from_slice(&[0x7f, 0xff, 0]);
        let mut few_zeros = vec![0xff; 100];
        few_zeros[50] = 0;
        let mut longer = vec![1];
        longer.extend_from_slice(&prime);
        let bad = [
            vec![],
            vec![0],
            vec![1],
            vec![0; 200],
            vec![0xff; 3],
            prime.clone(),
            minus(1),
            minus((1 << 24) - 1),
            few_ones,
            few_zeros,
            longer,
            vec![0xff; len],
        ];
        for key in bad {
            assert_eq!(pair.agree(&key), None, "{key:02x?}");
        }
        let mut good = vec![0x0f; 100];
        good[0] = 0;
        let padded = pair.agree(&good).expect("valid");
        assert_eq!(pair.agree(&good[1..]), Some(padded), "leading zeros do not count");
        // p - 2^24 is in range; it has enough zeros in groups of 1,024 bits and more.
        assert!(pair.agree(&minus(1 << 24)).is_some());
    }
}

#[test]
fn fresh_pairs_of_every_group_agree() {
    let mut entropy = Entropy::from_seed([9; 32]);
    for group in [Group::Modp1024, Group::Modp2048, Group::Modp4096] {
        let a = KeyPair::generate(group, &mut entropy);
        let b = KeyPair::generate(group, &mut entropy);
        assert_ne!(a.public(), b.public());
        assert_eq!(a.agree(b.public()), b.agree(a.public()));
        assert!(a.agree(b.public()).is_some());
        assert_eq!(a.group(), group);
    }
}
