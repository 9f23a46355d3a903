use super::*;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex"))
        .collect()
}

/// The Oakley group 2 prime (RFC 2409 §6.2).
const P2: &str = concat!(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74",
    "020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437",
    "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED",
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF"
);

/// 2^127 - 1.
const M127: &str = "7fffffffffffffffffffffffffffffff";

fn exponent(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed;
    (0..len)
        .map(|_| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (x >> 33) as u8
        })
        .collect()
}

#[test]
fn small_powers_are_right() {
    let m = Modulus::new(&hex(M127), 80).expect("odd");
    assert_eq!(m.len(), 16);
    assert!(!m.is_empty());
    // 3^5 = 243; 2^127 = 1 modulo 2^127 - 1; 2^130 = 8.
    assert_eq!(m.power(&[3], &[5]).expect("power")[15], 243);
    for (e, result) in [(0_u8, 1_u128), (1, 2), (126, 1 << 126), (127, 1), (130, 8)] {
        assert_eq!(m.power_of_two(&[e]).expect("power"), result.to_be_bytes(), "2^{e}");
        assert_eq!(m.power(&[2], &[e]).expect("power"), result.to_be_bytes(), "2^{e}");
    }
}

#[test]
fn comb_and_general_way_agree_at_every_length() {
    let m = Modulus::new(&hex(P2), 256).expect("odd");
    for len in 0..=40 {
        for seed in 0..3 {
            let x = exponent(seed * 100 + len as u64, len);
            assert_eq!(m.power_of_two(&x), m.power(&[2], &x), "{len} bytes, seed {seed}");
        }
    }
    let ones = [0xff; 35];
    assert_eq!(m.power_of_two(&ones), m.power(&[2], &ones));
}

#[test]
fn both_sides_agree_on_a_secret() {
    let m = Modulus::new(&hex(P2), 256).expect("odd");
    let (a, b) = (exponent(1, 32), exponent(2, 32));
    let (ya, yb) = (m.power_of_two(&a).expect("ya"), m.power_of_two(&b).expect("yb"));
    let s = m.power(&yb, &a).expect("s");
    assert_eq!(s, m.power(&ya, &b).expect("s"));
    assert_eq!(s.len(), 128);
}

#[test]
fn a_base_that_is_not_below_the_modulus_is_refused() {
    let p = hex(P2);
    let m = Modulus::new(&p, 0).expect("odd");
    assert_eq!(m.power(&p, &[1]), None);
    let mut below = p.clone();
    below[127] -= 1;
    assert_eq!(m.power(&below, &[1]), Some(below));
    // No comb was asked for: the general way serves.
    assert_eq!(m.power_of_two(&[3]).expect("8")[127], 8);
}

#[test]
fn unusable_moduli_are_refused() {
    assert!(Modulus::new(&[], 0).is_none());
    assert!(Modulus::new(&[1; 8], 0).is_none());
    assert!(Modulus::new(&[2; 16], 0).is_none(), "even");
    assert!(Modulus::new(&[1; 17], 0).is_none(), "not whole words");
}

#[test]
fn pick_reads_the_entry_of_the_index() {
    let row: Vec<u64> = (0..64).collect();
    let mut out = [0; 2];
    for i in 0..32 {
        pick(&row, i, &mut out);
        assert_eq!(out, [2 * i as u64, 2 * i as u64 + 1]);
    }
}
