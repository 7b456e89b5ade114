//! Ends of processes, seen when they happen.

use std::{collections::BTreeSet, future, time::Duration};

use crilet_core::ProcessEnd;
use crilet_cri::{Client, v1};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

/// How long the runtime may take to notice what the kernel has told us.
const NOTICE: Duration = Duration::from_secs(5);

/// The first pause between two questions whether it has. The later ones are a share of the time
/// that has passed, so that what is late is heard of at most that share later.
const FIRST_PAUSE: Duration = Duration::from_micros(500);
const LAST_PAUSE: Duration = Duration::from_millis(100);
const SHARE: u32 = 8;

/// Whose end is watched for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Watched {
    Container(String),
    Sandbox(String),
}

/// What was heard of something watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// Its process has ended; the runtime may not know it yet.
    Ended(Watched),
    /// The runtime knows it, too.
    Noticed,
}

/// Watches the first processes of containers and sandboxes.
#[derive(Debug)]
pub(super) struct Exits {
    watched: BTreeSet<Watched>,
    tasks: JoinSet<Watched>,
    ended: (mpsc::UnboundedSender<Watched>, mpsc::UnboundedReceiver<Watched>),
}

impl Default for Exits {
    fn default() -> Self {
        Self { watched: BTreeSet::new(), tasks: JoinSet::new(), ended: mpsc::unbounded_channel() }
    }
}

impl Exits {
    /// Begins to watch; nothing if it is watched already.
    pub(super) fn watch(&mut self, client: &Client, watched: Watched, pid: u32) {
        if self.watched.insert(watched.clone()) {
            self.tasks.spawn(seen_by_all(client.clone(), watched, pid, self.ended.0.clone()));
        }
    }

    /// Waits until something has ended, and again until the runtime knows it. Safe to drop and to
    /// call again.
    pub(super) async fn next(&mut self) -> Heard {
        let noticed = async {
            match self.tasks.join_next().await {
                Some(watched) => watched,
                None => future::pending().await,
            }
        };
        tokio::select! {
            Some(watched) = self.ended.1.recv() => return Heard::Ended(watched),
            noticed = noticed => match noticed {
                Ok(watched) => drop(self.watched.remove(&watched)),
                Err(error) => tracing::error!(%error, "a watch ended by itself"),
            },
        }
        Heard::Noticed
    }
}

async fn seen_by_all(
    client: Client,
    watched: Watched,
    pid: u32,
    ended: mpsc::UnboundedSender<Watched>,
) -> Watched {
    match ProcessEnd::of(pid) {
        // Asked once after the descriptor is there: if it still runs, the descriptor is its own and
        // not that of the id's next owner.
        Ok(end) if runs(&client, &watched).await => {
            match end.wait().await {
                Ok(()) => {
                    tracing::debug!(?watched, pid, "the end of a process was seen");
                    // A worker that is gone needs to know nothing.
                    let _gone = ended.send(watched.clone()).is_err();
                }
                Err(error) => {
                    tracing::warn!(?watched, %error, "cannot wait for the end of a process");
                }
            }
        }
        Ok(_) => return watched,
        Err(error) => {
            // Of another process namespace, or gone. The relist is the safety net.
            tracing::debug!(?watched, pid, %error, "process cannot be watched");
        }
    }
    let told = async {
        let begin = Instant::now();
        while runs(&client, &watched).await {
            let pause = (begin.elapsed() / SHARE).clamp(FIRST_PAUSE, LAST_PAUSE);
            tokio::time::sleep(pause).await;
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
