//! Volumes that may hold only so much: measured now and then, as the kubelet does
//! (`pkg/kubelet/eviction/eviction_manager.go`, `emptyDirLimitEviction`).
//!
//! A pod that has filled one is ended with its grace period, the volume is emptied, and the pod
//! goes on as its restart policy says. The kubelet leaves such a pod failed and counts on a
//! controller to make another one; here nobody else would.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Intent, Target, Wanted, Worker,
    act::{Done, Effect, Failure, Job},
    start::volume_failure,
};
use crate::{
    model::{Medium, Pod, VolumeSource},
    volumes::{self, Roots},
};

/// Waits until it is time to measure; for ever if nothing is to be measured.
pub(super) async fn due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Whether there is anything to measure: limits of memory are the kernel's business.
fn is_limited(pod: &Pod) -> bool {
    let limited = |source: &VolumeSource| {
        matches!(source, VolumeSource::EmptyDir { medium: Medium::Disk, size_limit: Some(_) })
    };
    pod.volumes.iter().any(|volume| limited(&volume.source))
}

impl Worker {
    /// Begins to measure when it is time.
    pub(super) fn measure_usage(&mut self, wanted: &Wanted) {
        if !is_limited(&wanted.pod) || wanted.intent != Intent::Run {
            self.measure_at = None;
            return;
        }
        let now = Instant::now();
        let period = self.node.measure_every;
        let at = *self.measure_at.get_or_insert(now + period);
        if at > now || !self.memory.busy.insert(Target::Usage) {
            return;
        }
        self.measure_at = Some(now + period);
        let (pod, roots) = (Arc::clone(&wanted.pod), Roots::below(&self.node.data));
        self.tasks.spawn(async move {
            let measure = move || volumes::over_limit(&pod, &roots).map(words);
            let measured = tokio::task::spawn_blocking(measure).await;
            let effect = match measured {
                Ok(Ok(Some(message))) => Ok(Effect::OverLimit(message)),
                Ok(Ok(None)) => Ok(Effect::Nothing),
                Ok(Err(error)) => Err(volume_failure(&error)),
                Err(error) => Err(Failure::of("FailedMount", &error)),
            };
            Done { target: Target::Usage, effect }
        });
    }

    /// Has the pod's sandboxes make way for another one.
    pub(super) fn evict(&mut self, message: String) {
        self.memory.evicted.extend(self.observed.iter().map(|sandbox| sandbox.id.clone()));
        self.tell(None, true, "Evicted", message);
    }
}

impl Job {
    /// Empties the volumes that hold too much, before containers come to use them again.
    pub(super) async fn empty_full_volumes(&self) -> Result<(), Failure> {
        if !is_limited(&self.pod) {
            return Ok(());
        }
        let (pod, roots) = (Arc::clone(&self.pod), Roots::below(&self.node.data));
        super::start::aside(move || {
            let full = volumes::over_limit(&pod, &roots)?;
            full.iter().try_for_each(|(name, _)| volumes::remove_volume(&roots, &pod.uid, name))
        })
        .await
    }
}

fn words(over: Vec<(String, u64)>) -> Option<String> {
    let one = |(name, bytes): (String, u64)| {
        format!("volume `{name}` holds {bytes} bytes, more than its limit")
    };
    let all: Vec<_> = over.into_iter().map(one).collect();
    (!all.is_empty())
        .then(|| format!("{}; the pod makes way and its volume is emptied", all.join(", ")))
}
