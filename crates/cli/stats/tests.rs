use super::{
    kernel::{Hierarchies, network_of},
    row, table,
    usage::{Kind, Measured, Network, Usage},
};
use crate::values::Form;

const MIB: u64 = 1 << 20;

fn measured(name: &str, usage: Usage) -> Measured {
    let id = "0123456789abcdef".to_owned();
    Measured { name: name.to_owned(), kind: Kind::Pod, id, restarts: 2, usage }
}

fn network(received: u64, sent: u64) -> Option<Network> {
    Some(Network { received_bytes: Some(received), sent_bytes: Some(sent), ..Network::default() })
}

#[test]
fn rates_are_of_the_time_between_two_looks() {
    let before =
        Usage { cpu_time: Some((1_000_000, 5)), network: network(100, 10), ..Usage::default() };
    let mut now = Usage {
        cpu_time: Some((251_000_000, 500_000_005)),
        network: network(1100, 10),
        ..Usage::default()
    };
    now.rate(&before, 500_000_000);
    assert_eq!(now.cpu_nanocores, Some(500_000_000), "half a processor");
    assert_eq!(now.cpu_text(), "50.0");
    let rates = now.network.unwrap();
    assert_eq!(rates.received_bytes_per_second, Some(2000));
    assert_eq!(rates.sent_bytes_per_second, Some(0));
    // The same look again tells nothing new.
    let mut again = Usage { cpu_time: now.cpu_time, ..Usage::default() };
    again.rate(&now, 1);
    assert_eq!(again.cpu_nanocores, Some(500_000_000));
    // Counters that begin anew are no negative use.
    let mut restarted = Usage { cpu_time: Some((5, 900_000_005)), ..Usage::default() };
    restarted.rate(&now, 1);
    assert_eq!(restarted.cpu_nanocores, Some(0));
}

#[test]
fn a_pod_uses_what_its_containers_use() {
    let one = Usage {
        memory_bytes: Some(MIB),
        memory_limit_bytes: Some(2 * MIB),
        processes: Some(3),
        ..Usage::default()
    };
    let sum = Usage::sum(&[one, one]);
    assert_eq!((sum.memory_bytes, sum.memory_limit_bytes), (Some(2 * MIB), Some(4 * MIB)));
    assert_eq!((sum.processes, sum.cpu_nanocores), (Some(6), None));
    let unlimited = Usage { memory_limit_bytes: None, ..one };
    assert_eq!(Usage::sum(&[one, unlimited]).memory_limit_bytes, None);
    assert_eq!(Usage::sum(&[]), Usage::default());
}

#[test]
fn tables_have_a_dash_for_what_is_not_known() {
    let full = Usage {
        cpu_nanocores: Some(1_234_000_000),
        memory_bytes: Some(MIB),
        memory_limit_bytes: Some(4 * MIB),
        processes: Some(7),
        network: network(2048, 1024),
        ..Usage::default()
    };
    let all = [measured("default/web", full), measured("default/db", Usage::default())];
    insta::assert_snapshot!(table(&all, Form::Table), @r"
    NAME         CPU %  MEMORY  LIMIT  NET RX  NET TX  PIDS  RESTARTS
    default/web  123.4  1Mi     4Mi    2Ki     1Ki     7     2
    default/db   -      -       -      -       -       -     2
    ");
    let wide = row(&all[0], Form::Wide);
    assert_eq!(wide[4..], ["25.0", "2Ki", "1Ki", "-", "-", "7", "2", "0123456789abc"]);
}

const V1: &str = "\
30 25 0:26 /host /cg/memory rw - cgroup cgroup rw,memory
31 25 0:27 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 25 0:28 / /proc rw - proc proc rw
";

#[test]
fn control_groups_are_read_in_both_versions() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let mountinfo = V1.replace("/cg/", &format!("{}/", root.display()));
    write("memory/a/memory.usage_in_bytes", "3000\n");
    write("memory/a/memory.stat", "inactive_file 7\ntotal_inactive_file 1000\n");
    write("memory/a/memory.limit_in_bytes", "9223372036854771712\n");
    write("cpu,cpuacct/a/cpuacct.usage", "5000\n");
    let of_process = "4:memory:/host/a\n3:cpu,cpuacct:/a\n0::/elsewhere\n";
    let usage = Hierarchies::of_mountinfo(&mountinfo).usage_of(of_process, 9);
    assert_eq!((usage.memory_bytes, usage.memory_limit_bytes), (Some(2000), None));
    assert_eq!((usage.cpu_time, usage.processes), (Some((5000, 9)), None));

    write("u/pod/memory.current", "5000\n");
    write("u/pod/memory.stat", "anon 1\ninactive_file 500\n");
    write("u/pod/memory.max", "8192\n");
    write("u/pod/cpu.stat", "usage_usec 12\nuser_usec 1\n");
    write("u/pod/pids.current", "4\n");
    let mountinfo = format!("30 25 0:26 / {}/u rw - cgroup2 none rw\n", root.display());
    let usage = Hierarchies::of_mountinfo(&mountinfo).usage_of("0::/pod\n", 9);
    assert_eq!((usage.memory_bytes, usage.memory_limit_bytes), (Some(4500), Some(8192)));
    assert_eq!((usage.cpu_time, usage.processes), (Some((12_000, 9)), Some(4)));
    write("u/pod/memory.max", "max\n");
    let usage = Hierarchies::of_mountinfo(&mountinfo).usage_of("0::/pod\n", 9);
    assert_eq!(usage.memory_limit_bytes, None);
}

#[test]
fn the_loopback_is_not_the_network() {
    let text = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  999       9    0    0    0     0          0         0      999       9    0    0    0     0       0          0
  eth0: 1000       2    0    0    0     0          0         0      300       3    0    0    0     0       0          0
  net1:   24       2    0    0    0     0          0         0        5       3    0    0    0     0       0          0
";
    let counted = network_of(text);
    assert_eq!((counted.received_bytes, counted.sent_bytes), (Some(1024), Some(305)));
}
