//! FIL-*, MON-22, MON-26..28, IPA-*, SKA-01: files, addresses, mails.

mod common;

use std::fs;

use common::*;
use ramona_script::*;

fn value(expression: &str) -> String {
    let node = Node::root(&format!("NOTE({expression})"));
    node.quiet();
    node.notes().remove(0)
}

#[test]
fn mon_22_and_fil_01_to_05_files_of_a_folder() {
    let mut node = Node::root(
        "function onManage()
            local list = mona:listPaths('')
            NOTE(#list, #mona:files(), #mona:listPaths('/sub/'), ' ', #mona:listPaths('sub/../sub'))
            for i, f in ipairs(list) do
                NOTE(f.name, ' ', f.baseName, ' ', f.extension, ' ', f.size, ' ', f.isDirectory, f.isFolder)
            end
            local f = list[1]
            NOTE(f.fullPath == f.path and f.path == f.value and tostring(f) == f.path, f.isAbsolute)
            NOTE(f.parent .. f.name == f.fullPath, f.parent:sub(-5))
            NOTE(io.open(f.fullPath):read(4), ' ', type(f.lastModified), ' ', f.user)
            f.name = 'x'
         end",
    );
    fs::create_dir(node.dir.path().join("www/sub")).unwrap();
    fs::write(node.dir.path().join("www/a.tar.gz"), b"1234").unwrap();
    node.tick();
    let notes = node.notes();
    assert_eq!(notes[0], "330 0");
    assert_eq!(notes[1], "a.tar.gz a.tar gz 4 falsefalse");
    assert!(notes[2].starts_with("main.lua main lua "), "{notes:?}");
    assert_eq!(notes[3], "sub sub  0 truetrue");
    assert_eq!(notes[4..], ["truetrue", "true/www/", "1234 number (null)"]);
    assert_eq!((node.errors().len(), node.warnings().len()), (0, 1));
}

#[test]
fn fil_02_the_time_is_in_seconds() {
    let node =
        Node::root("local f = mona:listPaths()[1] NOTE(math.abs(f.lastModified - 1600000001) < 2)");
    assert_eq!(node.notes(), ["true"]);
}

#[test]
fn mon_22_a_folder_that_is_missing_is_an_error_and_empty() {
    let node = Node::root("NOTE(#mona:listPaths('none'))");
    assert_eq!(node.notes(), ["0"], "{:?}", node.errors());
    assert!(node.errors()[0].contains("www/none"));
}

#[test]
fn mon_26_a_mail_says_on_the_next_tick_that_it_was_not_sent() {
    let mut node = Node::root(
        "function onStart()
            local mail = mona:sendMail('a@b', 'subject', 'content', 'c@d')
            function mail:onSent(error) NOTE(self == mail, error) end
            mona:sendMail('a@b', 's', 't', 'x')
         end",
    );
    assert!(node.notes().is_empty());
    node.tick();
    assert_eq!(node.notes(), ["truemail not configured"]);
    node.tick();
    assert!(node.notes().is_empty());
    node.quiet();
}

#[test]
fn mon_27_and_ipa_01_ip_addresses() {
    assert_eq!(value("mona:createIPAddress('127.0.0.1').value"), "127.0.0.1");
    assert_eq!(value("mona:createIPAddress('::1').isLoopback"), "true");
    assert_eq!(
        value("tostring(mona:createIPAddress('0:0:0:0:0:0:0:1')), ' ', mona:createIPAddress()"),
        "::1 0.0.0.0"
    );
    assert_eq!(value("'ip '..mona:createIPAddress('1.2.3.4')..'!'"), "ip 1.2.3.4!");
    assert_eq!(value("mona:createIPAddress(mona:createSocketAddress('1.2.3.4:5'))"), "1.2.3.4");
    let mut node = Node::root(
        "function onServerConnection(s) NOTE(mona:createIPAddress(s), ' ', mona:createSocketAddress(s)) end",
    );
    node.link(1, true).unwrap();
    assert_eq!(node.notes(), ["192.168.0.1 192.168.0.1:1936"]);
    for bad in ["'www.a.com'", "'1.2.3'", "''", "true", "{}", "print, 5"] {
        let node = Node::root(&format!("NOTE((mona:createIPAddress({bad})))"));
        assert_eq!(node.notes(), ["(null)"], "{bad}");
        assert_eq!(node.errors().len(), usize::from(!bad.starts_with("print")), "{bad}");
    }
    let node = Node::root("NOTE((mona:createIPAddress(function(text) NOTE(text) end, 'x')))");
    assert_eq!(node.notes(), ["'x' is no IP address", "(null)"]);
    node.quiet();
}

#[test]
fn mon_27_and_28_names_are_looked_up_by_the_node() {
    let node = Node::root(
        "NOTE(mona:createIPAddressWithDNS('known'), ' ', mona:createSocketAddressWithDNS('known:80'), ' ', mona:createSocketAddressWithDNS('known', '81'))
         NOTE((mona:createIPAddressWithDNS('unknown')), (mona:createIPAddress('known')))",
    );
    assert_eq!(node.notes(), ["192.0.2.1 192.0.2.1:80 192.0.2.1:81", "(null)(null)"]);
    assert_eq!(node.errors().len(), 2);
}

#[test]
fn ipa_02_flags_of_addresses() {
    let flag = |ip: &str, name: &str| value(&format!("mona:createIPAddress('{ip}').{name}"));
    for (ip, name) in [
        ("10.0.0.1", "isSiteLocal"),
        ("239.255.0.1", "isSiteLocalMC"),
        ("127.0.0.1", "isLocal"),
        ("255.255.255.255", "isBroadcast"),
        ("1.2.3.4", "isUnicast"),
        ("1.2.3.4", "isIPv4Mapped"),
        ("1.2.3.4", "isIPv4Compatible"),
        ("0.0.0.0", "isWildcard"),
        ("ff02::1", "isMulticast"),
        ("fe80::1", "isLinkLocal"),
        ("::2", "isIPv6"),
    ] {
        assert_eq!(flag(ip, name), "true", "{ip} {name}");
        assert_eq!(
            flag("198.51.100.7", name),
            (name.starts_with("isIPv4") || name == "isUnicast").to_string()
        );
    }
}

#[test]
fn ipa_03_addresses_are_compared_by_value() {
    let code = "local function ip(t) return mona:createIPAddress(t) end
        local a = ip('1.2.3.4')
        NOTE(a == ip('1.2.3.4'), a ~= ip('1.2.3.5'), a < ip('1.2.3.10'), a <= a, ip('9.0.0.0') < ip('10.0.0.0'))
        local b = a() b.user = 1 NOTE(b == a, rawequal(a, b), a.user)
        local s = mona:createSocketAddress('1.2.3.4:80')
        NOTE(s == mona:createSocketAddress('1.2.3.4', 80), s < mona:createSocketAddress('1.2.3.4:443'), s() == s)";
    let node = Node::root(code);
    assert_eq!(node.notes(), ["truetruetruetruetrue", "truefalse(null)", "truetruetrue"]);
    node.quiet();
}

#[test]
fn mon_28_and_ska_01_socket_addresses() {
    assert_eq!(value("mona:createSocketAddress('1.2.3.4:5').port"), "5");
    let code = "local a = mona:createSocketAddress('[::1]:5') NOTE(a.isIPv6, a.host.isLoopback, a.port, ' ', a.value, ' ', a)
        NOTE(mona:createSocketAddress(80), ' ', mona:createSocketAddress(), ' ', mona:createSocketAddress('1.1.1.1', '5'))
        NOTE(mona:createSocketAddress(a, 9), ' ', mona:createSocketAddress(a), ' ', mona:createSocketAddress(a.host, 1), ' ', mona:createSocketAddress('::1', 2))
        NOTE(a.host == a.host, type(a.port), a.isIPv6)";
    let node = Node::root(code);
    assert_eq!(
        node.notes(),
        [
            "truetrue5 [::1]:5 [::1]:5",
            "0.0.0.0:80 0.0.0.0:0 1.1.1.1:5",
            "[::1]:9 [::1]:5 [::1]:1 [::1]:2",
            "truenumbertrue"
        ]
    );
    node.quiet();
    for bad in [
        "'1.2.3.4'",
        "'1.2.3.4:x'",
        "'1.2.3.4:99999'",
        "'1.2.3.4', -1",
        "'x:1'",
        "99999",
        "{}",
        "mona:createIPAddress()",
    ] {
        let node = Node::root(&format!("NOTE((mona:createSocketAddress({bad})))"));
        assert_eq!((node.notes(), node.errors().len()), (vec!["(null)".to_owned()], 1), "{bad}");
    }
}

#[test]
fn red_07_address_objects_are_addresses() {
    let mut node = Node::root(
        "function onHandshake() return mona:createSocketAddress('1.1.1.1:1'), mona:createIPAddress('2.2.2.2'), 2 end",
    );
    let answer = node.engine.handshake("10.0.0.5:4000", "", b"", 1);
    let to = |host: &str, port| Redirect::Address { host: host.into(), port };
    assert_eq!(answer, [to("1.1.1.1", 1), to("2.2.2.2", 2)]);
    node.quiet();
}
