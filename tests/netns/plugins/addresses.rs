//! `static`: addresses that are named, by the network or by the caller.

use serde_json::{Value, json};

use super::bed::{Answer, Bed, Call, Maker, comparable, with_previous};

fn config(version: &str, ipam: &Value, more: &Value) -> Value {
    let mut config = json!({"cniVersion": version, "name": "net", "type": "x", "ipam": ipam});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn run(bed: &Bed, maker: Maker, command: &str, args: &str, config: &Value) -> Answer {
    let call = Call {
        maker,
        plugin: "static",
        command,
        container: "one",
        namespace: "one",
        link: "eth0",
        args,
        config: config.clone(),
    };
    bed.call(&call)
}

#[test]
fn both_makers_give_the_same_in_every_version() {
    let bed = Bed::start();
    bed.pod("one");
    let one = json!({
        "type": "static",
        "addresses": [{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}, {"address": "fd00::5/64"}],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "192.168.0.0/16", "gw": "10.1.0.7"}],
        "dns": {"nameservers": ["10.1.0.1"], "domain": "d", "search": ["a"], "options": ["b"]},
    });
    let runtime = json!({"runtimeConfig": {"ips": ["10.3.0.5/24", "10.3.0.6/24"]}});
    let args = json!({"args": {"cni": {"IPS": ["10.4.0.5/24"]}}, "runtimeConfig": {"ips": null}});
    let cases = [
        (one.clone(), json!({}), ""),
        (one.clone(), json!({}), "IgnoreUnknown=1;X=y"),
        (one.clone(), runtime, "IP=10.2.0.5/24"),
        (one.clone(), args, ""),
        (
            json!({"type": "static"}),
            json!({}),
            "GATEWAY=10.2.0.1,fd02::1;IP=10.2.0.5/24,fd02::5/64",
        ),
        (one, json!({}), "IP=10.1.0.6/24;GATEWAY=10.1.0.9"),
    ];
    for (ipam, more, args) in &cases {
        for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"] {
            let config = config(version, ipam, more);
            let answers = Maker::BOTH.map(|maker| run(&bed, maker, "ADD", args, &config));
            if answers[1].output.status != 0 {
                let [ours, reference] = answers.map(Answer::error);
                assert!(reference.1.contains("more than 1 address per family"), "{reference:?}");
                assert_eq!(ours.0, 7);
                assert!(ours.1.contains("more than 1 address per family"), "{ours:?}");
                continue;
            }
            let [ours, reference] = answers.map(|answer| comparable(answer.ok()));
            assert_eq!(ours, reference, "{version} {ipam} {more} {args}");
            if version >= "0.4.0" {
                let whole = with_previous(config, &ours);
                for maker in Maker::BOTH {
                    run(&bed, maker, "CHECK", args, &whole).ok();
                    run(&bed, maker, "DEL", args, &whole).ok();
                }
            }
        }
    }
}

#[test]
fn what_is_wrong_is_said() {
    let bed = Bed::start();
    bed.pod("one");
    let of = |address: Value| json!({"type": "static", "addresses": [address]});
    let cases = [
        (json!(null), json!({}), "", "`ipam` is missing"),
        (
            of(json!({"address": "10.1.0.5"})),
            json!({}),
            "",
            "`ipam.addresses[0].address` is \"10.1.0.5\", but",
        ),
        (
            of(json!({})),
            json!({}),
            "",
            "`ipam.addresses[0].address` is \"\", but must be an address",
        ),
        (
            of(json!({"address": "10.1.0.5/24", "gateway": "x"})),
            json!({}),
            "",
            "`ipam.addresses[0].gateway` is \"x\", which is no IP address",
        ),
        (
            of(json!({"address": "10.1.0.5/24"})),
            json!({}),
            "IP=10.1.0.5/24",
            "has 10.1.0.5/24 twice",
        ),
        (of(json!({"address": "10.1.0.5/24"})), json!({}), "IP=z", "`CNI_ARGS IP` is \"z\""),
        (
            of(json!({"address": "10.1.0.5/24"})),
            json!({}),
            "GATEWAY=z",
            "`CNI_ARGS GATEWAY` is \"z\"",
        ),
        (
            of(json!({"address": "10.1.0.5/24"})),
            json!({"runtimeConfig": {"ips": ["10.1.0.5/24", "10.1"]}}),
            "",
            "`runtimeConfig.ips[1]` is \"10.1\"",
        ),
    ];
    for (ipam, more, args, expected) in cases {
        let config = config("1.0.0", &ipam, &more);
        let (code, words) = run(&bed, Maker::Ours, "ADD", args, &config).error();
        assert_eq!((code, words.contains(expected)), (7, true), "{words}");
    }
    let good =
        config("1.1.0", &of(json!({"address": "10.1.0.5/24", "gateway": "10.1.0.1"})), &json!({}));
    run(&bed, Maker::Ours, "STATUS", "", &good).ok();
    let previous =
        json!({"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.5/24", "gateway": "10.1.0.2"}]});
    let (_, words) = run(&bed, Maker::Ours, "CHECK", "", &with_previous(good, &previous)).error();
    assert!(words.contains("address 10.1.0.5/24 with gateway 10.1.0.1 is missing"), "{words}");
}
