//! Sockets of scripts with a host of the test's own: what any peer may do, in any order.

mod common;

use std::net::SocketAddr;

use bytes::Bytes;
use common::*;
use proptest::prelude::*;
use ramona_script::*;

const SERVER: u64 = 1_000;

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn accepted(id: u64) -> SocketEvent {
    let (server, id) = (SocketId(SERVER), SocketId(id));
    SocketEvent::Accepted { server, id, own: at(5), peer: at(6) }
}

fn data(id: u64, bytes: &[u8]) -> SocketEvent {
    SocketEvent::Data { id: SocketId(id), data: Bytes::copy_from_slice(bytes) }
}

fn closed(id: u64) -> SocketEvent {
    SocketEvent::Closed { id: SocketId(id), error: None }
}

/// A server whose first number is [`SERVER`], with this handler for its clients' data.
fn server(on_data: &str) -> Node {
    let node = Node::root(&format!(
        "server = mona:createTCPServer()
        function server:onConnection(client)
            function client:onData(data) {on_data} end
            function client:onDisconnection(peer, problem) NOTE('ended') end
        end
        assert(server:start('127.0.0.1:5'))"
    ));
    assert_eq!(node.errors(), Vec::<String>::new());
    assert_eq!(*node.host.sockets.borrow(), [(SERVER, SocketAsk::Listen)]);
    node
}

/// What a handler makes of lines: it keeps what has no end yet.
const LINES: &str = r"
    local from = 1
    while true do
        local at = data:find('\n', from, true)
        if not at then return #data - from + 1 end
        NOTE('<', data:sub(from, at - 1), '>')
        from = at + 1
    end";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tcc_04_wherever_the_bytes_are_cut_a_protocol_of_lines_sees_the_same_lines(
        lines in proptest::collection::vec("[a-z ]{0,40}", 1..20),
        cuts in proptest::collection::vec(1usize..30, 1..40),
    ) {
        let mut node = server(LINES);
        node.engine.socket_event(accepted(1));
        let text: Vec<u8> = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
        let (mut rest, mut cuts) = (&text[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(rest.len().min(*cuts.next().expect("a cut")));
            node.engine.socket_event(data(1, part));
            rest = behind;
        }
        let seen: Vec<String> = lines.iter().map(|line| format!("<{line}>")).collect();
        prop_assert_eq!(node.notes(), seen);
        node.engine.socket_event(closed(1));
        prop_assert_eq!(node.notes(), ["ended"]);
        prop_assert_eq!(node.errors(), Vec::<String>::new());
    }

    #[test]
    fn events_in_any_order_end_each_connection_once_and_break_nothing(
        events in proptest::collection::vec((0u8..6, 0u64..6, proptest::collection::vec(any::<u8>(), 0..12)), 0..60),
    ) {
        // What a handler may do wrong, by the first byte that it gets.
        let mut node = server(
            "local what = (data:byte(1) or 0) % 10
            if what == 0 then return -5
            elseif what == 1 then return 0/0
            elseif what == 2 then return 1/0
            elseif what == 3 then return 'all'
            elseif what == 4 then error('no')
            elseif what == 5 then self:disconnect()
            elseif what == 6 then return self:connect('127.0.0.1:7')
            elseif what == 7 then self:send(data) return #data
            elseif what == 8 then server:stop() server:start('127.0.0.1:5')
            else return 3 end",
        );
        let mut open = std::collections::HashSet::new();
        for (kind, id, bytes) in events {
            let from = at(9);
            let event = match kind {
                0 => SocketEvent::Accepted { server: SocketId(SERVER), id: SocketId(id), own: at(5), peer: from },
                1 => SocketEvent::Connected { id: SocketId(id), own: at(5), peer: from },
                2 => SocketEvent::Packet { id: SocketId(id), data: bytes.into(), from },
                3 => closed(id),
                _ => data(id, &bytes),
            };
            // A number is given again only when it was closed.
            if kind == 0 && open.contains(&id) {
                continue;
            }
            let asked = node.host.sockets.borrow().len();
            node.engine.socket_event(event);
            let now = node.notes().len();
            let refused = node.host.sockets.borrow()[asked..].contains(&(id, SocketAsk::Close));
            match kind {
                // Taken unless the server was started anew meanwhile.
                0 if !refused => {
                    open.insert(id);
                }
                3 if open.remove(&id) => {
                    prop_assert_eq!(now, 1, "TCC-05 for socket {}", id);
                }
                _ => prop_assert_eq!(now, 0, "nothing ends but by its end"),
            }
        }
        // Errors are those of the handler; the engine has none of its own, and goes on.
        for error in node.errors() {
            prop_assert!(error.ends_with("no") || error.contains(": no"), "{}", error);
        }
        node.connect(1).unwrap();
    }
}

#[test]
fn tcc_04_a_line_without_end_is_cut_off_at_16_mib_with_an_error() {
    let mut node = server("return #data");
    node.engine.socket_event(accepted(1));
    let part = vec![b'x'; 1 << 20];
    for _ in 0..16 {
        node.engine.socket_event(data(1, &part));
    }
    assert_eq!(node.errors(), Vec::<String>::new());
    node.engine.socket_event(data(1, b"x"));
    let errors = node.errors();
    assert_eq!(errors, ["TCPClient:onData keeps 16777217 bytes, 16777216 at most: closed"]);
    assert_eq!(node.host.sockets.borrow().last(), Some(&(1, SocketAsk::Close)));
    // What is on its way still comes, and begins anew.
    node.engine.socket_event(data(1, b"x"));
    assert_eq!(node.errors(), Vec::<String>::new());
    node.engine.socket_event(closed(1));
    assert_eq!(node.notes(), ["ended"]);
}

#[test]
fn tcc_02_and_03_a_client_that_disconnects_may_connect_again_in_the_same_handler() {
    let mut node = Node::root(
        "socket = mona:createTCPClient()
         function socket:onDisconnection(peer, problem) NOTE('ended ', peer, ' ', self.connected) end
         function socket:onData(data) NOTE(data) end
         NOTE(select('#', socket:connect('127.0.0.1', 5)))
         function onManage()
            NOTE(socket.connected)
            if socket.connected then socket:disconnect() end
            NOTE(socket.connected, ' ', tostring(socket.peerAddress), ' ', socket:send('lost'))
            NOTE(select('#', socket:connect('127.0.0.1', 6)), select('#', socket:send('kept')))
            NOTE(socket:connect('127.0.0.1', 7))
         end",
    );
    let (first, second) = (SocketId(1_000), SocketId(1_001));
    let connected = |id| SocketEvent::Connected { id, own: at(1), peer: at(9) };
    node.engine.socket_event(connected(first));
    node.tick();
    let again = "connected or connecting already";
    assert_eq!(node.notes(), ["0", "true", "false nil not connected", "00", again]);
    // The end of the first one is told, and touches nothing of the second.
    node.engine.socket_event(connected(second));
    node.engine.socket_event(data(first.0, b"of the first"));
    node.engine.socket_event(closed(first.0));
    node.engine.socket_event(closed(first.0));
    node.engine.socket_event(data(second.0, b"of the second"));
    node.engine.socket_event(closed(second.0));
    assert_eq!(
        node.notes(),
        ["ended 127.0.0.1:9 true", "of the second", "ended 127.0.0.1:9 false"]
    );
    let asked = node.host.sockets.borrow();
    let kept = SocketAsk::Send(Bytes::from_static(b"kept"));
    assert_eq!(
        asked[..],
        [
            (first.0, SocketAsk::Connect),
            (first.0, SocketAsk::Close),
            (second.0, SocketAsk::Connect),
            (second.0, kept),
        ]
    );
    node.quiet();
}
