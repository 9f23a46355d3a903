use super::*;
use crate::testing::hex;
use crate::testing::vectors::*;
use proptest::prelude::*;

fn key(text: &str) -> [u8; 32] {
    let mut key = [0; 32];
    let bytes = hex(text);
    key[..bytes.len()].copy_from_slice(&bytes);
    key
}

fn modes(mac: Option<usize>, sequence: bool) -> Negotiation {
    Negotiation {
        send_mac: mac,
        receive_mac: mac,
        send_sequence: sequence,
        receive_sequence: sequence,
    }
}

/// Seals the packet of V6 and opens it again.
fn seal(keys: (&str, &str), negotiation: Negotiation, sequence: Option<u64>, id: u32) -> Vec<u8> {
    let mut sealer = Sealer::new(&key(keys.0), &key(keys.1), &negotiation);
    sealer.sequence = sequence;
    let mut out = Vec::new();
    sealer.begin(&mut out);
    out.extend_from_slice(&hex(V6_PACKET));
    sealer.finish(&mut out);
    sealer.seal(id, std::slice::from_mut(&mut out));
    assert_eq!(session_id(&out), Some(id));
    let mut opener = Opener::new(&key(keys.0), &key(keys.1), &negotiation);
    let mut copy = out.clone();
    let plain = opener.open(&mut copy).expect("opens");
    assert_eq!(plain[..49], hex(V6_PACKET));
    assert!(plain[49..].iter().all(|b| *b == 0xff), "padding is ff");
    out
}

/// Vector V2.
#[test]
fn rtmfp_003_and_004_the_default_key_seals_as_in_the_vector() {
    let mut sealer = Sealer::startup();
    let mut out = Vec::new();
    sealer.begin(&mut out);
    out.extend_from_slice(&hex(V2_PACKET));
    sealer.finish(&mut out);
    sealer.seal(0, std::slice::from_mut(&mut out));
    assert_eq!(out, hex(V2_DATAGRAM));
    assert_eq!(session_id(&out), Some(0));
    let mut other = out.clone();
    other[..4].copy_from_slice(&hex("bf9e7e81"));
    assert_eq!(session_id(&other), Some(0x0200_0000));
    let plain = Opener::startup().open(&mut out).expect("opens").to_vec();
    assert_eq!(plain[..48], hex(V2_PACKET));
}

/// Vector V16.
#[test]
fn rtmfp_004_captured_startup_packets_open_with_the_default_key() {
    for (datagram, id, kind, payload) in [
        (V16_IHELLO, 0, 0x30, V16_IHELLO_PAYLOAD),
        (V16_RHELLO, 0, 0x70, V16_RHELLO_PAYLOAD),
        (V16_IIKEYING, 0, 0x38, V16_IIKEYING_PAYLOAD),
        (V16_RIKEYING, 0x0200_0000, 0x78, V16_RIKEYING_PAYLOAD),
    ] {
        let mut datagram = hex(datagram);
        assert_eq!(session_id(&datagram), Some(id));
        let packet = Opener::startup().open(&mut datagram).expect("opens");
        let (_, chunks) = crate::packet::Header::decode(packet).expect("header");
        let chunk = crate::chunk::Chunks::new(chunks).next();
        assert_eq!(chunk, Some((kind, &hex(payload)[..])));
    }
}

/// Vector V16: session packets under the derived keys.
#[test]
fn captured_session_packets_open() {
    for (datagram, id, k, plain) in [
        (V16_CONNECT, 1, V16_K_IR, V16_CONNECT_PLAIN),
        (V16_RESULT, 0x0200_0000, V16_K_RI, V16_RESULT_PLAIN),
    ] {
        let mut datagram = hex(datagram);
        assert_eq!(session_id(&datagram), Some(id));
        let mut opener = Opener::new(&key(k), &[0; 32], &modes(None, false));
        assert_eq!(opener.open(&mut datagram).expect("opens"), hex(plain));
    }
}

/// Vector V17.
#[test]
fn rtmfp_014_captured_packets_with_hmac_open() {
    for (datagram, k, mac, packet) in [
        (V17_IR_DATAGRAM, V17_K_IR, V17_MAC_IR, V17_IR_PACKET),
        (V17_RI_DATAGRAM, V17_K_RI, V17_MAC_RI, V17_RI_PACKET),
    ] {
        let mut datagram = hex(datagram);
        assert_eq!(session_id(&datagram), Some(0x0200_0000));
        let mut opener = Opener::new(&key(k), &key(mac), &modes(Some(16), true));
        assert_eq!(opener.open(&mut datagram.clone()).expect("opens"), hex(packet));
        assert_eq!(opener.open(&mut datagram), Err(OpenError::Replay));
    }
}

/// Vector V6: all four modes.
#[test]
fn rtmfp_015_sealed_packets_are_those_of_the_vectors() {
    let (plain, mac) = ((V3_K_IR, "00"), (V4_K_IR, V4_MAC_IR));
    assert_eq!(seal(plain, modes(None, false), None, 1), hex(V6_PLAIN_DATAGRAM));
    assert_eq!(seal(mac, modes(Some(16), true), Some(0), 0x0200_0000), hex(V6_MAC_DATAGRAM));
    assert_eq!(seal(mac, modes(Some(10), false), None, 7)[4..], hex(V6_MAC10_CIPHERTEXT));
    let sequence = modes(None, true);
    assert_eq!(seal(plain, sequence, Some(300), 7)[4..], hex(V6_SEQUENCE_300_CIPHERTEXT));
    assert_eq!(seal(plain, sequence, Some(5), 7)[4..], hex(V6_SEQUENCE_5_CIPHERTEXT));
}

/// What V6 says must fail.
#[test]
fn rtmfp_015_any_flipped_bit_is_noticed_with_hmac() {
    let negotiation = modes(Some(16), true);
    let good = hex(V6_MAC_DATAGRAM);
    let mut opener = Opener::new(&key(V4_K_IR), &key(V4_MAC_IR), &negotiation);
    for bit in SSID_LEN * 8..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(opener.open(&mut bad), Err(OpenError::Authentication), "bit {bit}");
    }
    assert!(opener.open(&mut good.clone()).is_ok());
    assert_eq!(opener.open(&mut good.clone()), Err(OpenError::Replay));
}

/// Bad lengths and checksums.
#[test]
fn rtmfp_005_short_odd_and_wrong_packets_are_refused() {
    let good = hex(V6_PLAIN_DATAGRAM);
    let mut opener = Opener::new(&key(V3_K_IR), &[0; 32], &modes(None, false));
    for len in 0..good.len() {
        let result = opener.open(&mut good[..len].to_vec()).map(<[u8]>::to_vec);
        let expected =
            if len > 4 && (len - 4) % 16 == 0 { OpenError::Checksum } else { OpenError::Length };
        assert_eq!(result, Err(expected), "{len} bytes");
    }
    let mut wrong = good.clone();
    wrong[40] ^= 1;
    assert_eq!(opener.open(&mut wrong), Err(OpenError::Checksum));
    let mut opener = Opener::new(&key(V4_K_IR), &key(V4_MAC_IR), &modes(Some(16), true));
    assert_eq!(opener.open(&mut [0; 35]), Err(OpenError::Length));
    assert_eq!(session_id(&[0; 19]), None, "shorter than a packet can be");
}

proptest! {
    /// Whole blocks, padding of ff, room for the tag.
    #[test]
    fn rtmfp_008_what_was_sealed_opens(
        packet in proptest::collection::vec(any::<u8>(), 1..1200),
        mac in prop_oneof![Just(None), (4_usize..=32).prop_map(Some)], sequence: bool, id: u32,
    ) {
        let negotiation = modes(mac, sequence);
        let mut sealer = Sealer::new(&[1; 32], &[2; 32], &negotiation);
        let mut opener = Opener::new(&[1; 32], &[2; 32], &negotiation);
        let mut out = Vec::new();
        for _ in 0..3 {
            sealer.begin(&mut out);
            out.extend_from_slice(&packet);
            sealer.finish(&mut out);
            sealer.seal(id, std::slice::from_mut(&mut out));
            prop_assert_eq!(session_id(&out), Some(id));
            prop_assert_eq!((out.len() - SSID_LEN - sealer.tag_len()) % BLOCK, 0);
            let plain = opener.open(&mut out).expect("opens");
            prop_assert_eq!(&plain[..packet.len()], &packet[..]);
            prop_assert!(plain.len() < packet.len() + BLOCK);
            prop_assert!(plain[packet.len()..].iter().all(|b| *b == 0xff));
        }
    }

    #[test]
    fn noise_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for negotiation in [modes(None, false), modes(None, true), modes(Some(4), true)] {
            let mut opener = Opener::new(&[1; 32], &[2; 32], &negotiation);
            let _ = opener.open(&mut bytes);
        }
    }
}
