//! EVT-10..12, SVS-*, SRV-*, ITR-01, ITR-07, ITR-08 and the script side of CLU-*.

mod common;

use common::*;
use ramona_amf::Value;
use ramona_script::*;

const UP_AND_DOWN: &str = "
    function onServerConnection(s) NOTE('up ', s.address, ' ', mona.servers.count) end
    function onServerDisconnection(s, e) NOTE('down ', s.address, ' ', mona.servers.count, ' ', tostring(e), ' ', tostring(s.isTarget)) end";

#[test]
fn evt_10_the_root_comes_first_then_applications_with_their_own_handler() {
    let mut node = Node::new(&[
        ("", "function onServerConnection(s) NOTE('root') end"),
        ("/a", "function onServerConnection(s) NOTE('a') end"),
        ("/b", ""),
        ("/c", "function onServerConnection(s) NOTE('c') end"),
    ]);
    for (number, path) in [(1, "/c"), (2, "/b"), (3, "/a")] {
        node.connect_to(number, path).unwrap();
    }
    node.link(1, true).unwrap();
    assert_eq!(node.notes(), ["root", "a", "c"]);
}

#[test]
fn evt_10_an_error_refuses_and_later_applications_are_not_called() {
    let mut node = Node::new(&[
        ("", "function onManage() NOTE(#mona.servers, tostring(kept and kept.address)) end"),
        ("/a", "function onServerConnection(s) super.kept = s error('not you') end"),
        ("/b", "function onServerConnection(s) NOTE('b') end"),
    ]);
    node.connect_to(1, "/a").unwrap();
    node.connect_to(2, "/b").unwrap();
    assert_eq!(node.link(1, true), Err("not you".into()));
    node.engine.tick();
    assert_eq!(node.notes(), ["0nil"]);
    // EVT-12 is not called for it.
    node.engine.server_down(ServerId(1), None);
    assert!(node.notes().is_empty());
}

#[test]
fn evt_11_a_loaded_application_meets_the_servers_that_are_there() {
    let mut node = Node::new(&[
        ("", UP_AND_DOWN),
        ("/a", "function onServerConnection(s) NOTE('a ', s.address) end"),
        ("/b", "x = 1"),
    ]);
    node.link(1, true).unwrap();
    node.link(2, true).unwrap();
    node.notes();
    node.connect_to(1, "/a").unwrap();
    node.connect_to(2, "/b").unwrap();
    assert_eq!(node.notes(), ["a 192.168.0.1", "a 192.168.0.2"]);
}

#[test]
fn evt_11_an_error_in_a_replay_refuses_the_server() {
    let mut node = Node::new(&[
        ("", UP_AND_DOWN),
        ("/a", "function onServerConnection(s) if s.isTarget then error('no targets') end end"),
    ]);
    node.link(1, true).unwrap();
    node.link(2, false).unwrap();
    node.notes();
    node.asked();
    node.connect_to(1, "/a").unwrap();
    assert_eq!(node.asked()[1], Asked::Reject { server: 1, text: "no targets".into() });
    // It had been accepted before, so its end is told.
    node.engine.server_down(ServerId(1), None);
    assert_eq!(node.notes(), ["down 192.168.0.1 1 nil true"]);
}

#[test]
fn evt_12_the_server_is_readable_and_absent_from_the_list() {
    let mut node = Node::root(UP_AND_DOWN);
    node.link(1, true).unwrap();
    node.link(2, false).unwrap();
    node.engine.server_down(ServerId(1), Some(b"Server is stopping"));
    node.engine.server_down(ServerId(2), None);
    node.engine.server_down(ServerId(2), None);
    assert_eq!(
        node.notes(),
        [
            "up 192.168.0.1 1",
            "up 192.168.0.2 2",
            "down 192.168.0.1 1 Server is stopping true",
            "down 192.168.0.2 0 nil false"
        ]
    );
}

#[test]
fn itr_01_and_svs_02_servers_by_number_address_and_host() {
    let mut node = Node::root(
        "function onManage()
            local s = mona.servers
            for i, v in s:ipairs() do NOTE(i, v.address, s(i) == v, s[i] == v, s(v.address) == v, s[v.address] == v) end
            for k, v in pairs(s) do NOTE(k, s(k) == v) end
            NOTE(#s, s.count, tostring(s(9)), tostring(s('x')), tostring(s()), s('www.host2.com') == s(2), s['192.168.0.2:1936'] == s(2))
            NOTE(s('2') == s(2), s['1'] == s(1), tostring(s('0')), tostring(s('1.5')), ' ', s(1).publicAddress)
         end",
    );
    node.link(1, true).unwrap();
    node.link(2, false).unwrap();
    node.engine.tick();
    node.quiet();
    assert_eq!(
        node.notes(),
        [
            "1192.168.0.1truetruetruetrue",
            "2192.168.0.2truetruetruetrue",
            "192.168.0.1true",
            "192.168.0.2true",
            "22nilnilniltruetrue",
            "truetruenilnil www.host1.com"
        ]
    );
}

#[test]
fn itr_01_two_links_of_one_ip_are_told_apart_by_port() {
    let mut node =
        Node::root("function onManage() for k in pairs(mona.servers) do NOTE(k) end end");
    for (number, port, ip) in
        [(1, 1936, "10.0.0.1"), (2, 1937, "10.0.0.1"), (3, 5, "::1"), (4, 6, "::1")]
    {
        let info = ServerInfo { ip: ip.into(), port, ..node.server(number, true) };
        node.engine.server_up(info).unwrap();
    }
    node.engine.tick();
    assert_eq!(node.notes(), ["10.0.0.1:1936", "10.0.0.1:1937", "[::1]:5", "[::1]:6"]);
}

#[test]
fn itr_07_and_svs_05_targets_and_initiators() {
    let mut node = Node::root(
        "function onManage()
            NOTE(#mona.servers.targets, #mona.servers.initiators, mona.servers.targets(1).address, mona.servers.initiators(1).address)
            mona.servers.targets:broadcast('t', 1) mona.servers.initiators:broadcast('i')
            NOTE(mona.servers.targets:call(1) == mona.servers(1))
         end",
    );
    node.link(1, true).unwrap();
    node.link(2, false).unwrap();
    node.engine.tick();
    assert_eq!(node.notes(), ["11192.168.0.1192.168.0.2", "true"]);
    assert_eq!(node.sent(), [(1, "t".into(), vec![number(1.0)]), (2, "i".into(), vec![])]);
}

#[test]
fn itr_08_configurations_are_flat_and_nested() {
    let mut node = Node::with_entries(
        &[("", "
            NOTE(mona.configs['servers.port'] == mona.configs.servers.port, mona.configs.servers.port, mona.configs['host'])
            NOTE(mona.configs.threads == 4, tostring(mona.configs.none), mona.host == mona.configs.host, mona.arguments.extra)
            NOTE(type(mona.environment.PATH), tostring(mona.configs.off))
            for k, v in pairs(mona.configs.servers) do NOTE(k, v) end
            for k in ipairs(mona.configs) do NOTE('none') end
            mona.configs.x = 1 mona.configs('host') NOTE(#mona.configs)
            function onServerConnection(s) NOTE(s['RTMFP.port'], s.RTMFP.port, s.configs.RTMFP.port, s.configs['type']) end")],
        &[("host", "www.myhost.com:1935"), ("servers.port", "1936"), ("servers.x", "y"), ("threads", "4"), ("off", "false")],
    );
    node.engine.start();
    node.link(1, true).unwrap();
    assert_eq!(
        node.notes(),
        [
            "true1936www.myhost.com:1935",
            "trueniltrue5",
            "stringfalse",
            "port1936",
            "xy",
            "5",
            "193519351935plain"
        ]
    );
    assert_eq!(node.errors().len(), 2);
}

#[test]
fn svs_03_and_clu_25_broadcast_goes_to_every_server_in_order() {
    let mut node = Node::root(
        "function onManage()
            mona.servers:broadcast('f', 1, { x = 2 })
            mona.servers:broadcast('') mona.servers:broadcast('.') mona.servers:broadcast() mona.servers:broadcast({})
            mona.servers:broadcast(5)
         end",
    );
    node.engine.tick();
    node.asked();
    node.errors();
    for number in 1..=3 {
        node.link(number, number > 1).unwrap();
    }
    node.engine.tick();
    let sent = node.sent();
    assert_eq!(sent.iter().map(|sent| sent.0).collect::<Vec<_>>(), [1, 2, 3, 1, 2, 3]);
    assert!(sent[..3].iter().all(|call| call.1 == "f" && call.2 == sent[0].2));
    assert!(sent[3..].iter().all(|call| call.1 == "5"));
    assert_eq!(node.errors().len(), 4, "one for each invalid name");
}

#[test]
fn svs_06_servers_are_read_only() {
    let mut node = Node::root(
        "function onManage() mona.servers.x = 1 mona.servers.count = 5 NOTE(tostring(mona.servers.x)) end",
    );
    node.engine.tick();
    assert_eq!(node.notes(), ["nil"]);
    assert_eq!(node.errors(), ["servers is read-only, assignment ignored"]);
    assert_eq!(node.warnings().len(), 1);
}

#[test]
fn srv_01_to_04_and_09_what_a_server_is() {
    let mut node = Node::root(
        "function onServerConnection(s)
            NOTE(s.isTarget, ' ', s.address, ' ', s.host, ' ', s.port, ' ', tostring(s.type), ' ', tostring(s.weight), ' ', tostring(s.none))
         end",
    );
    let properties = vec![("type".to_owned(), "master".to_owned()), ("weight".into(), "2".into())];
    let info = ServerInfo { properties, ..node.server(1, true) };
    node.engine.server_up(info).unwrap();
    let info = ServerInfo { host: String::new(), configs: Vec::new(), ..node.server(2, false) };
    node.engine.server_up(info).unwrap();
    assert_eq!(
        node.notes(),
        [
            "true 192.168.0.1 www.host1.com 1936 master 2 nil",
            "false 192.168.0.2 192.168.0.2 1936 nil nil nil"
        ]
    );
}

#[test]
fn srv_05_and_clu_20_names_of_calls() {
    let mut node = Node::root(
        "function onServerConnection(s)
            s:send('f', 1, nil, 'x') s:send('') s:send('.') s:send() s:send(nil, 1) s:send(7)
            s:send(('n'):rep(300), 1)
         end",
    );
    node.link(1, true).unwrap();
    let sent = node.sent();
    assert_eq!(sent[0], (1, "f".into(), vec![number(1.0), Value::Null, text("x")]));
    assert_eq!(sent[1].1, "7");
    assert_eq!(sent[2].1, "n".repeat(255));
    assert_eq!(sent.len(), 3);
    assert_eq!(node.errors().len(), 4);
    assert_eq!(node.warnings().len(), 1);
}

#[test]
fn srv_06_and_clu_22_only_functions_of_the_server_object_are_called() {
    let mut node = Node::root(
        "function onServerConnection(s)
            function s:hello(x) NOTE(self == s, x, select('#', self, x)) return 1, 2, 3 end
            function s:raises() error('rpc') end
            s.value = 5
         end
         function notme() NOTE('global') end",
    );
    node.link(1, true).unwrap();
    node.server_call(1, "hello", &[text("x")]);
    for name in ["reject", "send", "address", "value", "notme", "none", ""] {
        node.server_call(1, name, &[number(1.0)]);
    }
    node.server_call(9, "hello", &[]);
    assert_eq!(node.notes(), ["truex2"]);
    assert_eq!(node.asked(), [Asked::Announce(String::new())]);
    node.quiet();
    node.server_call(1, "raises", &[]);
    assert_eq!(node.errors(), ["server:raises: www/main.lua:3: rpc"]);
    assert!(node.host.handlers.borrow().contains(&(String::new(), "hello".into())));
}

#[test]
fn srv_06_a_function_of_one_server_object_is_not_callable_by_another_server() {
    let mut node = Node::root(
        "function onServerConnection(s)
            if s.isTarget then function s:secret(x) NOTE('secret of ', self.address, ' ', x) end end
         end",
    );
    node.link(1, true).unwrap();
    node.link(2, false).unwrap();
    node.server_call(2, "secret", &[text("no")]);
    assert!(node.notes().is_empty());
    node.server_call(1, "secret", &[text("yes")]);
    assert_eq!(node.notes(), ["secret of 192.168.0.1 yes"]);
    node.quiet();
}

#[test]
fn srv_07_a_new_link_starts_with_an_empty_object() {
    let mut node = Node::root(
        "function onServerConnection(s) NOTE(tostring(s.groups), s == last) s.groups = {} last = s end",
    );
    node.link(1, true).unwrap();
    node.engine.server_down(ServerId(1), None);
    node.link(2, true).unwrap();
    assert_eq!(node.notes(), ["nilfalse", "nilfalse"]);
}

#[test]
fn srv_10_reject_asks_the_host() {
    let mut node =
        Node::root("function onServerConnection(s) s:reject('go') s:reject() s:reject({}) end");
    node.link(1, false).unwrap();
    let reject = |text: &str| Asked::Reject { server: 1, text: text.into() };
    assert_eq!(node.asked()[1..], [reject("go"), reject("unknown error"), reject("unknown error")]);
}

#[test]
fn clu_10_a_refusal_leaves_nothing() {
    let mut node = Node::root(
        "function onServerConnection(s) function s:f() NOTE('called') end error(s.address, ' is refused') end",
    );
    assert_eq!(node.link(1, false), Err("192.168.0.1 is refused".into()));
    node.server_call(1, "f", &[]);
    assert!(node.notes().is_empty());
}

#[test]
fn clu_13_what_is_announced_too_soon_to_look_again_is_looked_at_later() {
    let mut node = Node::new(&[("/a", "NOTE('a1')"), ("/b", "NOTE('b1')")]);
    for path in ["/a", "/b"] {
        node.engine.sync_app(path.as_bytes());
        node.file(&format!("www{path}/main.lua"), "NOTE('changed ', path)");
    }
    assert_eq!(node.notes(), ["a1", "b1"]);
    node.engine.sync_app(b"/a");
    node.engine.tick();
    assert!(node.notes().is_empty(), "not within two seconds");
    node.later();
    node.engine.tick();
    assert_eq!(node.notes(), ["changed /a"], "and nothing that was not announced");
    node.file("www/a/main.lua", "NOTE('changed again')");
    node.later();
    node.engine.tick();
    assert!(node.notes().is_empty(), "once for each announcement");
}

#[test]
fn clu_12_and_13_applications_follow_sync_messages() {
    let mut node = Node::new(&[("/a", "NOTE('a1')")]);
    node.engine.sync_app(b"/a");
    assert_eq!(node.notes(), ["a1"]);
    assert!(node.asked().contains(&Asked::Announce("/a".into())));
    node.later();
    node.engine.sync_app(b"/a");
    assert!(node.asked().is_empty(), "opening something unchanged announces nothing");
    for path in [&b"/nope"[..], b"\xff", b"../..", b"", b"/a\0", b"/nope/../a"] {
        node.engine.sync_app(path);
    }
    node.quiet();
    assert_eq!(node.engine.running_apps(), ["", "/a"]);
}

#[test]
fn clu_26_a_full_queue_is_logged_once_until_a_message_passes() {
    let mut node =
        Node::root("function onServerConnection(s) for i = 1, 100 do s:send('f', i) end end");
    node.host.outcome.set(SendOutcome::Full);
    node.link(1, true).unwrap();
    assert_eq!(node.errors().len(), 1);
    node.host.outcome.set(SendOutcome::Queued);
    node.link(2, true).unwrap();
    node.quiet();
    node.host.outcome.set(SendOutcome::Gone);
    node.link(3, true).unwrap();
    assert_eq!(node.errors().len(), 100);
}

#[test]
fn clu_21_plain_values_are_the_same_bytes_alone_and_beside_a_table() {
    let mut node = Node::root(
        r#"function onServerConnection(s)
            local function both(...)
                s:send("f", ...)
                local values, count = {...}, select('#', ...)
                values[count + 1] = {}
                s:send("f", unpack(values, 1, count + 1))
            end
            both()
            both(nil, true, false, nil)
            both(0, 1, -1, 2^28 - 1, 2^28, -2^28, -2^28 - 1, 0.5, 1e300, 1/0, -1/0, 0/0)
            both("", "text", "text", ("x"):rep(70000), "a\0b\255")
            coroutine.wrap(both)(7, "in a coroutine")
        end"#,
    );
    node.link(1, true).unwrap();
    let calls = node.asked().into_iter().filter_map(|asked| match asked {
        Asked::Send { handler, args, .. } => Some((handler, args)),
        _ => None,
    });
    let calls: Vec<_> = calls.collect();
    // An array without elements and members behind them.
    let table = [0x09, 0x01, 0x01];
    assert_eq!(calls.len(), 10);
    for pair in calls.chunks(2) {
        assert_eq!(pair[0].0, "f");
        assert_eq!([&pair[0].1[..], &table].concat(), pair[1].1);
    }
    node.quiet();
}

#[test]
fn clu_21_what_is_no_plain_value_is_said_as_before() {
    let mut node = Node::root(
        "function onServerConnection(s)
            s:send('f', 1, print, 2)
            s:send('f', 1, coroutine.create(print))
            s:send('f', s)
        end",
    );
    node.link(1, true).unwrap();
    let sent: Vec<_> = node.sent().into_iter().map(|(_, _, values)| values).collect();
    let null = Value::Null;
    assert_eq!(sent[0], [number(1.0), null.clone(), number(2.0)]);
    assert_eq!(sent[1], [number(1.0), null.clone()]);
    assert_eq!(sent[2], [null]);
    assert_eq!(node.warnings().len(), 3);
}

#[test]
fn evt_06_typed_objects_get_their_hook_in_the_receivers_application() {
    let typed = "function onTypedObject(type, object) object.seen = path..':'..type end";
    let mut node = Node::new(&[
        ("", typed),
        ("/a", "function onTypedObject(type, object) function object:meow() return 'a '..self.name end object.seen = 'a' end
                function onServerConnection(s) function s:fa(o) NOTE(o.seen, ' ', o:meow(), ' ', o.__type) end end"),
    ]);
    node.file(
        "www/main.lua",
        &format!("{typed} function onServerConnection(s) function s:fr(o) NOTE(o.seen) end end"),
    );
    node.tick();
    node.connect_to(1, "/a").unwrap();
    node.link(1, true).unwrap();
    let cat = Value::Object(ramona_amf::Object {
        type_name: Some("Cat".into()),
        members: vec![("name".into(), text("Tom"))],
    });
    node.server_call(1, "fa", std::slice::from_ref(&cat));
    node.server_call(1, "fr", &[cat]);
    assert_eq!(node.notes(), ["a a Tom Cat", ":Cat"]);
    node.quiet();
}
