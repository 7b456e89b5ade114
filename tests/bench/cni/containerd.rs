//! A pod with a mapped port, up and down through containerd, by either maker's plugins.

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use anyhow::{Context, Result};
use crilet_cri::{Client, Endpoint, v1};
use crilet_testkit::Host;
use tokio::time::Instant;

use crate::{
    CONTAINERD, DEBIAN, OURS, PLUGINS, again, install,
    report::{self, Times},
    tell,
};

const SOCKET: &str = "/run/crilet/runtime/containerd.sock";
/// Where containerd looks for plugins; the links in it lead to one maker's and then the other's.
const DIRECTORY: &str = "/opt/crilet/bench";
/// The kernel takes a removed pod's network apart in the background; the next turn must not pay.
const SETTLING: Duration = Duration::from_millis(300);

/// Makes a host with crilet's own containerd, and measures in it.
pub(crate) fn on_a_host(rounds: usize) -> Result<()> {
    let crilet = env!("CARGO_BIN_EXE_crilet");
    let host = Host::start()?;
    install(&host)?;
    host.shell(&format!("cp -r {OURS} {DIRECTORY}")).success()?;
    host.command(crilet).args(["runtime", "up", "--cni-plugins", DIRECTORY]).success()?;
    report::print(&again(&host, CONTAINERD, rounds)?);
    host.command(crilet).args(["runtime", "down"]).success()?;
    host.stop()
}

/// Inside the host: both makers take turns.
pub(crate) fn measure(rounds: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::connect(&Endpoint::new(SOCKET)).await?;
        let mut times: [[Times; 2]; 2] = Default::default();
        for round in 0..=rounds {
            for (directory, [ups, downs]) in [OURS, DEBIAN].into_iter().zip(&mut times) {
                choose(directory)?;
                let (up, down) = pod(&client).await?;
                // The first turn makes what all pods share.
                if round > 0 {
                    ups.push(up);
                    downs.push(down);
                }
            }
        }
        let [[up, down], [debian_up, debian_down]] = &times;
        tell("containerd, 1 port, up", Some(up), Some(debian_up));
        tell("containerd, 1 port, down", Some(down), Some(debian_down));
        Ok(())
    })
}

fn choose(directory: &str) -> Result<()> {
    for plugin in PLUGINS {
        let link = Path::new(DIRECTORY).join(plugin);
        fs::remove_file(&link).with_context(|| format!("remove {}", link.display()))?;
        symlink(Path::new(directory).join(plugin), &link)?;
    }
    Ok(())
}

/// The raw calls: RunPodSandbox, then StopPodSandbox and RemovePodSandbox.
async fn pod(client: &Client) -> Result<(Duration, Duration)> {
    let metadata = v1::PodSandboxMetadata {
        name: "bench".to_owned(),
        uid: "bench".to_owned(),
        ..Default::default()
    };
    let port = v1::PortMapping { container_port: 80, host_port: 18080, ..Default::default() };
    let config = v1::PodSandboxConfig {
        metadata: Some(metadata),
        hostname: "bench".to_owned(),
        port_mappings: vec![port],
        linux: Some(v1::LinuxPodSandboxConfig::default()),
        ..Default::default()
    };
    let begin = Instant::now();
    let id = client.run_pod_sandbox(config, "").await?;
    let up = begin.elapsed();
    let begin = Instant::now();
    client.stop_pod_sandbox(&id).await?;
    client.remove_pod_sandbox(&id).await?;
    let down = begin.elapsed();
    tokio::time::sleep(SETTLING).await;
    Ok((up, down))
}
