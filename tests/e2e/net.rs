//! What `crilet net` says of a node beside its real runtime.

use std::time::Duration;

use crilet_testkit::{Host, wait_until};
use serde_json::Value;

use crate::support::{assert_contains, crilet, crilet_ends_with, host_with_containerd};

const CRILET: &str = env!("CARGO_BIN_EXE_crilet");
const FILE: &str = "/etc/cni/net.d/10-system.conflist";

/// What the doctor finds of configurations that the runtime has not noticed.
fn unnoticed(host: &Host) -> Option<Value> {
    let output = crilet(host, &["net", "doctor", "-o", "json"]).output().unwrap();
    let found: Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    assert_eq!(output.stderr, "", "{output}");
    let mut all = found.as_array().unwrap().iter();
    all.find(|one| one["id"] == "config-unnoticed").cloned()
}

#[test]
fn a_configuration_that_containerd_has_not_noticed_is_found() {
    let (host, _containerd) = host_with_containerd();
    assert_eq!(unnoticed(&host), None);
    let text = host.read(FILE).unwrap();
    // In the same file system, so that it is moved, and not written.
    let move_in = |text: &str| {
        host.write("/etc/cni/moved", text).unwrap();
        host.shell(&format!("mv -f /etc/cni/moved {FILE}")).success().unwrap();
    };
    move_in(&text.replace("10.11.0.0", "10.12.0.0"));
    let found = unnoticed(&host).unwrap();
    assert_eq!(found["severity"], "warning", "{found:#}");
    let what = found["what"].as_str().unwrap();
    assert_contains(
        what,
        &format!("has not noticed {FILE}, and has `system` as the file was before"),
    );
    assert_contains(found["fix"].as_str().unwrap(), "touch /etc/cni/net.d/x; rm /etc/cni/net.d/x");
    // The fix that is told.
    host.shell("touch /etc/cni/net.d/x; rm /etc/cni/net.d/x").success().unwrap();
    wait_until("containerd to notice the file", Duration::from_secs(120), || {
        unnoticed(&host).map_or(Ok(()), |found| Err(found.to_string()))
    })
    .unwrap();

    // What only looks otherwise is the same.
    move_in(&text.replace("10.11.0.0", "10.12.0.0").replace("\n", " "));
    assert_eq!(unnoticed(&host), None);

    host.shell(&format!("rm {FILE}")).success().unwrap();
    let status = || crilet(&host, &["net", "snapshot"]).success().unwrap();
    wait_until("containerd to have no network", Duration::from_secs(120), || {
        let snapshot: Value = serde_json::from_str(&status()).unwrap();
        let loaded = &snapshot["loaded"];
        if loaded["networks"] == serde_json::json!([]) { Ok(()) } else { Err(loaded.to_string()) }
    })
    .unwrap();
    move_in(&text);
    let found = unnoticed(&host).unwrap();
    assert_eq!(found["severity"], "error", "{found:#}");
    assert_contains(found["what"].as_str().unwrap(), "and has no network");
    let says = found["evidence"][1]["says"].as_str().unwrap();
    assert_contains(says, "no network config found in /etc/cni/net.d");
}

/// To others than root, packet filters and namespaces look empty; nothing is told of them then.
#[test]
fn who_is_not_root_is_told_so_and_nothing_that_is_wrong() {
    let host = Host::start().unwrap();
    crilet_ends_with(0, &host, &["runtime", "up"]);
    let crilet = ["--reuid", "65534", "--regid", "65534", "--clear-groups", CRILET];
    let nobody = |words: &str| {
        let words = words.split(' ');
        host.command("setpriv").args(crilet).args(words).output().unwrap()
    };
    for verb in ["doctor", "map", "ports", "inspect web", "snapshot", "trace 127.0.0.1:80"] {
        let said = nobody(&format!("net {verb}"));
        assert_eq!((said.status, said.stdout.as_str()), (2, ""), "{verb}: {said}");
        assert_contains(&said.stderr, "only root can read the node's network");
    }
    let said = nobody("runtime status");
    assert_eq!((said.status, said.stdout.as_str()), (1, ""), "{said}");
    assert_contains(&said.stderr, "only be managed by root");
    // The configurations are for everybody, and those of crilet's own runtime are found by themselves.
    let said = crilet_ends_with(0, &host, &["net", "ls"]);
    assert_contains(&said.stdout, "10-crilet.conflist");
    assert_contains(&said.stderr, "crilet's own runtime, in `/var/lib/crilet/runtime/cni/net.d`");
    crilet_ends_with(0, &host, &["runtime", "down"]);
}
