//! `crilet ps` of a hundred containers beside the two lists that it cannot do without, and beside crictl's.

use std::path::Path;

use anyhow::Result;
use crilet_cri::{Client, v1};
use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::{
    contenders::{remove_all, timed},
    host::{IMAGE, SOCKET},
    report::{self, Times},
};

const PODS: i32 = 20;
const CONTAINERS: i32 = 5;
const ROUNDS: usize = 51;

/// Runs all of it, and leaves no pod behind.
pub(crate) async fn run(client: &Client, crilet: &Path, crictl: Option<&Path>) -> Result<()> {
    for number in 0..PODS {
        start(client, number).await?;
    }
    let (mut floor, mut own, mut peer) = (Times::default(), Times::default(), Times::default());
    let endpoint = format!("unix://{SOCKET}");
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        tokio::try_join!(client.list_pod_sandboxes(None), client.list_containers(None))?;
        floor.push(begin.elapsed());
        own.push(timed(crilet, &["-r", SOCKET, "ps"])?);
        if let Some(crictl) = crictl {
            peer.push(timed(crictl, &["-r", &endpoint, "ps"])?);
        }
    }
    let what = format!("ps, {PODS} pods of {CONTAINERS}");
    report::print(&format!("{:<34}{}", "both lists, open connection", floor.summary()));
    report::print(&format!("{:<34}{}", format!("crilet {what}"), own.summary()));
    if crictl.is_some() {
        report::print(&format!("{:<34}{}", format!("crictl {what}"), peer.summary()));
    }
    remove_all(client).await
}

async fn start(client: &Client, number: i32) -> Result<()> {
    let sandbox = v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: format!("pod-{number}"),
            uid: format!("uid-{number}"),
            namespace: "default".to_owned(),
            attempt: 0,
        }),
        log_directory: format!("/root/bench-logs/{number}"),
        port_mappings: vec![v1::PortMapping {
            container_port: 80,
            host_port: 20_000 + number,
            ..v1::PortMapping::default()
        }],
        linux: Some(v1::LinuxPodSandboxConfig::default()),
        ..v1::PodSandboxConfig::default()
    };
    let id = client.run_pod_sandbox(sandbox.clone(), "").await?;
    try_join_all((0..CONTAINERS).map(async |number| {
        let container = client.create_container(&id, container(number), sandbox.clone()).await?;
        client.start_container(&container).await
    }))
    .await?;
    Ok(())
}

fn container(number: i32) -> v1::ContainerConfig {
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: format!("c{number}"), attempt: 0 }),
        image: Some(v1::ImageSpec { image: IMAGE.to_owned(), ..v1::ImageSpec::default() }),
        command: ["/bin/busybox", "sleep", "1000"].map(str::to_owned).to_vec(),
        log_path: format!("c{number}.log"),
        ..v1::ContainerConfig::default()
    }
}
