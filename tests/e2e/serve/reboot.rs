//! A machine that loses its power: all processes, namespaces, links and rules are gone at once, and
//! what was on disk is left, leases of addresses too.

use super::{Node, serve};

/// Ends all that a reboot ends on a host of the test kit: every process but the first one and this,
/// what is mounted for pods, their namespaces, bridge, rules and control groups, and all below `/run`.
const POWER_CUT: &str = "
# Until nobody is left: whoever was not killed yet may have started another one. Threads of the kernel are
# not seen from in here; the first process is the host itself.
look() {
  left=
  for process in /proc/[0-9]*; do
    pid=${process#/proc/}
    [ $pid -eq 1 ] || [ $pid -eq $$ ] || [ $pid -eq $PPID ] || ! [ -e $process ] || left=\"$left $pid\"
  done
}
turn=0
while look && [ -n \"$left\" ]; do
  kill -9 $left 2>/dev/null || true
  turn=$((turn+1)); [ $turn -lt 600 ] || { echo left: $left; exit 1; }
  sleep 0.1
done
for kind in /run/crilet/ /var/lib/crilet/ /run/netns/cni- /var/run/netns/cni- /run/containerd; do
  awk -v kind=$kind 'index($2, kind) == 1 {print $2}' /proc/mounts | sort -r | xargs -r umount -l
done
# The embedded runtime's leases go with /run; those of others are on disk, which is the harder case.
find /run/crilet -mindepth 1 -not -path '*/cni*' -delete 2>/dev/null || true
rm -rf /run/netns/cni-* /run/containerd
for link in $(ip -o link show type bridge | awk -F': ' '{print $2}'); do ip link del $link; done
nft flush ruleset
find /sys/fs/cgroup/ -depth -type d -path '*/k8s.io*' -exec rmdir {} + 2>/dev/null || true
";

#[test]
fn pods_come_back_after_a_power_cut_and_nothing_leaks() {
    let mut node = Node::start();
    node.write("first");
    node.expect_page("first");
    let before = node.until("readiness", ".conditions[]|select(.type==\"Ready\").status==\"True\"");
    let leases = "find /run/crilet -path '*/cni/leases/*' -name '10.*' | wc -l";
    assert_eq!(node.sh(leases).trim(), "1");

    node.sh(POWER_CUT);
    node.daemon.kill().unwrap();
    assert_eq!(node.sh(leases).trim(), "1", "a reboot gives no lease back");
    node.daemon = serve(&node.host, None);
    node.expect_page("first");
    let after = node.until("readiness", ".conditions[]|select(.type==\"Ready\").status==\"True\"");
    assert_eq!(after["uid"], before["uid"]);
    assert_eq!(after["sandbox"]["attempt"], 1, "{after}");
    assert_eq!(node.sh(leases).trim(), "1", "the lost sandbox's address was given back");
    node.expect_no_duplicates();

    node.sh(&format!("rm {}/site.yaml", super::PODS));
    node.expect_gone();
    assert_eq!(node.sh(leases).trim(), "0");
    node.end();
}
