//! What runtimes tell of containers while it happens, in one form.

use std::time::{Duration, SystemTime};

use crilet_cri::v1;
use crilet_runtime::events::{Happening, Names, What};

/// One thing that happened to a container or, by its id, to a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Id of the container or of the sandbox.
    pub(super) id: String,
    pub(super) time: SystemTime,
    /// Whose it is, where that is told with it.
    pub(super) names: Option<Names>,
    pub(super) fact: Fact,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fact {
    Created {
        image: String,
    },
    Started,
    /// A process of it was killed for want of memory.
    OutOfMemory,
    Ended(Option<End>),
    Removed,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) code: i32,
    pub(super) reason: String,
    pub(super) message: String,
}

impl From<Happening> for Heard {
    fn from(happening: Happening) -> Self {
        let Happening { id, time, what } = happening;
        let mut heard = Self { id, time, names: None, fact: Fact::Started };
        heard.fact = match what {
            What::Created { image, names } => {
                heard.names = names;
                Fact::Created { image }
            }
            What::Started => Fact::Started,
            What::OutOfMemory => Fact::OutOfMemory,
            What::Exited { status } => {
                let code = i32::try_from(status).unwrap_or(i32::MAX);
                Fact::Ended(Some(End { code, reason: String::new(), message: String::new() }))
            }
            What::Removed => Fact::Removed,
        };
        heard
    }
}

impl From<v1::ContainerEventResponse> for Heard {
    fn from(event: v1::ContainerEventResponse) -> Self {
        let kind = event.container_event_type();
        let status =
            event.containers_statuses.iter().find(|status| status.id == event.container_id);
        let fact = match kind {
            v1::ContainerEventType::ContainerCreatedEvent => {
                let image = status.and_then(|status| status.image.as_ref());
                let image = image.map_or_else(String::new, |image| image.image.clone());
                Fact::Created { image }
            }
            v1::ContainerEventType::ContainerStartedEvent => Fact::Started,
            v1::ContainerEventType::ContainerStoppedEvent => Fact::Ended(status.and_then(end)),
            v1::ContainerEventType::ContainerDeletedEvent => Fact::Removed,
        };
        let names = names(&event, status);
        Self { id: event.container_id, time: time(event.created_at), names, fact }
    }
}

/// How a container ended, if it is known to have.
fn end(status: &v1::ContainerStatus) -> Option<End> {
    (status.state() == v1::ContainerState::ContainerExited).then(|| End {
        code: status.exit_code,
        reason: status.reason.clone(),
        message: status.message.clone(),
    })
}

/// The names of the sandbox, or of the container in it.
fn names(
    event: &v1::ContainerEventResponse,
    container: Option<&v1::ContainerStatus>,
) -> Option<Names> {
    let sandbox = event.pod_sandbox_status.as_ref()?;
    let metadata = sandbox.metadata.as_ref()?;
    let container = match sandbox.id == event.container_id {
        true => None,
        false => {
            let metadata = container?.metadata.as_ref()?;
            Some((metadata.name.clone(), metadata.attempt))
        }
    };
    Some(Names { namespace: metadata.namespace.clone(), pod: metadata.name.clone(), container })
}

fn time(nanoseconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default())
}
