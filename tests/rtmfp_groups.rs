//! NetGroups: on one node, on two, and what scripts see and do.

use std::collections::HashSet;

use ramona_amf::Value;
use ramona_rtmfp::PeerId;
use ramona_tc::GroupHandle;
use ramona_testkit::{RtmfpClient, RtmfpOptions, TestNode, wait};
use sha2::{Digest, Sha256};

const SHARED: &str = include_str!("lua/groups.lua");
const SPECIFICATION: &[u8] = b"G:\"meeting point\"";

fn join(client: &RtmfpClient) -> GroupHandle {
    client.with(|server| server.join_group_of(SPECIFICATION).expect("there is room"))
}

fn hex(id: PeerId) -> String {
    id.to_string()
}

fn group_id() -> [u8; 32] {
    Sha256::digest(SPECIFICATION).into()
}

fn group_hex() -> String {
    group_id().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn client(node: &TestNode) -> RtmfpClient {
    RtmfpClient::connect(node.rtmfp(), "").await
}

/// Both nodes run the script; A targets B. Clients find them at 127.0.0.1.
async fn pair(script: &str) -> (TestNode, TestNode) {
    let node = |name: &str| TestNode::builder(name).ini("host = 127.0.0.1").linkable();
    let b = node("B").www("main.lua", script).start().await;
    let a = node("A").www("main.lua", script).target(b.links()).start().await;
    a.logged(&["linked"]).await;
    b.logged(&["linked"]).await;
    (a, b)
}

#[tokio::test]
async fn rtmfp_100_the_first_member_is_told_nobody_and_the_second_the_first() {
    let node = TestNode::builder("A").start().await;
    let (first, second) = (client(&node).await, client(&node).await);
    join(&first);
    node.logged(&["group created"]).await;
    join(&second);
    second.member(first.peer_id()).await;
    assert_eq!(second.members(), [first.peer_id()]);
    assert_eq!(first.members(), []);
    assert_eq!(second.meet(first.peer_id()).await, first.local());
}

#[tokio::test]
async fn rtmfp_101_a_newcomer_is_told_at_most_six_members_and_never_itself() {
    let node = TestNode::builder("A").start().await;
    let mut members: Vec<RtmfpClient> = Vec::new();
    for _ in 0..10 {
        let newcomer = client(&node).await;
        join(&newcomer);
        let expected = members.len().min(6);
        wait::until("its members", || newcomer.members().len() >= expected).await;
        let told: HashSet<PeerId> = newcomer.members().into_iter().collect();
        assert_eq!(told.len(), expected);
        let known: HashSet<PeerId> = members.iter().map(|member| member.peer_id()).collect();
        assert!(told.is_subset(&known), "only members, and not itself");
        members.push(newcomer);
    }
}

#[tokio::test]
async fn rtmfp_102_members_talk_to_each_other_and_the_server_carries_nothing_of_it() {
    let node = TestNode::builder("A").start().await;
    let (first, second) = (client(&node).await, client(&node).await);
    join(&first);
    node.logged(&["group created"]).await;
    join(&second);
    second.member(first.peer_id()).await;
    assert_eq!(second.meet(first.peer_id()).await, first.local());
    first.met(second.peer_id()).await;
    // Their session is their own: it goes on without a server.
    let mut node = node;
    for counter in ["in", "out"] {
        let name = format!("ramona_media_{counter}_frames_total{{protocol=\"rtmfp\"}}");
        assert_eq!(node.sample(&name), 0.0);
    }
    node.kill().await;
    assert_eq!(first.address_of(second.peer_id()), Some(second.local()));
    assert_eq!(second.address_of(first.peer_id()), Some(first.local()));
}

#[tokio::test]
async fn rtmfp_103_who_left_by_the_end_of_its_flow_or_of_its_session_is_told_to_nobody() {
    let node = TestNode::builder("A").start().await;
    let (first, second, third) = (client(&node).await, client(&node).await, client(&node).await);
    let of_first = join(&first);
    node.logged(&["join", "told=0"]).await;
    join(&second);
    node.logged(&["join", "told=1"]).await;
    join(&third);
    node.logged(&["join", "told=2"]).await;
    first.with(|server| server.leave_group(of_first));
    second.leave();
    wait::until("both to be gone", || node.count_logged(&["leave", "members=1"]) == 1).await;
    let newcomer = client(&node).await;
    join(&newcomer);
    newcomer.member(third.peer_id()).await;
    assert_eq!(newcomer.members(), [third.peer_id()]);
}

#[tokio::test]
async fn rtmfp_104_and_grp_01_a_specification_and_its_hash_are_the_same_group() {
    let node = TestNode::builder("A").start().await;
    let (first, second) = (client(&node).await, client(&node).await);
    join(&first);
    node.logged(&["group created", &group_hex()]).await;
    second.with(|server| server.join_group(&group_id()).expect("there is room"));
    second.member(first.peer_id()).await;
}

#[tokio::test]
async fn evt_13_and_14_scripts_hear_of_joins_and_leaves_with_the_group_as_it_is() {
    let script = r#"
    function onJoinGroup(client, group)
        NOTE("join ", client.id, " ", group.id, " ", group:size(), " ", group.count, " ", #group)
        for id, other in group:pairs() do NOTE("member ", id, " ", other == client) end
        NOTE("raw ", #group.rawId, " in groups ", mona.groups(group.id) == group, " ", mona.groups.count)
    end
    function onUnjoinGroup(client, group)
        NOTE("unjoin ", client.id, " ", group.id, " ", group:size())
    end
    function onDisconnection(client) NOTE("gone, groups ", mona.groups.count) end"#;
    let node = TestNode::builder("A").www("main.lua", script).start().await;
    let client = client(&node).await;
    let id = hex(client.peer_id());
    let group = join(&client);
    node.logged(&[&format!("join {id} {} 1 1 1", group_hex())]).await;
    node.logged(&[&format!("member {id} true")]).await;
    node.logged(&["raw 32 in groups true 1"]).await;
    client.with(|server| server.leave_group(group));
    node.logged(&[&format!("unjoin {id} {} 0", group_hex())]).await;
    // GRP-06, and the order of events of section 3.1 when the client is cut off.
    join(&client);
    wait::until("the second join", || node.count_logged(&["raw 32 in groups true 1"]) == 2).await;
    client.leave();
    node.logged(&["gone, groups 0"]).await;
    assert_eq!(node.count_logged(&["unjoin"]), 2);
    assert_eq!(node.count_logged(&["ERROR"]), 0);
}

#[tokio::test]
async fn cli_31_functions_of_the_client_replace_the_global_ones() {
    let script = r#"
    function onConnection(client)
        function client:onJoinGroup(group) NOTE("own join ", self.id, " ", group:size()) end
        function client:onUnjoinGroup(group) NOTE("own unjoin ", group:size()) end
    end
    function onJoinGroup() NOTE("global join") end
    function onUnjoinGroup() NOTE("global unjoin") end"#;
    let node = TestNode::builder("A").www("main.lua", script).start().await;
    let client = client(&node).await;
    let group = join(&client);
    node.logged(&["own join", "1"]).await;
    client.with(|server| server.leave_group(group));
    node.logged(&["own unjoin 0"]).await;
    assert!(!node.has_logged(&["global"]));
}

#[tokio::test]
async fn evt_13_an_error_of_the_handler_lets_the_join_stand() {
    let script = r#"
    function onJoinGroup() error("not amused") end
    function onConnection(client)
        function client:sizes() return mona.groups.count end
    end"#;
    let node = TestNode::builder("A").www("main.lua", script).start().await;
    let client = client(&node).await;
    join(&client);
    node.logged(&["ERROR", "not amused"]).await;
    assert_eq!(client.call("sizes", &[]).await, Ok(vec![1.0.into()]));
}

/// DEF-10, MON-11, MON-12, GRS-01: all three ways of a script to make a peer a member.
#[tokio::test]
async fn mem_04_virtual_members_are_told_to_newcomers_whatever_the_way_they_were_made() {
    let group = group_hex();
    let peers: Vec<String> = (1..=3).map(|n| format!("{n:02x}").repeat(32)).collect();
    let script = format!(
        r#"
    function onStart()
        a = mona:join("{group}", "{}")
        b = mona:joinGroup("{}", "{group}")
        c = mona.groups:join("{}", "{group}")
        NOTE("virtual ", a.id, " ", b.id, " ", c.id, " ", #a.rawId)
        NOTE("clients ", #mona.groups("{group}"))
    end
    function onJoinGroup() NOTE("only for real ones") end"#,
        peers[0], peers[1], peers[2]
    );
    let node = TestNode::builder("A").www("main.lua", &script).start().await;
    node.logged(&[&format!("virtual {} {} {} 32", peers[0], peers[1], peers[2])]).await;
    // GRP-03.
    node.logged(&["clients 0"]).await;
    assert!(!node.has_logged(&["only for real ones"]));
    let client = client(&node).await;
    join(&client);
    for n in 1..=3 {
        client.member(PeerId([n; 32])).await;
    }
}

#[tokio::test]
async fn mem_01_of_several_memberships_of_a_peer_the_last_counts() {
    let (group, peer) = (group_hex(), "07".repeat(32));
    let script = format!(
        r#"
    local one = mona:join("{group}", "{peer}")
    local two = mona:join("{group}", "{peer}")
    function onConnection(client)
        function client:release()
            (one or two):release()
            if one then one = nil else two = nil end
            return mona.groups.count
        end
    end"#
    );
    let node = TestNode::builder("A").www("main.lua", &script).start().await;
    let first = client(&node).await;
    assert_eq!(first.call("release", &[]).await, Ok(vec![1.0.into()]), "one is left");
    join(&first);
    first.member(PeerId([7; 32])).await;
    assert_eq!(first.call("release", &[]).await, Ok(vec![1.0.into()]), "a real one is there");
    let second = client(&node).await;
    join(&second);
    second.member(first.peer_id()).await;
    assert_eq!(second.members(), [first.peer_id()]);
}

/// GEN-18.
#[tokio::test]
async fn mem_03_a_member_that_nobody_holds_is_released_by_the_garbage_collection() {
    let (group, peer) = (group_hex(), "07".repeat(32));
    let script = format!(
        r#"
    local held = mona:join("{group}", "{peer}")
    function onConnection(client)
        function client:forget() held = nil collectgarbage() collectgarbage() end
        function client:groups() return mona.groups.count end
    end"#
    );
    let node = TestNode::builder("A").www("main.lua", &script).start().await;
    let client = client(&node).await;
    assert_eq!(client.call("groups", &[]).await, Ok(vec![1.0.into()]));
    client.with(|server| server.call("forget", &[]).expect("there is room"));
    assert_eq!(client.call("groups", &[]).await, Ok(vec![0.0.into()]));
    node.logged(&["group removed"]).await;
    join(&client);
    node.logged(&["group created"]).await;
    assert_eq!(client.members(), []);
}

#[tokio::test]
async fn smp_12_members_of_one_group_on_two_nodes_are_told_and_meet() {
    let (a, b) = pair(SHARED).await;
    let on_a = client(&a).await;
    let group = join(&on_a);
    b.logged(&["is told", &hex(on_a.peer_id())]).await;
    let on_b = client(&b).await;
    join(&on_b);
    // B tells its newcomer the member on A, and A introduces them: B does not know that peer.
    on_b.member(on_a.peer_id()).await;
    assert_eq!(on_b.meet(on_a.peer_id()).await, on_a.local());
    assert_eq!(on_a.met(on_b.peer_id()).await, on_b.local());
    // The next one on A is told both.
    a.logged(&["is told", &hex(on_b.peer_id())]).await;
    let late = client(&a).await;
    join(&late);
    late.member(on_a.peer_id()).await;
    late.member(on_b.peer_id()).await;
    assert_eq!(late.meet(on_b.peer_id()).await, on_b.local());
    // Who leaves on A is told to nobody on B any more.
    on_a.with(|server| server.leave_group(group));
    b.logged(&["is told of the end"]).await;
    let newcomer = client(&b).await;
    join(&newcomer);
    newcomer.member(on_b.peer_id()).await;
    newcomer.member(late.peer_id()).await;
    assert!(!newcomer.members().contains(&on_a.peer_id()));
    for node in [&a, &b] {
        assert_eq!(node.count_logged(&["ERROR"]), 0);
        assert_eq!(node.panics(), 0);
    }
}

#[tokio::test]
async fn smp_12_members_from_before_the_link_are_shared_and_its_end_releases_them() {
    let b = TestNode::builder("B").linkable().ini("host = 127.0.0.1").www("main.lua", SHARED);
    let b = b.start().await;
    let on_b = client(&b).await;
    join(&on_b);
    b.logged(&["joins"]).await;
    let a = TestNode::builder("A").ini("host = 127.0.0.1").www("main.lua", SHARED);
    let mut a = a.target(b.links()).start().await;
    a.logged(&["is told", &hex(on_b.peer_id())]).await;
    let on_a = client(&a).await;
    join(&on_a);
    on_a.member(on_b.peer_id()).await;
    b.logged(&["is told", &hex(on_a.peer_id())]).await;
    a.kill().await;
    b.logged(&["released what the server had told"]).await;
    let newcomer = client(&b).await;
    join(&newcomer);
    newcomer.member(on_b.peer_id()).await;
    assert_eq!(newcomer.members(), [on_b.peer_id()]);
}

#[tokio::test]
async fn group_ids_of_any_length_and_other_nonsense_are_refused_and_nothing_else_happens() {
    let node = TestNode::builder("A").start().await;
    let client = client(&node).await;
    for message in [
        vec![],
        vec![0],
        vec![0x01],
        [&[0x01, 0x21, 0x0f][..], &[7; 20]].concat(),
        [&[0x01, 0x05, 0x0f][..], &[7; 4]].concat(),
        [&[0x01, 0x42, 0x0f][..], &[7; 65]].concat(),
        vec![0xff; 3_000],
    ] {
        let length = message.len();
        let group = client.with(|server| server.send_join(message.into()).expect("there is room"));
        // Refused or ignored, the connection lives.
        let answer = client.call("nothing", &[]).await;
        assert!(answer.is_err(), "{length}: an unknown method is answered");
        client.with(|server| server.leave_group(group));
    }
    assert!(!node.has_logged(&["group created"]));
    assert!(!client.is_closed());
    assert_eq!(node.panics(), 0);
}

#[tokio::test]
async fn a_peer_that_joins_and_leaves_a_thousand_groups_leaves_nothing_behind() {
    let script = r#"
    joins, leaves = 0, 0
    function onJoinGroup() joins = joins + 1 end
    function onUnjoinGroup() leaves = leaves + 1 end
    function onConnection(client)
        function client:counts() return joins, leaves, mona.groups.count end
    end"#;
    let node = TestNode::builder("A").www("main.lua", script).start().await;
    let client = client(&node).await;
    let other = self::client(&node).await;
    for batch in 0..20u8 {
        let groups: Vec<GroupHandle> = (0..50u8)
            .map(|n| {
                let mut id = [batch; 32];
                id[0] = n;
                client.with(|server| server.join_group(&id).expect("there is room"))
            })
            .collect();
        // In the order of the session: what was joined before is joined now.
        let joined = f64::from(batch) * 50.0 + 50.0;
        wait_for_counts(&other, |counts| counts[0] == joined).await;
        for group in groups {
            client.with(|server| server.leave_group(group));
        }
        wait_for_counts(&other, |counts| counts[1] == joined).await;
    }
    wait_for_counts(&other, |counts| counts == [1_000.0, 1_000.0, 0.0]).await;
    let kind = ramona_actors::metrics::ActorKind::Group;
    wait::until("all group actors to end", || node.alive(kind) == 0).await;
    assert!(!client.is_closed());
    assert_eq!(node.panics(), 0);
}

async fn wait_for_counts(client: &RtmfpClient, enough: impl Fn(&[f64]) -> bool) {
    let begin = std::time::Instant::now();
    loop {
        let counts = client.call("counts", &[]).await.expect("counts works");
        let counts: Vec<f64> = counts.iter().filter_map(Value::as_number).collect();
        if enough(&counts) {
            return;
        }
        assert!(begin.elapsed() < wait::PATIENCE, "{counts:?}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_group_flow_before_connect_is_refused() {
    let node = TestNode::builder("A").start().await;
    let client = RtmfpClient::session(node.rtmfp(), "", RtmfpOptions::default()).await;
    let group = client.with(|server| server.join_group(&[1; 32]).expect("there is room"));
    client
        .own("the refusal", |event| match event {
            ramona_tc::ClientEvent::GroupRefused(refused) => (*refused == group).then_some(()),
            _ => None,
        })
        .await;
    assert!(!node.has_logged(&["group created"]));
}
