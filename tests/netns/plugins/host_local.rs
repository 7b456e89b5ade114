use serde_json::{Value, json};

use super::bed::{Bed, Call, Maker, comparable};

fn config(subnet: &str) -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "net", "type": "host-local",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]],
            "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "/var/lib/cni/networks"},
    })
}

fn address(result: &Value) -> String {
    result["ips"][0]["address"].as_str().unwrap().to_owned()
}

/// Names and contents of a store. Modes are those of the newest reference plugins, which let nobody
/// else read leases; Debian's do.
fn store(bed: &Bed) -> String {
    bed.sh("cd /var/lib/cni/networks/net && for f in *; do
            printf '%s ' \"$f\"; od -An -c \"$f\" | tr -d '\\n'; echo
        done")
}

#[test]
fn stores_are_the_same_byte_for_byte_and_serve_both_makers() {
    let mut stores = Vec::new();
    for first in Maker::BOTH {
        let bed = Bed::start();
        let config = config("10.1.0.0/24");
        let one = bed.run(first, "ADD", "one", &config).ok();
        let two = bed.run(first.other(), "ADD", "two", &config).ok();
        let three = bed.run(first, "ADD", "three", &config).ok();
        assert_eq!(
            [&one, &two, &three].map(address),
            ["10.1.0.2/24", "10.1.0.3/24", "10.1.0.4/24"]
        );
        assert_eq!(comparable(one.clone())["routes"], json!([{"dst": "0.0.0.0/0"}]));
        stores.push(store(&bed));
        for pod in ["one", "two", "three"] {
            let mut config = config.clone();
            config["prevResult"] = one.clone();
            bed.run(first.other(), "CHECK", pod, &config).ok();
        }
        bed.run(first.other(), "DEL", "one", &config).ok();
        bed.run(first, "DEL", "two", &config).ok();
        bed.run(first, "DEL", "two", &config).ok();
        bed.run(first.other(), "DEL", "three", &config).ok();
        let left = bed.sh("cd /var/lib/cni/networks/net && ls");
        assert_eq!(left.split_whitespace().collect::<Vec<_>>(), ["last_reserved_ip.0", "lock"]);
        // A freed address comes back late.
        assert_eq!(address(&bed.run(first, "ADD", "four", &config).ok()), "10.1.0.5/24");
    }
    assert_eq!(stores[0], stores[1]);
}

#[test]
fn results_are_equal_in_every_version() {
    let bed = Bed::start();
    for (number, version) in ["0.1.0", "0.2.0", "0.3.1", "0.4.0", "1.0.0"].into_iter().enumerate() {
        let results = Maker::BOTH.map(|maker| {
            let config = json!({
                "cniVersion": version, "name": "net", "type": "host-local",
                "ipam": {"type": "host-local", "dataDir": format!("/run/leases{number}-{maker:?}"),
                    "resolvConf": "/etc/resolver.test",
                    "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]],
                    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "fd00:2::/64", "gw": "fd00:1::9"}]},
            });
            bed.sh("printf 'nameserver 192.0.2.53\\nsearch a.example b.example\\n' >/etc/resolver.test");
            comparable(bed.run(maker, "ADD", "one", &config).ok())
        });
        assert_eq!(results[0], results[1], "{version}");
    }
}

#[test]
fn a_lease_that_a_power_cut_emptied_is_taken_over() {
    let bed = Bed::start();
    bed.sh("mkdir -p /var/lib/cni/networks/net && cd /var/lib/cni/networks/net && : >10.1.0.2");
    let result = bed.run(Maker::Ours, "ADD", "one", &config("10.1.0.0/30")).ok();
    assert_eq!(address(&result), "10.1.0.2/30", "the only address of the range");
    let lease = bed.sh("cat /var/lib/cni/networks/net/10.1.0.2");
    assert_eq!(lease, "one\r\neth0");
}

#[test]
fn a_full_range_says_which_and_where_and_an_attachment_gets_one_lease() {
    let bed = Bed::start();
    let config = config("10.1.0.0/30");
    bed.run(Maker::Ours, "ADD", "one", &config).ok();
    let (code, words) = bed.run(Maker::Ours, "ADD", "two", &config).error();
    assert_eq!(code, 999);
    for part in ["10.1.0.1-10.1.0.2", "`ipam.ranges[0]`", "/var/lib/cni/networks/net", "GC"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let (_, words) = bed.run(Maker::Ours, "ADD", "one", &config).error();
    assert!(words.contains("10.1.0.2 has been allocated to one, duplicate allocation"), "{words}");
    let newest = |command| {
        let mut config = config.clone();
        config["cniVersion"] = "1.1.0".into();
        bed.run(Maker::Ours, command, "one", &config)
    };
    assert_eq!(newest("STATUS").error().0, 50);
    newest("DEL").ok();
    newest("STATUS").ok();
}

#[test]
fn requested_addresses_come_from_all_three_places() {
    let bed = Bed::start();
    let mut config = config("10.1.0.0/24");
    let call = |args: &'static str, container: &'static str, config: &Value| {
        bed.call(&Call {
            maker: Maker::Ours,
            plugin: "host-local",
            command: "ADD",
            container,
            namespace: "x",
            link: "eth0",
            args,
            config: config.clone(),
        })
    };
    let result = call("K8S_POD_NAME=a;IP=10.1.0.77;IgnoreUnknown=1", "one", &config).ok();
    assert_eq!(address(&result), "10.1.0.77/24");
    let (_, words) = call("IP=10.1.0.77", "two", &config).error();
    assert!(
        words.contains("not available in range set")
            && words.contains("container one (eth0) has it"),
        "{words}"
    );
    let (code, words) = call("IP=10.1.0.78;Foo=1", "two", &config).error();
    assert!(code == 4 && words.contains("unknown keys Foo"), "{words}");
    let (_, words) = call("IP=10.1.0.1", "two", &config).error();
    assert!(words.contains("requested ip 10.1.0.1 is subnet's gateway"), "{words}");
    let (_, words) = call("IP=10.9.0.1", "two", &config).error();
    assert!(words.contains("failed to allocate all requested IPs: 10.9.0.1"), "{words}");
    let left = bed.sh("ls /var/lib/cni/networks/net");
    assert!(!left.contains("10.1.0.78"), "an address of a failed call stayed: {left}");
    config["runtimeConfig"] = json!({"ips": ["10.1.0.80/24"]});
    assert_eq!(address(&call("", "three", &config).ok()), "10.1.0.80/24");
}

#[test]
fn gc_takes_leases_of_this_network_alone_and_old_ones_by_their_container() {
    let bed = Bed::start();
    let mut config = config("10.1.0.0/24");
    config["cniVersion"] = "1.1.0".into();
    for pod in ["one", "two", "three"] {
        bed.run(Maker::Ours, "ADD", pod, &config).ok();
    }
    let mut other = config.clone();
    other["name"] = "other".into();
    bed.run(Maker::Ours, "ADD", "four", &other).ok();
    bed.sh("cd /var/lib/cni/networks/net && printf old >10.1.0.50 && printf two >10.1.0.51 && : >10.1.0.52");
    let mut gc = config.clone();
    gc["cni.dev/valid-attachments"] = json!([{"containerID": "two", "ifname": "eth0"}]);
    bed.run(Maker::Ours, "GC", "", &gc).ok();
    let left = bed.sh("cd /var/lib/cni/networks && ls net other");
    for (name, stays) in [
        ("10.1.0.3", true),
        ("10.1.0.51", true),
        ("10.1.0.50", false),
        ("10.1.0.52", false),
        ("10.1.0.4", false),
    ] {
        assert_eq!(left.split_whitespace().any(|file| file == name), stays, "{name}: {left}");
    }
    assert!(left.contains("other:\n10.1.0.2"), "{left}");
    let (code, words) = bed.run(Maker::Ours, "GC", "", &config).error();
    assert!(code == 7 && words.contains("`cni.dev/valid-attachments` is missing"), "{words}");
    gc["cni.dev/valid-attachments"] = json!([]);
    bed.run(Maker::Ours, "GC", "", &gc).ok();
    assert_eq!(bed.sh("ls /var/lib/cni/networks/net | grep -c '^10' || true").trim(), "0");
}

#[test]
fn mistakes_name_their_key_and_make_nothing() {
    let bed = Bed::start();
    let ipam = |ipam: Value| {
        let config =
            json!({"cniVersion": "1.0.0", "name": "net", "type": "host-local", "ipam": ipam});
        bed.run(Maker::Ours, "ADD", "one", &config).error()
    };
    let cases = [
        (
            json!({"ranges": [[{"subnet": "10.1.0.5/24"}]]}),
            "`ipam.ranges[0][0].subnet` is 10.1.0.5/24 has host bits set: write 10.1.0.0/24",
        ),
        (json!({"ranges": [[{"subnet": "10.1.0/24"}]]}), "must be a subnet such as"),
        (json!({"subnet": "10.1.0.0/31"}), "`ipam.subnet` is 10.1.0.0/31 is too small"),
        (
            json!({"subnet": "10.1.0.0/24", "rangeStart": "10.2.0.1"}),
            "`ipam.rangeStart` is 10.2.0.1 is not in 10.1.0.0/24",
        ),
        (
            json!({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.1.0.0/16"}]]}),
            "`ipam.ranges[1]` overlaps with `ipam.ranges[0]`",
        ),
        (json!({"ranges": [[]]}), "`ipam.ranges[0]` is empty"),
        (json!({}), "`ipam.ranges` has no IP ranges"),
        (
            json!({"ranges": {"subnet": "10.1.0.0/24"}}),
            "`ipam.ranges`: invalid type: map, expected a sequence",
        ),
    ];
    for (written, words) in cases {
        let (code, said) = ipam(written);
        assert!(code == 7 && said.contains(words), "{code} {said}");
    }
    assert_eq!(bed.sh("ls /var/lib/cni").trim(), "", "nothing was made");
}

#[test]
fn twenty_at_once_get_twenty_addresses_from_both_makers() {
    let bed = Bed::start();
    let config = config("10.1.0.0/24").to_string();
    bed.host.write("/run/config.json", &config).unwrap();
    let results = bed.sh("export CNI_COMMAND=ADD CNI_NETNS=/x CNI_IFNAME=eth0
        for n in $(seq 20); do
            dir=/opt/crilet/cni; [ $((n % 2)) = 0 ] || dir=/usr/lib/cni
            CNI_PATH=$dir CNI_CONTAINERID=pod$n $dir/host-local </run/config.json &
        done; wait; rm /run/config.json");
    let addresses: std::collections::BTreeSet<&str> =
        results.lines().filter(|line| line.contains("\"address\"")).collect();
    assert_eq!(addresses.len(), 20, "{results}");
}
