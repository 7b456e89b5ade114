//! When to look at the runtime again: after a while, and at once when it says that something happened.

use std::time::Duration;

use crilet_cri::Client;
use tokio::{sync::mpsc, time::timeout};

use crate::{errors::CliError, output};

/// What happens within it after an event is looked at together.
const TOGETHER: Duration = Duration::from_millis(30);

/// Tells when to look again.
#[derive(Debug)]
pub(crate) struct Wake {
    events: mpsc::Receiver<()>,
    interval: Duration,
}

/// Puts up with a runtime that is away for a while.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    is_away: bool,
}

impl Wake {
    /// Starts listening to the runtime's events of containers, where it has them: containerd since 1.7,
    /// CRI-O since 1.26. Elsewhere the interval is all there is.
    pub(crate) fn start(client: &Client, interval: Duration) -> Self {
        let (sender, events) = mpsc::channel(1);
        tokio::spawn(listen(client.clone(), sender));
        Self { events, interval }
    }

    /// Waits for an event, or for the interval.
    pub(crate) async fn next(&mut self) {
        match timeout(self.interval, self.events.recv()).await {
            Ok(Some(())) => tokio::time::sleep(TOGETHER).await,
            // The runtime has no events, or none any more.
            Ok(None) => tokio::time::sleep(self.interval).await,
            Err(_) => {}
        }
    }
}

impl Patience {
    /// What was seen; nothing while the runtime is away, which is said once.
    pub(crate) fn seen<T>(&mut self, look: Result<T, CliError>) -> Result<Option<T>, CliError> {
        match look {
            Ok(seen) => {
                self.is_away = false;
                Ok(Some(seen))
            }
            Err(CliError::Runtime(error)) if error.is_unreachable() => {
                if !std::mem::replace(&mut self.is_away, true) {
                    output::say("the runtime went away; waiting for it to come back");
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Passes events on, of which one that waits is as good as many.
async fn listen(client: Client, sender: mpsc::Sender<()>) {
    let Ok(mut events) = client.container_events().await else { return };
    while let Ok(Some(_)) = events.next().await {
        if let Err(mpsc::error::TrySendError::Closed(())) = sender.try_send(()) {
            return;
        }
    }
}
