//! Pods with a mapped port: namespaces, links, rules, leases and caches, as the reference plugins and a
//! runtime leave them.
#![expect(clippy::disallowed_methods, reason = "a bench starts programs itself")]

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::mapped::{self, Pod};

const LEASES: &str = "/var/lib/cni/networks/bench";
const RESULTS: &str = "/var/lib/cni/results";

/// Makes them, with ports from 20000 on.
pub(crate) fn make(pods: usize) -> Result<()> {
    fs::create_dir_all(LEASES)?;
    fs::create_dir_all(RESULTS)?;
    run(
        "ip link add cni0 type bridge && ip link set cni0 up && ip address add 10.88.0.1/16 dev cni0 && echo 1 >/proc/sys/net/ipv4/ip_forward",
    )?;
    let mut all = Vec::new();
    let mut links = String::new();
    for number in 0..pods {
        let name = format!("pod{number}");
        let address = format!("10.88.{}.{}", 1 + number / 250, number % 250 + 2);
        writeln!(
            links,
            "ip netns add {name}\nip link add veth{number} type veth peer name eth0 netns {name}\n\
             ip link set veth{number} master cni0 up\nbridge link set dev veth{number} hairpin on\n\
             ip -n {name} address add {address}/16 dev eth0\nip -n {name} link set eth0 up"
        )?;
        fs::write(format!("{LEASES}/{address}"), format!("{name}\r\neth0"))?;
        let cached = json!({
            "kind": "cniCacheV1", "containerId": name, "ifName": "eth0", "networkName": "bench",
            "netns": format!("/run/netns/{name}"),
            "capabilityArgs": {"portMappings": [
                {"hostPort": 20_000 + number, "containerPort": 80, "protocol": "tcp"}]},
            "result": {"ips": [{"address": format!("{address}/16")}]},
        });
        fs::write(format!("{RESULTS}/bench-{name}-eth0"), cached.to_string())?;
        all.push(Pod { container: name, address, port: 20_000 + number });
    }
    run(&links)?;
    mapped::add(&all)
}

fn run(script: &str) -> Result<()> {
    let mut shell = Command::new("sh").args(["-eu"]).stdin(Stdio::piped()).spawn()?;
    shell.stdin.take().context("no input")?.write_all(script.as_bytes())?;
    ensure!(shell.wait()?.success(), "making pods failed");
    Ok(())
}
