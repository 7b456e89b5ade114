use super::*;

fn with(kind: &'static str, things: &[&str]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.add(kind, things.iter().map(|thing| (*thing).to_owned()));
    snapshot
}

#[test]
fn what_is_gone_and_what_is_new_is_told() {
    let before = with("link", &["lo", "veth1"]);
    let after = with("link", &["lo", "crilet0"]);
    assert_eq!(before.difference(&after).to_string(), "+ link crilet0\n- link veth1");
    assert!(before.difference(&before).is_empty());
}

#[test]
fn things_count_as_often_as_they_are_there() {
    let before = with("process", &["pause"]);
    let after = with("process", &["pause", "pause", "pause"]);
    assert_eq!(before.difference(&after).lines(), ["+ process pause", "+ process pause"]);
}

#[test]
fn tables_that_iptables_only_looked_at_are_nothing() {
    let saved = "# Generated\n*nat\n:PREROUTING ACCEPT [3:180]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";
    assert_eq!(filters(saved), Vec::<String>::new());
}

#[test]
fn rules_own_chains_and_policies_count_without_their_counters() {
    let saved =
        "*filter\n:INPUT DROP [3:180]\n:CNI-FORWARD - [0:0]\n-A INPUT -j CNI-FORWARD\nCOMMIT\n";
    let expected = [
        "filter: chain INPUT DROP",
        "filter: chain CNI-FORWARD -",
        "filter: -A INPUT -j CNI-FORWARD",
    ];
    assert_eq!(filters(saved), expected);
}

#[test]
fn tables_of_iptables_are_left_to_iptables() {
    let ruleset = "table ip nat {\n\tchain X {\n\t}\n}\ntable inet own {\n\tchain Y {\n\t}\n}\n";
    let expected =
        ["inet own: table inet own {", "inet own: chain Y {", "inet own: }", "inet own: }"];
    assert_eq!(tables(ruleset), expected);
}

#[test]
fn links_and_addresses_lose_what_changes_by_itself() {
    let line = "7: veth1@if2: <UP> mtu 1500 state UP \\    link/ether 02:00:00:00:00:01 brd ff";
    assert_eq!(link(line), "veth1@if2: <UP> mtu 1500 state UP link/ether 02:00:00:00:00:01 brd ff");
    let line = "7: veth1    inet 10.0.0.1/8 scope global veth1\\       valid_lft 12sec";
    assert_eq!(address(line), "veth1 inet 10.0.0.1/8 scope global veth1");
}
