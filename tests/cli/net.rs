//! `crilet net` of files alone, which any user may read.

use std::{fs, os::unix::fs::PermissionsExt};

use crilet_cri::fake::Fake;

use crate::bed::Bed;

const PLUGIN: &str =
    "#!/bin/sh\necho '{\"cniVersion\":\"1.0.0\",\"supportedVersions\":[\"0.4.0\",\"1.0.0\"]}'\n";
const GOOD: &str = r#"{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {"type": "bridge", "bridge": "test-br0", "isGateway": true, "hairpinMode": true,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "198.51.100.0/24"}]]}},
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
"#;

fn bed(files: &[(&str, &str)]) -> Bed {
    let bed = Bed::new(Fake::builder());
    for plugin in ["bridge", "host-local", "portmap"] {
        bed.write(&format!("bin/{plugin}"), PLUGIN);
        let path = bed.path(&format!("bin/{plugin}"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for (name, text) in files {
        bed.write(&format!("net.d/{name}"), text);
    }
    bed
}

fn net(bed: &Bed, arguments: &str) -> crate::bed::Outcome {
    let places = "--conf-dir net.d --bin-dir bin";
    bed.crilet(&format!("net {arguments} {places}")).run()
}

#[test]
fn the_file_that_wins_is_shown_and_why_the_others_do_not() {
    let broken = ("05-old.conflist", "{\n  \"name\": \"old\",\n}\n");
    let bed = bed(&[broken, ("10-pods.conflist", GOOD), ("readme.txt", "")]);
    let table = net(&bed, "ls");
    let wide = net(&bed, "ls -o wide");
    insta::assert_snapshot!(format!("{table}\n{wide}"));
    let json = net(&bed, "ls -o json");
    let files: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&files[0]["active"], &files[1]["active"]), (&false.into(), &true.into()));
    assert_eq!(files[1]["active_for"], serde_json::json!(["cri-o"]));
    assert_eq!(files[1]["name"], "pods");
    assert!(files[1]["file"].as_str().unwrap().ends_with("10-pods.conflist"));
}

#[test]
fn mistakes_have_places_and_a_status_and_a_good_file_has_none() {
    let bed = bed(&[("10-pods.conflist", GOOD)]);
    let good = net(&bed, "check");
    assert_eq!((good.code(), good.stdout.as_str()), (Some(0), ""), "{good}");
    let wrong = GOOD.replace("hairpinMode", "hairpinMod").replace("portMappings", "portMapping");
    bed.write("net.d/10-pods.conflist", &wrong);
    insta::assert_snapshot!(net(&bed, "check").to_string());
    bed.write("net.d/20-same.conflist", GOOD);
    let both = net(&bed, "check");
    assert!(
        both.stdout.contains("[shared-bridge]") || both.stdout.contains("[duplicate-name]"),
        "{both}"
    );
    let one = net(&bed, "check net.d/20-same.conflist");
    assert_eq!(one.code(), Some(0), "{one}");
    for (file, why) in [("nothing.conflist", "No such file"), ("net.d", "is a directory")] {
        let none = net(&bed, &format!("check {file}"));
        assert_eq!(none.code(), Some(2), "{none}");
        assert!(none.stderr.contains(&format!("failed to read `{file}`: {why}")), "{none}");
    }
}

#[test]
fn an_empty_or_missing_directory_and_a_wrong_snapshot_are_told() {
    let bed = Bed::new(Fake::builder());
    bed.write("net.json", "{\"version\": 9}");
    let outcomes = [
        bed.crilet("net ls --conf-dir nowhere").run(),
        bed.crilet("net ls --from net.json").run(),
        bed.crilet("net trace --from nothing.json 127.0.0.1:1").run(),
    ];
    assert_eq!(outcomes.each_ref().map(|one| one.code()), [Some(0), Some(2), Some(2)]);
    insta::assert_snapshot!(outcomes.map(|one| one.to_string()).join("\n"));
}
