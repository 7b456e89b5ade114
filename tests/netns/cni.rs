//! Subnets, bridges and chains in a network namespace of the test's own.

use std::{future::Future, thread};

use crilet_cni::{
    BRIDGE, Family, NETWORK, SharedChains, choose, clean_chains, nat_works, remove_bridge,
    shared_chains,
};
use crilet_core::exec::Invocation;
use nix::sched::{CloneFlags, unshare};

/// Two networks with a pod each, in iptables-restore's words.
const TWO_NETWORKS: &str = r#"*nat
:CNI-HOSTPORT-DNAT - [0:0]
:CNI-HOSTPORT-MASQ - [0:0]
:CNI-HOSTPORT-SETMARK - [0:0]
:CNI-DN-aaaaaaaaaaaaaaaaaaaaa - [0:0]
:CNI-DN-bbbbbbbbbbbbbbbbbbbbb - [0:0]
:CNI-aaaaaaaaaaaaaaaaaaaaaaaa - [0:0]
:CNI-bbbbbbbbbbbbbbbbbbbbbbbb - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
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
COMMIT
"#;

/// Runs on a thread that alone moves to a new namespace; what it starts is in there, too.
fn in_new_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let thread = thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("these tests run as root");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test());
    });
    thread.join().unwrap();
}

async fn ip(arguments: &str) {
    run("ip", arguments, "").await;
}

async fn run(program: &str, arguments: &str, input: &str) -> String {
    let program = Invocation::find(program).unwrap().args(arguments.split(' ')).input(input);
    String::from_utf8(program.run().await.unwrap().stdout).unwrap()
}

async fn rules() -> String {
    run("iptables", "-t nat -S", "").await
}

#[test]
fn subnets_avoid_what_the_host_uses_and_stay() {
    in_new_namespace(|| async {
        let (network, _) = choose(None).await.unwrap();
        assert_eq!(network.ipv4.to_string(), "10.44.0.0/16");

        ip("link set lo up").await;
        ip("address add 10.44.9.1/24 dev lo").await;
        ip("route add blackhole 10.45.0.0/17").await;
        let (network, _) = choose(None).await.unwrap();
        assert_eq!(network.ipv4.to_string(), "10.46.0.0/16");

        // The network's own bridge does not take its subnet away from it.
        ip(&format!("link add {BRIDGE} type bridge")).await;
        ip(&format!("address add 10.46.0.1/16 dev {BRIDGE}")).await;
        ip(&format!("link set {BRIDGE} up")).await;
        let (again, _) = choose(Some(&network)).await.unwrap();
        assert_eq!(again, network);
    });
}

#[test]
fn the_bridge_is_removed_once() {
    in_new_namespace(|| async {
        assert!(!remove_bridge(BRIDGE).await.unwrap());
        ip(&format!("link add {BRIDGE} type bridge")).await;
        ip("link add other0 type bridge").await;
        assert!(remove_bridge(BRIDGE).await.unwrap());
        assert!(!remove_bridge(BRIDGE).await.unwrap());
        ip("link show other0").await;
    });
}

#[test]
fn only_chains_of_the_own_network_go_until_it_is_the_last() {
    in_new_namespace(|| async {
        assert!(nat_works(Family::Ipv4).await);
        let untouched = rules().await;
        let before = shared_chains().await;
        assert_eq!(before, SharedChains::default());
        run("iptables-restore", "--noflush", TWO_NETWORKS).await;
        assert!(shared_chains().await.ipv4);

        let removed = clean_chains(NETWORK, before).await.unwrap();
        assert_eq!(removed, ["CNI-DN-aaaaaaaaaaaaaaaaaaaaa", "CNI-aaaaaaaaaaaaaaaaaaaaaaaa"]);
        let left = rules().await;
        assert!(!left.contains("aaaa") && !left.contains("crilet"), "{left}");
        assert!(left.contains("-A CNI-HOSTPORT-DNAT") && left.contains("-A POSTROUTING"), "{left}");
        assert!(clean_chains(NETWORK, before).await.unwrap().is_empty());

        clean_chains("other", before).await.unwrap();
        assert_eq!(rules().await, untouched);
    });
}

#[test]
fn shared_chains_of_somebody_else_stay() {
    in_new_namespace(|| async {
        run("iptables-restore", "--noflush", TWO_NETWORKS).await;
        let before = shared_chains().await;
        for network in [NETWORK, "other"] {
            clean_chains(network, before).await.unwrap();
        }
        let left = rules().await;
        assert!(left.contains("-N CNI-HOSTPORT-DNAT"), "{left}");
        assert!(!left.contains("CNI-DN-"), "{left}");
    });
}
