//! Opening sessions: repetition, loss, cookies, glare, early packets.

use super::*;

/// Any one startup packet lost.
#[test]
fn rtmfp_038_a_session_opens_although_any_one_packet_is_lost() {
    for nth in 0..4 {
        let mut net = Net::new(CLEAN, 1);
        net.drop_nth = Some(nth);
        let server = net.add("192.0.2.1:1935", config(server_identity(1)));
        let client = net.add("192.0.2.2:5000", config(client_identity(2)));
        net.open(client, server);
        net.run(Duration::from_secs(5));
        assert_eq!(net.hosts[client].opened.len(), 1, "packet {nth} lost");
        assert_eq!(net.hosts[server].opened.len(), 1, "packet {nth} lost");
    }
}

/// Section 3.4: the schedule of a hello that nobody answers.
#[test]
fn hellos_are_repeated_ever_more_slowly_for_95_s() {
    let mut bare = Bare::with(config(client_identity(2)));
    let start = bare.now;
    let epd = crate::certificate::Epd::of_server(b"x", None);
    let opening = bare.endpoint.open(bare.now, epd, &[a(), a()]).expect("opens");
    bare.poll();
    let mut at = Vec::new();
    let mut count = 0;
    while bare.events.is_empty() {
        if bare.sent.len() > count {
            assert_eq!(bare.sent.len(), count + 1, "one address, given twice");
            at.push((bare.now - start).as_millis());
            count = bare.sent.len();
        }
        bare.advance_ms(100);
    }
    assert_eq!(at[..5], [0, 1000, 3500, 7500, 13_000]);
    assert_eq!((bare.now - start).as_secs(), 95);
    assert!(matches!(bare.events[..], [EndpointEvent::OpenFailed { opening: o }] if o == opening));
    assert!(matches!(bare.endpoint.poll_output(), EndpointOutput::Timeout(None)));
}

#[test]
fn what_cannot_be_opened_is_told() {
    let epd = || crate::certificate::Epd::of_server(b"x", None);
    let mut server = Bare::new();
    let refused = server.endpoint.open(server.now, epd(), &[a()]);
    assert_eq!(refused, Err(OpenError::NoStaticKey));
    let mut client = Bare::with(config(client_identity(2)));
    assert_eq!(client.endpoint.open(client.now, epd(), &[]), Err(OpenError::NoAddress));
    for _ in 0..1024 {
        client.endpoint.open(client.now, epd(), &[a()]).expect("opens");
    }
    assert_eq!(client.endpoint.open(client.now, epd(), &[a()]), Err(OpenError::TooMany));
    client.endpoint.cancel(OpenId(1));
    assert!(client.endpoint.open(client.now, epd(), &[a()]).is_ok());
}

/// Both ends: asked through one address, keyed from another.
#[test]
fn rtmfp_033_a_cookie_change_is_followed_once() {
    let mut net = Net::new(CLEAN, 3);
    let server = net.add("192.0.2.1:1935", config(server_identity(1)));
    let client = net.add("192.0.2.2:5000", config(client_identity(2)));
    let (inner, outer) = (net.hosts[client].address, "203.0.113.5:7777".parse().expect("outer"));
    net.open(client, server);
    net.run(Duration::from_millis(5));
    // The hello has left; what follows goes through a translator.
    net.nat.push((inner, outer));
    net.run(Duration::from_secs(20));
    assert_eq!(net.hosts[server].endpoint.stats().cookie_changes, 1);
    let (id, _) = net.hosts[server].opened[0];
    assert_eq!(net.session(server, id).far_address(), outer);
    assert_eq!(net.hosts[client].opened.len(), 1);
}

/// Over the network: the translator changes its port in the middle of a session.
#[test]
fn rtmfp_053_a_session_survives_a_change_of_address() {
    let (mut net, server_id, _) = Net::connected(CLEAN, 7);
    let (server, client) = (0, 1);
    let (inner, outer) = (net.hosts[client].address, "203.0.113.5:7777".parse().expect("outer"));
    net.nat.push((inner, outer));
    net.run(Duration::from_secs(60));
    assert_eq!(net.session(server, server_id).far_address(), outer);
    let told = Event::AddressChanged { from: inner, to: outer };
    assert!(net.hosts[server].events.contains(&(server_id, told)));
    assert!(net.session(server, server_id).is_open());
}

/// Section 3.8: session packets that overtake the agreement.
#[test]
fn early_packets_are_kept_until_the_keys_are_known() {
    let mut net = Net::new(CLEAN, 9);
    let server = net.add("192.0.2.1:1935", config(server_identity(1)));
    let client = net.add("192.0.2.2:5000", config(client_identity(2)));
    net.hosts[client].hold_jobs = true;
    net.open(client, server);
    net.run(Duration::from_millis(200));
    let (id, _) = net.hosts[server].opened[0];
    let now = net.now;
    let session = net.session(server, id);
    for i in 0..30 {
        let flow = session.open_flow(crate::flow::FlowOptions::default()).expect("opens");
        let payload = Bytes::from(vec![i; 1000]);
        let message = crate::flow::Message::reliable(b"", payload);
        session.write(now, flow, &message).expect("writes");
    }
    net.run(Duration::from_millis(200));
    let job = net.hosts[client].jobs.pop().expect("a job");
    let now = net.now;
    net.hosts[client].endpoint.handle_agreement(now, job.run());
    net.poll();
    let (id, _) = net.hosts[client].opened[0];
    assert!(net.session(client, id).stats().packets_received >= 3);
}

/// Section 3.6: the lower certificate stays initiator.
#[test]
fn two_ends_that_open_each_other_get_one_session() {
    let mut net = Net::new(CLEAN, 2);
    let one = net.add("192.0.2.2:5000", config(client_identity(2)));
    let two = net.add("192.0.2.3:6000", config(client_identity(3)));
    for (from, to) in [(one, two), (two, one)] {
        let peer = net.hosts[to].endpoint.identity().peer_id();
        let (now, address) = (net.now, net.hosts[to].address);
        let epd = crate::certificate::Epd::of_peer(peer);
        net.hosts[from].endpoint.open(now, epd, &[address]).expect("opens");
    }
    net.run(Duration::from_secs(20));
    let certificate =
        |net: &Net, host: usize| net.hosts[host].endpoint.identity().certificate_bytes().clone();
    let lower = if certificate(&net, one) < certificate(&net, two) { one } else { two };
    let higher = one + two - lower;
    assert_eq!((net.hosts[one].opened.len(), net.hosts[two].opened.len()), (1, 1));
    assert!(net.hosts[lower].opened[0].1.is_some(), "initiator");
    assert!(net.hosts[higher].opened[0].1.is_none(), "responder");
    assert!(matches!(net.hosts[higher].endpoint_events[..], [EndpointEvent::OpenFailed { .. }]));
}

/// A server that requires what the client cannot do stays silent, and the client goes on asking.
#[test]
fn an_answer_that_cannot_be_combined_is_ignored() {
    let mut net = Net::new(CLEAN, 2);
    let server = net.add("192.0.2.1:1935", config(server_identity(1)));
    let client = net.add("192.0.2.2:5000", config(client_identity(2)));
    let opening = net.open(client, server);
    net.hosts[server].hold_jobs = true;
    net.run(Duration::from_secs(96));
    assert!(net.hosts[client].opened.is_empty());
    assert!(matches!(
        net.hosts[client].endpoint_events[..],
        [EndpointEvent::OpenFailed { opening: o }] if o == opening
    ));
}

#[test]
fn a_session_is_closed_at_both_ends() {
    let (mut net, server_id, client_id) = Net::connected(CLEAN, 7);
    let now = net.now;
    net.session(1, client_id).close(now);
    net.run(Duration::from_secs(30));
    assert!(net.hosts[0].sessions.is_empty() && net.hosts[1].sessions.is_empty());
    assert_eq!(net.hosts[0].endpoint.session_count(), 0);
    let reason = crate::session::CloseReason::Remote;
    assert!(net.hosts[0].events.contains(&(server_id, Event::Closed(reason))));
}
