//! ENV-*, LOG-*, EVT-01, EVT-02, EVT-05: applications and what their code sees.

mod common;

use common::*;
use ramona_script::*;

#[test]
fn env_01_the_path_selects_the_application() {
    let mut node = Node::new(&[
        ("", "function onConnection() NOTE('root') end"),
        ("/Games/myGame", "function onConnection(c) NOTE(name, ' ', c.path) end"),
    ]);
    node.connect_to(1, "/Games//myGame/").unwrap();
    node.connect_to(2, "/../..").unwrap();
    assert_eq!(node.notes(), ["myGame /Games/myGame", "root"]);
    assert!(matches!(node.connect_to(3, "/games/mygame"), Err(Refusal::InvalidApp(_))));
    node.quiet();
}

#[test]
fn env_02_start_creates_www_and_loads_the_root_before_any_client() {
    let mut node = Node::cold(&[]);
    node.engine.start();
    assert!(node.dir.path().join("www").is_dir());
    let node = Node::root("function onStart(path) NOTE('start <', path, '>') end");
    assert_eq!(node.notes(), ["start <>"]);
    assert_eq!(node.asked(), [Asked::Announce(String::new())]);
    assert_eq!(node.take_lines(LogLevel::Info), ["Application www loaded"]);
    node.quiet();
}

#[test]
fn env_03_parents_are_loaded_first_and_nothing_before_its_need() {
    let start = "function onStart(path) NOTE(path) end";
    let mut node = Node::new(&[("/Games", start), ("/Games/myGame", start)]);
    assert!(node.notes().is_empty());
    node.connect_to(1, "/Games/myGame").unwrap();
    assert_eq!(node.notes(), ["/Games", "/Games/myGame"]);
    assert_eq!(node.engine.running_apps(), ["", "/Games", "/Games/myGame"]);
}

#[test]
fn env_04_a_folder_without_file_inherits_everything() {
    let mut node = Node::root("function onConnection(c) NOTE('root got ', c.path) end");
    std::fs::create_dir_all(node.dir.path().join("www/empty")).unwrap();
    node.connect_to(1, "/empty").unwrap();
    assert_eq!(node.notes(), ["root got /empty"]);
}

#[test]
fn env_05_neither_file_nor_folder_is_refused_and_leaves_nothing() {
    let mut node = Node::root("");
    let refused = Err(Refusal::InvalidApp("Application /nope doesn't exist".into()));
    assert_eq!(node.connect_to(1, "/nope"), refused);
    assert_eq!(node.engine.running_apps(), [""]);
}

#[test]
fn env_06_the_load_sequence() {
    let mut node = Node::new(&[(
        "/child",
        "NOTE('chunk') function onStart() NOTE('onStart') end
         function onServerConnection() NOTE('onServerConnection') end",
    )]);
    node.link(1, true).unwrap();
    node.host.lines.borrow_mut().clear();
    node.asked();
    node.connect_to(1, "/child").unwrap();
    let lines: Vec<String> =
        node.host.lines.borrow().iter().map(|line| line.text.clone()).collect();
    let expected = ["chunk", "onStart", "onServerConnection", "Application www/child loaded"];
    assert_eq!(lines, expected);
    assert_eq!(node.asked(), [Asked::Announce("/child".into())]);
}

#[test]
fn env_06_an_inherited_on_start_runs_for_each_child() {
    let mut node = Node::root("function onStart(path) NOTE('<', path, '>') end");
    node.file("www/a/main.lua", "");
    node.connect_to(1, "/a").unwrap();
    assert_eq!(node.notes(), ["<>", "</a>"]);
}

#[test]
fn env_07_a_failed_application_refuses_its_clients_with_the_text() {
    let mut node = Node::new(&[("/bad", "x=1\nx="), ("/raises", "y=1\nerror('no way')")]);
    let Err(Refusal::Rejected(text)) = node.connect_to(1, "/bad") else { panic!() };
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.contains("main.lua:2:"), "{text}");
    assert_eq!(node.errors(), std::slice::from_ref(&text));
    // Not tried again while the file stays the same.
    node.later();
    assert_eq!(node.connect_to(2, "/bad"), Err(Refusal::Rejected(text.into())));
    assert!(node.errors().is_empty());
    let Err(Refusal::Rejected(text)) = node.connect_to(3, "/raises") else { panic!() };
    assert_eq!(text, "www/raises/main.lua:2: no way");
    node.later();
    node.file("www/bad/main.lua", "x=1");
    node.connect_to(4, "/bad").unwrap();
}

#[test]
fn env_07_a_failed_root_refuses_nodes_and_gives_children_no_server_event() {
    let mut node =
        Node::new(&[("", "x="), ("/child", "function onServerConnection() NOTE('child') end")]);
    let text = node.link(1, true).unwrap_err();
    assert!(String::from_utf8_lossy(&text).starts_with("www/main.lua:1:"));
    node.connect_to(1, "/child").unwrap();
    assert!(node.notes().is_empty());
}

#[test]
fn env_07_an_error_in_on_start_is_only_logged() {
    let mut node = Node::root("function onStart() error('oops') end");
    assert_eq!(node.errors(), ["onStart: www/main.lua:1: oops"]);
    node.connect(1).unwrap();
}

#[test]
fn env_08_the_root_is_looked_at_on_every_tick_and_children_when_something_opens_them() {
    let mut node = Node::new(&[("", "NOTE('r1')"), ("/a", "NOTE('a1')")]);
    node.connect_to(1, "/a").unwrap();
    assert_eq!(node.notes(), ["r1", "a1"]);
    node.file("www/main.lua", "NOTE('r2')");
    node.file("www/a/main.lua", "NOTE('a2')");
    node.tick();
    assert_eq!(node.notes(), ["r2"]);
    node.connect_to(2, "/a").unwrap();
    assert_eq!(node.notes(), ["a2"]);
    // Within two seconds nothing is looked at.
    node.file("www/a/main.lua", "NOTE('a3')");
    node.connect_to(3, "/a").unwrap();
    assert!(node.notes().is_empty());
    node.later();
    node.engine.sync_app(b"/a");
    assert_eq!(node.notes(), ["a3"]);
}

#[test]
fn env_09_a_reload_replaces_globals_and_keeps_clients() {
    let mut node = Node::root(
        "old = 1
         function onStop(path) NOTE('stop<', path, '>', tostring(old)) end
         function onServerDisconnection(s) NOTE('down ', s.address) end
         function onConnection(client)
            NOTE('connection')
            function client:version() return 'old' end
            function client:old() return old == nil end
         end",
    );
    node.connect(1).unwrap();
    node.link(7, true).unwrap();
    node.notes();
    node.file(
        "www/main.lua",
        "NOTE('chunk ', tostring(old), ' ', #mona.clients)
         function onServerConnection(s) NOTE('up ', s.address) end",
    );
    node.tick();
    assert_eq!(node.notes(), ["down 192.168.0.7", "stop<>1", "chunk nil 1", "up 192.168.0.7"]);
    assert_eq!(node.answer(1, "version", &[]), [text("old")]);
    assert_eq!(node.answer(1, "old", &[]), [Value::Bool(true)]);
    node.quiet();
}

#[test]
fn env_10_a_deleted_file_stops_the_application_once() {
    let mut node = Node::new(&[
        ("", "who = 'root'"),
        (
            "/a",
            "who = 'a' function onStop() NOTE('stop') end
                function onConnection() NOTE('own') end",
        ),
    ]);
    node.connect_to(1, "/a").unwrap();
    std::fs::remove_file(node.dir.path().join("www/a/main.lua")).unwrap();
    node.later();
    node.connect_to(2, "/a").unwrap();
    node.later();
    node.connect_to(3, "/a").unwrap();
    assert_eq!(node.notes(), ["own", "stop"]);
    std::fs::remove_dir(node.dir.path().join("www/a")).unwrap();
    node.later();
    assert!(matches!(node.connect_to(4, "/a"), Err(Refusal::InvalidApp(_))));
    assert_eq!(node.engine.running_apps(), [""]);
}

#[test]
fn env_10_a_root_that_is_deleted_stops_and_an_empty_one_goes_on() {
    let mut node = Node::new(&[
        (
            "",
            "who = 'root' function onStop(p) NOTE('stop <', p, '>') end function onConnection() error('no') end",
        ),
        ("/a", "function onConnection() NOTE('a ', who) end"),
    ]);
    node.connect_to(1, "/a").unwrap();
    std::fs::remove_file(node.dir.path().join("www/main.lua")).unwrap();
    node.tick();
    node.tick();
    assert_eq!(node.notes(), ["a root", "stop <>"]);
    // Everybody is welcome now.
    node.connect(2).unwrap();
    node.connect_to(3, "/a").unwrap();
    assert_eq!(node.notes(), ["a (null)"]);
    node.file("www/main.lua", "who = 'back'");
    node.tick();
    node.connect_to(4, "/a").unwrap();
    assert_eq!(node.notes(), ["a back"]);
    node.quiet();
}

#[test]
fn env_09_and_evt_12_a_child_that_is_loaded_again_loses_and_meets_the_servers_alone() {
    let child = "function onServerConnection(s) NOTE('a up ', s.address) end
        function onServerDisconnection(s) NOTE('a down ', s.address) end";
    let mut node = Node::new(&[
        (
            "",
            "function onServerConnection(s) NOTE('root up') end function onServerDisconnection() NOTE('root down') end",
        ),
        ("/a", child),
        ("/b", "x = 1"),
    ]);
    node.link(1, true).unwrap();
    node.connect_to(1, "/a").unwrap();
    node.connect_to(2, "/b").unwrap();
    assert_eq!(node.notes(), ["root up", "a up 192.168.0.1"]);
    node.file("www/a/main.lua", &format!("NOTE('again') {child}"));
    node.file("www/b/main.lua", "x = 2");
    node.later();
    node.connect_to(3, "/a").unwrap();
    node.connect_to(4, "/b").unwrap();
    // What is inherited is not called for a child, neither at its end nor at its beginning.
    assert_eq!(node.notes(), ["a down 192.168.0.1", "again", "a up 192.168.0.1"]);
    node.quiet();
}

#[test]
fn env_11_children_stop_before_their_parents() {
    let stop = "function onStop(path) NOTE('<', path, '>') end
                function onServerDisconnection(s)
                    NOTE('down ', path, ' ', s.address, ' ', #mona.servers, ' ', tostring(mona.servers(s.address))) s:send('x')
                end";
    let mut node = Node::new(&[("", stop), ("/a", stop), ("/a/b", stop)]);
    node.connect_to(1, "/a/b").unwrap();
    node.link(1, false).unwrap();
    node.engine.stop();
    // The servers were refused before.
    let down = |path: &str| format!("down {path} 192.168.0.1 0 nil");
    let stop = |path: &str| format!("<{path}>");
    let expected = ["/a/b", "/a", ""].map(|path| [down(path), stop(path)]);
    assert_eq!(node.notes(), expected.concat());
    assert_eq!(node.errors(), vec!["server:send is called on an object that has ended"; 3]);
    node.engine.stop();
    assert!(node.notes().is_empty());
}

#[test]
fn env_20_lookup_goes_own_reserved_children_parent_globals() {
    let mut node = Node::new(&[
        ("", "top = 'root' children('Games/myGame')"),
        ("/Games", "test = 'games' function onStart(p) if p == path then NOTE('games ', type(myGame)) end end"),
        ("/Games/myGame", "function onConnection(c)
            NOTE(Games.test, ' ', top, ' ', tostring(unknown), ' ', type(string.rep), ' ', super.test)
         end"),
    ]);
    node.connect_to(1, "/Games/myGame").unwrap();
    node.file("www/Games/main.lua", "test = 'games2' NOTE('again ', type(myGame))");
    node.later();
    node.connect_to(2, "/Games/myGame").unwrap();
    let notes = node.notes();
    assert_eq!(notes[1..3], ["games root nil function games", "again table"]);
    assert_eq!(notes[3], "games2 root nil function games2");
    node.quiet();
}

#[test]
fn env_21_nil_removes_the_override() {
    let mut node = Node::new(&[
        ("", "test = 'parent'"),
        ("/a", "test = 'x' NOTE(test) test = nil NOTE(test)"),
    ]);
    node.connect_to(1, "/a").unwrap();
    assert_eq!(node.notes(), ["x", "parent"]);
}

#[test]
fn env_22_and_23_name_and_path_are_read_only() {
    let mut node = Node::new(&[
        ("", "NOTE('<', name, '><', path, '>')"),
        ("/G/my", "name = 'other' path = 1 NOTE(name, ' ', path)"),
    ]);
    node.connect_to(1, "/G/my").unwrap();
    assert_eq!(node.notes(), ["<><>", "my /G/my"]);
    assert_eq!(node.warnings().len(), 2);
}

#[test]
fn env_24_and_25_this_and_super() {
    let mut node = Node::new(&[
        ("", "test = 1 NOTE(super == _G, ' ', this.test)"),
        (
            "/a",
            "test = 2 this.y = 3 NOTE(super.test, ' ', this.test, ' ', y, ' ', super.super == _G)",
        ),
    ]);
    node.connect_to(1, "/a").unwrap();
    assert_eq!(node.notes(), ["true 1", "1 2 3 true"]);
}

#[test]
fn env_26_and_27_children_lists_what_is_loaded_and_loads_when_called() {
    let node = Node::new(&[
        ("", "NOTE(#children, ' ', tostring(children.a))
              local a = children('/a/') NOTE(a.mark, ' ', #children, ' ', children.a == a, ' ', children['a'].name)
              NOTE(tostring(children('none')), ' ', tostring(children('bad')), ' ', tostring(children(print)))
              for key, value in pairs(children) do NOTE(key, ' ', value.path) end
              NOTE(children('a/deep').path)"),
        ("/a", "mark = 'child' function onStart() NOTE('a starts') end"),
        ("/a/deep", ""),
        ("/bad", "x="),
    ]);
    assert_eq!(
        node.notes(),
        ["0 nil", "a starts", "child 1 true a", "nil nil nil", "a /a", "a starts", "/a/deep"]
    );
    let errors = node.errors();
    assert_eq!(errors.len(), 2, "{errors:?}");
}

#[test]
fn env_27_a_child_that_its_parent_opens_is_loaded_again_when_it_changed() {
    let mut node = Node::new(&[
        ("", "children('a') function onManage() NOTE(children('a').version, ' ', #children) end"),
        ("/a", "version = 1 NOTE('loads')"),
    ]);
    node.tick();
    node.file("www/a/main.lua", "version = 2 NOTE('again') function onStop() NOTE('stops') end");
    node.tick();
    node.file("www/a/main.lua", "version =");
    node.tick();
    // A child that does not load is none.
    let problem = node.errors();
    assert!(problem[0].starts_with("www/a/main.lua:1:"), "{problem:?}");
    assert!(problem[1].contains("attempt to index"), "{problem:?}");
    node.file("www/a/main.lua", "version = 3");
    node.tick();
    assert_eq!(node.notes(), ["loads", "1 1", "again", "2 1", "stops", "3 1"]);
    node.quiet();
}

#[test]
fn env_27_an_application_that_opens_itself_does_not_load_twice() {
    let mut node = Node::new(&[("/a", "NOTE('chunk') super.children('a')")]);
    node.connect_to(1, "/a").unwrap();
    assert_eq!(node.notes(), ["chunk"]);
}

#[test]
fn env_28_a_colon_call_through_a_handle_drops_the_handle() {
    let mut node = Node::new(&[
        (
            "",
            "function onConnection(client, extra) NOTE(client.id == client.id, client.path, tostring(extra)) end",
        ),
        (
            "/a",
            "function onConnection(client, ...)
            super:onConnection(client, 'x') super.onConnection(client, 'y')
            this:other(client) children.b:f(1) super.a:other(client)
          end
          function other(first) NOTE(first.path) end",
        ),
        ("/a/b", "function f(x) NOTE('b', x) end"),
    ]);
    node.connect_to(9, "/a/b").unwrap();
    node.notes();
    node.connect_to(1, "/a").unwrap();
    assert_eq!(node.notes(), ["true/ax", "true/ay", "/a", "b1", "/a"]);
    node.quiet();
}

#[test]
fn env_29_clients_are_those_of_exactly_this_application() {
    let mut node = Node::new(&[
        (
            "",
            "function onManage() NOTE(#clients, ' ', #mona.clients, ' ', children.a.clients.count) end",
        ),
        ("/a", ""),
    ]);
    node.connect_to(1, "/a").unwrap();
    node.engine.tick();
    assert_eq!(node.notes(), ["0 1 1"]);
}

#[test]
fn env_30_events_are_inherited() {
    let mut node = Node::new(&[
        (
            "",
            "function onConnection(client) NOTE(client.path) end
              function onSubscribe(client, listener) NOTE('sub ', client.path) end",
        ),
        ("/child", "x = 1"),
    ]);
    node.connect_to(1, "/child").unwrap();
    node.subscribe(1, 5, "s").unwrap();
    assert_eq!(node.notes(), ["/child", "sub /child"]);
}

#[test]
fn env_31_fields_of_mona_belong_to_the_application() {
    let mut node = Node::new(&[
        ("", "mona.x = 1 children('b')"),
        (
            "/b",
            "NOTE(tostring(mona.x), type(mona.publish)) mona.servers = 1 NOTE(type(mona.servers))",
        ),
    ]);
    assert_eq!(node.notes(), ["nilfunction", "table"]);
    assert_eq!(node.warnings(), ["mona.servers is read-only, assignment ignored"]);
    node.tick();
    node.quiet();
}

#[test]
fn env_32_objects_are_shared_by_all_applications() {
    let mut node = Node::new(&[
        ("", "function onServerConnection(s) keep = s end function onManage() NOTE(keep.tag) end"),
        ("/a", "function onServerConnection(s) s.tag = 'from a' end"),
    ]);
    node.connect_to(1, "/a").unwrap();
    node.link(1, true).unwrap();
    node.engine.tick();
    assert_eq!(node.notes(), ["from a"]);
}

#[test]
fn env_33_protected_tables() {
    let mut node = Node::root(
        "for _, t in ipairs { this, _G, mona, mona.clients, getfenv(1) } do
            NOTE(pcall(setmetatable, t, {}), ' ', type(getmetatable(t)))
         end
         _G.seen = 'everywhere'",
    );
    node.file("www/a/main.lua", "NOTE(seen)");
    node.connect_to(1, "/a").unwrap();
    let notes = node.notes();
    assert_eq!(notes.len(), 6);
    assert!(notes[..5].iter().all(|note| note.starts_with("false") && note.ends_with(" string")));
    assert_eq!(notes[5], "everywhere");
}

#[test]
fn env_34_iteration_takes_collections_and_refuses_the_rest() {
    let mut node = Node::root(
        "function onManage()
            for k, v in pairs(mona.clients) do NOTE(k == v.id) end
            for i, v in ipairs(mona.clients) do NOTE(i, v.address) end
            local k, v = next(mona.clients) NOTE(k == v.id, next(mona.clients, k) == nil)
            for k, v in pairs { a = 1 } do NOTE(k, v) end
            NOTE(next({}) == nil)
            pairs(nil) ipairs('x') next(5)
         end",
    );
    node.connect(1).unwrap();
    node.engine.tick();
    let expected = ["true", "110.0.0.1:5000", "truetrue", "a1", "true"];
    assert_eq!(node.notes(), expected);
    assert_eq!(node.errors().len(), 3);
}

#[test]
fn env_35_error_concatenates_its_arguments() {
    let node = Node::root(
        "NOTE(select(2, pcall(error, 'a', ' b', 1, nil, true)))
         NOTE(select(2, pcall(function() error('plain') end)))
         NOTE(select(2, pcall(function() error('level 2', 2) end)))
         NOTE(select(2, pcall(function() error('none', 0) end)))
         NOTE(select(2, pcall(function()
            error('joined', ' text') end)))
         NOTE(type(select(2, pcall(error, {}))), type(select(2, pcall(error))))",
    );
    let expected = [
        "a b1(null)true",
        "www/main.lua:2: plain",
        "level 2",
        "none",
        "www/main.lua:6: joined text",
        "tablenil",
    ];
    assert_eq!(node.notes(), expected);
}

#[test]
fn env_36_is_not_loads_with_one_warning() {
    let node =
        Node::root("x = 1\nif x is not 2 and x is not 3 then NOTE('differs is not same') end");
    assert_eq!(node.notes(), ["differs is not same"]);
    let warnings = node.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("www/main.lua:2:"), "{warnings:?}");
}

#[test]
fn env_37_dofile_runs_in_the_application_that_holds_the_file() {
    let mut node = Node::cold(&[
        ("", ""),
        ("/a", ""),
        (
            "/a/b",
            "NOTE(dofile('x.lua')) NOTE(tostring(mark), rawget(getfenv(1), 'mark') == nil)
                  NOTE(select('#', dofile('none.lua')), select('#', loadfile('lib')))
                  NOTE(type(loadfile('x.lua')))
                  NOTE(pcall(dofile, 'wrong.lua'))",
        ),
    ]);
    node.file("www/a/x.lua", "mark = path return 'result', name");
    node.file("www/a/wrong.lua", "\n\nx=");
    node.file("www/a/b/lib/y.lua", "");
    node.engine.start();
    node.connect_to(1, "/a/b").unwrap();
    let notes = node.notes();
    assert_eq!(notes[..4], ["resulta", "/atrue", "00", "function"]);
    assert!(notes[4].starts_with("falsewww/a/wrong.lua:3:"), "{notes:?}");
    assert_eq!(node.errors().len(), 2);
}

#[test]
fn env_38_require_runs_lua_files_each_time_and_finds_modules() {
    let mut node = Node::cold(&[(
        "",
        "
        local m = require('m.lua') NOTE(m.count) NOTE(require('m.lua').count)
        NOTE(require('bit').bor(1, 2)) NOTE(pcall(require, 'none.lua'))",
    )]);
    node.file("www/m.lua", "runs = (runs or 0) + 1 return { count = runs }");
    node.engine.start();
    let notes = node.notes();
    assert_eq!(notes[..3], ["1", "2", "3"]);
    assert!(notes[3].starts_with("falsemodule 'none.lua' not found"), "{notes:?}");
}

#[test]
fn env_39_dofile_takes_the_absolute_path_of_an_application() {
    let mut node = Node::cold(&[("/a", "dofile(mona:absolutePath(path)..'start.lua') NOTE(mark)")]);
    node.file("www/a/start.lua", "mark = 'set in '..path");
    node.engine.start();
    node.connect_to(1, "/a").unwrap();
    assert_eq!(node.notes(), ["set in /a"]);
}

#[test]
fn log_01_levels_and_position() {
    let node = Node::root("ERROR('e') WARN('w')\nNOTE('a', 1)\nINFO('i') DEBUG('d') TRACE('t')");
    let lines = node.host.lines.borrow();
    let shown: Vec<_> =
        lines.iter().map(|line| (line.level, line.text.as_str(), line.line)).collect();
    assert_eq!(
        shown[..4],
        [
            (LogLevel::Error, "e", 1),
            (LogLevel::Warn, "w", 1),
            (LogLevel::Note, "a1", 2),
            (LogLevel::Info, "i", 3),
        ]
    );
    assert_eq!(shown[4].1, "Application www loaded");
    assert_eq!(lines[0].file, "www/main.lua");
}

#[test]
fn log_01_lower_levels_show_when_the_host_wants_them() {
    let mut node = Node::cold(&[("", "DEBUG('d') TRACE('t')")]);
    node.host.level.set(LogLevel::Trace);
    node.engine.start();
    assert_eq!(node.take_lines(LogLevel::Debug), ["d"]);
    assert_eq!(node.take_lines(LogLevel::Trace), ["t"]);
}

#[test]
fn log_02_arguments_are_joined_without_separator() {
    let node = Node::root(
        "NOTE('x=', 1, ' ', false, nil, 2.5)
         NOTE(setmetatable({}, { __tostring = function() return 'mine' end }))
         NOTE({}) NOTE(print) NOTE(mona) NOTE(nil) NOTE()",
    );
    let notes = node.notes();
    assert_eq!(notes[..2], ["x=1 false(null)2.5", "mine"]);
    assert!(notes[2].starts_with("table_0x"), "{notes:?}");
    assert!(notes[3].starts_with("function_"), "{notes:?}");
    assert!(notes[4].starts_with("table_0x"), "{notes:?}");
    assert_eq!(notes[5..], ["(null)", ""]);
}

#[test]
fn log_03_a_line_names_application_file_and_line() {
    let mut node = Node::new(&[("/Games/my", "\n\nINFO('\\0\\n')")]);
    node.connect_to(1, "/Games/my").unwrap();
    let lines = node.host.lines.borrow();
    let line = lines.iter().find(|line| line.text == "\0\n").unwrap();
    assert_eq!((line.app.as_str(), line.file.as_str(), line.line), ("/Games/my", "my/main.lua", 3));
}

#[test]
fn log_04_print_writes_plain_text() {
    let node = Node::root("print('x', 1, nil, true)");
    assert_eq!(*node.host.printed.borrow(), ["x\t1\tnil\ttrue"]);
}

#[test]
fn evt_01_and_02_start_and_stop_are_called_once_per_load() {
    let text = "function onStart(p) NOTE('start ', p) end function onStop(p) NOTE('stop ', p) end NOTE('chunk')";
    let mut node = Node::new(&[("/a", text)]);
    node.connect_to(1, "/a").unwrap();
    node.file("www/a/main.lua", text);
    node.later();
    node.connect_to(2, "/a").unwrap();
    assert_eq!(node.notes(), ["chunk", "start /a", "stop /a", "chunk", "start /a"]);
}

#[test]
fn evt_05_on_manage_is_called_for_the_root_only() {
    let mut node = Node::new(&[
        ("", "n = 0 function onManage() n = n + 1 NOTE('root', n) end"),
        ("/a", "function onManage() NOTE('child') end"),
    ]);
    node.connect_to(1, "/a").unwrap();
    node.tick();
    node.tick();
    assert_eq!(node.notes(), ["root1", "root2"]);
}

#[test]
fn evt_07_handlers_that_nothing_calls_may_be_defined() {
    let node = Node::root("function onRealTime() end function onHandshake() end");
    node.quiet();
}

#[test]
fn check_names_what_does_not_compile_and_runs_nothing() {
    let node = Node::cold(&[
        ("", "error('never runs')"),
        ("/a", "x=1\nx="),
        ("/a/b", "if x is not 1 then end"),
    ]);
    let problems = Engine::check(node.dir.path());
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].text.starts_with("www/a/main.lua:2:"), "{problems:?}");
    assert!(problems[1].text.starts_with("www/a/b/main.lua:1:"), "{problems:?}");
    // The second one loads all the same.
    assert_eq!((problems[0].is_failure, problems[1].is_failure), (true, false));
}

use ramona_amf::Value;

#[test]
fn def_21_an_error_of_three_texts_is_one_text() {
    let mut node = Node::root(
        "function onConnection(client)
            local file = 'secret.txt'
            error('Access to ', file, ' is forbidden')
         end",
    );
    let refused = Refusal::Rejected("Access to secret.txt is forbidden".into());
    assert_eq!(node.connect(1), Err(refused));
}

#[test]
fn mon_30_other_names_are_the_configuration_and_options_are_arguments() {
    let node = Node::root(
        "NOTE(mona.host == mona.configs.host, ' ', mona.host, ' ', mona['servers.port'], ' ', mona.servers.count)
         NOTE(mona.arguments.extra + 1, ' ', tostring(mona.arguments.none), ' ', tostring(mona.nothing))",
    );
    assert_eq!(node.notes(), ["true www.a.com:1935 1936 0", "6 nil nil"]);
    node.quiet();
}
