//! A hundred pods: all at once, idle, and found again by another daemon.

use std::{fs, time::Duration};

use anyhow::Result;
use crilet_cri::Client;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::{Daemon, PODS, gone, raw_pod, report, take_down, told, write};

const COUNT: usize = 100;

pub(crate) async fn measure(client: &Client, daemon: &mut Daemon) -> Result<()> {
    let row = |name: &str, text: &str| report::print(&format!("{name:<34}{text}"));
    let raw = raw(client).await?;
    row("raw: 100 pods at once", &format!("{:.2} s", raw.as_secs_f64()));
    tokio::time::sleep(Duration::from_secs(5)).await;

    let begin = Instant::now();
    for number in 0..COUNT {
        write(&format!("many-{number}"), &format!("many-{number}"))?;
    }
    try_join_all((0..COUNT).map(async |number| told(&format!("many-{number}")).await)).await?;
    let kept = begin.elapsed();
    let ratio = kept.as_secs_f64() / raw.as_secs_f64();
    row("100 manifests at once", &format!("{:.2} s, {ratio:.2} of raw", kept.as_secs_f64()));

    tokio::time::sleep(Duration::from_secs(10)).await;
    row("daemon with 100 idle pods", &daemon.weight().await?);
    daemon.replace()?;
    let known = daemon.until_ready().await?;
    row("start with 100 pods to all known", &format!("{:.0} ms", known.as_secs_f64() * 1e3));
    tokio::time::sleep(Duration::from_secs(10)).await;
    row("  that daemon", &daemon.weight().await?);

    let begin = Instant::now();
    for number in 0..COUNT {
        fs::remove_file(format!("{PODS}/many-{number}.yaml"))?;
    }
    gone(client, "default").await?;
    row("100 manifests removed", &format!("{:.2} s", begin.elapsed().as_secs_f64()));
    Ok(())
}

/// The same pods by the calls alone, with as many under way at once.
async fn raw(client: &Client) -> Result<Duration> {
    let pods = (0..COUNT).map(|number| {
        let pod = raw_pod(&format!("many-{number}"), &format!("raw-many-{number}"))?;
        anyhow::Ok((number, pod))
    });
    let pods = pods.collect::<Result<Vec<_>>>()?;
    let begin = Instant::now();
    let ids = try_join_all(pods.into_iter().map(async |(number, (sandbox, container))| {
        let id = client.run_pod_sandbox(sandbox.clone(), "").await?;
        let made = client.create_container(&id, container, sandbox).await?;
        client.start_container(&made).await?;
        told(&format!("raw-many-{number}")).await?;
        anyhow::Ok(id)
    }))
    .await?;
    let time = begin.elapsed();
    try_join_all(ids.iter().map(async |id| take_down(client, id).await)).await?;
    Ok(time)
}
