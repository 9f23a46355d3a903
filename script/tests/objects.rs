//! GEN-*, CLI-*, WRI-*, EVT-03, EVT-04, EVT-15: clients and what holds for every object.

mod common;

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use common::*;
use ramona_amf::Value;
use ramona_script::*;

const TRUE: Value = Value::Bool(true);

#[test]
fn gen_01_one_state_serves_all_applications() {
    let mut node = Node::new(&[
        (
            "",
            "_G.count = 0 function onConnection(c) function c:add() _G.count = _G.count + 1 return _G.count end end",
        ),
        ("/a", ""),
    ]);
    node.connect(1).unwrap();
    node.connect_to(2, "/a").unwrap();
    for _ in 0..5_000 {
        node.call(1, "add", &[]);
        node.call(2, "add", &[]);
    }
    assert_eq!(node.answer(1, "add", &[]), [number(10_001.0)]);
}

#[test]
fn gen_02_the_dialect_is_luajit_with_the_set_of_5_2() {
    let node = Node::root(
        "NOTE(table.pack(1, nil, 3).n) NOTE(#setmetatable({}, { __len = function() return 3 end }))
         for k in pairs(setmetatable({}, { __pairs = function() return next, { p = 1 } end })) do NOTE(k) end
         NOTE(load('return x', 'c', 't', { x = 5 })())
         NOTE(type(io.open), type(os.time), type(debug.getinfo), type(package.path), type(bit.bor), type(require('ffi').new))",
    );
    let expected = ["3", "3", "p", "5", "functionfunctionfunctionstringfunctionfunction"];
    assert_eq!(node.notes(), expected);
}

#[test]
fn gen_03_strings_keep_every_byte() {
    let mut node = Node::root(
        "all = '' for i = 0, 255 do all = all..string.char(i) end
         function onServerConnection(s) s:send('f', all) function s:back(x) NOTE(x == all, #x) end end",
    );
    node.link(1, true).unwrap();
    let bytes: Vec<u8> = (0..=255).collect();
    let value = Value::String(bytes.into());
    assert_eq!(node.sent(), [(1, "f".into(), vec![value.clone()])]);
    node.server_call(1, "back", &[value]);
    assert_eq!(node.notes(), ["true256"]);
}

#[test]
fn gen_04_an_object_is_one_value_for_its_life() {
    let mut node = Node::root(
        "seen = {}
         function onConnection(c) seen[c] = 'kept'
            function c:same() return mona.clients(c.id) == c, self == c, mona.clients[c.rawId] == c end end
         function onDisconnection(c) NOTE(seen[c]) end",
    );
    node.connect(1).unwrap();
    assert_eq!(node.answer(1, "same", &[]), [TRUE, TRUE, TRUE]);
    node.engine.disconnect(ClientId(1));
    assert_eq!(node.notes(), ["kept"]);
}

#[test]
fn gen_05_user_fields_are_shared() {
    let mut node = Node::new(&[
        (
            "",
            "function onServerConnection(s) server = s end function onManage() NOTE(server.tag, server.f()) end",
        ),
        ("/x", "function onServerConnection(s) s.tag = 1 s.f = function() return 2 end end"),
    ]);
    node.connect_to(1, "/x").unwrap();
    node.link(1, true).unwrap();
    node.engine.tick();
    assert_eq!(node.notes(), ["12"]);
}

#[test]
fn gen_05_every_object_keeps_what_scripts_set_on_it_as_long_as_it_lives() {
    let read = "for name, o in pairs(all) do
            assert(o.tag == name and o.f() == name, name)
            o.tag = nil assert(o.tag == nil and o.f() == name, name)
            o.tag = name
         end";
    let mut node = Node::cold(&[
        (
            "",
            "all = {}
             local function keep(name, o) all[name] = o o.tag = name o.f = function() return name end end
             function onConnection(c) keep('client', c) keep('writer', c.writer) end
             function onPublish(c, p) keep('publication', p) end
             function onSubscribe(c, l) keep('listener', l) end
             function onJoinGroup(c, g) keep('group', g) end
             function onServerConnection(s) keep('server', s) end
             keep('member', mona:join(('g'):rep(32), ('p'):rep(32)))
             keep('own', mona:publish('own'))
             keep('tcp', mona:createTCPClient()) keep('tcps', mona:createTCPServer()) keep('udp', mona:createUDPSocket())
             function onManage()
                collectgarbage() collectgarbage()
                local c = all.client
                assert(mona.clients(c.id).tag == 'client' and c.writer.tag == 'writer')
                assert(mona.publications('x').listeners[c].tag == 'listener' and mona.publications.x.tag == 'publication')
                assert(mona.groups(('\\7'):rep(32)).tag == 'group' and mona.servers(1).tag == 'server')
                read() children.a.read()
             end",
        ),
        ("/a", ""),
    ]);
    node.file("www/a/main.lua", &format!("function read() {read} NOTE('read by ', path) end"));
    let root = std::fs::read_to_string(node.dir.path().join("www/main.lua")).unwrap();
    node.file(
        "www/main.lua",
        &format!("{root} children('a') function read() {read} NOTE('read by root') end"),
    );
    node.engine.start();
    node.connect(1).unwrap();
    node.publish(1, 5, "x").unwrap();
    node.subscribe(1, 6, "x").unwrap();
    node.engine.join_group(ClientId(1), [7; 32]);
    node.link(1, true).unwrap();
    node.tick();
    assert_eq!(node.notes(), ["read by root", "read by /a"]);
    node.quiet();
}

#[test]
fn gen_06_built_in_names_are_read_only_and_come_first() {
    let mut node = Node::root(
        "function onServerConnection(s)
            s.address = 'x' s.send = 1 NOTE(s.address, ' ', type(s.send))
            NOTE(s.type) s.type = 'user' NOTE(s.type)
         end",
    );
    node.link(1, true).unwrap();
    assert_eq!(node.notes(), ["192.168.0.1 function", "plain", "user"]);
    let warnings = node.warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert_eq!(warnings[0], "server.address is read-only, assignment ignored");
}

#[test]
fn gen_07_a_dead_object_gives_nil_and_keeps_user_fields() {
    let mut node = Node::root(
        "function onServerConnection(s) keep = s s.mine = 'kept' end
         function onServerDisconnection(s) s:send('x') NOTE('next line ', s.address) end
         function onManage()
            NOTE(tostring(keep.address), keep.mine) keep:send('x') keep:reject() NOTE('after')
            NOTE(tostring(client.address), tostring(client.writer), tostring(writer.reliable))
            writer:writeInvocation('m') NOTE('end')
         end
         function onConnection(c) client = c writer = c.writer end",
    );
    node.link(1, true).unwrap();
    node.connect(1).unwrap();
    node.engine.server_down(ServerId(1), None);
    assert_eq!(node.notes(), ["next line 192.168.0.1"]);
    assert_eq!(node.errors().len(), 1);
    node.engine.disconnect(ClientId(1));
    node.engine.tick();
    assert_eq!(node.notes(), ["nilkept", "after", "nilnilnil", "end"]);
    assert_eq!(node.errors().len(), 3);
    assert!(node.asked().iter().all(|asked| matches!(asked, Asked::Announce(_))));
}

#[test]
fn gen_08_a_method_called_with_a_dot_is_named() {
    let mut node = Node::root(
        "function onConnection(c)
            c.writer.writeInvocation('m') mona.publish('x') c.writer.flush(mona) c.writer.close(nil)
            mona.time() NOTE('goes on')
         end",
    );
    node.connect(1).unwrap();
    let errors = node.errors();
    assert_eq!(errors.len(), 5, "{errors:?}");
    assert!(errors[0].contains("writer:writeInvocation"), "{errors:?}");
    assert!(errors[1].contains("mona:publish"), "{errors:?}");
    assert_eq!(node.notes(), ["goes on"]);
    assert_eq!(node.asked(), [Asked::Announce(String::new())]);
}

#[test]
fn gen_09_an_error_is_logged_once_and_the_node_goes_on() {
    let mut node = Node::root(
        "n = 0 function onManage() n = n + 1\n if n == 1 then error({}) end error('bad '..n) end",
    );
    node.tick();
    assert_eq!(node.errors(), ["onManage: Unknown error"]);
    node.tick();
    assert_eq!(node.errors(), ["onManage: www/main.lua:2: bad 2"]);
    assert_eq!(node.engine.stats().errors, 2);
    assert_eq!(node.engine.stats().calls, 2);
}

#[test]
fn gen_10_surplus_results_are_counted() {
    let mut node = Node::root("function onManage() return 1 end");
    node.tick();
    let warnings = node.warnings();
    assert_eq!(warnings, ["onManage returned 1 values, 1 too many"]);
}

#[test]
fn gen_11_arguments_are_read_leniently() {
    let mut node = Node::root(
        "NOTE(mona:split('a.b', '.', 'x')) NOTE(select('#', mona:split('a,,b', ',', '1'))) NOTE(mona:split(12.5, '.'))
         local p = mona:publish(7) NOTE(p.name, type(p.name))
         local q = mona:publish({}) NOTE('<', q.name, '>', mona:split('a.b', print), select('#', mona:split({}, true)))",
    );
    assert_eq!(node.notes(), ["ab", "2", "125", "7string", "<>a.b1"]);
    node.tick();
    node.quiet();
}

#[test]
fn gen_12_a_refusal_has_no_position_and_an_rpc_error_keeps_it() {
    let mut node = Node::root(
        "function onConnection(c, name)
            if name == 'x' then error('you are not Tom!') end
            if name == 'y' then error('h:1935: no position', 0) end
            function c:onSubscribe() error('h:1935') end
            function c:fails()\nerror('rpc') end
         end",
    );
    let mut info = node.client(1);
    info.args = amf0(&[text("x")]).into();
    assert_eq!(node.engine.connect(info), Err(Refusal::Rejected("you are not Tom!".into())));
    let mut info = node.client(1);
    info.args = amf0(&[text("y")]).into();
    assert_eq!(node.engine.connect(info), Err(Refusal::Rejected("h:1935: no position".into())));
    node.connect(2).unwrap();
    assert_eq!(node.subscribe(2, 1, "s"), rejected("h:1935"));
    assert_eq!(node.call(2, "fails", &[]), CallOutcome::Failed("www/main.lua:6: rpc".into()));
}

#[test]
fn gen_13_loops_see_a_snapshot() {
    let mut node = Node::root(
        "held = {}
         for i = 1, 5 do held[i] = mona:publish('p'..i) end
         function onManage()
            local names = {}
            for name, p in pairs(mona.publications) do names[#names + 1] = name p:close() mona:publish('new'..name) end
            NOTE(table.concat(names, ' '), ' ', mona.publications.count)
         end",
    );
    node.engine.tick();
    assert_eq!(node.notes(), ["p1 p2 p3 p4 p5 5"]);
    node.quiet();
}

#[test]
fn gen_14_ids_are_raw_or_hex_of_any_case() {
    let mut node = Node::root(
        "function onConnection(c) function c:test()
            return mona.clients(c.rawId) == mona.clients(c.id:upper()), mona.clients(c.rawId) == c,
                mona.clients('x') == nil, mona.clients(c.id..'0') == nil, mona.clients(5) == nil,
                mona.clients((c.id:gsub('a', 'g'))) == nil
         end end",
    );
    node.connect(1).unwrap();
    assert_eq!(node.answer(1, "test", &[]), vec![TRUE; 6]);
}

#[test]
fn gen_15_query_values_are_typed() {
    let mut node = Node::root(
        "function onConnection(c) NOTE(type(c.a), type(c.b), tostring(c.c), tostring(c.n), type(c.properties.a)) end",
    );
    let info = ClientInfo { query: "a=5&b=x&c=true&n=null".into(), ..node.client(1) };
    node.engine.connect(info).unwrap();
    assert_eq!(node.notes(), ["numberstringtruenilnumber"]);
}

#[test]
fn gen_18_dropped_objects_are_closed_by_the_collector() {
    let mut node = Node::root(
        "local g, p = ('g'):rep(32), ('p'):rep(32)
         mona:join(g, p) mona:publish('lost') kept = mona:publish('kept')
         NOTE(#mona.groups, ' ', #mona.publications)
         collectgarbage() collectgarbage()
         NOTE(#mona.groups, ' ', #mona.publications, ' ', kept.running)",
    );
    assert_eq!(node.notes(), ["1 2", "0 1 true"]);
    let closed: Vec<_> =
        node.asked().into_iter().filter(|asked| matches!(asked, Asked::Close { .. })).collect();
    assert_eq!(closed, [Asked::Close { publication: 1_000, status: None }]);
    // A reload drops what the old version held.
    node.file("www/main.lua", "NOTE(#mona.publications)");
    node.tick();
    assert_eq!(node.notes(), ["0"]);
    assert!(node.asked().contains(&Asked::Close { publication: 1_001, status: None }));
}

#[test]
fn gen_19_what_cannot_be_serialized_is_omitted_with_one_warning() {
    let mut node = Node::root(
        "function onServerConnection(s)
            s:send('f', print, { f = print, a = 1 }, { 1, s, 3 }, coroutine.create(print), this, _G, { [{}] = 1, b = 2 })
         end",
    );
    node.link(1, true).unwrap();
    let sent = node.sent();
    let args = &sent[0].2;
    assert_eq!(args.len(), 7);
    assert_eq!(args[0], Value::Null);
    assert_eq!(args[1], object_of(&[("a", number(1.0))]));
    assert_eq!(args[2], Value::Array(vec![number(1.0), Value::Null, number(3.0)]));
    assert_eq!(args[3..6], [Value::Null, Value::Null, Value::Null]);
    assert_eq!(args[6], object_of(&[("b", number(2.0))]));
    assert_eq!(node.warnings().len(), 1);
}

fn object_of(list: &[(&str, Value)]) -> Value {
    let members =
        list.iter().map(|(key, value)| (Bytes::copy_from_slice(key.as_bytes()), value.clone()));
    Value::Object(ramona_amf::Object { type_name: None, members: members.collect() })
}

#[test]
fn itr_04_clients_by_id_and_in_order_of_connection() {
    let mut node = Node::root(
        "function onManage()
            local n = 0
            for id, c in pairs(mona.clients) do n = n + 1 NOTE(id == c.id, mona.clients[id] == c, clients(c.rawId) == c) end
            for i, c in mona.clients:ipairs() do NOTE(i, c.address) end
            NOTE(n, #mona.clients, mona.clients.count, #clients)
         end",
    );
    node.connect(2).unwrap();
    node.connect(1).unwrap();
    node.engine.tick();
    let expected = ["truetruetrue", "truetruetrue", "110.0.0.2:5000", "210.0.0.1:5000", "2222"];
    assert_eq!(node.notes(), expected);
}

#[test]
fn evt_03_the_result_of_on_connection_goes_to_the_peer_and_to_the_parameters() {
    let mut node = Node::root(
        "function onConnection(c, a, b)
            NOTE(tostring(a), tostring(b.x), select('#', c))
            return { message = 'welcome', id = 1, timeout = 7, list = { 1, 2 }, [3] = 'x', f = print }
         end",
    );
    let mut info = node.client(1);
    info.args = amf0(&[Value::Null, object_of(&[("x", number(2.0))])]).into();
    let accepted = node.engine.connect(info).unwrap();
    assert_eq!(node.notes(), ["nil21"]);
    let info = object(&accepted.info);
    assert_eq!(info.members.len(), 4);
    assert_eq!(info.get("message"), Some(&text("welcome")));
    assert_eq!(info.get("id"), Some(&number(1.0)));
    assert_eq!(info.get("list"), Some(&Value::Array(vec![number(1.0), number(2.0)])));
    let mut parameters = accepted.parameters;
    parameters.sort();
    let expected = [("id", "1"), ("message", "welcome"), ("timeout", "7")];
    assert_eq!(parameters, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert_eq!(node.warnings().len(), 2);
}

#[test]
fn evt_03_refusals_and_odd_results() {
    let mut node = Node::root(
        "function onConnection(c, what)
            if what == 1 then error('') elseif what == 2 then error() elseif what == 3 then error({})
            elseif what == 4 then return 5 elseif what == 5 then return { a = 1 }, 2 end
         end
         function onManage() NOTE(#mona.clients) end",
    );
    for (what, refused) in
        [(1.0, "client rejected"), (2.0, "client rejected"), (3.0, "Unknown error")]
    {
        let mut info = node.client(1);
        info.args = amf0(&[number(what)]).into();
        assert_eq!(node.engine.connect(info), Err(Refusal::Rejected(refused.into())));
    }
    node.errors();
    let mut info = node.client(1);
    info.args = amf0(&[number(4.0)]).into();
    assert_eq!(node.engine.connect(info), Ok(Accepted::default()));
    assert_eq!(node.errors(), ["onConnection: table expected, got number"]);
    let mut info = node.client(2);
    info.args = amf0(&[number(5.0)]).into();
    assert!(node.engine.connect(info).is_ok());
    assert_eq!(node.warnings().len(), 1);
    node.engine.tick();
    assert_eq!(node.notes(), ["2"]);
}

#[test]
fn evt_04_disconnection_comes_for_accepted_clients_with_the_client_absent() {
    let mut node = Node::root(
        "function onConnection(c, refuse) if refuse then error('no') end kept = c.writer end
         function onDisconnection(c)
            NOTE(c.address, #mona.clients, #clients, tostring(c.writer))
            kept:writeInvocation('f') kept:writeMessage(1) kept:writeRaw('x') kept:writeStatusResponse('Y')
            NOTE(kept:flush(), kept:newFlowWriter() == kept) kept:close()
         end",
    );
    let mut info = node.client(1);
    info.args = amf0(&[TRUE]).into();
    assert!(node.engine.connect(info).is_err());
    node.engine.disconnect(ClientId(1));
    node.connect(2).unwrap();
    node.errors();
    node.engine.disconnect(ClientId(2));
    assert_eq!(node.notes(), ["10.0.0.2:500000nil", "falsetrue"]);
    assert_eq!(node.errors().len(), 1, "client.writer in onDisconnection is an ERROR");
    assert_eq!(node.asked(), [Asked::Announce(String::new())], "nothing is written any more");
    node.engine.disconnect(ClientId(2));
    assert!(node.notes().is_empty());
}

#[test]
fn evt_15_globals_serve_clients_without_functions_of_their_own() {
    let mut node = Node::root(
        "function onPublish(c, p) NOTE('pub ', c.address, ' ', p.name) end
         function onUnpublish(c, p) NOTE('unpub ', p.name) end
         function onSubscribe(c, l) NOTE('sub ', l.publication.name) error('full') end",
    );
    node.connect(1).unwrap();
    node.publish(1, 5, "s").unwrap();
    assert_eq!(node.subscribe(1, 6, "s"), rejected("full"));
    node.engine.unpublish(PublicationId(5));
    assert_eq!(node.notes(), ["pub 10.0.0.1:5000 s", "sub s", "unpub s"]);
}

#[test]
fn evt_15_functions_of_the_client_go_before_the_globals() {
    let mut node = Node::root(
        "for _, name in ipairs { 'onPublish', 'onUnpublish', 'onSubscribe', 'onUnsubscribe' } do
            _G[name] = function(c, o) NOTE('global ', name, ' ', (o.publication or o).name) end
         end
         function onConnection(c)
            c.onPublish, c.onUnpublish, c.onSubscribe, c.onUnsubscribe = 1, nil, nil, nil
            if c.id:sub(1, 2) == '01' then return end
            for _, name in ipairs { 'onPublish', 'onUnpublish', 'onSubscribe', 'onUnsubscribe' } do
                c[name] = function(self, o) NOTE('own ', name, ' ', self == c, ' ', (o.publication or o).name) end
            end
         end",
    );
    for client in [1, 2] {
        node.connect(client).unwrap();
        node.publish(client, 10 + client, &format!("s{client}")).unwrap();
        node.subscribe(client, 20 + client, "x").unwrap();
        node.engine.unsubscribe(ListenerId(20 + client));
        node.engine.unpublish(PublicationId(10 + client));
    }
    assert_eq!(
        node.notes(),
        [
            "global onPublish s1",
            "global onSubscribe x",
            "global onUnsubscribe x",
            "global onUnpublish s1",
            "own onPublish true s2",
            "own onSubscribe true x",
            "own onUnsubscribe true x",
            "own onUnpublish true s2",
        ]
    );
    node.quiet();
}

#[test]
fn gen_07_and_grp_06_whatever_ended_is_nil_and_empty_and_its_methods_log() {
    let mut node = Node::root(
        "function onConnection(c)
            kept = { client = c, properties = c.properties, qos = c.writer.qos }
            function c:onPublish(p) kept.publication, kept.listeners, kept.media = p, p.listeners, p.audioQOS p.mine = 'p' end
            function c:onSubscribe(l) kept.listener, kept.parameters, kept.sending = l, l.parameters, l.videoQOS l.mine = 'l' end
            function c:onJoinGroup(g) kept.group, kept.members = g, g.members g.mine = 'g' end
         end
         function onManage()
            local k, p, l, g = kept, kept.publication, kept.listener, kept.group
            NOTE(p.name, p.running, p.listeners, p.publisherId, p.lastTime, p.properties, ' ', p.mine)
            NOTE(l.publication, l.client, l.id, l.receiveAudio, l.audioQOS, l.parameters, ' ', l.mine)
            NOTE(g.id, g.rawId, g.members, g.count, ' ', g.mine, ' ', #g, #k.members, #k.listeners)
            for _, o in ipairs { k.listeners, g, k.members } do for key in pairs(o) do NOTE('none') end end
            NOTE(k.properties.a, k.parameters.b, ' ', k.qos.latency, k.media.byteRate, k.sending.lostRate)
            p:pushAudio('a', 1) p:pushData('x') p:writeProperties {} p:flush() p:close() g:size() l.receiveAudio = true
            NOTE('end')
         end",
    );
    let info = ClientInfo { query: "a=1".into(), ..node.client(1) };
    node.engine.connect(info).unwrap();
    node.publish(1, 5, "s").unwrap();
    let info = ListenerInfo { query: "b=2".into(), ..node.listener(6, 1, "s") };
    node.engine.subscribe(info, None).unwrap();
    node.engine.join_group(ClientId(1), [7; 32]);
    node.engine.unjoin_group(ClientId(1), [7; 32]);
    node.engine.unsubscribe(ListenerId(6));
    node.engine.unpublish(PublicationId(5));
    node.engine.disconnect(ClientId(1));
    node.quiet();
    node.engine.tick();
    let nil = |count| "(null)".repeat(count);
    assert_eq!(
        node.notes(),
        [
            format!("{} p", nil(6)),
            format!("{} l", nil(6)),
            format!("{} g 000", nil(4)),
            "12 000".to_owned(),
            "end".to_owned(),
        ]
    );
    // A publication may be closed more than once (PUB-05).
    let errors = node.errors();
    assert_eq!(errors.len(), 6, "{errors:#?}");
    assert!(errors.iter().all(|line| line.ends_with("on an object that has ended")), "{errors:#?}");
}

#[test]
fn cli_01_to_08_what_a_client_is() {
    let mut node = Node::root(
        "function onConnection(c) function c:about()
            return c.address, #c.rawId, c.id:match('^%x+$') and #c.id, c.path, c.query, c.protocol, c.ping, c.lastReceptionTime
         end end",
    );
    let info = ClientInfo { path: "/".into(), query: "a=1&b=2".into(), ..node.client(1) };
    info.stats.ping_ms.store(42, Relaxed);
    info.stats.last_reception_ms.store(1_700_000_000_123, Relaxed);
    node.engine.connect(info).unwrap();
    let expected = [
        text("10.0.0.1:5000"),
        number(32.0),
        number(64.0),
        text(""),
        text("a=1&b=2"),
        text("RTMP"),
        number(42.0),
        number(1_700_000_000_123.0),
    ];
    assert_eq!(node.answer(1, "about", &[]), expected);
}

#[test]
fn cli_09_the_writer_works_in_on_connection() {
    let mut node = Node::root("function onConnection(c) c.writer:writeInvocation('hi') end");
    node.connect(1).unwrap();
    assert_eq!(
        node.asked()[1],
        Asked::Write {
            client: 1,
            message: ClientMessage::Invocation {
                name: "hi".into(),
                args: Bytes::new(),
                format: Format::Amf0
            }
        }
    );
}

#[test]
fn cli_10_and_11_properties_of_the_connect_object_and_the_query() {
    let mut node = Node::root(
        "function onConnection(c)
            NOTE(c.properties.tcUrl, ' ', c.tcUrl, ' ', c.properties.arg1, ' ', c.arg1, ' ', c.capabilities + 1)
            NOTE(tostring(c.nothing), ' ', c.properties['nested.deep'], ' ', c.nested.deep)
            c.tcUrl = 'mine' NOTE(c.tcUrl, ' ', c.properties.tcUrl) NOTE(c.properties('arg1', 'none', 'tcUrl'))
            NOTE(c.flashVersion, ' ', c.flashVer, ' ', mona.environments == mona.environment)
         end",
    );
    let nested = object_of(&[("deep", text("down"))]);
    let info = ClientInfo {
        query: "arg1=value1".into(),
        properties: members(&[
            ("tcUrl", text("rtmp://h/x")),
            ("capabilities", number(15.0)),
            ("flashVer", text("WIN 9")),
            ("nested", nested),
        ]),
        ..node.client(1)
    };
    node.engine.connect(info).unwrap();
    assert_eq!(
        node.notes(),
        [
            "rtmp://h/x rtmp://h/x value1 value1 16",
            "nil down down",
            "mine rtmp://h/x",
            "value1(null)rtmp://h/x",
            "WIN 9 WIN 9 true"
        ]
    );
    node.quiet();
}

#[test]
fn cli_12_and_cfg_14_the_section_of_the_protocol_is_readable_under_its_name() {
    let mut node = Node::root(
        "function onConnection(c) NOTE(c.RTMFP.timesBeforeTurn + 1, ' ', c.RTMFP == c.parameters) end",
    );
    let parameters = vec![("timesBeforeTurn".to_owned(), "3".to_owned())];
    let info = ClientInfo { protocol: "RTMFP", parameters, ..node.client(1) };
    node.engine.connect(info).unwrap();
    assert_eq!(node.notes(), ["4 true"]);
}

#[test]
fn cli_12_parameters_are_the_protocols_configuration_and_the_result() {
    let mut node = Node::root(
        "function onConnection(c) NOTE(c.parameters.timeout, c.RTMP.timeout)
            function c:now() return c.parameters.timeout, c.RTMP.extra end
            return { timeout = 7, extra = 'x' } end",
    );
    node.connect(1).unwrap();
    assert_eq!(node.notes(), ["6060"]);
    assert_eq!(node.answer(1, "now", &[]), [number(7.0), text("x")]);
}

#[test]
fn cli_20_results_become_one_response() {
    let mut node = Node::root(
        "function onConnection(c)
            function c:two(a, b) return b, a end
            function c:nothing() end
            function c:null() return nil end
            function c:self(x) return self == c, x end
            c.value = 5
         end",
    );
    node.connect(1).unwrap();
    assert_eq!(node.answer(1, "two", &[number(1.0), text("x")]), [text("x"), number(1.0)]);
    assert_eq!(node.call(1, "nothing", &[]), CallOutcome::Nothing);
    assert_eq!(node.answer(1, "null", &[]), [Value::Null]);
    assert_eq!(node.answer(1, "self", &[Value::Null]), [TRUE, Value::Null]);
    assert_eq!(node.call(1, "value", &[]), CallOutcome::Unknown("Method 'value' not found".into()));
    node.quiet();
}

#[test]
fn cli_21_events_and_the_connections_own_names_are_not_callable() {
    let mut node = Node::root(
        "function onConnection(c)
            for _, name in ipairs { 'onPublish', 'onSubscribe', 'onManage', 'connect', 'createStream', 'deleteStream', 'setPeerInfo' } do
                c[name] = function() NOTE('called ', name) end
            end
            function c:onMessage(x) return x end
         end",
    );
    node.connect(1).unwrap();
    for name in [
        "onPublish",
        "onSubscribe",
        "onManage",
        "connect",
        "createStream",
        "deleteStream",
        "setPeerInfo",
    ] {
        let text = format!("Method '{name}' not found");
        assert_eq!(node.call(1, name, &[]), CallOutcome::Unknown(text.into()));
    }
    assert_eq!(node.answer(1, "onMessage", &[number(1.0)]), [number(1.0)]);
    assert!(node.notes().is_empty());
}

#[test]
fn cli_22_unknown_methods_are_named_with_every_byte() {
    let mut node = Node::root("");
    node.connect(1).unwrap();
    let outcome = node.engine.call(ClientId(1), b"x\xff", &[], Format::Amf0);
    assert_eq!(outcome, CallOutcome::Unknown(Bytes::from_static(b"Method 'x\xff' not found")));
    for name in ["address", "writer", "id", "properties"] {
        assert!(matches!(node.call(1, name, &[]), CallOutcome::Unknown(_)));
    }
    assert!(matches!(node.call(99, "x", &[]), CallOutcome::Unknown(_)));
}

#[test]
fn cli_31_a_clients_own_group_handler_replaces_the_global() {
    let mut node = Node::root(
        "function onJoinGroup(c, g) NOTE('global ', #g.id, ' ', #g) end
         function onUnjoinGroup(c, g) NOTE('left ', #g, ' ', #g.rawId) end
         function onConnection(c, own) if own then function c:onJoinGroup(g) NOTE('own ', g(c.id) == c) end end end",
    );
    node.connect(1).unwrap();
    let mut info = node.client(2);
    info.args = amf0(&[TRUE]).into();
    node.engine.connect(info).unwrap();
    node.engine.join_group(ClientId(1), [7; 32]);
    node.engine.join_group(ClientId(2), [7; 32]);
    node.engine.unjoin_group(ClientId(1), [7; 32]);
    assert_eq!(node.notes(), ["global 64 1", "own true", "left 1 32"]);
}

#[test]
fn cli_37_a_changed_address_is_told() {
    let mut node = Node::root(
        "function onConnection(c) function c:onAddressChanged(old) NOTE(old, ' -> ', self.address) end end",
    );
    node.connect(1).unwrap();
    node.engine.address_changed(ClientId(1), "10.0.0.9:1");
    assert_eq!(node.notes(), ["10.0.0.1:5000 -> 10.0.0.9:1"]);
}

#[test]
fn cli_38_on_manage_of_clients_runs_on_every_tick() {
    let mut node =
        Node::root("function onConnection(c) function c:onManage() NOTE(self.address) end end");
    node.connect(1).unwrap();
    node.tick();
    node.tick();
    assert_eq!(node.notes().len(), 2);
}

#[test]
fn wri_01_to_04_what_a_writer_writes() {
    let mut node = Node::root(
        "function onConnection(c)
            local w = c.writer
            w:writeInvocation('f', 1, 'x') w:writeInvocation() w:writeMessage(nil, true)
            w:writeRaw('bytes', 5, {}, 'more') w:writeStatusResponse('Call.Failed', 'x') w:writeStatusResponse('Y')
         end",
    );
    node.connect(1).unwrap();
    let written: Vec<ClientMessage> = node
        .asked()
        .into_iter()
        .filter_map(|asked| match asked {
            Asked::Write { client: 1, message } => Some(message),
            _ => None,
        })
        .collect();
    let status = |code: &'static str, description: &'static str| ClientMessage::Status {
        code: code.into(),
        description: description.into(),
    };
    let raw = |data: &'static str| ClientMessage::Raw { data: data.into() };
    assert_eq!(
        written,
        [
            ClientMessage::Invocation {
                name: "f".into(),
                args: amf0(&[number(1.0), text("x")]).into(),
                format: Format::Amf0,
            },
            ClientMessage::Invocation {
                name: "onMessage".into(),
                args: Bytes::new(),
                format: Format::Amf0
            },
            ClientMessage::Message {
                values: amf0(&[Value::Null, TRUE]).into(),
                format: Format::Amf0
            },
            raw("bytes"),
            raw("5"),
            raw("more"),
            status("Call.Failed", "x"),
            status("Y", ""),
        ]
    );
    assert_eq!(node.warnings().len(), 1);
}

#[test]
fn wri_05_flush_before_the_connection_is_accepted_is_an_error() {
    let mut node = Node::root(
        "function onConnection(c) c.writer:flush() function c:f() return c.writer:flush() end end",
    );
    node.connect(1).unwrap();
    assert_eq!(node.errors(), ["writer:flush before the connection is accepted"]);
    assert_eq!(node.answer(1, "f", &[]), [Value::Bool(false)]);
}

#[test]
fn wri_06_07_and_08_the_same_writer_close_and_reliable() {
    let mut node = Node::root(
        "function onConnection(c)
            local w = c.writer
            NOTE(w:newFlowWriter() == w, w:newWriter() == w, w.reliable) w.reliable = false NOTE(w.reliable)
            NOTE(w.qos.latency, type(w.qos.byteRate), w == c.writer)
            w:close() w:close(2)
         end",
    );
    node.connect(1).unwrap();
    assert_eq!(node.notes(), ["truetruetrue", "false", "0numbertrue"]);
    let closed: Vec<_> = node
        .asked()
        .into_iter()
        .filter(|asked| matches!(asked, Asked::CloseClient { .. }))
        .collect();
    let close = |code| Asked::CloseClient { client: 1, code };
    assert_eq!(closed, [close(0), close(2)]);
}

#[test]
fn wri_10_and_qos_01_to_05_numbers_of_a_writer() {
    let mut node = Node::root(
        "function onConnection(client)
            local q = client.writer.qos
            NOTE(q.latency, q.byteRate, q.lostRate, q.congestionRate, q.droppedFrames, q.lastSendingTime)
            function client:show()
                NOTE(q.latency, ' ', q.byteRate, ' ', q.lostRate, ' ', q.congestionRate, ' ', q.droppedFrames, ' ',
                    ('%d'):format(q.lastSendingTime))
            end
        end",
    );
    let info = node.client(1);
    let (stats, now) = (info.stats.clone(), node.host.now.get());
    stats.ping_ms.store(100, std::sync::atomic::Ordering::Relaxed);
    node.engine.connect(info).unwrap();
    assert_eq!(node.notes(), ["5000000"]);
    stats.sent.add(now, 7_000);
    stats.path_sent.add(now, 4_000);
    stats.path_lost.add(now, 1_000);
    stats.dropped_frames.store(3, std::sync::atomic::Ordering::Relaxed);
    stats.last_sending_ms.store(now, std::sync::atomic::Ordering::Relaxed);
    node.engine.call(ClientId(1), b"show", b"", Format::Amf0);
    assert_eq!(node.notes(), ["50 7000 0.25 0 3 1700000000000"]);
    node.quiet();
}
