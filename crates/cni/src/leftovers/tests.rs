use super::*;

/// Two networks with a pod each, as iptables 1.8.9 lists what the plugins 1.1.1 made.
const BOTH: &str = r#"-P PREROUTING ACCEPT
-P INPUT ACCEPT
-P OUTPUT ACCEPT
-P POSTROUTING ACCEPT
-N CNI-HOSTPORT-DNAT
-N CNI-HOSTPORT-MASQ
-N CNI-HOSTPORT-SETMARK
-N CNI-DN-aaaaaaaaaaaaaaaaaaaaa
-N CNI-DN-bbbbbbbbbbbbbbbbbbbbb
-N CNI-aaaaaaaaaaaaaaaaaaaaaaaa
-N CNI-bbbbbbbbbbbbbbbbbbbbbbbb
-N MINE
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A PREROUTING -j MINE
-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ
-A POSTROUTING -s 10.44.0.2/32 -m comment --comment "name: \"crilet\" id: \"one\"" -j CNI-aaaaaaaaaaaaaaaaaaaaaaaa
-A POSTROUTING -s 10.99.0.2/32 -m comment --comment "name: \"other\" id: \"two\"" -j CNI-bbbbbbbbbbbbbbbbbbbbbbbb
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"crilet\" id: \"one\"" -m multiport --dports 80 -j CNI-DN-aaaaaaaaaaaaaaaaaaaaa
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"other\" id: \"two\"" -m multiport --dports 81 -j CNI-DN-bbbbbbbbbbbbbbbbbbbbb
-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE
-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000
-A CNI-DN-aaaaaaaaaaaaaaaaaaaaa -s 10.44.0.0/16 -p tcp -m tcp --dport 80 -j CNI-HOSTPORT-SETMARK
-A CNI-DN-aaaaaaaaaaaaaaaaaaaaa -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.44.0.2:80
-A CNI-DN-bbbbbbbbbbbbbbbbbbbbb -s 10.99.0.0/16 -p tcp -m tcp --dport 81 -j CNI-HOSTPORT-SETMARK
-A CNI-aaaaaaaaaaaaaaaaaaaaaaaa -d 10.44.0.0/16 -m comment --comment "name: \"crilet\" id: \"one\"" -j ACCEPT
-A CNI-aaaaaaaaaaaaaaaaaaaaaaaa ! -d 224.0.0.0/4 -m comment --comment "name: \"crilet\" id: \"one\"" -j MASQUERADE"#;

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn without(needle: &str) -> Vec<String> {
    BOTH.lines().filter(|line| !line.contains(needle)).map(str::to_owned).collect()
}

#[test]
fn only_the_own_network_goes_while_another_has_ports() {
    let plan = plan(&lines(BOTH), "crilet", false);
    assert_eq!(plan.chains, ["CNI-DN-aaaaaaaaaaaaaaaaaaaaa", "CNI-aaaaaaaaaaaaaaaaaaaaaaaa"]);
    assert_eq!(plan.rules.len(), 2);
    assert!(plan.rules.iter().all(|rule| rule.contains("crilet")), "{:?}", plan.rules);
}

#[test]
fn the_last_network_takes_the_shared_chains_along() {
    let listing: Vec<_> =
        without("other").into_iter().filter(|line| !line.contains("bbbb")).collect();
    let plan = plan(&listing, "crilet", false);
    assert_eq!(
        plan.transaction(),
        r#"*nat
-D POSTROUTING -s 10.44.0.2/32 -m comment --comment "name: \"crilet\" id: \"one\"" -j CNI-aaaaaaaaaaaaaaaaaaaaaaaa
-D CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"crilet\" id: \"one\"" -m multiport --dports 80 -j CNI-DN-aaaaaaaaaaaaaaaaaaaaa
-D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-D OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-D POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ
-F CNI-DN-aaaaaaaaaaaaaaaaaaaaa
-F CNI-aaaaaaaaaaaaaaaaaaaaaaaa
-F CNI-HOSTPORT-DNAT
-F CNI-HOSTPORT-SETMARK
-F CNI-HOSTPORT-MASQ
-X CNI-DN-aaaaaaaaaaaaaaaaaaaaa
-X CNI-aaaaaaaaaaaaaaaaaaaaaaaa
-X CNI-HOSTPORT-DNAT
-X CNI-HOSTPORT-SETMARK
-X CNI-HOSTPORT-MASQ
COMMIT
"#
    );
}

#[test]
fn shared_chains_that_were_there_before_stay() {
    let listing: Vec<_> =
        without("other").into_iter().filter(|line| !line.contains("bbbb")).collect();
    let plan = plan(&listing, "crilet", true);
    assert!(!plan.chains.iter().any(|chain| SHARED.contains(&chain.as_str())), "{plan:?}");
    assert_eq!(plan.chains.len(), 2);
}

#[test]
fn shared_chains_that_another_pod_marks_through_stay() {
    // The other network's entry is gone, its chain is not: somebody is at work there.
    let plan = plan(&without("other"), "crilet", false);
    assert!(!plan.chains.iter().any(|chain| SHARED.contains(&chain.as_str())), "{plan:?}");
}

#[test]
fn a_table_without_pods_is_left_alone() {
    let listing = lines("-P PREROUTING ACCEPT\n-N MINE\n-A PREROUTING -j MINE");
    assert!(plan(&listing, "crilet", false).is_empty());
    assert!(plan(&[], "crilet", false).is_empty());
}

#[test]
fn a_network_whose_name_begins_alike_is_another() {
    let listing = lines(&BOTH.replace("other", "crilet-2"));
    let plan = plan(&listing, "crilet", true);
    assert_eq!(plan.chains, ["CNI-DN-aaaaaaaaaaaaaaaaaaaaa", "CNI-aaaaaaaaaaaaaaaaaaaaaaaa"]);
}
