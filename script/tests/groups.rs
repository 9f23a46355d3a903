//! GRS-*, GRP-*, MEM-*, MON-11, MON-12, EVT-13, EVT-14, ITR-02, ITR-05.

mod common;

use common::*;
use ramona_script::*;

const IDS: &str = "g, p, q = ('g'):rep(32), ('p'):rep(32), ('q'):rep(32)\n";

fn node(text: &str) -> Node {
    Node::root(&format!("{IDS}{text}"))
}

fn groups(node: &Node) -> Vec<(u8, u8, bool)> {
    let asked = node.asked();
    asked
        .into_iter()
        .filter_map(|asked| match asked {
            Asked::Group { group, peer, member } => Some((group[0], peer[0], member)),
            _ => None,
        })
        .collect()
}

#[test]
fn mon_11_and_12_and_grs_01_and_def_10_three_ways_to_join() {
    let node = node(
        "a = mona:join(g, p) b = mona:joinGroup(p, g) c = mona.groups:join(p, g)
         NOTE(a.rawId == p, b.rawId == p, c.rawId == p, #a.id, #mona.groups, mona.groups(g).rawId == g)
         d = mona:join(mona.groups(g).id, a.id:upper()) NOTE(d.rawId == p)",
    );
    assert_eq!(node.notes(), ["truetruetrue641true", "true"]);
    assert_eq!(groups(&node), [(b'g', b'p', true)], "one peer, told once");
}

#[test]
fn mon_11_wrong_ids_give_nil_and_an_error() {
    let node = node(
        "NOTE(tostring(mona:join(g)), tostring(mona:join(g, 'short')), tostring(mona:join(5, p)), tostring(mona:join(g, g)), tostring(mona.groups:join(p)), #mona.groups)",
    );
    assert_eq!(node.notes(), ["nilnilnilnilnil0"]);
    assert_eq!(node.errors().len(), 5);
}

#[test]
fn grs_02_and_itr_02_and_mon_02_iteration() {
    let node = node(
        "a = mona:join(g, p) b = mona:join(q, p)
         local n = 0 for id, group in mona.groups:pairs() do n = n + 1 NOTE(id == group.id, mona.groups[group.rawId] == group) end
         for i, group in ipairs(mona.groups) do NOTE(i, group.rawId:sub(1, 1)) end
         NOTE(n == mona.groups.count, n == #mona.groups)",
    );
    assert_eq!(node.notes(), ["truetrue", "truetrue", "1g", "2q", "truetrue"]);
}

#[test]
fn grp_01_to_05_virtual_members_are_not_listed() {
    let node = node(
        "m = mona:join(g, p) local group = mona.groups(g)
         NOTE(#group, group:size(), group.count, #group.members, #group.rawId, #group.id, group.id == ('67'):rep(32))
         for i in group:ipairs() do NOTE('none') end group.user = 1 NOTE(group.user)",
    );
    assert_eq!(node.notes(), ["00003264true", "1"]);
}

#[test]
fn itr_05_and_evt_13_and_14_real_members() {
    let mut node = node(
        "function onJoinGroup(c, group)
            NOTE('join ', group(c.id) == c, ' ', #group, ' ', group.members[c.rawId] == c)
            for id, x in pairs(group) do NOTE(id == x.id, x == c) end for i, x in group:ipairs() do NOTE(i, x == c) end
            for id in pairs(group.members) do NOTE(id == c.id) end
         end
         function onUnjoinGroup(c, group) NOTE('unjoin ', #group, ' ', group.rawId == g) keep = group end
         function onManage() NOTE(tostring(keep.id), #mona.groups) end",
    );
    node.connect(1).unwrap();
    node.engine.join_group(ClientId(1), [b'g'; 32]);
    assert_eq!(node.notes(), ["join true 1 true", "truetrue", "1true", "true"]);
    node.engine.unjoin_group(ClientId(1), [b'g'; 32]);
    node.engine.unjoin_group(ClientId(1), [b'g'; 32]);
    node.engine.tick();
    assert_eq!(node.notes(), ["unjoin 0 true", "nil0"]);
    node.quiet();
}

#[test]
fn grp_06_a_group_lives_while_real_or_virtual_members_do() {
    let mut node = node(
        "m = mona:join(g, p) kept = mona.groups(g) function onManage() m:release() NOTE(#mona.groups, tostring(kept.id)) end",
    );
    node.connect(1).unwrap();
    node.engine.join_group(ClientId(1), [b'g'; 32]);
    node.engine.tick();
    assert_eq!(node.notes()[0][..1], *"1");
    node.engine.unjoin_group(ClientId(1), [b'g'; 32]);
    node.engine.tick();
    assert_eq!(node.notes(), ["0nil"]);
    node.quiet();
}

#[test]
fn mem_01_and_02_members_are_counted_and_release_works_once() {
    let mut node = node(
        "a = mona:join(g, p) b = mona:join(g, p) c = mona:join(g, q)
         NOTE(a.rawId == p, a.id == ('70'):rep(32), c.rawId == q)
         a:release() a:release() NOTE(#mona.groups, tostring(a.id)) a.release(nil)
         function onManage() b:release() c:release() NOTE(#mona.groups) end",
    );
    assert_eq!(node.notes(), ["truetruetrue", "1nil"]);
    assert_eq!(groups(&node), [(b'g', b'p', true), (b'g', b'q', true)]);
    assert_eq!(node.errors().len(), 1, "called with a dot");
    node.engine.tick();
    assert_eq!(groups(&node), [(b'g', b'p', false), (b'g', b'q', false)]);
    assert_eq!(node.notes(), ["0"]);
}

#[test]
fn mem_03_an_unreferenced_member_is_released_by_the_collector() {
    let node = node("mona:join(g, p) collectgarbage() collectgarbage() NOTE(#mona.groups)");
    assert_eq!(node.notes(), ["0"]);
    assert_eq!(groups(&node), [(b'g', b'p', true), (b'g', b'p', false)]);
}
