//! Pods that are there already: their rules and leases, as the reference plugins leave them.

use std::fs;

use anyhow::Result;

use crate::mapped::{self, Pod};

const LEASES: &str = "/var/lib/cni/networks/bench";

/// Makes rules and leases of pods, each with one mapped port.
pub(crate) fn make(pods: usize) -> Result<()> {
    fs::create_dir_all(LEASES)?;
    if pods == 0 {
        return Ok(());
    }
    let mut all = Vec::new();
    for number in 0..pods {
        let container = format!("{:064x}", number + 1_000_000);
        let address = format!("10.88.{}.{}", 100 + number / 250, number % 250 + 2);
        fs::write(format!("{LEASES}/{address}"), format!("{container}\r\neth0"))?;
        all.push(Pod { container, address, port: 20_000 + number });
    }
    mapped::add(&all)
}
