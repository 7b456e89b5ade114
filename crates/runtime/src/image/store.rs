//! containerd's content, images and leases.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crilet_cri::Endpoint;
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Status,
    metadata::MetadataValue,
    transport::{Channel, Uri},
};

use self::api::{
    content::{self, content_client::ContentClient},
    images::{self, images_client::ImagesClient},
    leases::{self, leases_client::LeasesClient},
};
use super::LoadError;
use crate::digest::Digest;

/// What `build.rs` makes of `proto/containerd/`.
#[expect(
    unnameable_types,
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    reason = "generated code; the documentation is in proto/containerd/"
)]
pub(crate) mod api {
    pub mod containers {
        include!(concat!(env!("OUT_DIR"), "/containerd.services.containers.v1.rs"));
    }
    pub mod content {
        include!(concat!(env!("OUT_DIR"), "/containerd.services.content.v1.rs"));
    }
    pub mod events {
        include!(concat!(env!("OUT_DIR"), "/containerd.services.events.v1.rs"));
    }
    pub mod images {
        include!(concat!(env!("OUT_DIR"), "/containerd.services.images.v1.rs"));
    }
    pub mod leases {
        include!(concat!(env!("OUT_DIR"), "/containerd.services.leases.v1.rs"));
    }
}

/// containerd keeps the images of the CRI apart from those of other clients.
pub(crate) const NAMESPACE: &str = "k8s.io";

/// Bytes in one message; containerd takes up to 16 MiB.
const CHUNK: usize = 1 << 20;

/// A lease that nobody deletes, because crilet was killed, ends by itself.
const LEASE_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A connection under a lease: what it writes is collected when the lease goes, unless an image
/// names it by then.
#[derive(Debug)]
pub(super) struct Store {
    channel: Channel,
    lease: String,
}

/// A blob to be written.
#[derive(Debug, Clone)]
pub(super) struct BlobInfo {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) labels: BTreeMap<String, String>,
}

/// How writing a blob can fail.
#[derive(Debug)]
pub(super) enum WriteError {
    /// Its source cannot be read.
    Read(io::Error),
    /// Its source has other contents.
    Digest(Digest),
    /// containerd refused.
    Containerd(LoadError),
}

/// Connects to containerd's own services, which are on the socket of its CRI.
pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Channel, tonic::transport::Error> {
    let path = endpoint.path().to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    tonic::transport::Endpoint::from_static("http://localhost")
        .connect_with_connector(connector)
        .await
}

impl Store {
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Self, LoadError> {
        let channel = connect(endpoint)
            .await
            .map_err(|error| refused("connect", &endpoint.to_string(), error.into()))?;
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let lease = format!("crilet-{}-{}", process::id(), started.as_nanos());
        let store = Self { channel, lease };
        let expiry = ("containerd.io/gc.expire".to_owned(), rfc3339(started + LEASE_LIFE));
        let request =
            leases::CreateRequest { id: store.lease.clone(), labels: BTreeMap::from([expiry]) };
        let answer = LeasesClient::new(store.channel.clone()).create(store.request(request)).await;
        answer.map_err(|status| store.refused("lease", &store.lease, status))?;
        Ok(store)
    }

    /// Lets the lease go; what no image names is collected now.
    pub(super) async fn close(self) -> Result<(), LoadError> {
        let request = leases::DeleteRequest { id: self.lease.clone(), sync: true };
        let answer = LeasesClient::new(self.channel.clone()).delete(self.request(request)).await;
        answer.map(drop).map_err(|status| self.refused("end the lease", &self.lease, status))
    }

    /// Writes a blob, or takes it under the lease when containerd has it already.
    ///
    /// The digest is checked before anything is committed.
    pub(super) async fn write(
        &self,
        blob: BlobInfo,
        reader: impl Read + Send + 'static,
    ) -> Result<(), WriteError> {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let reference = format!("{}-{number}", self.lease);
        let (sender, receiver) = mpsc::channel(2);
        let sending = {
            let (blob, reference) = (blob.clone(), reference.clone());
            tokio::task::spawn_blocking(move || send(blob, reference, reader, &sender))
        };
        let stored = self.receive(ReceiverStream::new(receiver)).await;
        // The receiver is gone, so the sender ends even if containerd broke off.
        let sent =
            sending.await.map_err(|cause| WriteError::Containerd(LoadError::Worker { cause }))?;
        match (sent, stored) {
            (_, Err(status)) if status.code() == Code::AlreadyExists => {
                self.label(&blob).await.map_err(WriteError::Containerd)
            }
            (Err(error), _) => {
                self.abort(&reference).await;
                Err(error)
            }
            (Ok(()), Err(status)) => {
                self.abort(&reference).await;
                let digest = blob.digest.to_string();
                Err(WriteError::Containerd(self.refused("write", &digest, status)))
            }
            (Ok(()), Ok(())) => Ok(()),
        }
    }

    async fn receive(
        &self,
        messages: ReceiverStream<content::WriteContentRequest>,
    ) -> Result<(), Status> {
        let mut client = ContentClient::new(self.channel.clone());
        let mut answers = client.write(self.request(messages)).await?.into_inner();
        while answers.message().await?.is_some() {}
        Ok(())
    }

    async fn abort(&self, reference: &str) {
        let request = content::AbortRequest { r#ref: reference.to_owned() };
        let answer = ContentClient::new(self.channel.clone()).abort(self.request(request)).await;
        if let Err(status) = answer
            && status.code() != Code::NotFound
        {
            // What triggered this is reported; the leftover ends with the lease.
            tracing::debug!(reference, %status, "cannot throw an unfinished write away");
        }
    }

    /// Adds the labels to a blob that was there before.
    async fn label(&self, blob: &BlobInfo) -> Result<(), LoadError> {
        if blob.labels.is_empty() {
            return Ok(());
        }
        let digest = blob.digest.to_string();
        let paths = blob.labels.keys().map(|label| format!("labels.{label}")).collect();
        let request = content::UpdateRequest {
            info: Some(content::Info {
                digest: digest.clone(),
                size: 0,
                labels: blob.labels.clone(),
            }),
            update_mask: Some(content::FieldMask { paths }),
        };
        let answer = ContentClient::new(self.channel.clone()).update(self.request(request)).await;
        answer.map(drop).map_err(|status| self.refused("label", &digest, status))
    }

    /// Gives content a name; an image that had it loses it.
    ///
    /// The label by which the CRI knows its own images is left to the CRI: it adds its other
    /// records together with that label.
    pub(super) async fn name(
        &self,
        name: &str,
        media_type: &str,
        digest: &Digest,
        size: u64,
    ) -> Result<(), LoadError> {
        let target = images::Descriptor {
            media_type: media_type.to_owned(),
            digest: digest.to_string(),
            size: i64::try_from(size).unwrap_or(i64::MAX),
            annotations: BTreeMap::new(),
        };
        let image =
            images::Image { name: name.to_owned(), labels: BTreeMap::new(), target: Some(target) };
        let mut client = ImagesClient::new(self.channel.clone());
        let request = images::CreateImageRequest { image: Some(image.clone()) };
        match client.create(self.request(request)).await {
            Ok(_) => return Ok(()),
            Err(status) if status.code() == Code::AlreadyExists => {}
            Err(status) => return Err(self.refused("name", name, status)),
        }
        let request = images::UpdateImageRequest { image: Some(image) };
        let answer = client.update(self.request(request)).await;
        answer.map(drop).map_err(|status| self.refused("name", name, status))
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let headers = request.metadata_mut();
        headers.insert("containerd-namespace", MetadataValue::from_static(NAMESPACE));
        if let Ok(lease) = MetadataValue::try_from(&self.lease) {
            headers.insert("containerd-lease", lease);
        }
        request
    }

    #[expect(clippy::unused_self, reason = "reads as what the store says")]
    fn refused(&self, action: &'static str, object: &str, status: Status) -> LoadError {
        refused(action, object, status.message().trim().into())
    }
}

fn refused(
    action: &'static str,
    object: &str,
    cause: Box<dyn std::error::Error + Send + Sync>,
) -> LoadError {
    LoadError::Containerd { action, object: object.to_owned(), cause }
}

/// Sends a blob in pieces, and the order to commit it when its digest is right.
fn send(
    blob: BlobInfo,
    reference: String,
    mut reader: impl Read,
    sender: &mpsc::Sender<content::WriteContentRequest>,
) -> Result<(), WriteError> {
    let mut summed = crate::digest::Summed::new(&mut reader);
    let mut offset = 0;
    let total = i64::try_from(blob.size).unwrap_or(i64::MAX);
    let message =
        |action: content::WriteAction, offset, data, labels| content::WriteContentRequest {
            action: action.into(),
            r#ref: reference.clone(),
            total,
            expected: blob.digest.to_string(),
            offset,
            data,
            labels,
        };
    loop {
        let mut data = Vec::with_capacity(CHUNK);
        let length = (&mut summed)
            .take(u64::try_from(CHUNK).unwrap_or(u64::MAX))
            .read_to_end(&mut data)
            .map_err(WriteError::Read)?;
        if length == 0 && offset > 0 {
            break;
        }
        let piece = message(content::WriteAction::Write, offset, data, BTreeMap::new());
        offset += i64::try_from(length).unwrap_or(0);
        // containerd has broken off, and its answer says why.
        if sender.blocking_send(piece).is_err() {
            return Ok(());
        }
        if length == 0 {
            break;
        }
    }
    let (digest, _, _) = summed.finish();
    if digest != blob.digest {
        return Err(WriteError::Digest(digest));
    }
    let commit = message(content::WriteAction::Commit, offset, Vec::new(), blob.labels.clone());
    // As above.
    drop(sender.blocking_send(commit));
    Ok(())
}

/// A time since 1970 as `2026-01-31T12:00:00Z`.
fn rfc3339(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's civil_from_days: years begin in March, eras have 400 of them.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_containerd_reads_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_secs(seconds)), text);
        }
    }
}
