//! Redirects, and peers that are introduced to each other (RFC 7016 §3.5.1.4 to §3.5.1.7).

use super::*;

fn peer_epd(peer: &crate::certificate::PeerId) -> String {
    format!("210f{peer}")
}

/// And what the owner is told.
#[test]
fn rtmfp_043_a_foreign_fingerprint_is_asked_of_the_owner_and_not_answered() {
    let mut bare = Bare::new();
    let peer = "33".repeat(32).parse().expect("peer");
    bare.hello(a(), &peer_epd(&peer));
    assert!(bare.sent.is_empty());
    let [EndpointEvent::Introduce { from, peer: asked, epd, tag }] = &bare.events[..] else {
        panic!("{:?}", bare.events);
    };
    assert_eq!((*from, *asked, &tag[..]), (a(), peer, &[7; 16][..]));
    assert_eq!(epd, &hex(&peer_epd(&peer)));
}

#[test]
fn rtmfp_044_introductions_are_limited() {
    let mut bare = Bare::new();
    let peer = "33".repeat(32).parse().expect("peer");
    for _ in 0..100 {
        bare.hello(a(), &peer_epd(&peer));
        bare.advance_ms(10);
    }
    assert_eq!(bare.events.len(), 2, "one in 500 ms");
    assert_eq!(bare.endpoint.stats().introductions_limited, 98);
}

#[test]
fn rtmfp_040_and_046_a_redirect_names_only_addresses_of_known_origin() {
    let mut bare = Bare::new();
    let address = |socket: &str, origin| Address::new(socket.parse().expect("socket"), origin);
    let given = [
        address("198.51.100.7:1936", Origin::Relay),
        address("198.51.100.8:1936", Origin::Unknown),
        address("[2001:db8::7]:1936", Origin::Relay),
    ];
    bare.endpoint.redirect(bare.now, a(), &[7; 16], &given);
    bare.poll();
    let (to, id, kind, payload) = bare.sent.pop().expect("sent");
    assert_eq!((to, id, kind), (a(), SessionId(0), kind::REDIRECT));
    let redirect = Redirect::decode(&payload).expect("redirect");
    assert_eq!(redirect.addresses().collect::<Vec<_>>(), [given[0], given[2]]);
    bare.endpoint.redirect(bare.now, a(), &[7; 16], &given[1..2]);
    bare.poll();
    assert!(bare.sent.is_empty(), "and not the implied one instead");
    bare.endpoint.redirect(bare.now, a(), &[7; 16], &[]);
    bare.poll();
    assert_eq!(bare.sent.len(), 1, "implied");
}

#[test]
fn the_owner_may_be_asked_about_every_hello() {
    let mut asking = config(server_identity(1));
    asking.hello = HelloPolicy::Ask;
    let mut bare = Bare::with(asking);
    bare.hello(a(), "050a6c697665");
    assert!(bare.sent.is_empty());
    let [EndpointEvent::Hello { from, epd, tag }] = &bare.events[..] else {
        panic!("{:?}", bare.events);
    };
    assert_eq!(*from, a());
    assert_eq!(epd.ancillary().map(|a| &a[..]), Some(&b"live"[..]));
    let tag = tag.clone();
    bare.endpoint.respond(bare.now, a(), &tag);
    bare.poll();
    assert_eq!(bare.sent.pop().expect("answered").2, kind::RESPONDER_HELLO);
    // One that knows this server's fingerprint is not sent away.
    let own = peer_epd(&bare.endpoint.identity().peer_id());
    bare.hello(a(), &own);
    assert_eq!(bare.sent.pop().expect("answered").2, kind::RESPONDER_HELLO);
}

#[test]
fn rtmfp_041_an_initiator_follows_a_redirect_to_another_server() {
    let mut net = Net::new(CLEAN, 5);
    let mut asking = config(server_identity(1));
    asking.hello = HelloPolicy::Ask;
    let first = net.add("192.0.2.1:1935", asking);
    let second = net.add("192.0.2.9:1936", config(server_identity(9)));
    let client = net.add("192.0.2.2:5000", config(client_identity(2)));
    let opening = net.open(client, first);
    net.run(Duration::from_millis(50));
    let EndpointEvent::Hello { from, tag, .. } = net.hosts[first].endpoint_events.remove(0) else {
        panic!("no hello");
    };
    let to = Address::new(net.hosts[second].address, Origin::Relay);
    let now = net.now;
    net.hosts[first].endpoint.redirect(now, from, &tag, &[to]);
    net.run(Duration::from_millis(200));
    let (id, opened) = net.hosts[client].opened[0];
    assert_eq!(opened, Some(opening));
    let address = net.hosts[second].address;
    assert_eq!(net.session(client, id).far_address(), address);
    let server = net.hosts[second].endpoint.identity().peer_id();
    assert_eq!(net.session(client, id).peer_id(), server);
}

/// Two clients of a server are introduced, the responder answers the forwarded hello.
#[test]
fn rtmfp_042_two_peers_meet_through_a_server() {
    let mut net = Net::new(CLEAN, 6);
    let server = net.add("192.0.2.1:1935", config(server_identity(1)));
    let alice = net.add("192.0.2.2:5000", config(client_identity(2)));
    let bob = net.add("192.0.2.3:6000", config(client_identity(3)));
    net.open(alice, server);
    net.open(bob, server);
    net.run(Duration::from_secs(20));
    let bob_id = net.hosts[bob].endpoint.identity().peer_id();
    let (alice_address, bob_address) = (net.hosts[alice].address, net.hosts[bob].address);
    let server_address = net.hosts[server].address;
    let (now, epd) = (net.now, crate::certificate::Epd::of_peer(bob_id));
    let opening = net.hosts[alice].endpoint.open(now, epd, &[server_address]).expect("opens");
    net.keep_wire = true;
    net.run(Duration::from_millis(15));
    // What the owner of a server does.
    let event = net.hosts[server].endpoint_events.pop().expect("asked");
    let EndpointEvent::Introduce { from, peer, epd, tag } = event else { panic!("{event:?}") };
    assert_eq!((from, peer), (alice_address, bob_id));
    let host = &mut net.hosts[server];
    let at = host.endpoint.session_of(peer).expect("bob is here");
    let target = host.sessions.get_mut(&at).expect("session");
    let reflexive = Address::new(target.far_address(), Origin::Observed);
    let reply = Address::new(from, Origin::Observed);
    target.forward_hello(net.now, epd, reply, tag.clone());
    host.endpoint.redirect(now, from, &tag, &[reflexive]);
    net.run(Duration::from_millis(500));
    let (id, opened) = *net.hosts[alice].opened.last().expect("opened");
    assert_eq!(opened, Some(opening));
    assert_eq!(net.session(alice, id).far_address(), bob_address);
    assert_eq!(net.session(alice, id).peer_id(), bob_id);
    let (id, _) = *net.hosts[bob].opened.last().expect("opened");
    assert_eq!(net.session(bob, id).far_address(), alice_address);
    let answers =
        net.wire.iter().filter(|(from, to, _)| (*from, *to) == (bob_address, alice_address));
    assert!(answers.count() >= 3, "hello to the forwarded and to the direct question, and keying");
}

#[test]
fn an_initiator_asks_at_most_24_addresses() {
    let mut bare = Bare::with(config(client_identity(2)));
    let epd = crate::certificate::Epd::of_server(b"x", None);
    let first: Vec<SocketAddr> = (0..30).map(|i| SocketAddr::from(([10, 0, 0, i], 1935))).collect();
    bare.endpoint.open(bare.now, epd, &first[..2]).expect("opens");
    bare.poll();
    assert_eq!(bare.sent.len(), 2);
    let tag = InitiatorHello::decode(&bare.sent[0].3).expect("hello").tag.to_vec();
    let addresses: Vec<Address> = first.iter().map(|a| Address::new(*a, Origin::Relay)).collect();
    for chunk in addresses.chunks(10) {
        let mut redirect = Vec::new();
        Redirect::encode(&tag, chunk, &mut redirect);
        bare.send(first[0], &redirect);
    }
    assert_eq!(bare.sent.len(), 24, "each once");
    let mut foreign = Vec::new();
    Redirect::encode(&[9; 16], &addresses[29..], &mut foreign);
    bare.send(first[0], &foreign);
    assert_eq!(bare.sent.len(), 24);
}
