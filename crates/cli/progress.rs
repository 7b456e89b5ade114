//! How pulls are told: a line that is rewritten on a terminal, nothing elsewhere.
//!
//! The CRI does not tell how far a pull is. containerd's own service does; with another runtime
//! the line has the time alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crilet_cri::Endpoint;
use crilet_pod::Observer;
use crilet_runtime::image::{Transfer, Transfers};
use tokio::{task::JoinHandle, time::Instant};

use crate::output;

/// How often the line is rewritten.
const INTERVAL: Duration = Duration::from_millis(200);

/// Images that are being pulled.
type Pulls = Arc<Mutex<BTreeSet<String>>>;

/// Tells of pulls while they go on.
#[derive(Debug)]
pub(crate) struct Progress {
    pulls: Pulls,
    line: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts telling, if a person watches.
    pub(crate) fn start(endpoint: &Endpoint) -> Self {
        let pulls = Pulls::default();
        let line = output::is_interactive()
            .then(|| tokio::spawn(rewrite(Arc::clone(&pulls), endpoint.clone())));
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
}

impl Observer for Progress {
    fn pull_started(&self, image: &str) {
        lock(&self.pulls).insert(image.to_owned());
    }

    fn pull_finished(&self, image: &str, _: bool) {
        lock(&self.pulls).remove(image);
    }
}

fn lock(pulls: &Pulls) -> MutexGuard<'_, BTreeSet<String>> {
    pulls.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn rewrite(pulls: Pulls, endpoint: Endpoint) {
    let mut bytes = Bytes::default();
    let mut began = None;
    let mut transfers = None;
    loop {
        tokio::time::sleep(INTERVAL).await;
        let images: Vec<_> = lock(&pulls).iter().cloned().collect();
        if images.is_empty() {
            continue;
        }
        let began = *began.get_or_insert_with(Instant::now);
        if transfers.is_none() {
            transfers = Transfers::open(&endpoint).await;
        }
        if let Some(transfers) = &transfers {
            bytes.update(transfers.list().await.unwrap_or_default());
        }
        output::progress(&line(&images, bytes.sum(), began.elapsed()));
    }
}

fn line(images: &[String], (done, total): (u64, u64), elapsed: Duration) -> String {
    let amount = match total {
        0 => String::new(),
        _ if done == total => format!(": {}, unpacking", megabytes(total)),
        _ => format!(": {} of {}", megabytes(done), megabytes(total)),
    };
    format!("pulling {}{amount} ({} s)", images.join(", "), elapsed.as_secs())
}

/// Tenths of 10^6 bytes, in whole numbers so that nothing is rounded into being complete.
fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

/// Bytes of all blobs that were seen on their way.
#[derive(Debug, Default)]
struct Bytes(BTreeMap<String, (u64, u64)>);

impl Bytes {
    /// Takes a new look. A blob that is no longer on its way has arrived.
    fn update(&mut self, transfers: Vec<Transfer>) {
        for (done, total) in self.0.values_mut() {
            *done = *total;
        }
        for Transfer { name, done, total } in transfers {
            self.0.insert(name, (done, total.max(done)));
        }
    }

    fn sum(&self) -> (u64, u64) {
        self.0.values().fold((0, 0), |(done, total), blob| (done + blob.0, total + blob.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(name: &str, done: u64, total: u64) -> Transfer {
        Transfer { name: name.into(), done, total }
    }

    #[test]
    fn a_blob_that_vanishes_has_arrived() {
        let mut bytes = Bytes::default();
        assert_eq!(bytes.sum(), (0, 0));
        bytes.update(vec![transfer("a", 10, 100), transfer("b", 5, 0)]);
        assert_eq!(bytes.sum(), (15, 105));
        bytes.update(vec![transfer("b", 50, 200)]);
        assert_eq!(bytes.sum(), (150, 300));
        bytes.update(Vec::new());
        assert_eq!(bytes.sum(), (300, 300));
    }

    #[test]
    fn the_line_says_what_is_known() {
        let images = ["mysql:5.7".to_owned(), "wordpress:latest".to_owned()];
        let elapsed = Duration::from_millis(12_300);
        let pulling = "pulling mysql:5.7, wordpress:latest";
        assert_eq!(line(&images, (0, 0), elapsed), format!("{pulling} (12 s)"));
        let some = line(&images, (199_999_999, 300_000_000), elapsed);
        assert_eq!(some, format!("{pulling}: 199.9 MB of 300.0 MB (12 s)"));
        let all = line(&images, (300_000_000, 300_000_000), elapsed);
        assert_eq!(all, format!("{pulling}: 300.0 MB, unpacking (12 s)"));
    }
}
