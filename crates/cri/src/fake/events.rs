//! The stream of container events.

use prost::{Message, bytes::Bytes};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::state::State;
use crate::v1;

/// Who listens to events.
#[derive(Debug, Default)]
pub(super) struct Listeners(Vec<UnboundedSender<Bytes>>);

impl State {
    pub(super) fn listen(&mut self) -> UnboundedReceiver<Bytes> {
        let (sender, receiver) = unbounded_channel();
        self.listeners.0.push(sender);
        receiver
    }

    /// Tells all who listen what happened to a container or, by its id, to a sandbox.
    pub(super) fn emit(&mut self, kind: v1::ContainerEventType, id: &str, sandbox_id: &str) {
        let created_at = self.ids.now();
        let containers = self.containers.values();
        let containers = containers.filter(|container| container.sandbox_id == sandbox_id);
        let event = v1::ContainerEventResponse {
            container_id: id.to_owned(),
            container_event_type: kind.into(),
            created_at,
            pod_sandbox_status: self.sandboxes.get(sandbox_id).map(|sandbox| sandbox.status()),
            containers_statuses: containers.map(|container| container.status()).collect(),
        };
        let event = Bytes::from(event.encode_to_vec());
        self.listeners.0.retain(|listener| listener.send(event.clone()).is_ok());
    }
}
