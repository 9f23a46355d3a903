//! What applications of MonaServer 1 do in the manner of Lua 5.1: modules, environments, globals with
//! names of the engine.

mod common;

use common::*;
use ramona_script::*;

#[test]
fn env_20_and_21_a_script_may_have_globals_with_reserved_names() {
    let mut node = Node::new(&[
        (
            "",
            "clients = {} data = { 5 } children = 'none'
             function onConnection(client) clients[client] = client.address end
             function onDisconnection(client)
                NOTE(clients[client], ' ', data[1], ' ', children) clients[client] = nil
                clients, data, children = nil, nil, nil
                NOTE(#clients, ' ', data.x == nil, ' ', #children)
             end",
        ),
        ("/a", "NOTE(clients.count, ' ', super.clients == clients)"),
    ]);
    node.connect(1).unwrap();
    node.connect_to(2, "/a").unwrap();
    assert_eq!(node.notes(), ["0 false"], "a child has its own");
    node.engine.disconnect(ClientId(1));
    assert_eq!(node.notes(), ["10.0.0.1:5000 5 none", "0 true 1"]);
    node.quiet();
}

#[test]
fn gen_02_idioms_of_lua_5_1_work_in_an_application() {
    let mut node = Node::root(
        "local counter = 0
         local function step() counter = counter + 1 return counter end
         NOTE(table.getn { 1, 2, 3 }, table.maxn { 1, 2 }, unpack { 4, 5 })
         mark = 'mine' NOTE(loadstring('return mark')(), loadstring('mark2 = 7 return mark2')(), mark2)
         NOTE(tostring(loadstring('x=')))
         NOTE(getfenv(1).mark, getfenv(step).mark, getfenv().mark, ' ', getfenv(1) == getfenv(step))
         local box = setmetatable({}, { __index = getfenv(1) })
         local f = setfenv(function() boxed = 'in the box' return mark end, box)
         NOTE(f(), ' ', box.boxed, ' ', tostring(boxed))
         local g = setfenv(loadstring('handled = mark return name'), this) NOTE('<', g(), '>', handled)
         function onManage(...) NOTE(step(), select('#', ...)) end
         NOTE(type(newproxy), type(gcinfo), ('x'):rep(3))",
    );
    node.tick();
    node.tick();
    assert_eq!(
        node.notes(),
        [
            "3245",
            "mine77",
            "nil",
            "mineminemine true",
            "mine in the box nil",
            "<>mine",
            "functionfunctionxxx",
            "10",
            "20",
        ]
    );
    node.quiet();
}

#[test]
fn env_38_a_module_of_package_path_sees_the_node_and_its_errors_have_no_position_in_refusals() {
    let mut node = Node::cold(&[
        (
            "",
            "package.path = mona:absolutePath(path)..'lib/?.lua;'..package.path
             local rules = require 'audit_rules'
             NOTE(rules == require('audit_rules'), ' ', audit_old.twice(4), ' ', package.loaded.audit_rules == rules)
             function onConnection(client, name) rules.check(client, name or client.path:match('.+')) end",
        ),
        ("/a", "local rules = require('audit_rules') NOTE(rules.count())"),
    ]);
    node.file(
        "www/lib/audit_rules.lua",
        "NOTE('loaded once by ', mona.servers.count, ' ', mona:time() > 0)
         require('audit_old')
         local M = {}
         function M.check(client, name) if not name then error('no name, '..client.address) end end
         function M.count() return #mona.clients end
         return M",
    );
    node.file(
        "www/lib/audit_old.lua",
        "module('audit_old', package.seeall) function twice(x) INFO('twice') return 2 * x end",
    );
    node.engine.start();
    assert_eq!(node.notes(), ["loaded once by 0 true", "true 8 true"]);
    let refused = Refusal::Rejected("no name, 10.0.0.1:5000".into());
    assert_eq!(node.connect(1), Err(refused));
    node.errors();
    let info = ClientInfo { args: amf0(&[text("Ann")]).into(), ..node.client(2) };
    node.engine.connect(info).unwrap();
    node.connect_to(3, "/a").unwrap();
    assert_eq!(node.notes(), ["1"]);
    node.quiet();
}

#[test]
fn env_38_a_module_in_the_manner_of_lua_5_1_may_be_a_file_of_the_application() {
    let mut node = Node::cold(&[
        ("", ""),
        ("/a", ""),
        (
            "/a/b",
            "
        require('m.lua') local file = loadfile('n.lua')
        NOTE(audit_m.is_loaded(), ' ', pcall(file))
        function onConnection() NOTE(audit_m.is_loaded()) end",
        ),
    ]);
    node.file("www/a/m.lua", "module('audit_m', package.seeall) local loaded = true function is_loaded() return loaded end");
    node.file("www/n.lua", "local loaded = 5 return loaded");
    node.engine.start();
    node.connect_to(1, "/a/b").unwrap();
    assert_eq!(node.notes(), ["true true5", "true"]);
    node.quiet();
}

#[test]
fn gen_16_a_function_taken_from_another_application_keeps_its_parameters_and_its_application() {
    let mut node = Node::new(&[
        (
            "",
            "function hand(protocol, address, path, properties, attempts) NOTE(protocol, ' ', attempts) end
             function single(self, packet) NOTE(#packet) end
             function who(server) NOTE('who') dofile('tool.lua') end",
        ),
        (
            "/a",
            "onHandshake = super.hand
             function onPublish(client, publication) publication.onData = super.single end
             function onServerConnection(server) server.who = super.who end",
        ),
    ]);
    node.file("www/tool.lua", "NOTE('tool of root <', path, '>')");
    node.file("www/a/tool.lua", "NOTE('tool of ', path)");
    node.connect_to(1, "/a").unwrap();
    node.engine.handshake("1.2.3.4:5", "/a", b"", 3);
    node.publish(1, 5, "x").unwrap();
    let message = amf0(&[text("f"), number(1.0)]);
    let frame = ramona_media::MediaFrame::new(ramona_media::MediaKind::Data, 0, message.into());
    node.engine.media(PublicationId(5), &[frame]);
    node.link(1, true).unwrap();
    node.server_call(1, "who", &[]);
    assert_eq!(node.notes(), ["RTMFP 3", "13", "who", "tool of root <>"]);
    assert!(node.host.handlers.borrow().contains(&(String::new(), "who".into())));
    node.quiet();
}

#[test]
fn gen_12_a_refusal_of_any_event_has_no_position_whichever_file_raised_it() {
    let mut node = Node::cold(&[(
        "",
        "dofile('checks.lua')
         local f = loadstring('local what = ... error(what)', 'by text')
         function onConnection(c)
            function c:onPublish(p) deny(p.name) end
            function c:onSubscribe(l) f(l.publication.name) end
         end
         function onServerConnection(s) deny(s.host) end",
    )]);
    node.file("www/checks.lua", "function deny(what)\n error('not '..what)\nend");
    node.engine.start();
    node.connect(1).unwrap();
    assert_eq!(node.publish(1, 1, "a:1: b"), rejected("not a:1: b"));
    assert_eq!(node.subscribe(1, 2, "www.b.com:1935"), rejected("www.b.com:1935"));
    assert_eq!(node.link(1, true), Err("not www.host1.com".into()));
    let errors = node.errors();
    assert!(errors[0].ends_with("www/checks.lua:2: not a:1: b"), "{errors:?}");
    assert_eq!(errors.len(), 3);
}
