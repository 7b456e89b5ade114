//! What containerd is downloading, which the CRI does not tell.

use crilet_cri::Endpoint;
use tonic::{Request, metadata::MetadataValue, transport::Channel};

use super::store::{
    NAMESPACE,
    api::content::{ListStatusesRequest, content_client::ContentClient},
    connect,
};

/// A blob on its way to this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// What containerd calls it, such as `layer-sha256:…`.
    pub name: String,
    /// Bytes that are here.
    pub done: u64,
    /// Bytes in all; 0 while that is not known.
    pub total: u64,
}

/// Watches the downloads of a containerd.
#[derive(Debug, Clone)]
pub struct Transfers {
    channel: Channel,
}

impl Transfers {
    /// Connects; nothing when the runtime is not there.
    pub async fn open(endpoint: &Endpoint) -> Option<Self> {
        connect(endpoint).await.ok().map(|channel| Self { channel })
    }

    /// The downloads under way for the CRI, whoever asked for them. Nothing when the runtime does
    /// not tell: CRI-O has no such service.
    pub async fn list(&self) -> Option<Vec<Transfer>> {
        let mut request = Request::new(ListStatusesRequest { filters: Vec::new() });
        let namespace = MetadataValue::from_static(NAMESPACE);
        request.metadata_mut().insert("containerd-namespace", namespace);
        let answer = ContentClient::new(self.channel.clone()).list_statuses(request).await.ok()?;
        let bytes = |count: i64| u64::try_from(count).unwrap_or_default();
        let transfers = answer.into_inner().statuses.into_iter().map(|status| Transfer {
            name: status.r#ref,
            done: bytes(status.offset),
            total: bytes(status.total),
        });
        Some(transfers.collect())
    }
}
