//! What happens to the containers of the CRI, as containerd itself tells it.
//!
//! Every containerd has this stream on the socket of its CRI; the CRI's own is there since 1.7 only. It
//! speaks of ids alone: whose one is must be asked while the container is there, so it is asked as
//! soon as it is made.

mod names;

use std::time::{Duration, SystemTime};

use crilet_cri::Endpoint;
use prost::Message;
use tonic::{Code, Request, Status, metadata::MetadataValue, transport::Channel};

pub use self::names::Names;
use crate::image::{
    NAMESPACE,
    api::{
        containers::{GetContainerRequest, containers_client::ContainersClient},
        events::{
            ContainerCreate, ContainerDelete, Envelope, SubscribeRequest, TaskExit, TaskOom,
            TaskStart, Timestamp, events_client::EventsClient,
        },
    },
    connect,
};

const TOPICS: [&str; 5] =
    ["/containers/create", "/containers/delete", "/tasks/start", "/tasks/exit", "/tasks/oom"];

/// Something that happened to a container or, by its id, to a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// Id of the container or of the sandbox.
    pub id: String,
    /// When it happened, by containerd's clock.
    pub time: SystemTime,
    /// What happened.
    pub what: What,
}

/// What can happen to a container, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It was made.
    Created {
        /// The image, as containerd names it.
        image: String,
        /// Whose it is; nothing when it was gone before that could be asked, and of a container that
        /// is not the CRI's.
        names: Option<Names>,
    },
    /// Its first process was started.
    Started,
    /// A process of it was killed, because memory ran out.
    OutOfMemory,
    /// Its first process has ended.
    Exited {
        /// Exit code; 128 and the signal's number for one that was killed.
        status: u32,
    },
    /// It was removed.
    Removed,
}

/// Events of a containerd; dropping them ends the call.
#[derive(Debug)]
pub struct Events {
    channel: Channel,
    stream: tonic::Streaming<Envelope>,
}

/// Why there are no events.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventsError {
    /// The runtime has no such service: it is not containerd.
    #[error("the runtime has no events of containerd")]
    NotContainerd,
    /// It cannot be reached, or went away.
    #[error("hear the events of containerd")]
    Lost {
        /// What it or the kernel said.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Events {
    /// Listens to what happens from now on.
    ///
    /// Returns when the first event is there: containerd answers nothing before.
    ///
    /// # Errors
    /// [`EventsError::NotContainerd`] from a runtime that is none, else [`EventsError::Lost`].
    pub async fn open(endpoint: &Endpoint) -> Result<Self, EventsError> {
        let channel = connect(endpoint).await.map_err(|error| lost(error.into()))?;
        let filter = |topic| format!("namespace==\"{NAMESPACE}\",topic==\"{topic}\"");
        let request = SubscribeRequest { filters: TOPICS.map(filter).to_vec() };
        let answer = EventsClient::new(channel.clone()).subscribe(request).await;
        let stream = answer.map_err(refused)?.into_inner();
        Ok(Self { channel, stream })
    }

    /// Waits for the next one; nothing when containerd ends them.
    ///
    /// # Errors
    /// [`EventsError::Lost`] when containerd goes away.
    pub async fn next(&mut self) -> Result<Option<Happening>, EventsError> {
        while let Some(envelope) = self.stream.message().await.map_err(refused)? {
            let Some(mut happening) = read(&envelope) else { continue };
            if let What::Created { names, .. } = &mut happening.what {
                *names = self.names(&happening.id).await;
            }
            return Ok(Some(happening));
        }
        Ok(None)
    }

    /// Whose a container is: its own names, and those of its sandbox.
    async fn names(&self, id: &str) -> Option<Names> {
        match names::read(&self.extensions(id).await?)? {
            names::Kept::Sandbox(names) => Some(names),
            names::Kept::Container { sandbox, name, attempt } => {
                let kept = names::read(&self.extensions(&sandbox).await?)?;
                let names::Kept::Sandbox(names) = kept else { return None };
                Some(Names { container: Some((name, attempt)), ..names })
            }
        }
    }

    /// What the CRI keeps with a container, by the names it keeps it under.
    async fn extensions(&self, id: &str) -> Option<Vec<(String, Vec<u8>)>> {
        let mut request = Request::new(GetContainerRequest { id: id.to_owned() });
        let namespace = MetadataValue::from_static(NAMESPACE);
        request.metadata_mut().insert("containerd-namespace", namespace);
        let answer = ContainersClient::new(self.channel.clone()).get(request).await.ok()?;
        let extensions = answer.into_inner().container?.extensions.into_iter();
        Some(extensions.map(|(name, extension)| (name, extension.value)).collect())
    }
}

/// What an event tells; nothing of those of other processes than a container's first, and of what is no event.
fn read(envelope: &Envelope) -> Option<Happening> {
    let told = envelope.timestamp.as_ref().map_or_else(SystemTime::now, at);
    let value = envelope.event.as_ref()?.value.as_slice();
    let (id, time, what) = match envelope.topic.as_str() {
        "/containers/create" => {
            let event = ContainerCreate::decode(value).ok()?;
            (event.id, told, What::Created { image: event.image, names: None })
        }
        "/containers/delete" => (ContainerDelete::decode(value).ok()?.id, told, What::Removed),
        "/tasks/start" => (TaskStart::decode(value).ok()?.container_id, told, What::Started),
        "/tasks/oom" => (TaskOom::decode(value).ok()?.container_id, told, What::OutOfMemory),
        "/tasks/exit" => {
            let event = TaskExit::decode(value).ok()?;
            if event.id != event.container_id {
                return None;
            }
            let time = event.exited_at.as_ref().map_or(told, at);
            (event.container_id, time, What::Exited { status: event.exit_status })
        }
        _ => return None,
    };
    Some(Happening { id, time, what })
}

fn at(time: &Timestamp) -> SystemTime {
    let seconds = Duration::from_secs(u64::try_from(time.seconds).unwrap_or_default());
    let nanoseconds = Duration::from_nanos(u64::try_from(time.nanos).unwrap_or_default());
    SystemTime::UNIX_EPOCH + seconds + nanoseconds
}

fn refused(status: Status) -> EventsError {
    match status.code() {
        Code::Unimplemented => EventsError::NotContainerd,
        _ => lost(status.into()),
    }
}

fn lost(cause: Box<dyn std::error::Error + Send + Sync>) -> EventsError {
    EventsError::Lost { cause }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::api::events::Any;

    fn envelope(topic: &str, event: &impl Message) -> Envelope {
        Envelope {
            timestamp: Some(Timestamp { seconds: 7, nanos: 9 }),
            namespace: NAMESPACE.to_owned(),
            topic: topic.to_owned(),
            event: Some(Any { value: event.encode_to_vec() }),
        }
    }

    fn exit(id: &str) -> TaskExit {
        let exited_at = Some(Timestamp { seconds: 5, nanos: 0 });
        TaskExit { container_id: "c1".to_owned(), id: id.to_owned(), exit_status: 3, exited_at }
    }

    #[test]
    fn an_end_is_told_with_its_own_time() {
        let happening = read(&envelope("/tasks/exit", &exit("c1"))).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        let what = What::Exited { status: 3 };
        assert_eq!(happening, Happening { id: "c1".to_owned(), time, what });
    }

    #[test]
    fn only_a_first_process_and_what_can_be_read_is_told() {
        assert_eq!(read(&envelope("/tasks/exit", &exit("exec"))), None);
        assert_eq!(read(&envelope("/tasks/paused", &exit("c1"))), None);
        let mut broken = envelope("/tasks/start", &TaskStart::default());
        broken.event = Some(Any { value: vec![0xff] });
        assert_eq!(read(&broken), None);
    }
}
