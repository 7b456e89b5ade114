use serde_json::{Value, json};

use super::bed::{Bed, Maker, comparable, with_previous};

/// The reference's loopback leaves `ips[].version` out, which these versions require.
fn without_version(result: Value) -> Value {
    let mut result = comparable(result);
    for ip in result["ips"].as_array_mut().unwrap() {
        ip.as_object_mut().unwrap().remove("version");
    }
    result
}

#[test]
fn both_makers_give_one_result_and_serve_each_others_pods() {
    let bed = Bed::start();
    for version in ["0.3.1", "0.4.0", "1.0.0"] {
        let config = json!({"cniVersion": version, "name": "cni-loopback", "type": "loopback"});
        for maker in Maker::BOTH {
            bed.pod("one");
            let result = bed.run(maker, "ADD", "one", &config).ok();
            assert!(bed.in_pod("one", "ip link show lo").contains("LOOPBACK,UP"));
            if version != "0.3.1" {
                let config = with_previous(config.clone(), &result);
                bed.run(maker.other(), "CHECK", "one", &config).ok();
            }
            let again = bed.run(maker.other(), "ADD", "one", &config).ok();
            assert_eq!(without_version(result), without_version(again), "{version}");
            bed.run(maker.other(), "DEL", "one", &config).ok();
            assert!(!bed.in_pod("one", "ip link show lo").contains("UP"));
            bed.sh("ip netns del one");
        }
    }
}

#[test]
fn a_namespace_that_is_gone_is_no_failure_for_del() {
    let bed = Bed::start();
    let config = json!({"cniVersion": "1.0.0", "name": "n", "type": "loopback"});
    bed.run(Maker::Ours, "DEL", "gone", &config).ok();
    bed.sh("mkdir -p /run/netns && touch /run/netns/empty");
    bed.run(Maker::Ours, "DEL", "empty", &config).ok();
    let (code, words) = bed.run(Maker::Ours, "ADD", "gone", &config).error();
    assert_eq!(code, 8);
    assert!(words.contains("failed to open netns `/run/netns/gone`: No such file"), "{words}");
}
