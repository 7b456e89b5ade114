use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;

use super::{
    script::{Line, Match, Target},
    *,
};
use crate::{
    netfilter::{
        masquerade::{Pod, iptables_script},
        rule::{Rule, read_rule},
        tables::{Table, TableFamily},
        wire::find,
    },
    ports::{
        PortMapping, Protocol,
        script::{Options, pod},
    },
};

const RULE_CHAIN: u16 = 2;

fn parse(family: Family, lines: &[&str]) -> Option<Script> {
    Script::parse(family, &format!("*nat\n{}\nCOMMIT\n", lines.join("\n")))
}

fn family_of(net: IpNet) -> Family {
    if net.addr().is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
}

/// The rules that a script makes, as they are read from the kernel.
fn read_back(script: &Script) -> Vec<Rule> {
    let family = if script.family == Family::Ipv4 { TableFamily::Ip } else { TableFamily::Ip6 };
    let appended = script.lines.iter().filter(|line| matches!(line, Line::Append { .. }));
    let appended = appended.cloned().map(|line| Script { lines: vec![line], ..script.clone() });
    let bodies = appended.flat_map(|one| encode::messages(&one)).map(Message::into_body);
    bodies.map(|body| read_rule(Table::new(family, "nat"), &body)).collect()
}

fn net() -> impl Strategy<Value = IpNet> {
    let four =
        (any::<u32>(), 1..=32u8).prop_map(|(address, length)| (IpAddr::V4(address.into()), length));
    let six = (any::<u128>(), 1..=128u8)
        .prop_map(|(address, length)| (IpAddr::V6(address.into()), length));
    prop_oneof![four, six].prop_map(|(address, length)| IpNet::new(address, length).unwrap())
}

fn mapping() -> impl Strategy<Value = PortMapping> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    let host_ip = prop_oneof![
        Just(None),
        any::<u32>().prop_map(|address| Some(IpAddr::V4(address.into()))),
        any::<u128>().prop_map(|address| Some(IpAddr::V6(address.into()))),
    ];
    (1..=u16::MAX, 1..=u16::MAX, protocol, host_ip).prop_map(
        |(host_port, container_port, protocol, host_ip)| PortMapping {
            host_port,
            container_port,
            protocol,
            host_ip,
        },
    )
}

fn options() -> impl Strategy<Value = Options> {
    let chain = prop_oneof![Just(None), Just(Some("KUBE-MARK-MASQ".to_owned()))];
    (any::<bool>(), any::<bool>(), chain).prop_map(|(snat, masquerades_all, mark_chain)| Options {
        snat,
        masquerades_all,
        mark_chain,
        ..Options::default()
    })
}

proptest! {
    /// Whatever a pod is to have, its rules are known here, and are read as what was asked for.
    #[test]
    fn rules_of_ports_are_read_back(
        address in net(),
        mappings in prop::collection::vec(mapping(), 1..40),
        options in options(),
    ) {
        let lines = pod("net", "container", address, &mappings, &options);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let script = parse(family_of(address), &lines);
        let rules = read_back(&script.expect("words of ports are known"));
        prop_assert_eq!(rules.len(), lines.len());
        for mapping in mappings.iter().filter(|one| one.is_for(address.addr().is_ipv4())) {
            let leads = rules.iter().any(|rule| {
                rule.new_destination == Some(address.addr())
                    && rule.protocol == Some(mapping.protocol.number())
                    && rule.destination == mapping.destination()
                    && rule.ports == [mapping.host_port]
            });
            prop_assert!(leads, "{mapping:?} in {rules:#?}");
        }
    }

    #[test]
    fn rules_of_masquerading_are_read_back(address in net(), id in "[a-z0-9]{1,64}") {
        let text = iptables_script(Pod { network: "net", container: &id, link: "eth0" }, &[address]);
        let script = Script::parse(family_of(address), &text).expect("words of masquerading are known");
        let rules = read_back(&script);
        let entry = rules.first().unwrap();
        prop_assert_eq!(entry.source, Some(address.addr()));
        prop_assert_eq!(&entry.chain, "POSTROUTING");
        prop_assert!(entry.target.as_ref().is_some_and(|target| target.starts_with("CNI-")));
        let comment = format!("name: \"net\" id: \"{id}\"");
        prop_assert!(rules.iter().all(|rule| rule.comment.as_ref() == Some(&comment)));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,200}", words in "( -[a-zA-Z]+| [0-9a-f.:/,]+| \"| !){0,12}") {
        drop(Script::parse(Family::Ipv4, &text));
        drop(parse(Family::Ipv6, &[&format!("-A CHAIN{words}")]));
    }
}

#[test]
fn a_line_is_read_as_its_rule() {
    let line = r#"-A A ! -d 224.0.0.0/4 -p tcp -m comment --comment "of \"n\"" -m multiport --dports 80,443 -j CNI-X"#;
    let script = parse(Family::Ipv4, &[":CNI-X - [0:0]", line]).unwrap();
    let [Line::Declare(declared), Line::Append { chain, rule }] = script.lines.as_slice() else {
        panic!("{script:?}");
    };
    assert_eq!((declared.as_str(), chain.as_str()), ("CNI-X", "A"));
    let destination = rule.destination.unwrap();
    assert!(destination.is_negated && destination.net.to_string() == "224.0.0.0/4");
    let matches = [Match::Comment(r#"of "n""#.to_owned()), Match::Ports(vec![80, 443])];
    assert_eq!(rule.matches, matches);
    assert_eq!((rule.protocol, &rule.target), (Some(6), &Target::Jump("CNI-X".to_owned())));
    let message = encode::messages(&script).pop().unwrap().into_body();
    assert_eq!(find(&message, RULE_CHAIN), Some(&b"A\0"[..]));
}

/// What is not understood to the last word is left to the host's program.
#[test]
fn other_words_are_refused() {
    let known = ["-A A -j ACCEPT", "-A A -s 10.0.0.1 -j B-C", "-A A -p udp --dport 53 -j B-C"];
    for line in known {
        assert!(parse(Family::Ipv4, &[line]).is_some(), "{line}");
    }
    let others = [
        "",
        "-A A",
        "-A A -j LOG",
        "-A A -j MARK --set-xmark 0x2000/0x2000",
        "-A A -j ACCEPT -j ACCEPT",
        "-A A -g B-C",
        "-I A 1 -j ACCEPT",
        "-N B-C",
        "-D A -j ACCEPT",
        "-A A -s fd00::1 -j ACCEPT",
        "-A A -s 10.0.0.1,10.0.0.2 -j ACCEPT",
        "-A A -s 10.0.0.1 -s 10.0.0.2 -j ACCEPT",
        "-A A -s host.example -j ACCEPT",
        "-A A ! -p tcp -j ACCEPT",
        "-A A -p icmp -j ACCEPT",
        "-A A -p sctp --dport 9 -j ACCEPT",
        "-A A --dport 80 -j ACCEPT",
        "-A A -p tcp --dport 80:90 -j ACCEPT",
        "-A A -p tcp --dport 080 -j ACCEPT",
        "-A A -p tcp --sport 80 -j ACCEPT",
        "-A A -p tcp --dport 80 -m multiport --dports 80 -j ACCEPT",
        "-A A -p tcp -m multiport --dports 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16 -j ACCEPT",
        "-A A -p tcp -m multiport ! --dports 80 -j ACCEPT",
        "-A A -m addrtype --dst-type LOCAL -j ACCEPT",
        "-A A -m comment --comment \"\" -j ACCEPT",
        "-A A -j DNAT --to-destination 10.0.0.1:80",
        "-A A -p tcp -j DNAT --to-destination 10.0.0.1",
        "-A A -p tcp -j DNAT --to-destination [fd00::1]:80",
        "-A A -p tcp -j DNAT --to-destination 10.0.0.1:80 --random",
        "-A A -j A-NAME-THAT-IS-LONGER-THAN-ONE-MAY-BE",
    ];
    for line in others {
        assert!(parse(Family::Ipv4, &[line]).is_none(), "{line}");
        assert!(parse(Family::Ipv4, &["-A A -j ACCEPT", line]).is_none(), "{line}");
    }
    assert!(Script::parse(Family::Ipv4, "*raw\n-A A -j ACCEPT\nCOMMIT\n").is_none());
    assert!(Script::parse(Family::Ipv4, "*nat\n-A A -j ACCEPT\n").is_none());
}

#[test]
fn what_the_proof_tries_is_known() {
    for family in [Family::Ipv4, Family::Ipv6] {
        assert!(proof::attempt(family, "TRY-B").is_some(), "{family:?}");
    }
}
