use super::*;

fn with_lines(lines: &str) -> Known {
    let place = Place { table: 1, chain: 5 };
    let seen = Seen { is_current: true, place, last: 40, lines: lines.to_owned() };
    Known { has_shared: [true, false], seen: [Some(seen), None] }
}

#[test]
fn what_is_kept_is_read_back() {
    let mut known = with_lines("6 80 CNI-DN-x\n17 53 CNI-DN-x\n");
    let mut text = Vec::new();
    known.write(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(parse(&text), Some(known.clone()));
    let meets = |text: &str, own: &str| known.may_meet(true, &[text.parse().unwrap()], own);
    assert_eq!(meets("80:90", "CNI-DN-y"), Some(true));
    assert_eq!(meets("80:90", "CNI-DN-x"), Some(false));
    assert_eq!(meets("80:90/udp", "CNI-DN-y"), Some(false));
    assert_eq!(known.may_meet(false, &["80:80".parse().unwrap()], "CNI-DN-y"), None);
    known.remove("CNI-DN-x");
    assert_eq!(known, with_lines(""));
}

#[test]
fn what_is_broken_or_of_another_version_is_not_read() {
    assert!(parse("80 80\n").is_none());
    let other = parse("4 shared seen\n6 80 CNI-DN-x\n6 - -\n").unwrap();
    assert_eq!(other.seen, [None, None]);
    let broken = parse("4 shared current 1 5 40\n6 - old 1 5 40\n6 80 CNI-D").unwrap();
    assert_eq!(broken.seen, [with_lines("").seen[0].clone(), None]);
}

#[test]
fn the_same_rule_is_kept_once() {
    let mut known = with_lines("6 80 CNI-DN-x\n");
    let table = Table::new(crate::netfilter::tables::TableFamily::Ip, "nat");
    let rule = |line: &str| crate::netfilter::rule::parse_rule(table, line).unwrap();
    let seen = known.seen[0].as_mut().unwrap();
    seen.take(&rule("-A C -p tcp -m multiport --dports 80,81 -j CNI-DN-x"));
    assert_eq!(seen.lines, "6 80 CNI-DN-x\n6 81 CNI-DN-x\n");
    assert!(known.is_current(true));
    let old = known.outdated();
    assert!(!old.is_current(true) && !old.has_shared(true));
    let mut text = Vec::new();
    old.write(&mut text).unwrap();
    assert_eq!(parse(&String::from_utf8(text).unwrap()), Some(old));
}
