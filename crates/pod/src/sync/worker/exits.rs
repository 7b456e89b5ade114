//! Ends of processes, seen when they happen.

use std::{collections::BTreeSet, future, time::Duration};

use crilet_core::ProcessEnd;
use crilet_cri::{Client, v1};
use tokio::task::JoinSet;

/// How long the runtime may take to notice what the kernel has told us.
const NOTICE: Duration = Duration::from_secs(5);

/// The first pause between two questions whether it has; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_micros(500);
const LAST_PAUSE: Duration = Duration::from_millis(100);

/// Whose end is watched for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Watched {
    Container(String),
    Sandbox(String),
}

/// Watches the first processes of containers and sandboxes.
#[derive(Debug, Default)]
pub(super) struct Exits {
    watched: BTreeSet<Watched>,
    tasks: JoinSet<Watched>,
}

impl Exits {
    /// Begins to watch; nothing if it is watched already.
    pub(super) fn watch(&mut self, client: &Client, watched: Watched, pid: u32) {
        if self.watched.insert(watched.clone()) {
            self.tasks.spawn(seen_by_all(client.clone(), watched, pid));
        }
    }

    /// Waits until something has ended and the runtime knows it. Safe to drop and to call again.
    pub(super) async fn next(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok(watched)) => {
                self.watched.remove(&watched);
            }
            Some(Err(error)) => tracing::error!(%error, "a watch ended by itself"),
            None => future::pending().await,
        }
    }
}

async fn seen_by_all(client: Client, watched: Watched, pid: u32) -> Watched {
    match ProcessEnd::of(pid) {
        // Asked once after the descriptor is there: if it still runs, the descriptor is its own and
        // not that of the id's next owner.
        Ok(end) if runs(&client, &watched).await => {
            if let Err(error) = end.wait().await {
                tracing::warn!(?watched, %error, "cannot wait for the end of a process");
            }
        }
        Ok(_) => return watched,
        Err(error) => {
            // Of another process namespace, or gone. The relist is the safety net.
            tracing::debug!(?watched, pid, %error, "process cannot be watched");
        }
    }
    let told = async {
        let mut pause = FIRST_PAUSE;
        while runs(&client, &watched).await {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    };
    if tokio::time::timeout(NOTICE, told).await.is_err() {
        tracing::debug!(?watched, "the runtime has not noticed an end");
    }
    watched
}

/// Whether the runtime says that it runs; what cannot be asked does.
async fn runs(client: &Client, watched: &Watched) -> bool {
    let answer = match watched {
        Watched::Container(id) => client.container_status(id, false).await.map(|answer| {
            let status = answer.status.unwrap_or_default();
            status.state() == v1::ContainerState::ContainerRunning
        }),
        Watched::Sandbox(id) => client.pod_sandbox_status(id, false).await.map(|answer| {
            let status = answer.status.unwrap_or_default();
            status.state() == v1::PodSandboxState::SandboxReady
        }),
    };
    answer.unwrap_or_else(|error| !error.is_not_found())
}
