//! What the plugins' calls consist of, made by the host's tools alone: no plugin can be faster.
#![expect(clippy::disallowed_methods, reason = "a bench starts programs itself")]

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::{
    calls::{Pod, timed},
    report::Times,
    tell_raw,
};

/// A chain with a rule, and the rule that leads to it, as an ADD makes them.
const RULES: &str = "*nat
:BENCH-RAW - [0:0]
-A POSTROUTING -s 10.99.0.2/32 -j BENCH-RAW
-A BENCH-RAW -j ACCEPT
COMMIT
";
const NO_RULES: &str = "*nat
-D POSTROUTING -s 10.99.0.2/32 -j BENCH-RAW
-F BENCH-RAW
-X BENCH-RAW
COMMIT
";

/// A pair of links with one end in a pod and the other on the bridge of the bench, an address and a
/// route; one transaction of rules; both taken away again.
pub(crate) fn measure(rounds: usize) -> Result<()> {
    let rows = [
        "raw: iptables-restore",
        "raw: ip, link made",
        "raw: iptables-restore -D",
        "raw: ip link del",
    ];
    let mut times: [Times; 4] = Default::default();
    for round in 0..=rounds {
        let pod = Pod::new(round, 8000, 1)?;
        let name = pod.name().to_owned();
        let outer = format!(
            "link add raw0 master cni0 type veth peer name eth0 netns {name}\nlink set raw0 up\n"
        );
        let inner = "addr add 10.88.255.250/16 dev eth0\nlink set eth0 up\n\
                     route add default via 10.88.0.1\n";
        let found = [
            run("iptables-restore", &["--noflush"], RULES)?,
            run("ip", &["-batch", "-"], &outer)? + run("ip", &["-n", &name, "-batch", "-"], inner)?,
            run("iptables-restore", &["--noflush"], NO_RULES)?,
            run("ip", &["-n", &name, "link", "del", "eth0"], "")?,
        ];
        pod.remove()?;
        if round > 0 {
            times.iter_mut().zip(found).for_each(|(times, time)| times.push(time));
        }
    }
    rows.iter().zip(&times).for_each(|(row, times)| tell_raw(row, times));
    Ok(())
}

/// The time until a program has ended.
fn run(program: &str, arguments: &[&str], input: &str) -> Result<Duration> {
    let mut command = Command::new(program);
    command.args(arguments);
    let (time, output) = timed(command, input).with_context(|| format!("start {program}"))?;
    let status = output.status;
    ensure!(status.success(), "{program} {arguments:?} {status}");
    Ok(time)
}
