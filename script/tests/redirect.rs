//! EVT-08, EVT-09, RED-*, SMP-09..11: where scripts send RTMFP clients.

mod common;

use common::*;
use ramona_script::*;

fn to(host: &str, port: u16) -> Redirect {
    Redirect::Address { host: host.into(), port }
}

fn ask(node: &mut Node) -> Vec<Redirect> {
    node.engine.handshake("10.0.0.5:4000", "", b"", 1)
}

/// What a root whose handshake returns these values answers, with servers 1 (a target) and 2.
fn returned(values: &str) -> (Node, Vec<Redirect>) {
    let mut node = Node::root(&format!("function onHandshake() return {values} end"));
    node.link(1, true).unwrap();
    node.link(2, false).unwrap();
    let answer = ask(&mut node);
    (node, answer)
}

/// The same, without a line of level WARN or ERROR.
fn cleanly(values: &str) -> Vec<Redirect> {
    let (node, answer) = returned(values);
    node.quiet();
    answer
}

fn one() -> Redirect {
    to("www.host1.com", 1935)
}

fn two() -> Redirect {
    to("www.host2.com", 1935)
}

/// Where the only server's clients go when it has this host and these configuration keys.
fn place(host: &str, configs: &[(&str, &str)]) -> (Node, Vec<Redirect>) {
    let mut node = Node::root("function onHandshake() return mona.servers end");
    let configs = configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let info = ServerInfo { host: host.into(), configs: configs.collect(), ..node.server(9, true) };
    node.engine.server_up(info).unwrap();
    let answer = ask(&mut node);
    (node, answer)
}

#[test]
fn evt_08_the_handler_gets_address_path_typed_properties_and_attempts() {
    let mut node = Node::root(
        "function onHandshake(address, path, properties, attempts, ...)
            NOTE(address, ' ', path, ' ', properties.x + attempts, ' ', properties.on, ' ', properties['a b'], properties.none, select('#', ...))
         end",
    );
    let query = b"x=5&on=TRUE&a+b=%41&none=null";
    for attempts in [1, 2] {
        let answer = node.engine.handshake("10.0.0.5:4000", "/no/../where/", query, attempts);
        assert_eq!(answer, []);
    }
    let line = |sum| format!("10.0.0.5:4000 /where {sum} true A(null)0");
    assert_eq!(node.notes(), [line(6), line(7)]);
    let handlers = node.host.handlers.borrow();
    assert_eq!(handlers.last().unwrap(), &(String::new(), "onHandshake".to_owned()));
    node.quiet();
}

#[test]
fn evt_08_five_declared_parameters_get_the_protocol_first() {
    let mut node = Node::root(
        "function onHandshake(protocol, address, path, properties, attempts)
            NOTE(protocol, ' ', address, ' ', path, ' ', properties.x, ' ', attempts)
         end",
    );
    node.engine.handshake("[::1]:4000", "/a", b"x=1", 3);
    node.file("www/main.lua", "function onHandshake(...) NOTE(select('#', ...), ' ', (...)) end");
    node.tick();
    node.engine.handshake("[::1]:4000", "/a", b"x=1", 4);
    assert_eq!(node.notes(), ["RTMFP [::1]:4000 /a 1 3", "4 [::1]:4000"]);
    node.quiet();
}

#[test]
fn evt_08_the_application_of_the_path_is_loaded_and_the_nearest_one_asked() {
    let handler = |port: u16| format!("function onHandshake() return '1.1.1.1:{port}' end");
    let mut node = Node::cold(&[
        ("", &handler(1)),
        ("/a", &handler(2)),
        ("/a/plain", "NOTE('loaded')"),
        ("/broken", "function onHandshake() return '9.9.9.9:9' end error('no')"),
    ]);
    node.engine.start();
    for (path, port) in [
        ("", 1),
        ("/a", 2),
        ("/a/plain", 2),
        ("/a/missing/b", 2),
        ("/missing", 1),
        ("/broken", 1),
        ("/nul\0", 1),
    ] {
        assert_eq!(
            node.engine.handshake("1.2.3.4:5", path, b"", 1),
            [to("1.1.1.1", port)],
            "{path}"
        );
    }
    assert_eq!(node.notes(), ["loaded"]);
    assert_eq!(node.engine.running_apps(), ["", "/a", "/a/plain"], "nothing is kept of the others");
}

#[test]
fn evt_08_an_error_or_no_handler_is_an_ordinary_connection() {
    let mut node = Node::root("function onHandshake() error('boom') end");
    assert_eq!(ask(&mut node), []);
    let errors = node.errors();
    assert!(errors.len() == 1 && errors[0].contains("main.lua:1: boom"), "{errors:?}");
    node.file("www/main.lua", "onHandshake = 5 onRendezVousUnknown = {}");
    node.tick();
    assert_eq!(ask(&mut node), []);
    assert_eq!(node.engine.rendezvous_unknown([1; 32]), []);
    node.quiet();
}

#[test]
fn evt_08_a_stopped_engine_loads_nothing_again() {
    let mut node = Node::root("NOTE('loaded') function onHandshake() return '1.1.1.1:1' end");
    node.engine.stop();
    assert_eq!(ask(&mut node), []);
    assert_eq!(node.notes(), ["loaded"]);
}

#[test]
fn evt_09_one_parameter_is_the_raw_id_and_two_have_the_protocol_first() {
    let mut node = Node::root("function onRendezVousUnknown(id) NOTE(#id, id:byte()) end");
    assert_eq!(node.engine.rendezvous_unknown([7; 32]), []);
    node.file("www/main.lua", "function onRendezVousUnknown(p, id) NOTE(p, ' ', #id) end");
    node.tick();
    node.engine.rendezvous_unknown([7; 32]);
    node.file("www/main.lua", "function onRendezVousUnknown(...) NOTE(select('#', ...)) end");
    node.tick();
    node.engine.rendezvous_unknown([7; 32]);
    assert_eq!(node.notes(), ["327", "RTMFP 32", "1"]);
    node.quiet();
}

#[test]
fn evt_09_only_the_root_is_asked_and_it_is_not_loaded_for_it() {
    let text = "NOTE('loaded') function onRendezVousUnknown() return '1.1.1.1:1' end";
    let mut node = Node::cold(&[("", text)]);
    assert_eq!(node.engine.rendezvous_unknown([7; 32]), []);
    assert!(node.notes().is_empty());
    node.engine.start();
    assert_eq!(node.engine.rendezvous_unknown([7; 32]), [to("1.1.1.1", 1)]);
    let mut node = Node::new(&[("", ""), ("/a", text)]);
    node.connect_to(1, "/a").unwrap();
    assert_eq!(node.engine.rendezvous_unknown([7; 32]), []);
}

#[test]
fn evt_09_an_error_leaves_the_request_unanswered() {
    let mut node = Node::root("function onRendezVousUnknown() error('boom') end");
    assert_eq!(node.engine.rendezvous_unknown([7; 32]), []);
    assert_eq!(node.errors().len(), 1);
}

#[test]
fn red_01_a_server() {
    assert_eq!(cleanly("mona.servers(2)"), [two()]);
}

#[test]
fn red_01_a_server_that_is_gone_is_no_address() {
    let mut node = Node::root(
        "function onServerConnection(s) kept = s end function onHandshake() return kept end",
    );
    node.link(1, true).unwrap();
    assert_eq!(ask(&mut node), [one()]);
    node.engine.server_down(ServerId(1), None);
    assert_eq!(ask(&mut node), []);
    assert_eq!(node.errors(), ["onHandshake: a server that has ended is no address"]);
}

#[test]
fn red_02_all_servers_or_one_half() {
    assert_eq!(cleanly("mona.servers"), [one(), two()]);
    assert_eq!(cleanly("mona.servers.targets"), [one()]);
    assert_eq!(cleanly("mona.servers.initiators"), [two()]);
    let mut node = Node::root("function onHandshake() return mona.servers end");
    assert_eq!(ask(&mut node), []);
    node.quiet();
}

#[test]
fn red_03_texts_with_a_port() {
    assert_eq!(cleanly("'192.168.0.2:1935'"), [to("192.168.0.2", 1935)]);
    assert_eq!(cleanly("'www.a.com:80'"), [to("www.a.com", 80)]);
    assert_eq!(cleanly("'[2001:db8::1]:80'"), [to("2001:db8::1", 80)]);
}

#[test]
fn red_03_a_host_without_port_takes_the_next_value() {
    assert_eq!(cleanly("'1.1.1.1', 5"), [to("1.1.1.1", 5)]);
    assert_eq!(cleanly("'a.com', '6', '::1', 7"), [to("a.com", 6), to("::1", 7)]);
    assert_eq!(cleanly("{'a.com', 5, {'b.com', '6'}}"), [to("a.com", 5), to("b.com", 6)]);
    assert_eq!(cleanly("{host = 'a.com', port = 5}"), [to("a.com", 5)]);
}

#[test]
fn red_03_a_text_with_a_port_takes_nothing() {
    assert_eq!(cleanly("'1.1.1.1:1', '2.2.2.2:2'"), [to("1.1.1.1", 1), to("2.2.2.2", 2)]);
    let (node, answer) = returned("'1.1.1.1:1', 5");
    assert_eq!(answer, [to("1.1.1.1", 1)]);
    assert_eq!(node.errors(), ["onHandshake: 5 is no address"]);
}

#[test]
fn red_03_a_host_that_finds_no_port_is_an_error() {
    for values in [
        "'a.com'",
        "'a.com', nil, 5",
        "'a.com', 'b.com:1'",
        "'a.com', mona.servers(1)",
        "'a.com', {5}",
        "{'a.com'}, 5",
        "'a.com', 'again'",
    ] {
        let (node, answer) = returned(values);
        assert!(!answer.iter().any(|found| *found == to("a.com", 5)), "{values}");
        assert_eq!(node.errors()[0], "onHandshake: 'a.com' has no port", "{values}");
    }
    for port in ["0", "65536", "1.5", "-1", "0/0", "'70000'"] {
        let (node, answer) = returned(&format!("'a.com', {port}, 'b.com:1'"));
        assert_eq!((answer, node.errors().len()), (vec![to("b.com", 1)], 1), "{port}");
    }
}

#[test]
fn red_04_several_results_are_one_set() {
    assert_eq!(cleanly("mona.servers(2), mona.servers(1)"), [two(), one()]);
    let twice = "mona.servers, 'WWW.host1.com:1935', mona.servers(2), '[::1]:5', '[0:0::1]:5'";
    assert_eq!(cleanly(twice), [one(), two(), to("::1", 5)]);
}

#[test]
fn red_05_tables_of_any_shape() {
    assert_eq!(cleanly("{'1.1.1.1:1', {mona.servers(1)}}"), [to("1.1.1.1", 1), one()]);
    assert_eq!(
        cleanly("{x = {y = {'1.1.1.1:1'}}, mona.servers}"),
        [one(), two(), to("1.1.1.1", 1)]
    );
    assert_eq!(cleanly("{[3] = '3.3.3.3:3', [2.5] = '2.2.2.2:2', [{}] = '4.4.4.4:4'}").len(), 3);
    assert_eq!(cleanly("{}"), []);
}

#[test]
fn red_05_tables_that_hold_themselves_or_lie_are_read_once_and_raw() {
    let mut node = Node::root(
        "local t = {'1.1.1.1:1'} t[2] = t t.t = {t}
         setmetatable(t, {__index = error, __pairs = error, __len = error, __call = error})
         local deep = {'2.2.2.2:2'} for i = 1, 100 do deep = {deep} end
         function onHandshake() return t, deep, t end",
    );
    assert_eq!(ask(&mut node), [to("1.1.1.1", 1)]);
    assert_eq!(node.errors(), ["onHandshake: a table too deep in others is no address"]);
}

#[test]
fn red_06_again_is_this_node_for_a_handshake_only() {
    assert_eq!(cleanly("mona.servers, 'again'"), [one(), two(), Redirect::Again]);
    assert_eq!(cleanly("'MySelf', 'AGAIN'"), [Redirect::Again]);
    let mut node =
        Node::root("function onRendezVousUnknown() return 'again', '1.1.1.1:1', 'myself' end");
    assert_eq!(node.engine.rendezvous_unknown([7; 32]), [to("1.1.1.1", 1)]);
    node.quiet();
}

#[test]
fn red_08_nothing_nil_and_false_are_silent() {
    for values in ["", "nil", "false", "nil, false, nil", "{false}"] {
        assert_eq!(cleanly(values), [], "{values}");
    }
    assert_eq!(cleanly("nil, '1.1.1.1:1'"), [to("1.1.1.1", 1)]);
}

#[test]
fn red_09_anything_else_is_an_error_and_the_others_stand() {
    for wrong in [
        "5",
        "'5'",
        "true",
        "print",
        "''",
        "'rtmfp://a.com:1/'",
        "'a.com:0'",
        "'a.com:x'",
        "mona",
        "mona.groups",
        "mona.configs",
        "this",
        "_G",
        "coroutine.create(print)",
    ] {
        let (node, answer) = returned(&format!("{wrong}, '1.1.1.1:1'"));
        assert_eq!(answer, [to("1.1.1.1", 1)], "{wrong}");
        let errors = node.errors();
        assert!(errors.len() == 1 && errors[0].ends_with(" is no address"), "{wrong}: {errors:?}");
    }
}

#[test]
fn red_09_an_answer_writes_few_lines_and_has_an_end() {
    let mut node = Node::root(
        "many, wrong = {}, {}
         for i = 1, 10000 do many[i], wrong[i] = '1.1.1.1:' .. i, true end
         function onHandshake(address, path) return path == '' and many or wrong end",
    );
    let answer = ask(&mut node);
    assert_eq!((answer.len(), &answer[159]), (160, &to("1.1.1.1", 160)));
    assert_eq!((node.warnings().len(), node.errors().len()), (1, 1));
    assert_eq!(node.engine.handshake("1.1.1.1:1", "/wrong", b"", 1), []);
    assert_eq!(node.errors().len(), 9);
}

#[test]
fn red_10_the_port_of_host_else_of_the_protocol() {
    let port = [("rtmfp.PORT", "1940")];
    for (host, configs, expected) in [
        ("10.0.0.9:1944", &port[..], to("10.0.0.9", 1944)),
        ("10.0.0.9", &port[..], to("10.0.0.9", 1940)),
        ("10.0.0.9", &[], to("10.0.0.9", 1935)),
        ("[2001:db8::1]:1944", &[], to("2001:db8::1", 1944)),
        ("2001:db8::1", &[], to("2001:db8::1", 1935)),
        ("www.b.com", &[("RTMFP.port", "x")], to("www.b.com", 1935)),
        ("www.b.com", &[("RTMFP.port", "70000")], to("www.b.com", 65_535)),
        ("", &port[..], to("192.168.0.9", 1940)),
    ] {
        let (node, answer) = place(host, configs);
        assert_eq!(answer, [expected], "{host}");
        node.quiet();
    }
}

#[test]
fn red_10_and_cfg_21_public_hosts_go_before_host() {
    let all = [("publicHost", "pub.b.com:7"), ("RTMFP.publicHost", "udp.b.com")];
    assert_eq!(place("10.0.0.9:1944", &all).1, [to("udp.b.com", 1935)]);
    assert_eq!(place("10.0.0.9:1944", &all[..1]).1, [to("pub.b.com", 7)]);
    let empty = [("RTMFP.publicHost", ""), ("RTMP.publicHost", "tcp.b.com")];
    assert_eq!(place("10.0.0.9:1944", &empty).1, [to("10.0.0.9", 1944)]);
}

#[test]
fn red_10_a_host_that_is_none_is_an_error_once_per_link() {
    let (mut node, answer) = place("not a host", &[]);
    assert_eq!(answer, []);
    assert_eq!(ask(&mut node), []);
    let expected = "onHandshake: host 'not a host' of server 192.168.0.9 is no address";
    assert_eq!(node.errors(), [expected]);
}

#[test]
fn red_11_loopback_and_wildcard_become_the_address_of_the_link() {
    for host in ["127.0.0.1", "0.0.0.0", "::1", "[::]", "localhost"] {
        assert_eq!(place(host, &[]).1, [to("192.168.0.9", 1935)], "{host}");
    }
    assert_eq!(place("127.0.0.1:1944", &[]).1, [to("192.168.0.9", 1944)]);
}

#[test]
fn red_12_a_server_without_the_protocol_is_a_warning_once_per_link() {
    let (mut node, answer) = place("10.0.0.9:1944", &[("RTMFP.port", "0")]);
    assert_eq!(answer, []);
    assert_eq!(ask(&mut node), []);
    let expected = "onHandshake: RTMFP is off on server 192.168.0.9, it gets no client";
    assert_eq!(node.warnings(), [expected]);
    let off =
        ServerInfo { configs: vec![("RTMFP.port".into(), "0".into())], ..node.server(9, true) };
    node.engine.server_down(ServerId(9), None);
    node.engine.server_up(off).unwrap();
    assert_eq!(ask(&mut node), []);
    assert_eq!(node.warnings(), [expected]);
}

#[test]
fn red_13_no_client_object_is_made() {
    let mut node = Node::root(
        "function onConnection() NOTE('client') end
         function onHandshake() NOTE(#mona.clients) return '1.1.1.1:1' end",
    );
    assert_eq!(ask(&mut node), [to("1.1.1.1", 1)]);
    assert_eq!(node.notes(), ["0"]);
}

#[test]
fn smp_09_handshakes_go_to_each_server_in_turn() {
    let mut node = Node::root(
        "-- moved on by one so that every server gets its share
         index=0
         function onHandshake(address,path,properties,attempts)
            index=index+1
            if index > mona.servers.count then index=1 end -- there are no more servers
            return mona.servers(index) -- the next one
         end",
    );
    assert_eq!(ask(&mut node), [], "with nobody else, the client stays");
    node.link(1, true).unwrap();
    node.link(2, true).unwrap();
    let answers: Vec<_> = (0..4).flat_map(|_| ask(&mut node)).collect();
    let first = answers[0].clone();
    let second = if first == one() { two() } else { one() };
    assert_eq!(answers, [first.clone(), second.clone(), first, second]);
    node.quiet();
}

#[test]
fn smp_10_every_server_is_offered() {
    let mut node = Node::root(
        "function onHandshake(address,path,properties,attempts)\n return mona.servers\nend",
    );
    node.link(1, true).unwrap();
    node.link(2, false).unwrap();
    assert_eq!(ask(&mut node), [one(), two()]);
    node.quiet();
}

#[test]
fn smp_11_an_unknown_peer_may_be_at_every_server() {
    let mut node = Node::root("function onRendezVousUnknown(peerId)\n return mona.servers\nend");
    assert_eq!(node.engine.rendezvous_unknown([3; 32]), []);
    node.link(1, true).unwrap();
    node.link(2, false).unwrap();
    assert_eq!(node.engine.rendezvous_unknown([3; 32]), [one(), two()]);
    node.quiet();
}

#[test]
fn def_26_typed_properties_compare_with_attempts() {
    let mut node = Node::root(
        "function onHandshake(address, path, properties, attempts)
            if attempts > properties.acceptableAttempts then return '1.1.1.1:1' end
         end",
    );
    let mut ask =
        |query: &[u8], attempts| node.engine.handshake("10.0.0.5:4000", "", query, attempts);
    assert_eq!(ask(b"acceptableAttempts=2", 2), []);
    assert_eq!(ask(b"acceptableAttempts=2", 3).len(), 1);
    // Without the property the comparison fails: the client is not redirected.
    assert_eq!(ask(b"", 3), []);
    let errors = node.errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("main.lua:2:"), "{errors:?}");
}
