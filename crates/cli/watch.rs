//! When to look at the runtime again: after a while, and at once when it says that something happened.

use std::time::Duration;

use crilet_cri::{Client, CriError};
use crilet_runtime::events::{Events, EventsError};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{errors::CliError, events::Heard, output};

/// What happens within it after an event is looked at together.
const TOGETHER: Duration = Duration::from_millis(30);

/// So many events wait for somebody who is not looking; the runtime keeps the others.
const WAITING: usize = 1024;
/// Pause before a runtime that went away is listened to again.
const PAUSE: Duration = Duration::from_millis(200);

/// Tells when to look again, and what was heard until then.
#[derive(Debug)]
pub(crate) struct Wake {
    events: mpsc::Receiver<Heard>,
    interval: Duration,
}

/// Puts up with a runtime that is away for a while.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    is_away: bool,
}

impl Wake {
    /// Starts listening to the runtime: to containerd's own events, or to the CRI's, which CRI-O has since
    /// 1.26. Elsewhere the interval is all there is.
    pub(crate) fn start(client: &Client, interval: Duration) -> Self {
        let (sender, events) = mpsc::channel(WAITING);
        tokio::spawn(listen(client.clone(), sender));
        Self { events, interval }
    }

    /// Waits for an event, or for the interval, and gives all that was heard.
    pub(crate) async fn next(&mut self) -> Vec<Heard> {
        let mut heard = Vec::new();
        match timeout(self.interval, self.events.recv()).await {
            Ok(Some(first)) => {
                heard.push(first);
                sleep(TOGETHER).await;
                while let Ok(next) = self.events.try_recv() {
                    heard.push(next);
                }
            }
            // The runtime has no events.
            Ok(None) => sleep(self.interval).await,
            Err(_) => {}
        }
        heard
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

/// Passes events on, over restarts of the runtime, until it says that it has none or nobody asks.
async fn listen(client: Client, sender: mpsc::Sender<Heard>) {
    while !sender.is_closed() {
        match pass_on(&client, &sender).await {
            Ok(()) | Err(EventsError::Lost { .. }) => sleep(PAUSE).await,
            Err(_) => break,
        }
    }
    while !sender.is_closed() {
        match pass_on_of_cri(&client, &sender).await {
            Err(error) if !error.is_unreachable() => return,
            _ => sleep(PAUSE).await,
        }
    }
}

/// As [`pass_on`], the CRI's own events.
async fn pass_on_of_cri(client: &Client, sender: &mpsc::Sender<Heard>) -> Result<(), CriError> {
    let mut events = client.container_events().await?;
    while let Some(event) = events.next().await? {
        if sender.send(event.into()).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Passes containerd's own events on until it ends them or nobody asks.
async fn pass_on(client: &Client, sender: &mpsc::Sender<Heard>) -> Result<(), EventsError> {
    let mut events = Events::open(client.endpoint()).await?;
    while let Some(event) = events.next().await? {
        if sender.send(event.into()).await.is_err() {
            break;
        }
    }
    Ok(())
}
