//! The persistent table `data` in whole programs: killed, restarted, moved in from a MonaServer.

use std::net::SocketAddr;

use ramona_testkit::{Program, RtmpClient, TestNode, free_port};

const RAMONA: &str = env!("CARGO_BIN_EXE_ramona");

const SCRIPT: &str = r#"
function onConnection(client)
	function client:put(n)
		data.last = n
		data.all = data.all or {}
		data.all[n] = { value = "v" .. n, odd = n % 2 == 1 }
		if n > 3 then data.all[n - 3] = nil end
		return n
	end
	function client:last() return data.last end
	function client:get(n)
		local entry = data.all[n]
		return entry and entry.value, entry and entry.odd
	end
end
"#;

/// A program in a folder of its own, or in one that is left from before.
async fn program(arguments: &[&str]) -> (Program, RtmpClient) {
    let port = free_port();
    let ini = format!(
        "RTMP.host = 127.0.0.1\nRTMP.port = {port}\nRTMFP.port = 0\nHTTP.host = 127.0.0.1\nHTTP.port = {}\n",
        free_port()
    );
    let program = Program::start(RAMONA, &ini, SCRIPT, arguments);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    program.listens(address).await;
    let client = RtmpClient::connect(address, "").await;
    (program, client)
}

#[tokio::test]
async fn dat_07_what_was_answered_outlives_a_killed_process() {
    let (mut first, mut client) = program(&[]).await;
    let dir = first.dir().to_str().expect("a path of text").to_owned();
    let mut n = 0.0;
    let mut later = Vec::new();
    for round in 0..3 {
        for _ in 0..50 {
            n += 1.0;
            assert_eq!(client.call("put", &[n.into()]).await, Ok(vec![n.into()]));
        }
        // More are under way when it is killed: their fate is open, that of the others is not.
        client.with(|machine| {
            let mut args = Vec::new();
            ramona_amf::Value::from(n + 1.0).encode_amf0(&mut args).expect("a number");
            for _ in 0..20 {
                machine.call("put", &args).expect("the call fits");
            }
        });
        if round == 0 {
            first.kill();
            first.ended().await;
        } else {
            let running: &mut Program = later.last_mut().expect("one of the rounds before");
            running.kill();
            running.ended().await;
        }
        // The folder of another program, with its data; the configuration is its own.
        let (next, connected) = program(&["--dir", &dir, "--config", "ramona.ini"]).await;
        later.push(next);
        client = connected;
        let last = client.call("last", &[]).await.expect("an answer").remove(0);
        let text = |n: f64| ramona_amf::Value::String(format!("{n}").into());
        assert!(last == text(n) || last == text(n + 1.0), "{last:?} after {n}");
        if last == text(n + 1.0) {
            n += 1.0;
        }
        for back in 0..3 {
            let n = n - f64::from(back);
            let value = ramona_amf::Value::String(format!("v{n}").into());
            let got = client.call("get", &[n.into()]).await;
            assert_eq!(got, Ok(vec![value, (n % 2.0 == 1.0).into()]));
        }
        let removed = client.call("get", &[(n - 4.0).into()]).await;
        assert_eq!(removed, Ok(vec![ramona_amf::Value::Null, ramona_amf::Value::Null]));
    }
}

#[tokio::test]
async fn dat_07_a_spoiled_database_is_named_and_left_and_the_node_starts() {
    let script = "data.x = 1 NOTE('root says ', data.x, ' ', data.old)";
    let mut node = TestNode::builder("A").www("main.lua", script).start().await;
    node.logged(&["root says 1 (null)"]).await;
    node.stop().await;
    let store = node.dir().join("data/.store");
    let mut spoiled = Vec::new();
    for entry in std::fs::read_dir(&store).expect("the database") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            std::fs::write(&path, [0xFF; 100]).expect("a spoiled file");
            spoiled.push(path);
        }
    }
    assert!(!spoiled.is_empty());
    let mark = node.log_mark();
    node.start().await;
    node.logged_since(mark, &["ERROR", "data is not loaded and will not be saved", ".store"]).await;
    node.logged_since(mark, &["root says 1"]).await;
    for path in spoiled {
        assert_eq!(std::fs::read(path).expect("the file is left"), [0xFF; 100]);
    }
    assert!(node.sample("ramona_data_failures_total") > 0.0);
}
