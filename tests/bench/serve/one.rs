//! One pod: from the manifest to the container, an edit, a death, its end.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use crilet_core::ProcessEnd;
use crilet_cri::{
    Client,
    inventory::{self, Detail},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::Instant;

use crate::{
    PODS, TOLD, gone, raw_pod,
    report::{self, Times},
    seen, take_down, told, write,
};

/// The kernel takes a removed pod's network apart in the background; the next turn must not pay.
const SETTLING: Duration = Duration::from_millis(300);

pub(crate) async fn measure(client: &Client, rounds: usize) -> Result<()> {
    let mut raw_start = Times::default();
    let mut raw_restart = Times::default();
    let (mut start, mut restart) = (Times::default(), Times::default());
    let mut detection = Times::default();
    let (mut edit, mut removal) = (Times::default(), Times::default());
    // The first round only warms caches.
    for round in 0..=rounds {
        let keep = |times: &mut Times, time| {
            if round > 0 {
                times.push(time);
            }
        };
        let (started, restarted) = raw(client, round).await?;
        keep(&mut raw_start, started);
        keep(&mut raw_restart, restarted);

        let text = format!("kept-{round}");
        let begin = Instant::now();
        write("one", &text)?;
        told(&text).await?;
        keep(&mut start, begin.elapsed());
        settle().await;
        let (restarted, detected) = killed(client, "default", &text).await?;
        keep(&mut restart, restarted);
        keep(&mut detection, detected);
        settle().await;
        let text = format!("edited-{round}");
        let begin = Instant::now();
        write("one", &text)?;
        told(&text).await?;
        keep(&mut edit, begin.elapsed());
        settle().await;
        let begin = Instant::now();
        fs::remove_file(format!("{PODS}/one.yaml"))?;
        gone(client, "default").await?;
        keep(&mut removal, begin.elapsed());
        settle().await;
    }
    let row = |name: &str, text: &str| report::print(&format!("{name:<34}{text}"));
    let over = |times: &Times, floor: &Times| format!("{}, {}", times.summary(), times.over(floor));
    row("raw calls to a running command", &raw_start.summary());
    row("manifest to a running command", &over(&start, &raw_start));
    row("raw: killed to running again", &raw_restart.summary());
    row("killed to running again", &over(&restart, &raw_restart));
    row("  of that, until it was seen", &detection.summary());
    row("manifest edited to running anew", &edit.summary());
    row("manifest removed to nothing left", &removal.summary());
    Ok(())
}

async fn settle() {
    tokio::time::sleep(SETTLING).await;
}

/// The floor of a start, and of a restart whose death is seen by a descriptor of the process.
async fn raw(client: &Client, round: usize) -> Result<(Duration, Duration)> {
    let text = format!("raw-{round}");
    let (sandbox, mut container) = raw_pod("one", &text)?;
    let begin = Instant::now();
    let id = client.run_pod_sandbox(sandbox.clone(), "").await?;
    let made = client.create_container(&id, container.clone(), sandbox.clone()).await?;
    client.start_container(&made).await?;
    told(&text).await?;
    let started = begin.elapsed();
    settle().await;

    let pid = pid_of(client, "raw").await?;
    let end = ProcessEnd::of(pid)?;
    if let Some(metadata) = &mut container.metadata {
        metadata.attempt = 1;
    }
    fs::remove_file(format!("{TOLD}/{text}"))?;
    let begin = Instant::now();
    kill(pid_t(pid)?, Signal::SIGKILL)?;
    end.wait().await?;
    let made = client.create_container(&id, container, sandbox).await?;
    client.start_container(&made).await?;
    told(&text).await?;
    let restarted = begin.elapsed();

    take_down(client, &id).await?;
    settle().await;
    Ok((started, restarted))
}

/// Kills the container's first process; how long until its successor runs, and until the daemon
/// had seen the end.
async fn killed(client: &Client, namespace: &str, text: &str) -> Result<(Duration, Duration)> {
    let pid = pid_of(client, namespace).await?;
    fs::remove_file(format!("{TOLD}/{text}"))?;
    let (begin, at) = (Instant::now(), SystemTime::now());
    kill(pid_t(pid)?, Signal::SIGKILL)?;
    told(text).await?;
    Ok((begin.elapsed(), seen()?.duration_since(at)?))
}

async fn pid_of(client: &Client, namespace: &str) -> Result<u32> {
    let pods = inventory::read(client, Detail::Full).await?;
    let pod = pods.iter().find(|pod| pod.namespace == namespace).context("no pod")?;
    ensure!(pod.containers.len() == 1, "{} containers", pod.containers.len());
    let details = pod.containers.first().and_then(|container| container.details.as_ref());
    details.and_then(|details| details.pid).context("the container has no process")
}

fn pid_t(pid: u32) -> Result<Pid> {
    Ok(Pid::from_raw(i32::try_from(pid)?))
}
