//! How pulls are told: a line that is rewritten on a terminal, nothing elsewhere.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crilet_cri::Endpoint;
use crilet_pod::Observer;
use tokio::time::Instant;

use crate::output;

/// How often the line is rewritten.
const INTERVAL: Duration = Duration::from_millis(200);

/// Tells of pulls while they go on.
#[derive(Debug)]
pub(crate) struct Progress {
    pulls: Arc<Mutex<BTreeSet<String>>>,
    line: Option<tokio::task::JoinHandle<()>>,
}

impl Progress {
    /// Starts telling, if a person watches.
    pub(crate) fn start(_endpoint: &Endpoint) -> Self {
        let pulls = Arc::<Mutex<BTreeSet<String>>>::default();
        let line = output::is_interactive().then(|| tokio::spawn(rewrite(Arc::clone(&pulls))));
        Self { pulls, line }
    }

    /// Clears the line.
    pub(crate) async fn finish(mut self) {
        if let Some(line) = self.line.take() {
            line.abort();
            // An aborted task has written its last line once it is joined.
            drop(line.await);
            output::progress("");
        }
    }

    fn pulls(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Progress {
    fn pull_started(&self, image: &str) {
        self.pulls().insert(image.to_owned());
    }

    fn pull_finished(&self, image: &str, _: bool) {
        self.pulls().remove(image);
    }
}

async fn rewrite(pulls: Arc<Mutex<BTreeSet<String>>>) {
    let start = Instant::now();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let names: Vec<_> =
            pulls.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        if !names.is_empty() {
            let elapsed = start.elapsed().as_secs();
            output::progress(&format!("pulling {} ({elapsed} s)", names.join(", ")));
        }
    }
}
