//! A hundred pods: all at once, idle, and found again by another daemon.

use std::{fs, time::Duration};

use anyhow::{Result, ensure};
use crilet_cri::Client;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::{
    Daemon, PODS, gone, is_told, raw_pod,
    report::{self, Times},
    take_down, write,
};

const COUNT: usize = 100;
/// What the runtime gets to clear away what was before.
const SETTLE: Duration = Duration::from_secs(5);
/// How often both take their turn; one turn each would measure which came first.
const TURNS: usize = 3;

pub(crate) async fn measure(client: &Client, daemon: &mut Daemon) -> Result<()> {
    let row = |name: &str, text: &str| report::print(&format!("{name:<34}{text}"));
    let (mut raws, mut kept) = (Times::default(), Times::default());
    for turn in 1..=TURNS {
        raws.push(raw(client, turn).await?);
        tokio::time::sleep(SETTLE).await;
        kept.push(at_once(turn).await?);
        // The last hundred stay for what follows.
        if turn < TURNS {
            removed(client).await?;
            tokio::time::sleep(SETTLE).await;
        }
    }
    row("raw: 100 pods at once", &raws.summary());
    row(
        "100 manifests at once",
        &format!("{}, {:.2} of raw", kept.summary(), kept.median() / raws.median()),
    );

    tokio::time::sleep(Duration::from_secs(10)).await;
    row("daemon with 100 idle pods", &daemon.weight().await?);
    daemon.replace()?;
    let known = daemon.until_ready().await?;
    row("start with 100 pods to all known", &format!("{:.0} ms", known.as_secs_f64() * 1e3));
    tokio::time::sleep(Duration::from_secs(10)).await;
    row("  that daemon", &daemon.weight().await?);

    let removal = removed(client).await?;
    row("100 manifests removed", &format!("{:.2} s", removal.as_secs_f64()));
    Ok(())
}

/// Writes all manifests; until every pod's command has told that it runs.
async fn at_once(turn: usize) -> Result<Duration> {
    let begin = Instant::now();
    for number in 0..COUNT {
        write(&format!("many-{number}"), &format!("many-{turn}-{number}"))?;
    }
    all_told(&format!("many-{turn}")).await?;
    Ok(begin.elapsed())
}

/// Waits until every command has told that it runs. One looks for all, and seldom: a hundred that
/// poll would take from the processors what is measured.
async fn all_told(prefix: &str) -> Result<()> {
    let begin = Instant::now();
    let mut left: Vec<String> = (0..COUNT).map(|number| format!("{prefix}-{number}")).collect();
    loop {
        left.retain(|text| !is_told(text));
        if left.is_empty() {
            return Ok(());
        }
        ensure!(begin.elapsed() < Duration::from_secs(120), "never told: {left:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Removes all manifests; until the runtime has no such pod any more.
async fn removed(client: &Client) -> Result<Duration> {
    let begin = Instant::now();
    for number in 0..COUNT {
        fs::remove_file(format!("{PODS}/many-{number}.yaml"))?;
    }
    gone(client, "default").await?;
    Ok(begin.elapsed())
}

/// The same pods by the calls alone, with as many under way at once.
async fn raw(client: &Client, turn: usize) -> Result<Duration> {
    let pods = (0..COUNT)
        .map(|number| raw_pod(&format!("many-{number}"), &format!("raw-many-{turn}-{number}")));
    let pods = pods.collect::<Result<Vec<_>>>()?;
    let begin = Instant::now();
    let ids = try_join_all(pods.into_iter().map(async |(sandbox, container)| {
        let id = client.run_pod_sandbox(sandbox.clone(), "").await?;
        let made = client.create_container(&id, container, sandbox).await?;
        client.start_container(&made).await?;
        anyhow::Ok(id)
    }))
    .await?;
    all_told(&format!("raw-many-{turn}")).await?;
    let time = begin.elapsed();
    try_join_all(ids.iter().map(async |id| take_down(client, id).await)).await?;
    Ok(time)
}
