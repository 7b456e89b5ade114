//! The frame of every plugin: versions, environment, malformed input.

use serde_json::{Value, json};

use super::bed::{Bed, Call, Maker};

fn call<'a>(command: &'a str, config: Value) -> Call<'a> {
    Call {
        maker: Maker::Ours,
        plugin: "loopback",
        command,
        container: "one",
        namespace: "one",
        link: "eth0",
        args: "",
        config,
    }
}

#[test]
fn versions_are_told_without_any_input() {
    let bed = Bed::start();
    let answer = bed.call(&call("VERSION", json!(null)));
    assert_eq!(answer.output.stdout.lines().count(), 1);
    let versions = answer.ok();
    assert_eq!(versions["cniVersion"], "1.1.0");
    assert_eq!(
        versions["supportedVersions"],
        json!(["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
    );
    let about = bed.call(&call("", json!(null)));
    assert_eq!((about.output.status, about.output.stdout.as_str()), (0, ""));
    assert!(about.output.stderr.contains("CNI loopback plugin"), "{}", about.output);
}

#[test]
fn what_is_wrong_with_a_call_is_said_with_its_code() {
    let bed = Bed::start();
    bed.pod("one");
    let good = json!({"cniVersion": "1.0.0", "name": "n", "type": "loopback"});
    let with = |key: &str, value: Value| {
        let mut config = good.clone();
        config[key] = value;
        config
    };
    let cases = [
        (call("FLY", good.clone()), 4, "unknown CNI_COMMAND: FLY"),
        (
            Call { container: "", link: "", ..call("DEL", good.clone()) },
            4,
            "[CNI_CONTAINERID,CNI_IFNAME] missing",
        ),
        (Call { namespace: "", ..call("ADD", good.clone()) }, 4, "[CNI_NETNS] missing"),
        (Call { container: "../x", ..call("ADD", good.clone()) }, 4, "CNI_CONTAINERID is `../x`"),
        (Call { link: "sixteen-letters-", ..call("ADD", good.clone()) }, 4, "longer than 15 bytes"),
        (Call { link: "a/b", ..call("ADD", good.clone()) }, 4, "must not contain `/`"),
        (call("ADD", with("name", json!(""))), 7, "`name` is missing"),
        (call("ADD", with("name", json!("a b"))), 7, "`name` is \"a b\""),
        (call("ADD", with("name", json!(5))), 7, "`name`: invalid type: integer `5`"),
        (
            call("ADD", with("cniVersion", json!("9.0.0"))),
            1,
            "incompatible CNI versions; config is \"9.0.0\"",
        ),
        (
            call("CHECK", with("cniVersion", json!("0.3.1"))),
            1,
            "config version does not allow CHECK",
        ),
        (call("GC", good.clone()), 1, "config version does not allow GC"),
        (call("STATUS", good.clone()), 1, "config version does not allow STATUS"),
        (call("ADD", json!([1])), 7, "`(the whole)`: invalid type: sequence"),
        (
            Call { namespace: "/proc/self/ns/net", ..call("ADD", good.clone()) },
            8,
            "should not be the same",
        ),
        (
            Call { namespace: "/etc/passwd", ..call("ADD", good.clone()) },
            8,
            "`/etc/passwd`: Invalid argument",
        ),
    ];
    for (call, code, words) in cases {
        let (given, said) = bed.call(&call).error();
        assert_eq!((given, said.contains(words)), (code, true), "{call:?}: {given} {said}");
    }
    let broken = bed.host.command("/opt/crilet/cni/loopback").env("CNI_COMMAND", "ADD");
    let broken = broken.env("CNI_CONTAINERID", "one").env("CNI_NETNS", "/run/netns/one");
    let broken = broken.env("CNI_IFNAME", "eth0").env("CNI_PATH", "/opt").input("{\"name\":");
    let output = broken.output().unwrap();
    let error: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((output.status, error["code"].as_u64()), (1, Some(6)), "{output}");
    assert!(!bed.in_pod("one", "ip link show lo").contains("UP"), "nothing was changed");
}
