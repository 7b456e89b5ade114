//! Rules of mapped pods in iptables, as the reference plugins leave them.
#![expect(clippy::disallowed_methods, reason = "a bench starts programs itself")]

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha512};

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

/// A pod of the network `bench`, whose bridge has 10.88.0.0/16, with port 80 mapped.
pub(crate) struct Pod {
    pub(crate) container: String,
    pub(crate) address: String,
    pub(crate) port: usize,
}

/// Adds the rules that all pods share and those of each, in one transaction.
pub(crate) fn add(pods: &[Pod]) -> Result<()> {
    let own: String = pods.iter().map(rules).collect();
    let script = format!("{SHARED}{own}COMMIT\n");
    let mut restore = Command::new("iptables-restore")
        .arg("--noflush")
        .stdin(Stdio::piped())
        .spawn()
        .context("start iptables-restore")?;
    restore.stdin.take().context("no input")?.write_all(script.as_bytes())?;
    ensure!(restore.wait()?.success(), "iptables-restore failed");
    Ok(())
}

fn rules(Pod { container, address, port }: &Pod) -> String {
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
