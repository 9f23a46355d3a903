//! SMP-12 between two nodes: members of one NetGroup on both are made known to each other
//! (EVT-13, EVT-14, CLI-31, GRP-03, MEM-01..04).

mod common;

use common::*;
use ramona_script::*;

const GROUP: [u8; 32] = [0x67; 32];
const LINK: u64 = 1;

/// The sharing of groups as it is meant to work.
const SHARING: &str = r#"
function onRendezVousUnknown(peer)
    return mona.servers
end
function onJoinGroup(client, group)
    mona.servers:broadcast("join", group.rawId, client.rawId)
end
function onUnjoinGroup(client, group)
    mona.servers:broadcast("unjoin", group.rawId, client.rawId)
end
function onServerConnection(server)
    -- what the other side does not know yet
    for _, group in mona.groups:pairs() do
        for _, client in group:ipairs() do
            server:send("join", group.rawId, client.rawId)
        end
    end
    server.groups = {}
    function server:join(groupId, peer)
        local member = mona:join(groupId, peer)
        if not member then return end
        local members = self.groups[groupId]
        if not members then
            members = { size = 0 }
            self.groups[groupId] = members
        end
        if not members[peer] then members.size = members.size + 1 end
        members[peer] = member -- held here, or the collector would release it
    end
    function server:unjoin(groupId, peer)
        local members = self.groups[groupId]
        local member = members and members[peer]
        if not member then return end
        member:release()
        members[peer], members.size = nil, members.size - 1
        if members.size == 0 then self.groups[groupId] = nil end
    end
end
function onServerDisconnection(server)
    for _, members in pairs(server.groups or {}) do
        for peer, member in pairs(members) do
            if peer ~= "size" then member:release() end
        end
    end
end
function onManage()
    collectgarbage() collectgarbage()
    for _, group in ipairs(mona.groups) do NOTE(#group) end
end
"#;

/// Two nodes and the wire between them.
struct Pair {
    a: Node,
    b: Node,
}

/// Who became (true) or ceased to be (false) a virtual member: first byte of the peer's id.
type Told = Vec<(u8, bool)>;

impl Pair {
    fn new() -> Self {
        let mut pair = Self { a: Node::root(SHARING), b: Node::root(SHARING) };
        for number in [1, 2] {
            pair.a.connect(number).unwrap();
        }
        pair.b.connect(3).unwrap();
        pair
    }

    fn link(&mut self) {
        self.a.link(LINK, true).unwrap();
        self.b.link(LINK, false).unwrap();
    }

    fn unlink(&mut self) {
        self.a.engine.server_down(ServerId(LINK), None);
        self.b.engine.server_down(ServerId(LINK), Some(b"lost"));
    }

    /// Carries messages until both are silent; what each node was told about virtual members.
    fn settle(&mut self) -> (Told, Told) {
        let (mut at_a, mut at_b) = (Vec::new(), Vec::new());
        loop {
            let from_a = pass(&self.a, &mut self.b, &mut at_a);
            let from_b = pass(&self.b, &mut self.a, &mut at_b);
            if from_a + from_b == 0 {
                self.a.quiet();
                self.b.quiet();
                return (at_a, at_b);
            }
        }
    }

    /// Real members of each group, at A and at B, after a full collection.
    fn members(&mut self) -> (Vec<String>, Vec<String>) {
        self.a.tick();
        self.b.tick();
        (self.a.notes(), self.b.notes())
    }
}

fn pass(from: &Node, to: &mut Node, told: &mut Told) -> usize {
    let asked = from.asked();
    let count = asked.len();
    for asked in asked {
        match asked {
            Asked::Send { handler, args, .. } => {
                to.engine.server_call(ServerId(LINK), handler.as_bytes(), &args);
            }
            Asked::Group { group, peer, member } => {
                assert_eq!(group, GROUP);
                told.push((peer[0], member));
            }
            _ => {}
        }
    }
    count
}

#[test]
fn smp_12_members_of_both_nodes_know_each_other() {
    let mut pair = Pair::new();
    pair.a.engine.join_group(ClientId(1), GROUP);
    pair.b.engine.join_group(ClientId(3), GROUP);
    assert_eq!(pair.settle(), (vec![], vec![]), "not linked yet");
    pair.link();
    assert_eq!(pair.settle(), (vec![(3, true)], vec![(1, true)]), "MEM-04, and no echo");
    pair.a.engine.join_group(ClientId(2), GROUP);
    assert_eq!(pair.settle(), (vec![], vec![(2, true)]));
    let real = |count: &str| vec![count.to_owned()];
    assert_eq!(pair.members(), (real("2"), real("1")), "GRP-03");
    assert_eq!(pair.settle(), (vec![], vec![]), "the collector released nobody");
    let found = pair.b.engine.rendezvous_unknown([1; 32]);
    let place = Redirect::Address { host: "www.host1.com".into(), port: 1935 };
    assert_eq!(found, [place]);
}

#[test]
fn smp_12_who_leaves_on_one_node_leaves_on_the_other() {
    let mut pair = Pair::new();
    pair.link();
    for client in [1, 2] {
        pair.a.engine.join_group(ClientId(client), GROUP);
    }
    assert_eq!(pair.settle().1, [(1, true), (2, true)]);
    pair.a.engine.unjoin_group(ClientId(1), GROUP);
    assert_eq!(pair.settle().1, [(1, false)]);
    pair.a.engine.unjoin_group(ClientId(2), GROUP);
    pair.a.engine.disconnect(ClientId(2));
    assert_eq!(pair.settle().1, [(2, false)]);
    assert_eq!(pair.members(), (vec![], vec![]), "GRP-06: the group is gone on both");
}

#[test]
fn smp_12_a_lost_link_takes_its_members_and_a_new_one_brings_them() {
    let mut pair = Pair::new();
    pair.link();
    pair.a.engine.join_group(ClientId(1), GROUP);
    pair.b.engine.join_group(ClientId(3), GROUP);
    assert_eq!(pair.settle(), (vec![(3, true)], vec![(1, true)]));
    pair.unlink();
    assert_eq!(pair.settle(), (vec![(3, false)], vec![(1, false)]));
    pair.link();
    assert_eq!(pair.settle(), (vec![(3, true)], vec![(1, true)]));
}

#[test]
fn smp_12_and_mem_01_a_peer_that_moved_stays_a_real_member() {
    let mut pair = Pair::new();
    pair.link();
    pair.a.engine.join_group(ClientId(1), GROUP);
    pair.settle();
    // The same peer connects to B before A notices that it left.
    pair.b.connect(1).unwrap();
    pair.b.engine.join_group(ClientId(1), GROUP);
    pair.a.engine.unjoin_group(ClientId(1), GROUP);
    assert_eq!(pair.settle(), (vec![(1, true)], vec![(1, false)]));
    assert_eq!(pair.members(), (vec!["0".into()], vec!["1".into()]));
}

#[test]
fn cli_31_own_functions_of_a_client_replace_the_globals() {
    let mut node = Node::root(
        "function onJoinGroup() NOTE('global') end onUnjoinGroup = onJoinGroup
         function onConnection(client)
            function client:onJoinGroup(group, more) NOTE(self == client, group(self) == nil, group(self.id) == self, more == nil) end
            function client:onUnjoinGroup(group) NOTE(self == client, #group, group.id:sub(1, 2)) end
         end",
    );
    node.connect(1).unwrap();
    node.engine.join_group(ClientId(1), GROUP);
    node.engine.unjoin_group(ClientId(1), GROUP);
    assert_eq!(node.notes(), ["truetruetruetrue", "true067"]);
    node.quiet();
}

#[test]
fn evt_13_and_14_an_error_changes_nothing() {
    let mut node = Node::root(
        "function onJoinGroup() error('no') end onUnjoinGroup = onJoinGroup
         function onManage() NOTE(#mona.groups) end",
    );
    node.connect(1).unwrap();
    node.engine.join_group(ClientId(1), GROUP);
    node.engine.tick();
    node.engine.unjoin_group(ClientId(1), GROUP);
    node.engine.tick();
    assert_eq!(node.notes(), ["1", "0"]);
    assert_eq!(node.errors().len(), 2);
}
