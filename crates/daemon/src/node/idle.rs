use std::process;

use crilet_api::{
    ApiError, ApplyReport, ApplyRequest, Check, ErrorCode, Health, ImageGcReport, ImageGcRequest,
    NodeInfo, PodList, PodRef, RestartRequest, Stats, StopRequest,
};
use futures_util::future::{BoxFuture, ready};
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::{Answer, Node};
use crate::{Config, EventLog};

/// A node without pods that takes none: it says so to everybody who asks.
#[derive(Debug)]
pub struct IdleNode {
    started_at: Timestamp,
    pods_dir: String,
    revision: watch::Sender<u64>,
    events: EventLog,
}

impl IdleNode {
    /// A node with this configuration.
    pub fn new(config: &Config) -> Self {
        Self {
            started_at: Timestamp::now(),
            pods_dir: config.pods_dir.display().to_string(),
            revision: watch::Sender::new(1),
            events: EventLog::new(),
        }
    }
}

fn refused<T: Send + 'static>() -> Answer<'static, T> {
    let error = ApiError::new(ErrorCode::Unavailable, "this daemon keeps no pods");
    Box::pin(ready(Err(error)))
}

fn missing(pod: &PodRef) -> Answer<'static, ()> {
    Box::pin(ready(Err(ApiError::no_such_pod(pod))))
}

impl Node for IdleNode {
    fn info(&self) -> NodeInfo {
        NodeInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: process::id(),
            started_at: self.started_at,
            pods_dir: self.pods_dir.clone(),
            health: self.health(),
            ..NodeInfo::default()
        }
    }

    fn health(&self) -> Health {
        let message = "this daemon keeps no pods".to_owned();
        let pods = Check { name: "pods".to_owned(), ok: false, message };
        Health { live: true, ready: false, checks: vec![pods] }
    }

    fn pods(&self) -> PodList {
        PodList { revision: *self.revision.borrow(), items: Vec::new() }
    }

    fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    fn events(&self) -> &EventLog {
        &self.events
    }

    fn stats(&self) -> Answer<'_, Stats> {
        refused()
    }

    fn apply(&self, _: ApplyRequest) -> Answer<'_, ApplyReport> {
        refused()
    }

    fn delete(&self, pod: PodRef, _: StopRequest) -> Answer<'_, ()> {
        missing(&pod)
    }

    fn stop(&self, pod: PodRef, _: StopRequest) -> Answer<'_, ()> {
        missing(&pod)
    }

    fn start(&self, pod: PodRef) -> Answer<'_, ()> {
        missing(&pod)
    }

    fn restart(&self, pod: PodRef, _: RestartRequest) -> Answer<'_, ()> {
        missing(&pod)
    }

    fn collect_images(&self, _: ImageGcRequest) -> Answer<'_, ImageGcReport> {
        refused()
    }

    fn configure(&self, _: &Config) {}

    fn register_metrics(&self, _: &mut Registry) {}

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }
}
