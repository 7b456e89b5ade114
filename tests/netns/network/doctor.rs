//! What `crilet net doctor` finds and mends: each fault is made for real.

mod faults;
mod healthy;
mod leftovers;
mod lost;

use std::time::Duration;

use crilet_testkit::wait_until;
use serde_json::{Value, json};

use super::bed::{list, net};
use crate::plugins::bed::{Bed, Maker};

/// Where libcni keeps what it knows of attachments.
const RESULTS: &str = "/var/lib/cni/results";

/// A node with a network, and pods as a runtime would have made them.
pub(crate) struct Node {
    pub(crate) bed: Bed,
    /// The network as it is on disk.
    pub(crate) list: Value,
    encoded: String,
}

impl Node {
    /// A node whose network's rules are made by iptables or nft.
    pub(crate) fn start(backend: &str) -> Self {
        Self::with(plain(list(backend, true, &json!([]))))
    }

    /// A node with another network.
    pub(crate) fn with(list: Value) -> Self {
        let bed = Bed::start();
        bed.host.write("/etc/cni/net.d/10-net.conflist", list.to_string()).unwrap();
        let encoded = bed.sh("base64 -w0 /etc/cni/net.d/10-net.conflist");
        Self { bed, list, encoded }
    }

    /// Adds a pod by the plugins of a maker, and remembers it as libcni does.
    pub(crate) fn pod(&self, maker: Maker, pod: &str, mappings: &Value) -> Value {
        self.bed.pod(pod);
        self.bed.in_pod(pod, "ip link set lo up");
        self.attach(maker, pod, &json!({ "portMappings": mappings }))
    }

    /// Attaches a pod whose namespace is there, with what a runtime gives for capabilities.
    pub(crate) fn attach(&self, maker: Maker, pod: &str, capabilities: &Value) -> Value {
        let mut list = self.list.clone();
        for plugin in list["plugins"].as_array_mut().unwrap() {
            let mut wanted = capabilities.clone();
            let declared = plugin["capabilities"].clone();
            wanted.as_object_mut().unwrap().retain(|name, _| declared[name] == true);
            if wanted != json!({}) {
                plugin["runtimeConfig"] = wanted;
            }
        }
        let result = self.bed.add(&[maker], pod, &list);
        self.remember(pod, &result, capabilities);
        result
    }

    /// Writes what libcni writes when a pod was added.
    fn remember(&self, pod: &str, result: &Value, capabilities: &Value) {
        let cached = json!({
            "kind": "cniCacheV1", "containerId": pod, "config": self.encoded, "ifName": "eth0",
            "networkName": self.list["name"], "netns": format!("/run/netns/{pod}"),
            "cniArgs": [["K8S_POD_NAMESPACE", "default"], ["K8S_POD_NAME", pod]],
            "capabilityArgs": capabilities, "result": result,
        });
        let file = format!("{RESULTS}/net-{pod}-eth0");
        self.bed.host.write(file, cached.to_string()).unwrap();
    }

    /// A guard of 127.0.0.0/8 that is not crilet's, for hosts whose pods are made by the reference.
    pub(crate) fn guard(&self) {
        self.bed.sh("iptables -t raw -A PREROUTING ! -i lo -d 127.0.0.0/8 -j DROP");
    }

    /// A pod whose node lost its power an hour ago: nobody took it down, and its namespace is gone.
    pub(crate) fn lose(&self, pod: &str) {
        self.end(pod);
        self.bed.sh(&format!(
            "find /var/lib/cni/networks/net -type f | xargs grep -l '^{pod}' | xargs touch -d '1 hour ago'"
        ));
    }

    /// Ends a pod's namespace. The kernel takes it apart some time later; till then its link is one whose
    /// other end cannot be seen.
    pub(crate) fn end(&self, pod: &str) {
        let outer = self.bed.in_pod(pod, "cat /sys/class/net/eth0/iflink");
        self.bed.sh(&format!("ip netns delete {pod}"));
        wait_until("the pod's link to go", Duration::from_secs(100), || {
            // One listing: a file of a link may go while the shell reads others.
            let links = self.bed.sh("ip -o link | cut -d: -f1");
            let is_there = links.lines().any(|index| index == outer.trim());
            if is_there { Err(links) } else { Ok(()) }
        })
        .unwrap();
    }

    /// Findings, with their ids in the order in which they are told.
    #[track_caller]
    pub(crate) fn findings(&self) -> (Vec<String>, Value) {
        self.findings_of("doctor")
    }

    #[track_caller]
    pub(crate) fn findings_of(&self, arguments: &str) -> (Vec<String>, Value) {
        let output = net(&self.bed.host, &format!("{arguments} -o json"));
        let found: Value = serde_json::from_str(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output}"));
        assert_eq!(output.stderr, "", "{output}");
        let all = found.as_array().unwrap();
        let counts = all.iter().any(|one| one["severity"] != "note");
        assert_eq!(output.status, i32::from(counts), "{output}");
        let id = |one: &Value| one["id"].as_str().unwrap().to_owned();
        (all.iter().map(id).collect(), found)
    }

    /// Nothing is found.
    #[track_caller]
    pub(crate) fn is_well(&self) {
        let (ids, found) = self.findings();
        assert_eq!(ids, Vec::<String>::new(), "{found:#}");
    }

    /// Exactly this is found; gives it.
    #[track_caller]
    pub(crate) fn has(&self, id: &str) -> Value {
        let (ids, mut found) = self.findings();
        assert_eq!(ids, [id], "{found:#}");
        found[0].take()
    }

    /// Exactly these are found; gives them.
    #[track_caller]
    pub(crate) fn has_all(&self, wanted: &[&str]) -> Value {
        let (mut ids, found) = self.findings();
        ids.sort();
        let mut wanted = wanted.to_vec();
        wanted.sort_unstable();
        assert_eq!(ids, wanted, "{found:#}");
        found
    }

    /// Mends all; nothing is left.
    #[track_caller]
    pub(crate) fn mend(&self) {
        let output = net(&self.bed.host, "doctor --fix --yes");
        assert_eq!((output.status, output.stderr.as_str()), (0, ""), "{output}");
        assert!(output.stdout.contains("done: "), "{output}");
        self.is_well();
    }
}

/// A list as it is on disk: nothing that runtimes fill in.
pub(crate) fn plain(mut list: Value) -> Value {
    for plugin in list["plugins"].as_array_mut().unwrap() {
        plugin.as_object_mut().unwrap().remove("runtimeConfig");
    }
    list
}

/// One port of TCP.
pub(crate) fn port(host: u16) -> Value {
    json!([{"hostPort": host, "containerPort": 80, "protocol": "tcp"}])
}

/// Pieces of evidence of a finding.
pub(crate) fn evidence(finding: &Value) -> Vec<String> {
    let all = finding["evidence"].as_array().unwrap().iter();
    all.map(|one| format!("{} {}: {}", one["kind"], one["at"], one["says"]).replace('"', ""))
        .collect()
}
