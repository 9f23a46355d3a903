//! Scripts that misbehave, in a whole node: what does not end, what takes all memory, and the
//! streams and links that go on meanwhile.

use ramona_testkit::wait::until;
use ramona_testkit::{RtmpClient, Stage, TestNode};

const SCRIPT: &str = r#"
function onConnection(client)
	function client:spin()
		while true do pcall(function() while true do end end) end
	end
	function client:eat()
		local t = {}
		while true do t[#t + 1] = ("x"):rep(1000) .. #t end
	end
	function client:wait(seconds) return (os.execute("sleep " .. seconds)) end
	function client:poll() while true do os.execute("sleep 0.05") end end
	function client:add(a, b) return a + b end
end
"#;

#[tokio::test]
async fn a_handler_without_end_is_interrupted_and_streams_and_links_do_not_notice() {
    let ini = "[script]\nbudget = 1\n";
    let node = TestNode::builder("A").ini(ini).www("main.lua", SCRIPT).linkable().start().await;
    let other = TestNode::builder("B").target(node.links()).start().await;
    other.logged(&["linked"]).await;
    let mut stage = Stage::on(&node).await;
    let client = RtmpClient::connect(node.rtmp(), "").await;
    let spin = client.call("spin", &[]);
    // The stream flows while the script hangs: the answer is not there yet.
    let flows = stage.assert_untouched(&node);
    let (failed, ()) = tokio::join!(spin, flows);
    let (code, text) = failed.expect_err("it never returns");
    assert_eq!(code, "NetConnection.Call.Failed");
    let place = "www/main.lua:4: interrupted in function 'spin'";
    let unnamed = "www/main.lua:4: interrupted in the function of line 3";
    assert!(text.starts_with(place) || text.starts_with(unnamed), "{text}");
    node.logged(&["ERROR", "client:spin of application www: www/main.lua:4: interrupted"]).await;
    let sum = client.call("add", &[2.0.into(), 3.0.into()]).await;
    assert_eq!(sum, Ok(vec![5.0.into()]));
    assert_eq!(node.count_logged(&["link ended"]), 0);
    until("the counter", || node.sample("ramona_script_interrupted_total") > 0.0).await;
    stage.assert_untouched(&node).await;
}

#[tokio::test]
async fn a_root_that_never_loads_refuses_clients_and_the_node_stops_in_time() {
    let ini = "[script]\nbudget = 0.5\n";
    let script = "function onStop() while true do end end\nx = 1\nrepeat x = x + 1 until x < 0";
    let mut node = TestNode::builder("A").ini(ini).www("main.lua", script).start().await;
    // Which line depends on when a busy machine let the script run.
    node.logged(&["ERROR", "www/main.lua:", "interrupted in the main chunk"]).await;
    let client = RtmpClient::open(node.rtmp(), "", Default::default()).await;
    let (code, text) = client.refusal().await;
    assert_eq!(code, "NetConnection.Connect.Rejected");
    assert!(text.contains("interrupted in the main chunk"), "{text}");
    node.stop().await;
}

#[tokio::test]
async fn memory_past_its_bound_is_an_error_of_the_handler_and_counted() {
    let ini = "[script]\nmemory = 67108864\n";
    let node = TestNode::builder("A").ini(ini).www("main.lua", SCRIPT).start().await;
    let mut stage = Stage::on(&node).await;
    let client = RtmpClient::connect(node.rtmp(), "").await;
    for _ in 0..3 {
        let (_, text) = client.call("eat", &[]).await.expect_err("it never returns");
        assert!(text.ends_with("not enough memory"), "{text}");
        let sum = client.call("add", &[2.0.into(), 3.0.into()]).await;
        assert_eq!(sum, Ok(vec![5.0.into()]));
    }
    node.logged(&["ERROR", "scripts met script.memory (67108864 bytes)"]).await;
    until("the counter", || node.sample("ramona_script_memory_errors_total") > 0.0).await;
    stage.assert_untouched(&node).await;
}

#[tokio::test]
async fn a_handler_that_waits_is_not_over_its_budget_until_ten_times_its_length() {
    let ini = "[script]\nbudget = 0.25\n";
    let node = TestNode::builder("A").ini(ini).www("main.lua", SCRIPT).start().await;
    let client = RtmpClient::connect(node.rtmp(), "").await;
    // Twice its budget by the clock: nothing but the processor counts.
    let waited = client.call("wait", &[0.5.into()]).await;
    assert_eq!(waited, Ok(vec![true.into()]));
    assert_eq!(node.count_logged(&["interrupted"]), 0);
    let (_, text) = client.call("poll", &[]).await.expect_err("it never returns");
    assert!(text.contains("longer than script.budget"), "{text}");
    let sum = client.call("add", &[2.0.into(), 3.0.into()]).await;
    assert_eq!(sum, Ok(vec![5.0.into()]));
}
