use super::*;
use crate::testing::hex;
use crate::testing::vectors::*;

fn skrc(head: &str, y: &str) -> Vec<u8> {
    hex(&format!("{head}{y}"))
}

fn check(s: &str, skic: &[u8], skrc: &[u8], k_ir: &str, k_ri: &str, nonces: (&str, &str)) -> Keys {
    let initiator = Keys::derive(&hex(s), skic, skrc);
    let responder = Keys::derive(&hex(s), skrc, skic);
    let len = hex(k_ir).len();
    assert_eq!(initiator.encrypt[..len], hex(k_ir));
    assert_eq!(initiator.decrypt[..len], hex(k_ri));
    assert_eq!(responder.decrypt, initiator.encrypt);
    assert_eq!(responder.encrypt, initiator.decrypt);
    assert_eq!(responder.send_mac, initiator.receive_mac);
    assert_eq!(initiator.nonces.near.to_vec(), hex(nonces.0));
    assert_eq!(initiator.nonces.far.to_vec(), hex(nonces.1));
    assert_eq!(responder.nonces, Nonces { near: initiator.nonces.far, far: initiator.nonces.near });
    initiator
}

/// Vector V3.
#[test]
fn rtmfp_013_plain_keys_are_those_of_the_vectors() {
    let skrc = skrc("031a0000021e0081020d02", V3_Y_R);
    check(V3_S, &hex(V3_SKIC), &skrc, V3_K_IR, V3_K_RI, (V3_NONCE_I, V3_NONCE_R));
}

/// Vector V16: components out of the captured chunks.
#[test]
fn rtmfp_013_keys_of_a_captured_handshake_are_derived() {
    let iikeying = hex(V16_IIKEYING_PAYLOAD);
    let rikeying = hex(V16_RIKEYING_PAYLOAD);
    let ii = crate::chunk::InitiatorKeying::decode(&iikeying).expect("IIKeying");
    let ri = crate::chunk::ResponderKeying::decode(&rikeying).expect("RIKeying");
    check(V16_S, ii.component, ri.component, V16_K_IR, V16_K_RI, (V16_NONCE_I, V16_NONCE_R));
    assert_eq!(sha256(ii.certificate).to_vec(), hex(V16_PEER_ID));
}

/// Vectors V4 and V17.
#[test]
fn rtmfp_014_keys_with_hmac_are_those_of_the_vectors() {
    let skrc = skrc("031a0710021e0782020d0e", V4_Y_R);
    let keys = check(V4_S, &hex(V4_SKIC), &skrc, V4_K_IR, V4_K_RI, (V4_NONCE_I, V4_NONCE_R));
    assert_eq!(keys.send_mac.to_vec(), hex(V4_MAC_IR));
    assert_eq!(keys.receive_mac.to_vec(), hex(V4_MAC_RI));
}

/// Vector V14: nonces of two peers that introduced themselves in a group.
#[test]
fn nonces_of_a_captured_peer_session_are_derived() {
    let keys = Keys::derive(&hex(V14_S), &hex(V14_SKIC), &hex(V14_SKRC));
    assert_eq!(keys.nonces.near.to_vec(), hex(V14_NONCE_A));
    assert_eq!(keys.nonces.far.to_vec(), hex(V14_NONCE_B));
}

fn response(component: &str) -> (Option<Negotiation>, Vec<u8>) {
    let offer = Offer::decode(&hex(component)).expect("component");
    let agreed = Negotiation::agree(&offer, Policy::ON_REQUEST, Policy::ON_REQUEST);
    let mut out = Vec::new();
    if let Some(agreed) = &agreed {
        agreed.encode_response(&mut out);
    }
    (agreed, out)
}

/// What each client asks for is what it gets.
#[test]
fn rtmfp_016_and_017_a_responder_mirrors_what_the_initiator_asks() {
    let none = Negotiation::default();
    let mac = Negotiation { send_mac: Some(16), receive_mac: Some(16), ..none };
    let sequence = Negotiation { send_sequence: true, receive_sequence: true, ..none };
    let both = Negotiation { send_sequence: true, receive_sequence: true, ..mac };
    for (component, agreed, bytes) in [
        (V3_SKIC, none, "031a0000021e00"),
        ("031a020a021e02", none, "031a0000021e00"),
        ("021d0e", none, "031a0000021e00"),
        ("031a0710021e07", both, "031a0710021e07"),
        ("031a0210021e07", sequence, "031a0000021e07"),
        ("031a0710021e02", mac, "031a0710021e00"),
    ] {
        assert_eq!(response(component), (Some(agreed), hex(bytes)), "{component}");
    }
    // Each direction on its own: asks to receive without sending, and the reverse.
    let (agreed, bytes) = response("031a0310021e06");
    assert_eq!(
        agreed,
        Some(Negotiation {
            send_mac: Some(16),
            receive_mac: None,
            send_sequence: false,
            receive_sequence: true
        })
    );
    assert_eq!(bytes, hex("031a0610021e03"));
}

#[test]
fn rtmfp_018_a_tag_length_outside_4_to_32_is_refused_when_it_is_used() {
    for (component, ok) in [
        ("031a0700021e07", false),
        ("031a0703021e07", false),
        ("031a0704021e07", true),
        ("031a0720021e07", true),
        ("031a0721021e07", false),
        ("041a078100021e07", false),
        ("031a0200021e02", true),
    ] {
        assert_eq!(response(component).0.is_some(), ok, "{component}");
    }
}

#[test]
fn a_requirement_that_the_far_end_cannot_meet_refuses_it() {
    let plain = Offer::decode(&hex("031a0000021e00")).expect("component");
    let strict = Policy::STRICT;
    assert_eq!(Negotiation::agree(&plain, strict, Policy::ON_REQUEST), None);
    assert_eq!(Negotiation::agree(&plain, Policy::ON_REQUEST, strict), None);
    let able = Offer::decode(&hex("031a020a021e02")).expect("component");
    let agreed = Negotiation::agree(&able, strict, strict).expect("able on request");
    assert_eq!((agreed.send_mac, agreed.receive_mac), (Some(16), Some(10)));
    assert!(agreed.send_sequence && agreed.receive_sequence);
}

#[test]
fn truncated_components_are_refused() {
    for bytes in ["031a07", "011a", "021a07", "011e"] {
        assert_eq!(Offer::decode(&hex(bytes)), None, "{bytes}");
    }
}

#[test]
fn an_offer_has_the_bytes_of_rtmfp_cpp() {
    let mut out = Vec::new();
    encode_offer(Policy::STRICT, Policy::STRICT, &mut out);
    assert_eq!(out, hex("031a0710021e07"));
    out.clear();
    encode_offer(Policy::ON_REQUEST, Policy::ON_REQUEST, &mut out);
    assert_eq!(out, hex("031a0210021e02"));
}
