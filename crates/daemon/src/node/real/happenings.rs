//! What the runtime tells by itself.
//!
//! containerd since 1.7 and CRI-O since 1.26 stream what happens to containers (CRI,
//! `GetContainerEvents`). Ends of processes are known from the kernel before that, but not those of
//! containers whose first process cannot be watched: of a virtual machine, or in a namespace of pids
//! that is not ours. For them this is faster than the relist.

use std::time::Duration;

use crilet_core::ErrorChain;
use crilet_cri::{Client, Code, CriError, v1};
use tokio::{sync::mpsc, time::Instant};

/// Before the stream is asked for again, doubled up to the other one.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(60);
/// How long a stream must have lasted for its end to be news.
const LASTED: Duration = Duration::from_secs(1);

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Happening {
    /// A container or the sandbox of the pod with this uid has ended or is gone.
    Ended(String),
    /// The stream broke: something may have happened that nobody was told.
    Missed,
}

/// Listens for as long as somebody wants to hear. A runtime that does not have the stream is asked
/// once.
pub(super) async fn listen(client: Client, heard: mpsc::Sender<Happening>) {
    let mut pause = FIRST_RETRY;
    loop {
        let began = Instant::now();
        let why = match hear(&client, &heard).await {
            Ok(()) if heard.is_closed() => return,
            Ok(()) => None,
            Err(error) if error.code() == Some(Code::Unimplemented) => {
                tracing::debug!("the runtime does not tell what happens to containers");
                return;
            }
            Err(error) => Some(ErrorChain(&error).to_string()),
        };
        tracing::debug!(why, "the runtime's events ended; they are asked for again");
        // A stream that never lasts has nothing to miss.
        if began.elapsed() > LASTED {
            pause = FIRST_RETRY;
            if heard.send(Happening::Missed).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_RETRY);
    }
}

/// Passes on what is heard, until the runtime ends it or nobody wants it.
async fn hear(client: &Client, heard: &mpsc::Sender<Happening>) -> Result<(), CriError> {
    let mut events = client.container_events().await?;
    while let Some(event) = events.next().await? {
        if let Some(uid) = ended(event)
            && heard.send(Happening::Ended(uid)).await.is_err()
        {
            break;
        }
    }
    Ok(())
}

/// The uid of the pod of which something has ended; what begins, workers have begun themselves.
fn ended(event: v1::ContainerEventResponse) -> Option<String> {
    let is_end = matches!(
        event.container_event_type(),
        v1::ContainerEventType::ContainerStoppedEvent
            | v1::ContainerEventType::ContainerDeletedEvent
    );
    let metadata = event.pod_sandbox_status?.metadata?;
    is_end.then_some(metadata.uid)
}
