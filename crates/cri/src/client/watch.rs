//! What happens, as it happens.

use prost::Message;

use super::Client;
use crate::{CriError, transport::Answers, v1};

const METHOD: &str = "GetContainerEvents";

/// Events of containers, until the runtime ends them; dropping them ends the call.
#[derive(Debug)]
pub struct ContainerEvents(Answers);

impl ContainerEvents {
    /// Waits for the next event; nothing when the runtime has ended them.
    ///
    /// # Errors
    /// [`CriError`] when the runtime is gone, or what it sent is no event.
    pub async fn next(&mut self) -> Result<Option<v1::ContainerEventResponse>, CriError> {
        let Some(event) = self.0.next().await? else { return Ok(None) };
        let malformed = |cause| CriError::Malformed { method: METHOD, object: None, cause };
        v1::ContainerEventResponse::decode(event).map(Some).map_err(malformed)
    }
}

impl Client {
    /// Tells what happens to containers from now on; containerd since 1.7, CRI-O since 1.26.
    pub async fn container_events(&self) -> Result<ContainerEvents, CriError> {
        let request = v1::GetEventsRequest {}.encode_to_vec();
        Ok(ContainerEvents(self.runtime.stream(METHOD, request.into()).await?))
    }
}
