use super::*;

fn only(text: &str) -> Rule {
    let saved =
        format!("*nat\n:PREROUTING ACCEPT [0:0]\n:A - [0:0]\n[3:180] -A A {text}\nCOMMIT\n");
    let tables = parse_iptables(&saved, false, true);
    tables[0].chains[1].rules[0].clone()
}

#[test]
fn rules_of_portmap_are_read() {
    let rule = only(
        r#"-p tcp -m comment --comment "dnat name: \"net\" id: \"c\"" -m multiport --dports 8080,8443:8445 -j CNI-DN-x"#,
    );
    assert_eq!(rule.comment.as_deref(), Some(r#"dnat name: "net" id: "c""#));
    assert_eq!(rule.packets, Some(3));
    assert_eq!(rule.action, Action::Jump("CNI-DN-x".to_owned()));
    let ports = &rule.conditions[1];
    assert_eq!(ports.fields, [Field::DestinationPort]);
    assert_eq!(*ports.values, [vec![Value::Range(8080, 8080)], vec![Value::Range(8443, 8445)]]);
    let rule =
        only("-d 192.0.2.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.1.0.2:8080");
    assert_eq!(rule.action, Action::Destination("10.1.0.2".parse().ok(), Some(8080)));
    assert_eq!(only("-j MARK --set-xmark 0x2000/0x2000").action, Action::Mark(0x2000, 0x2000));
    assert!(matches!(
        only("-j DNAT --to-destination 10.0.0.1-10.0.0.3").action,
        Action::Unknown(_)
    ));
}

#[test]
fn what_is_not_known_is_not_guessed() {
    let rule = only("-m statistic --mode random --probability 0.5 -p tcp -j ACCEPT");
    assert!(rule.conditions.iter().any(|one| matches!(one.fields[..], [Field::Unknown(_)])));
    assert!(rule.conditions.iter().any(|one| one.fields == [Field::Protocol]));
    let rule = only("! -i docker0 -p tcp -m conntrack ! --ctstate INVALID -j RETURN");
    assert!(rule.conditions[0].negated && rule.conditions[2].negated);
}

#[test]
fn what_is_not_known_is_told_with_its_module() {
    let cases = [
        (
            "-p tcp -m limit --limit 3/min --limit-burst 5 -j ACCEPT",
            "-m limit --limit 3/min --limit-burst 5",
        ),
        ("-m set ! --match-set banned src -j DROP", "-m set ! --match-set banned src"),
        ("-p icmp -m icmp ! --icmp-type 8 -j DROP", "-m icmp ! --icmp-type 8"),
        (
            "-m limit --limit 1/sec -m comment --comment why -m recent --rcheck",
            "-m limit --limit 1/sec -m recent --rcheck",
        ),
        // Neither is a mark of the packet.
        ("-m connmark --mark 0x1 -j ACCEPT", "-m connmark --mark 0x1"),
        ("-m mark --mark word -j ACCEPT", "-m mark --mark word"),
    ];
    for (text, expected) in cases {
        let rule = only(text);
        let fields: Vec<&Field> = rule.conditions.iter().flat_map(|one| &one.fields).collect();
        let unknown = Field::Unknown(expected.to_owned());
        assert!(fields.contains(&&unknown), "{text}: {fields:?}");
        assert!(!fields.contains(&&Field::Mark), "{text}: {fields:?}");
    }
    let rule = only("-m owner --uid-owner 0 -d 192.0.2.1/32 -m mark --mark 0x1 -j ACCEPT");
    let fields: Vec<_> = rule.conditions.iter().map(|one| one.fields[0].clone()).collect();
    let unknown = Field::Unknown("-m owner --uid-owner 0".to_owned());
    assert_eq!(fields, [Field::Destination, Field::Mark, unknown]);
}

#[test]
fn of_two_chains_with_one_name_the_first_has_the_rules() {
    let tables =
        parse_iptables("*nat\n:A - [0:0]\n:A - [0:0]\n:B - [0:0]\n-A A -j B\n", false, true);
    let chains = &tables[0].chains;
    assert_eq!(chains.iter().map(|chain| chain.rules.len()).collect::<Vec<_>>(), [1, 0, 0]);
    assert_eq!(tables[0].chain("A").unwrap().rules.len(), 1);
    assert_eq!(tables[0].chain("B").unwrap().rules.len(), 0);
    assert!(tables[0].chain("C").is_none());
}

#[test]
fn tables_of_nft_are_read_with_their_maps() {
    let text = r#"{"nftables":[{"metainfo":{}},
      {"table":{"family":"ip","name":"crio-hostports","handle":1}},
      {"map":{"family":"ip","name":"hostports","table":"crio-hostports","type":["inet_proto","inet_service"],
        "map":["ipv4_addr","inet_service"],"elem":[[{"elem":{"val":{"concat":["tcp",8080]},"comment":"x"}},{"concat":["10.1.0.2",80]}]]}},
      {"chain":{"family":"ip","table":"crio-hostports","name":"prerouting","handle":2,"type":"nat","hook":"prerouting","prio":-100,"policy":"accept"}},
      {"chain":{"family":"ip","table":"crio-hostports","name":"hostports","handle":3}},
      {"rule":{"family":"ip","table":"crio-hostports","chain":"prerouting","handle":4,"expr":[
        {"match":{"op":"==","left":{"fib":{"result":"type","flags":["daddr"]}},"right":"local"}},{"goto":{"target":"hostports"}}]}},
      {"rule":{"family":"ip","table":"crio-hostports","chain":"hostports","handle":5,"expr":[
        {"dnat":{"family":"ip","addr":{"map":{"key":{"concat":[{"meta":{"key":"l4proto"}},{"payload":{"protocol":"th","field":"dport"}}]},"data":"@hostports"}}}}]}}]}"#;
    let tables = parse_nft(text).unwrap();
    let [table] = tables.as_slice() else { panic!("{tables:?}") };
    assert_eq!(table.chains[0].base.as_ref().unwrap().priority, -100);
    assert_eq!(table.chains[0].rules[0].conditions[0].fields, [Field::DestinationType]);
    let Action::DestinationOf(fields, map) = &table.chains[1].rules[0].action else {
        panic!("{table:?}")
    };
    assert_eq!(*fields, [Field::Protocol, Field::DestinationPort]);
    assert_eq!(map[0].1, "10.1.0.2".parse::<IpAddr>().unwrap());
    assert_eq!(map[0].0, [Value::Range(6, 6), Value::Range(8080, 8080)]);
}

#[test]
fn what_nft_implies_is_kept() {
    let text = r#"{"nftables":[{"table":{"family":"inet","name":"t"}},{"chain":{"family":"inet","table":"t","name":"c"}},
      {"rule":{"family":"inet","table":"t","chain":"c","expr":[
        {"match":{"op":"!=","left":{"payload":{"protocol":"ip","field":"daddr"}},"right":"10.0.0.1"}},
        {"match":{"op":"==","left":{"payload":{"protocol":"udp","field":"dport"}},"right":53}},{"drop":null}]}}]}"#;
    let tables = parse_nft(text).unwrap();
    let rule = &tables[0].chains[0].rules[0];
    let fields: Vec<_> = rule.conditions.iter().map(|one| one.fields[0].clone()).collect();
    assert_eq!(
        fields,
        [Field::Family, Field::Destination, Field::Protocol, Field::DestinationPort]
    );
    assert_eq!(*rule.conditions[2].values, [vec![Value::Range(17, 17)]]);
    assert_eq!(rule.text, "ip daddr != 10.0.0.1 udp dport 53 drop");
}

proptest::proptest! {
    #[test]
    fn nothing_makes_the_parsers_fail(text in ".{0,300}", rule in "(-[a-z]|--[a-z]{1,9}|!|[A-Z]{1,9}|[0-9./:]{1,12}|\"| ){0,30}") {
        drop(parse_iptables(&text, false, true));
        drop(parse_iptables(&format!("*nat\n:A - [0:0]\n-A A {rule}\n{text}"), true, false));
        drop(parse_nft(&text));
    }

    #[test]
    fn every_rule_of_a_chain_is_kept_in_order(ports in proptest::collection::vec(1u16.., 0..20)) {
        let rules: String = ports.iter().map(|port| format!("-A A -p tcp -m tcp --dport {port} -j ACCEPT\n")).collect();
        let tables = parse_iptables(&format!("*filter\n:A - [0:0]\n{rules}COMMIT\n"), false, true);
        let read: Vec<_> = tables[0].chains[0].rules.iter().map(|rule| (rule.line, rule.conditions[1].values[0][0].clone())).collect();
        let wanted: Vec<_> = ports.iter().enumerate().map(|(at, port)| (at + 1, Value::Range((*port).into(), (*port).into()))).collect();
        proptest::prop_assert_eq!(read, wanted);
    }
}
