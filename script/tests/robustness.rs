//! What a script does wrong costs that handler and nobody else.

mod common;

use bytes::Bytes;
use common::*;
use ramona_amf::Value;
use ramona_media::{MediaFrame, MediaKind};
use ramona_script::*;

/// The node still answers a client and a server as if nothing had happened.
fn still_works(node: &mut Node) {
    node.file("www/main.lua", "function onConnection(c) function c:ok(x) return x end end function onServerConnection(s) function s:f(x) NOTE('works ', x) end end");
    node.tick();
    node.errors();
    node.connect(200).unwrap();
    assert_eq!(node.answer(200, "ok", &[number(5.0)]), [number(5.0)]);
    node.link(200, true).unwrap();
    node.server_call(200, "f", &[text("on")]);
    assert_eq!(node.notes().last().unwrap(), "works on");
    assert!(node.errors().is_empty());
}

#[test]
fn an_error_in_every_kind_of_handler_is_logged_and_the_node_goes_on() {
    let mut node = Node::root(
        "local function raise(what) return function() error('in '..what) end end
         for _, name in ipairs { 'onStart', 'onStop', 'onManage', 'onDisconnection', 'onServerDisconnection', 'onTypedObject', 'onJoinGroup', 'onUnjoinGroup', 'onUnpublish', 'onUnsubscribe' } do
            _G[name] = raise(name)
         end
         function onConnection(c) c.f = raise('rpc') c.onManage = raise('client') c.onAddressChanged = raise('address') end
         function onPublish(c, p) p.onVideo = raise('video') p.onAudio = raise('audio') p.onData = raise('data') p.onProperties = raise('properties') end
         function onServerConnection(s) s.f = raise('server') end",
    );
    // onStart was global: once at the start.
    node.connect(1).unwrap();
    node.call(1, "f", &[]);
    node.engine.address_changed(ClientId(1), "x:1");
    node.link(1, true).unwrap();
    let typed = Value::Object(ramona_amf::Object { type_name: Some("T".into()), members: vec![] });
    node.server_call(1, "f", &[typed]);
    node.publish(1, 5, "live").unwrap();
    let frame = |kind| MediaFrame::new(kind, 0, Bytes::from_static(b"\x02\0\x01f"));
    node.engine
        .media(PublicationId(5), &[MediaKind::Audio, MediaKind::Video, MediaKind::Data].map(frame));
    node.engine.metadata(PublicationId(5), None);
    node.subscribe(1, 6, "live").unwrap();
    node.engine.join_group(ClientId(1), [1; 32]);
    node.engine.unjoin_group(ClientId(1), [1; 32]);
    node.tick();
    node.engine.unsubscribe(ListenerId(6));
    node.engine.unpublish(PublicationId(5));
    node.engine.disconnect(ClientId(1));
    node.engine.server_down(ServerId(1), None);
    let errors = node.errors();
    for what in [
        "onStart",
        "onManage",
        "onDisconnection",
        "onServerDisconnection",
        "onTypedObject",
        "onJoinGroup",
        "onUnjoinGroup",
        "onUnpublish",
        "onUnsubscribe",
        "rpc",
        "client",
        "address",
        "video",
        "audio",
        "data",
        "properties",
        "server",
    ] {
        let count = errors.iter().filter(|line| line.ends_with(&format!("in {what}"))).count();
        assert_eq!(count, 1, "{what}: {errors:#?}");
    }
    assert_eq!(errors.len(), 17);
    still_works(&mut node);
}

#[test]
fn strange_error_values() {
    let mut node = Node::root(
        "local values = { 5, true, {}, print, coroutine.create(print), setmetatable({}, { __tostring = function() error('inside') end }), mona }
         function onConnection(c)
            function c:f(i) error(values[i]) end
            function c:none() error() end
            function c:log(i) NOTE(values[i]) return 1 end
            function c:x() return xpcall(function() error('a') end, function() error('in the error handler') end) end
         end",
    );
    node.connect(1).unwrap();
    // A number gets its position and is a text.
    let outcome = node.call(1, "f", &[number(1.0)]);
    assert_eq!(outcome, CallOutcome::Failed("www/main.lua:3: 5".into()));
    for index in 2..=7 {
        let outcome = node.call(1, "f", &[number(f64::from(index))]);
        assert_eq!(outcome, CallOutcome::Failed("Unknown error".into()), "{index}");
    }
    assert_eq!(node.call(1, "none", &[]), CallOutcome::Failed("Unknown error".into()));
    let CallOutcome::Failed(text) = node.call(1, "log", &[number(6.0)]) else { panic!() };
    assert!(text.ends_with(b"inside"), "{text:?}");
    assert_eq!(node.answer(1, "x", &[]).first(), Some(&Value::Bool(false)));
    still_works(&mut node);
}

#[test]
fn endless_recursion_and_deep_pcalls_end() {
    let mut node = Node::root(
        "typed = mona:toAMF({ __type = 'T' }) function onTypedObject() mona:fromAMF(typed) end
         function onConnection(c)
            function client_file() c:file() end
            function c:deep() local function f() return 1 + f() end return f() end
            function c:pcalls() local function f(n) return pcall(f, n + 1) end return f(1) end
            function c:meta() local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k..'x'] end return t.a end
            function c:sub() return (('x'):gsub('x', function() return c:sub() end)) end
            function c:sort() table.sort({ 3, 2, 1 }, function(a, b) c:sort() return a < b end) end
            function c:form() return string.format('%s', setmetatable({}, { __tostring = function() return c:form() end })) end
            function c:log() NOTE(setmetatable({}, { __tostring = function() c:log() return '' end })) end
            function c:file() dofile('loop.lua') end
            function c:wrap() return coroutine.wrap(function() return c:wrap() end)() end
            function c:conv() mona:fromAMF(typed) end
            function c:nested() local x = children('a').again(1) return x end
         end",
    );
    node.file("www/loop.lua", "mark = (mark or 0) + 1 client_file()");
    node.file(
        "www/a/main.lua",
        "function again(n) local x = super.children('a').again(n + 1) return x end",
    );
    node.connect(1).unwrap();
    for name in ["deep", "meta", "sub", "sort", "form", "log", "file", "wrap", "nested"] {
        assert!(matches!(node.call(1, name, &[]), CallOutcome::Failed(_)), "{name}");
    }
    node.call(1, "pcalls", &[]);
    node.call(1, "conv", &[]);
    still_works(&mut node);
}

#[test]
fn a_string_of_100_megabytes_travels_and_absurd_ones_are_errors() {
    let mut node = Node::root(
        "function onServerConnection(s)
            local big = ('x'):rep(100 * 1024 * 1024)
            s:send('f', big)
            NOTE(pcall(string.rep, ('x'):rep(1000), 2147483647))
         end",
    );
    node.link(1, true).unwrap();
    let asked = node.asked();
    let Asked::Send { args, .. } = &asked[1] else { panic!() };
    assert!(args.len() > 100 * 1024 * 1024);
    assert!(node.notes()[0].starts_with("false"));
    drop(asked);
    still_works(&mut node);
}

#[test]
fn a_handler_may_end_the_object_it_is_called_on() {
    let mut node = Node::root(
        "function onConnection(c)
            function c:f() c.writer:close() return 'answered' end
            function c:onPublish(p) function p:onVideo() p:close() p:close() p.onVideo = nil error('after close') end end
         end
         function onServerConnection(s) function s:f() s:reject('bye') s:send('x') s.f = nil end end
         m = mona:join(('g'):rep(32), ('p'):rep(32)) function onManage() m:release() m:release() NOTE('end') end",
    );
    node.connect(1).unwrap();
    assert_eq!(node.answer(1, "f", &[]), [text("answered")]);
    node.publish(1, 5, "x").unwrap();
    node.engine.media(PublicationId(5), &[video(0, b"\x17"), video(1, b"\x17")]);
    assert_eq!(node.errors().len(), 1);
    node.engine.unpublish(PublicationId(5));
    node.link(1, true).unwrap();
    node.server_call(1, "f", &[]);
    node.server_call(1, "f", &[]);
    node.tick();
    assert_eq!(node.notes(), ["end"]);
    node.quiet();
    still_works(&mut node);
}

#[test]
fn strange_metatables_do_not_reach_the_engine() {
    let mut node = Node::root(
        "function onServerConnection(s)
            local loop = {} setmetatable(loop, loop) loop.__index = loop
            local evil = setmetatable({ a = 1 }, { __index = error, __len = function() return -5 end, __pairs = error, __metatable = 5, __mode = 7, __tostring = error })
            s:send('f', loop, evil, setmetatable({ 1, 2 }, { __len = function() return 1e9 end }))
            NOTE(pcall(setmetatable, s, {}), ' ', pcall(rawset, s, 'address', 'raw'), ' ', s.address)
            debug.setmetatable(s, nil) NOTE(pcall(function() return s.send end))
         end
         function onServerDisconnection(s) NOTE('down') end
         debug.setmetatable(5, { __index = function() return 1 end })",
    );
    node.link(1, true).unwrap();
    let values = node.sent().remove(0).2;
    assert_eq!(values[2], Value::Array(vec![number(1.0), number(2.0)]));
    node.engine.server_down(ServerId(1), None);
    assert_eq!(node.notes()[1..], ["true(null)", "down"]);
    still_works(&mut node);
}

#[test]
fn coroutines_run_api_calls_and_a_yield_out_of_a_handler_is_an_error() {
    let mut node = Node::root(
        "function onConnection(c)
            function c:yields() coroutine.yield(1) end
            function c:inside() local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(mona:toAMF(i)) c.writer:writeInvocation('f', i) end end)
                return #co(), #co(), #co() end
            function c:iterates() local n = 0 for id, x in coroutine.wrap(function() for id, x in pairs(mona.clients) do coroutine.yield(id, x) end end) do n = n + 1 end return n end
         end",
    );
    node.connect(1).unwrap();
    assert!(matches!(node.call(1, "yields", &[]), CallOutcome::Failed(_)));
    assert_eq!(node.answer(1, "inside", &[]), [9.0, 9.0, 9.0].map(number));
    assert_eq!(node.answer(1, "iterates", &[]), [number(1.0)]);
    node.errors();
    still_works(&mut node);
}

#[test]
fn scripts_that_break_the_globals_break_only_themselves() {
    let mut node = Node::root(
        "local g = _G
         for _, name in ipairs { 'pairs', 'ipairs', 'next', 'type', 'pcall', 'error', 'select', 'rawget', 'tostring', 'setmetatable', 'unpack', 'table' } do g[name] = nil end
         function onServerConnection(s) mona.servers:broadcast('f', 1) s:send('g') end",
    );
    node.link(1, true).unwrap();
    let names: Vec<String> = node.sent().into_iter().map(|call| call.1).collect();
    assert_eq!(names, ["f", "g"]);
    node.connect(1).unwrap();
    node.quiet();
    still_works(&mut node);
}

#[test]
fn odd_arguments_to_every_method_never_raise_and_never_panic() {
    let mut node = Node::root(
        "function onConnection(c)
            local odd = { nil, true, 0/0, -1, 1e300, '', ('x'):rep(70000), {}, print, c, coroutine.create(print), mona.servers }
            local objects = { mona, c, c.writer, mona.servers, mona.groups, mona.publications, mona.clients, mona.configs, mona:publish('p'), mona:join(('a'):rep(32), ('b'):rep(32)), servers, publication }
            local names = { 'publish', 'join', 'joinGroup', 'toAMF', 'toAMF0', 'fromAMF', 'split', 'absolutePath', 'time', 'pairs', 'ipairs', 'broadcast', 'call', 'writeInvocation',
                'writeMessage', 'writeRaw', 'writeStatusResponse', 'flush', 'newWriter', 'pushVideo', 'pushAudio', 'pushData', 'pushDataPacket', 'pushVideoPacket', 'writeProperties',
                'clearProperties', 'pushAMFData', 'send', 'reject', 'size', 'close', 'release' }
            local calls = 0
            for _, o in pairs(objects) do for _, name in ipairs(names) do
                local ok, f = pcall(function() return o[name] end)
                if ok and type(f) == 'function' then
                    for i = 1, 12 do for j = 1, 12, 5 do
                        local ok, e = pcall(f, o, odd[i], odd[j]) calls = calls + 1
                        if not ok then NOTE(name, ' raised ', e) end
                        f(odd[i])
                    end end
                    f(o)
                end
                pcall(function() o[name] = 1 end)
            end
            for i = 1, 12 do local k = odd[i] local x = o[k] if k ~= nil and k == k then pcall(function() o[k] = 1 end) end end end
            NOTE(calls > 500)
         end",
    );
    node.connect(1).unwrap();
    assert_eq!(node.notes(), ["true"]);
    node.errors();
    node.warnings();
    still_works(&mut node);
}

#[test]
fn gen_07_nothing_that_is_done_with_what_ended_raises() {
    // Every built-in name, as method, field to read and field to set.
    let names: Vec<&str> =
        include_str!("../src/api/names.rs").split('"').skip(1).step_by(2).collect();
    let mut node = Node::root(&format!(
        "local names = {{ '{}' }}
         local odd = {{ nil, true, 0/0, -1, 1e300, '', 'x', {{}}, print, coroutine.create(print), mona.servers }}
         kept = {{}}
         function onConnection(c)
            kept = {{ c, c.writer, c.writer.qos, c.properties, c.parameters }}
            local function keep(o) kept[#kept + 1] = o end
            function c:onPublish(p) keep(p) keep(p.listeners) keep(p.audioQOS) end
            function c:onSubscribe(l) keep(l) keep(l.parameters) keep(l.videoQOS) end
            function c:onJoinGroup(g) keep(g) keep(g.members) end
            local member, own = mona:join(('g'):rep(32), ('p'):rep(32)), mona:publish('own')
            keep(member) keep(own) member:release() own:close()
            data.t = {{ a = {{}} }} keep(data.t) keep(data.t.a) data.t = nil
         end
         function onServerConnection(s) kept[#kept + 1] = s kept[#kept + 1] = s.configs end
         function onManage()
            local done = 0
            for _, o in ipairs(kept) do
                for _, name in ipairs(names) do
                    local ok, f = pcall(function() return o[name] end)
                    if not ok then NOTE(name, ' read: ', f) end
                    for i = 1, 11 do
                        if type(f) == 'function' and not name:find('^on') then
                            local ok, problem = pcall(f, o, odd[i], odd[12 - i]) done = done + 1
                            if not ok then NOTE(name, ' called: ', problem) end
                        end
                        local ok, problem = pcall(function() o[name] = odd[i] o[name] = nil end)
                        if not ok then NOTE(name, ' set: ', problem) end
                    end
                end
                local ok, problem = pcall(function()
                    for k in pairs(o) do end for k in ipairs(o) do end next(o) tostring(o) mona:toJSON(o)
                    return #o == #o and o[odd[2]] == o[odd[8]]
                end)
                if not ok then NOTE('walked: ', problem) end
            end
            NOTE(#kept, ' ', done > 500)
         end",
        names.join("', '")
    ));
    node.link(1, true).unwrap();
    node.connect(1).unwrap();
    node.link(2, true).unwrap();
    node.publish(1, 5, "live").unwrap();
    node.subscribe(1, 6, "live").unwrap();
    node.engine.join_group(ClientId(1), [7; 32]);
    node.engine.unjoin_group(ClientId(1), [7; 32]);
    node.engine.unsubscribe(ListenerId(6));
    node.engine.unpublish(PublicationId(5));
    node.engine.disconnect(ClientId(1));
    node.engine.server_down(ServerId(2), None);
    node.errors();
    node.engine.tick();
    let mut notes = node.notes();
    notes.truncate(20);
    assert_eq!(notes, ["19 true"]);
    node.errors();
    node.warnings();
    still_works(&mut node);
}

#[test]
fn every_byte_string_is_a_message() {
    let mut node = Node::root(
        "function onConnection(c) function c:f(...) return ... end end
         function onServerConnection(s) function s:f(...) s:send('f', ...) end end
         function onPublish(c, p) function p:onData(name, packet, ...) mona:toAMF(name, packet, ...) end end",
    );
    node.connect(1).unwrap();
    node.link(1, true).unwrap();
    node.publish(1, 5, "x").unwrap();
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    for round in 0..3_000_u32 {
        let mut bytes = Vec::new();
        for _ in 0..round % 40 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let wide = state.to_le_bytes();
            // Mostly small numbers: markers, lengths and references.
            bytes.push(if wide[1] < 200 { wide[0] % 0x14 } else { wide[0] });
        }
        node.engine.server_call(ServerId(1), b"f", &bytes);
        node.engine.call(ClientId(1), b"f", &bytes, Format::Amf0);
        let frame = MediaFrame::new(MediaKind::Data, 0, bytes.into());
        node.engine.media(PublicationId(5), &[frame]);
        node.asked();
    }
    node.errors();
    node.warnings();
    still_works(&mut node);
}

#[test]
fn a_handler_that_sends_a_hundred_thousand_messages_sends_them_all_in_order() {
    let mut node =
        Node::root("function onServerConnection(s) for i = 1, 100000 do s:send('f', i) end end");
    node.link(1, true).unwrap();
    let sent = node.sent();
    assert_eq!(sent.len(), 100_000);
    assert!(sent.iter().zip(1_u32..).all(|(call, i)| call.2 == [number(f64::from(i))]));
}

#[test]
fn ten_thousand_clients_come_and_go_without_leaving_anything() {
    let mut node = Node::root(
        "function onConnection(c) c.self = c function c:f() return c end end n = 0 function onManage() collectgarbage() collectgarbage() NOTE(#mona.clients) end",
    );
    node.tick();
    let before = node.engine.stats().memory_bytes;
    for round in 0..10_000_u64 {
        let mut info = node.client(1);
        info.id = ClientId(round);
        info.raw_id[..8].copy_from_slice(&round.to_le_bytes());
        node.engine.connect(info).unwrap();
        node.engine.subscribe(node.listener(round, round, "live"), None).unwrap();
        node.engine.unsubscribe(ListenerId(round));
        node.engine.disconnect(ClientId(round));
    }
    node.tick();
    let after = node.engine.stats().memory_bytes;
    assert_eq!(node.notes(), ["0", "0"]);
    assert!(after < before + 200_000, "{before} -> {after} bytes");
}

#[test]
fn an_engine_that_is_dropped_closes_quietly() {
    let host = {
        let node = Node::root(
            "p = mona:publish('x') m = mona:join(('a'):rep(32), ('b'):rep(32)) setmetatable({}, { __gc = error })",
        );
        node.host.clone()
    };
    assert!(host.lines.borrow().iter().all(|line| line.level > LogLevel::Warn));
}
