//! Scripts that misbehave: handlers that do not end, and memory (`script.budget`, `script.memory`).

mod common;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use common::*;
use ramona_script::*;

/// As the node's watchdog does, with a small budget.
fn watched<R>(node: &mut Node, act: impl FnOnce(&mut Node) -> R) -> R {
    const BUDGET: Duration = Duration::from_millis(100);
    let interrupter = node.engine.interrupter();
    #[expect(clippy::disallowed_methods, reason = "nothing is sent")]
    let (end, ended) = channel::<()>();
    let thread = std::thread::spawn(move || {
        let mut since = (None, Instant::now());
        while ended.recv_timeout(Duration::from_millis(5)) == Err(RecvTimeoutError::Timeout) {
            let run = interrupter.running();
            if run != since.0 {
                since = (run, Instant::now());
            } else if let Some(run) = run
                && since.1.elapsed() > BUDGET
            {
                interrupter.interrupt(run);
            }
        }
    });
    let result = act(node);
    drop(end);
    thread.join().unwrap();
    result
}

fn still_works(node: &mut Node) {
    node.engine.server_call(ServerId(1), b"ping", &[]);
    assert_eq!(node.notes(), ["pong"]);
    assert_eq!(node.errors(), Vec::<String>::new());
}

/// A root whose server function `spin` is this text.
fn spinning(body: &str) -> Node {
    let mut node = Node::root(&format!(
        "function onServerConnection(s)\n\
         function s:ping() NOTE('pong') end\n\
         function s:spin()\n{body}\nend\nend"
    ));
    node.link(1, false).unwrap();
    node
}

#[test]
fn an_endless_loop_ends_with_an_error_that_names_application_function_and_line() {
    let mut node = Node::new(&[
        ("", "function onServerConnection(s) function s:ping() NOTE('pong') end end"),
        (
            "/game",
            "function onConnection(client)\n\
             function client:play()\n\
             local function inner() while true do end end\n\
             inner()\n\
             end\nend",
        ),
    ]);
    node.link(1, false).unwrap();
    node.connect_to(1, "/game").unwrap();
    let outcome = watched(&mut node, |node| node.call(1, "play", &[]));
    let text = "www/game/main.lua:3: interrupted in function 'inner': longer than script.budget";
    let CallOutcome::Failed(told) = outcome else { panic!("{outcome:?}") };
    assert_eq!(String::from_utf8_lossy(&told), text);
    assert_eq!(node.errors(), [format!("client:play of application www/game: {text}")]);
    assert_eq!(node.engine.stats().interrupted, 1);
    still_works(&mut node);
}

#[test]
fn whatever_loops_is_interrupted() {
    for body in [
        "while true do end",
        "local n = 0 while true do n = n + 1 end",
        "for i = 1, math.huge do end",
        "repeat local t = {} until false",
        "::again:: goto again",
        "local function f() return f() end f()",
        "local function f(x) if x then return f(not x) else return f(true) end end f(true)",
        "local s = 0 while true do for i = 1, 100 do s = s + i end end",
        "while true do string.rep('x', 10) end",
        "while true do local n = ('a,b'):gsub('%w', function(x) return x end) end",
        "while true do table.sort({3, 2, 1}, function(a, b) return a < b end) end",
        "local t = setmetatable({}, { __index = function(t, k) return k end }) while true do local x = t.a end",
        "for k in function() return 1 end do end",
        "while true do mona:time() end",
        "while true do for _, s in pairs(mona.servers) do end end",
        "while true do mona:fromAMF(mona:toAMF(1, 'x', {1, 2})) end",
        "while true do INFO('x') end",
        // Those who catch it.
        "while true do pcall(function() while true do end end) end",
        "local function again() pcall(again) return again() end again()",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "while true do local ok = pcall(error, 'x') end",
        // Coroutines.
        "coroutine.wrap(function() while true do end end)()",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "local c = coroutine.wrap(function() while true do coroutine.yield() end end) while true do c() end",
        "while true do load('local x = 1')() end",
        "debug.sethook(function() end, '', 1) while true do end",
        "while true do debug.sethook() end",
    ] {
        let mut node = spinning(body);
        watched(&mut node, |node| node.engine.server_call(ServerId(1), b"spin", &[]));
        let errors = node.errors();
        assert_eq!(errors.len(), 1, "{body}: {errors:?}");
        assert!(errors[0].contains("longer than script.budget"), "{body}: {errors:?}");
        node.host.lines.borrow_mut().clear();
        still_works(&mut node);
        // What it compiled is not the worse for it.
        node.engine.server_call(ServerId(1), b"ping", &[]);
        assert_eq!(node.notes(), ["pong"], "{body}");
    }
}

#[test]
fn a_loop_while_a_file_loads_is_a_load_failure() {
    let mut node = Node::cold(&[("", "x = 1\nwhile true do x = x + 1 end")]);
    watched(&mut node, |node| node.engine.start());
    let text = "www/main.lua:2: interrupted in the main chunk: longer than script.budget";
    assert_eq!(node.errors(), [text]);
    assert_eq!(node.connect(1).map(|_| ()), rejected(text));
    // Also in a child that a handler loads; the handler itself has had its time, too.
    let mut node = Node::new(&[
        (
            "",
            "function onServerConnection(s) function s:ping() NOTE('pong') end function s:open() children('slow') end end",
        ),
        ("/slow", "while true do end"),
    ]);
    node.link(1, false).unwrap();
    watched(&mut node, |node| node.engine.server_call(ServerId(1), b"open", &[]));
    let errors = node.errors();
    assert!(errors[0].starts_with("www/slow/main.lua:1: interrupted"), "{errors:?}");
    still_works(&mut node);
    // In onStart it is an error of that handler.
    let mut node = Node::cold(&[(
        "",
        "function onStart() while true do end end\nfunction onConnection(c) end",
    )]);
    watched(&mut node, |node| node.engine.start());
    assert!(
        node.errors()[0].starts_with("onStart of application www: www/main.lua:1: interrupted")
    );
    node.connect(1).unwrap();
}

#[test]
fn the_next_handler_of_the_same_event_has_its_own_time() {
    let mut node = Node::root(
        "function onManage() while true do end end\n\
         function onConnection(c)\n\
         function c:onManage() NOTE(self.id:sub(1, 2)) if self.id:sub(1, 2) == '01' then while true do end end end\n\
         end",
    );
    for client in 1..=3 {
        node.connect(client).unwrap();
    }
    watched(&mut node, Node::tick);
    assert_eq!(node.notes(), ["01", "02", "03"]);
    let errors = node.errors();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].starts_with("onManage of application www: www/main.lua:1:"), "{errors:?}");
    assert!(errors[1].starts_with("onManage of application www: www/main.lua:3:"), "{errors:?}");
}

#[test]
fn many_handlers_that_are_short_each_are_not_one_long_one() {
    let mut node = Node::root(
        "function onConnection(c)\n\
         function c:onManage() local t = mona.environment.X; for i = 1, 20000 do t = ('x'):rep(i % 9) end end\n\
         end",
    );
    for client in 1..=250 {
        node.connect(client).unwrap();
    }
    watched(&mut node, Node::tick);
    assert_eq!(node.errors(), Vec::<String>::new());
}

#[test]
fn events_that_ask_are_refused_when_their_handler_is_interrupted() {
    let mut node = Node::root("function onConnection(c) while true do end end");
    let refusal = watched(&mut node, |node| node.connect(1)).map(|_| ());
    assert_eq!(
        refusal,
        rejected("interrupted in function 'onConnection': longer than script.budget").or_else(
            |_| rejected("interrupted in the function of line 1: longer than script.budget")
        )
    );
}

#[test]
fn nothing_is_interrupted_between_handlers_or_twice() {
    let mut node = spinning("while true do end");
    let interrupter = node.engine.interrupter();
    assert_eq!(interrupter.running(), None);
    // Runs of the past, of the future and of nobody.
    for run in 0..100 {
        interrupter.interrupt(run);
    }
    still_works(&mut node);
    let copy = interrupter.clone();
    drop(node);
    // The engine is gone.
    copy.interrupt(1);
    assert_eq!(copy.running(), None);
}

const MIB: usize = 1 << 20;

fn limited(text: &str) -> Node {
    let mut node = Node::cold(&[("", text)]);
    node.engine = Engine::new(
        EngineConfig {
            dir: node.dir.path().to_owned(),
            entries: vec![],
            arguments: vec![],
            slow: Duration::from_secs(3_600),
            memory: 64 * MIB,
        },
        node.host.clone(),
    )
    .unwrap();
    node.engine.start();
    node.link(1, false).unwrap();
    node
}

#[test]
fn memory_past_its_limit_is_an_error_of_the_handler_and_others_go_on() {
    for body in [
        "local t = {} for i = 1, math.huge do t[i] = { i } end",
        "local s = 'x' while true do s = s .. s end",
        "return ('x'):rep(2^30)",
        "local t = {} for i = 1, math.huge do t[i] = ('x'):rep(1000) .. i end",
        "local function f(...) return f(1, ...) end return f()",
        "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end",
        "local t = { ('x'):rep(20 * 2^20) } for i = 1, 20 do t[i + 1] = mona:toAMF(t[1] .. i) end",
        "local t = {} for i = 1, 3 do pcall(function() while true do t[#t + 1] = {} end end) end error('gave up')",
    ] {
        let mut node = limited(&format!(
            "function onServerConnection(s)\n\
             function s:ping() local t = {{}} for i = 1, 100000 do t[i] = i end NOTE('pong') end\n\
             function s:eat() {body} end\nend"
        ));
        for _ in 0..3 {
            node.engine.server_call(ServerId(1), b"eat", &[]);
            let errors = node.errors();
            assert!(
                errors.iter().any(|line| line.contains("not enough memory")
                    || line.contains("gave up")
                    || line.contains("overflow")),
                "{body}: {errors:?}"
            );
            node.host.lines.borrow_mut().clear();
            // One table may have doubled.
            assert!(node.engine.stats().memory_bytes <= 256 * MIB as u64, "{body}");
            still_works(&mut node);
        }
    }
}

#[test]
fn a_script_may_catch_the_end_of_its_memory() {
    let mut node = limited(
        "function onServerConnection(s)\n\
         function s:ping() NOTE('pong') end\n\
         function s:eat()\n\
         local ok, text = pcall(function() local t = {} while true do t[#t + 1] = ('x'):rep(99) .. #t end end)\n\
         NOTE(ok, ' ', text)\n\
         end\nend",
    );
    node.engine.server_call(ServerId(1), b"eat", &[]);
    assert_eq!(node.notes(), ["false not enough memory"], "{:?}", node.host.lines.borrow());
    assert_eq!(node.engine.stats().memory_errors, 1);
    still_works(&mut node);
}

#[test]
fn garbage_alone_never_meets_the_limit() {
    let mut node = limited(
        "function onServerConnection(s)\n\
         keep = {} for i = 1, 300000 do keep[i] = { i } end\n\
         function s:churn() for i = 1, 20000 do local t = { i, ('x'):rep(100) .. i } end end\n\
         function s:ping() NOTE('pong') end\nend",
    );
    for _ in 0..100 {
        node.tick();
        for _ in 0..5 {
            node.engine.server_call(ServerId(1), b"churn", &[]);
        }
    }
    still_works(&mut node);
}
