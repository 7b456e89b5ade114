//! Ports of UDP beside the flows of others: old flows to them have to be found and ended.

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
};

use anyhow::{Result, ensure};

use crate::{
    calls::{Maker, Pod},
    report::Times,
    tell,
};

/// Flows of others.
const FLOWS: u16 = 50_000;
/// Turns at most: Debian's lists all flows once for each port, some seconds long.
const ROUNDS: usize = 5;
const SETTINGS: &str = "/proc/sys/net/netfilter";

/// portmap with one, two and ten ports of UDP, in a table with twice [`FLOWS`] flows.
pub(crate) fn measure(makers: &[(&str, Maker)], rounds: usize) -> Result<()> {
    fill()?;
    for ports in [1, 2, 10] {
        let mut times: Vec<[Times; 2]> = makers.iter().map(|_| Default::default()).collect();
        for round in 0..rounds.min(ROUNDS) {
            for ((_, maker), [adds, dels]) in makers.iter().zip(&mut times) {
                let pod = Pod::new(round, 8000, ports)?.with_datagrams();
                let (_, result) = maker.call("bridge", "ADD", &pod, &pod.bridge(None))?;
                adds.push(maker.call("portmap", "ADD", &pod, &pod.portmap(&result))?.0);
                dels.push(maker.call("portmap", "DEL", &pod, &pod.portmap(&result))?.0);
                maker.call("bridge", "DEL", &pod, &pod.bridge(Some(&result)))?;
                pod.remove()?;
            }
        }
        // Debian's ends no flows with DEL.
        for (index, what) in ["ADD", "DEL"].into_iter().enumerate() {
            let of = |maker: usize| times.get(maker).and_then(|times| times.get(index));
            tell(&format!("{what}, {ports} UDP, 100000 flows"), of(0), of(1));
        }
    }
    Ok(())
}

fn fill() -> Result<()> {
    fs::write(format!("{SETTINGS}/nf_conntrack_udp_timeout"), "600")?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    for port in 0..FLOWS {
        for net in [1, 2] {
            // Nobody listens, which the next datagram is told of.
            drop(socket.send_to(b"x", (Ipv4Addr::new(127, 0, net, 1), 10_000 + port)));
            drop(socket.send_to(b"x", (Ipv4Addr::new(127, 0, net, 1), 10_000 + port)));
        }
    }
    let count: u64 =
        fs::read_to_string(format!("{SETTINGS}/nf_conntrack_count"))?.trim().parse()?;
    ensure!(count >= 2 * u64::from(FLOWS), "only {count} flows are tracked");
    Ok(())
}
