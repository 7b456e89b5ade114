use std::path::Path;

use super::*;

fn program(versions: &[&str]) -> Program {
    Program {
        path: Some("/opt/cni/bin/x".into()),
        versions: versions.iter().map(|&version| version.to_owned()).collect(),
        error: None,
    }
}

fn configuration(files: &[(&str, &str)]) -> Configuration {
    let kinds = ["bridge", "portmap", "host-local", "ptp"];
    Configuration {
        directory: "/etc/cni/net.d".into(),
        directory_exists: true,
        binary_directories: vec!["/opt/cni/bin".into()],
        files: files
            .iter()
            .map(|(name, text)| RawFile {
                file: Path::new("/etc/cni/net.d").join(name),
                text: Some((*text).to_owned()),
                error: None,
            })
            .collect(),
        programs: kinds.map(|kind| (kind.to_owned(), program(&["1.0.0"]))).into(),
        containerd: Some("1.6.20~ds1".to_owned()),
    }
}

fn good(name: &str, bridge: &str, subnet: &str) -> String {
    format!(
        r#"{{"cniVersion": "1.0.0", "name": "{name}", "plugins": [
  {{"type": "bridge", "bridge": "{bridge}", "isGateway": true, "ipam": {{"type": "host-local",
   "ranges": [[{{"subnet": "{subnet}"}}]]}}}},
  {{"type": "portmap", "capabilities": {{"portMappings": true}}}}]}}"#
    )
}

fn found(files: &[ConfigFile]) -> Vec<String> {
    let all = files.iter().flat_map(|file| &file.findings);
    all.map(|one| format!("{} {}:{} {}", one.id, one.line, one.column, one.path)).collect()
}

fn check(text: &str) -> Vec<String> {
    found(&judge(&configuration(&[("10-a.conflist", text)]), &HostNetwork::default()))
}

#[test]
fn a_good_file_is_used_and_has_no_finding() {
    let text = good("a", "cni0", "10.88.0.0/16");
    let files = judge(&configuration(&[("10-a.conflist", &text)]), &HostNetwork::default());
    assert_eq!(found(&files), Vec::<String>::new());
    assert_eq!(files[0].active_for, Reader::ALL);
    assert_eq!(files[0].plugins[0].subnets, ["10.88.0.0/16".parse().unwrap()]);
    assert_eq!(files[0].plugins[1].capabilities, ["portMappings"]);
}

#[test]
fn the_first_broken_file_stops_containerd_and_not_crio() {
    let text = good("a", "cni0", "10.88.0.0/16");
    let files = judge(
        &configuration(&[("05-x.conflist", "{"), ("10-a.conflist", &text), ("notes.txt", "hi")]),
        &HostNetwork::default(),
    );
    assert_eq!(files[0].active_for, []);
    assert_eq!(files[1].active_for, [Reader::Crio]);
    assert!(files[1].reasons[&Reader::Containerd].contains("stops at 05-x.conflist"));
    assert_eq!(found(&files), ["syntax 1:1 ", "extension 1:1 "]);
}

#[test]
fn mistakes_are_named_with_line_column_and_path() {
    let text = good("a", "cni0", "10.88.0.0/16");
    assert_eq!(
        check(&text.replace("isGateway", "isGatway")),
        ["unknown-key 2:40 plugins[0].isGatway"]
    );
    assert_eq!(check(&text.replace("isGateway", "ISGATEWAY")), Vec::<String>::new());
    assert_eq!(
        check(&text.replace("portMappings", "portmappings")),
        [
            "missing-port-mappings 4:39 plugins[1].capabilities",
            "unknown-capability 4:40 plugins[1].capabilities.portmappings",
        ]
    );
    assert_eq!(check(&text.replace("1.0.0", "1.1.0")), ["version-runtime 1:16 cniVersion"]);
    assert_eq!(check(&text.replace("1.0.0", "1.2")), ["version 1:16 cniVersion"]);
    let gateway = text.replace(r#"/16""#, r#"/16", "gateway": "10.89.0.1""#);
    assert_eq!(check(&gateway), ["gateway-outside 3:54 plugins[0].ipam.ranges[0][0].gateway"]);
    assert_eq!(
        check(&text.replace("10.88.0.0", "10.88.0.1")),
        ["subnet 3:27 plugins[0].ipam.ranges[0][0].subnet"]
    );
    assert_eq!(
        check(&text.replace("\"portmap\"", "\"tuning\"")),
        ["no-portmap 1:49 plugins", "missing-program 4:12 plugins[1].type",]
    );
    assert_eq!(
        check(r#"{"cniVersion":"1.0.0","name":"x","type":"bridge"}"#),
        ["single-in-conflist 1:1 "]
    );
}

#[test]
fn a_list_in_a_conf_is_told_to_be_one() {
    let text = good("a", "cni0", "10.88.0.0/16");
    let files = judge(&configuration(&[("10-a.conf", &text)]), &HostNetwork::default());
    assert_eq!(found(&files), ["list-in-conf 1:38 plugins"]);
    assert!(!files[0].active);
}

#[test]
fn files_are_compared_with_each_other_and_with_the_host() {
    let (a, b) = (good("a", "cni0", "10.88.0.0/16"), good("b", "cni0", "10.88.4.0/24"));
    let host = HostNetwork {
        routes: vec![
            ("10.88.0.0/16".parse().unwrap(), "cni0".to_owned()),
            ("10.88.4.0/22".parse().unwrap(), "wg0".to_owned()),
        ],
    };
    let files = judge(&configuration(&[("10-a.conflist", &a), ("20-b.conflist", &b)]), &host);
    assert_eq!(
        found(&files),
        [
            "overlap-route 1:1 plugins[0].ipam",
            "overlap-route 1:1 plugins[0].ipam",
            "shared-bridge 1:1 plugins[0]",
            "overlap-config 1:1 plugins[0].ipam",
        ]
    );
    assert!(files[0].findings[0].message.contains("10.88.4.0/22 over `wg0`"));
}
