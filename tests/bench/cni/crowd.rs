//! Pods that are there already: their rules and leases, as the reference plugins leave them.
#![expect(clippy::disallowed_methods, reason = "a bench starts programs itself")]

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha512};

const LEASES: &str = "/var/lib/cni/networks/bench";
const SHARED: &str = r#"-N CNI-HOSTPORT-DNAT
-N CNI-HOSTPORT-SETMARK
-N CNI-HOSTPORT-MASQ
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ
-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000
-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE
"#;

/// Makes rules and leases of pods, each with one mapped port.
pub(crate) fn make(pods: usize) -> Result<()> {
    fs::create_dir_all(LEASES)?;
    if pods == 0 {
        return Ok(());
    }
    let mut script = format!("*nat\n{SHARED}");
    for number in 0..pods {
        let container = format!("{:064x}", number + 1_000_000);
        let address = format!("10.88.{}.{}", 100 + number / 250, number % 250 + 2);
        fs::write(format!("{LEASES}/{address}"), format!("{container}\r\neth0"))?;
        script.push_str(&rules(&container, &address, 20_000 + number));
    }
    script.push_str("COMMIT\n");
    let mut restore = Command::new("iptables-restore")
        .arg("--noflush")
        .stdin(Stdio::piped())
        .spawn()
        .context("start iptables-restore")?;
    restore.stdin.take().context("no input")?.write_all(script.as_bytes())?;
    ensure!(restore.wait()?.success(), "iptables-restore failed");
    Ok(())
}

fn rules(container: &str, address: &str, port: usize) -> String {
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
