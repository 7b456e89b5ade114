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
use sha2::{Digest, Sha512};

const LEASES: &str = "/var/lib/cni/networks/bench";
const RESULTS: &str = "/var/lib/cni/results";
const SHARED: &str = r#"*nat
-N CNI-HOSTPORT-DNAT
-N CNI-HOSTPORT-SETMARK
-N CNI-HOSTPORT-MASQ
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ
-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000
-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE
"#;

/// Makes them, with ports from 20000 on.
pub(crate) fn make(pods: usize) -> Result<()> {
    fs::create_dir_all(LEASES)?;
    fs::create_dir_all(RESULTS)?;
    run(
        "ip link add cni0 type bridge && ip link set cni0 up && ip address add 10.88.0.1/16 dev cni0 && echo 1 >/proc/sys/net/ipv4/ip_forward",
    )?;
    let mut rules = SHARED.to_owned();
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
        rules.push_str(&of_pod(&name, &address, 20_000 + number));
    }
    rules.push_str("COMMIT\n");
    run(&links)?;
    let mut restore = Command::new("iptables-restore")
        .arg("--noflush")
        .stdin(Stdio::piped())
        .spawn()
        .context("start iptables-restore")?;
    restore.stdin.take().context("no input")?.write_all(rules.as_bytes())?;
    ensure!(restore.wait()?.success(), "iptables-restore failed");
    Ok(())
}

fn run(script: &str) -> Result<()> {
    let mut shell = Command::new("sh").args(["-eu"]).stdin(Stdio::piped()).spawn()?;
    shell.stdin.take().context("no input")?.write_all(script.as_bytes())?;
    ensure!(shell.wait()?.success(), "making pods failed");
    Ok(())
}

fn of_pod(container: &str, address: &str, port: usize) -> String {
    let digest = Sha512::digest(format!("bench{container}"));
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let (chain, dnat) = (format!("CNI-{hash:.24}"), format!("CNI-DN-{hash:.21}"));
    let comment = format!(r#"name: \"bench\" id: \"{container}\""#);
    let net = "10.88.0.0/16";
    format!(
        r#"-N {chain}
-A POSTROUTING -s {address}/32 -m comment --comment "{comment}" -j {chain}
-A {chain} -d {net} -m comment --comment "{comment}" -j ACCEPT
-A {chain} ! -d 224.0.0.0/4 -m comment --comment "{comment}" -j MASQUERADE
-N {dnat}
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat {comment}" -m multiport --dports {port} -j {dnat}
-A {dnat} -s {net} -p tcp -m tcp --dport {port} -j CNI-HOSTPORT-SETMARK
-A {dnat} -s 127.0.0.1/32 -p tcp -m tcp --dport {port} -j CNI-HOSTPORT-SETMARK
-A {dnat} -p tcp -m tcp --dport {port} -j DNAT --to-destination {address}:80
"#
    )
}
