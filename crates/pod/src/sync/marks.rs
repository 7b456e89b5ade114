//! What the keeping of pods writes on sandboxes and containers, as annotations, beside the marks of
//! [`crate::render`].

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crilet_cri::inventory;

pub use crate::render::{CONTAINER_HASH, SANDBOX_HASH};
use crate::{
    model::{Container, Pod},
    render::{MANAGED_BY, MANAGER},
};

/// On a sandbox: when the pod's first sandbox was made, in nanoseconds since 1970.
pub const FIRST_START: &str = "crilet.dev/first-start";

/// On a container: how many restarts have led to it since its backoff began anew.
pub const BACKOFF_STEP: &str = "crilet.dev/backoff-step";

/// On a container: after which ends it is started again, a policy in Kubernetes' words, as it was
/// when the container was made. Whoever reads its log knows by it whether more is to come.
pub const RESTARTS: &str = "crilet.dev/restarts";

/// On a sandbox of the CRI's files: what its writer says of restarts.
const RESTART_POLICY: &str = "crilet.dev/restart-policy";

/// Whether crilet keeps this sandbox; it touches no other.
pub fn is_kept(sandbox: &inventory::Pod) -> bool {
    sandbox.labels.get(MANAGED_BY).is_some_and(|manager| manager == MANAGER)
}

/// Whether a sandbox was made from what the manifest says now.
pub fn is_of(sandbox: &inventory::Pod, pod: &Pod) -> bool {
    sandbox.annotations.get(SANDBOX_HASH) == Some(&pod.sandbox_hash)
}

/// Whether a container was made from what the manifest says now.
pub fn is_made_from(found: &inventory::Container, wanted: &Container) -> bool {
    found.annotations.get(CONTAINER_HASH) == Some(&wanted.hash)
}

/// Whether somebody looks after a pod who will make an ended container again.
pub fn is_made_again(pod: &inventory::Pod, container: &inventory::Container) -> bool {
    let details =
        pod.containers.iter().find(|c| c.id == container.id).and_then(|c| c.details.as_ref());
    let failed = details.and_then(|details| details.exit_code) != Some(0);
    // What the daemon wrote on the container goes before what a person wrote on the pod.
    let kept = container.annotations.get(RESTARTS);
    let policy = kept.or_else(|| pod.annotations.get(RESTART_POLICY));
    match policy.map(|policy| policy.to_ascii_lowercase()).as_deref() {
        Some("always" | "unless-stopped") => true,
        Some("on-failure" | "onfailure") => failed,
        _ => false,
    }
}

/// A point in time as a mark.
pub fn format_time(at: SystemTime) -> String {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

/// A mark as a point in time; nothing if it is absent or unreadable.
pub fn time(annotations: &BTreeMap<String, String>, mark: &str) -> Option<SystemTime> {
    let nanoseconds: u64 = annotations.get(mark)?.parse().ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds))
}

/// The backoff step of a container; none counts as the first.
pub fn backoff_step(annotations: &BTreeMap<String, String>) -> u32 {
    annotations.get(BACKOFF_STEP).and_then(|step| step.parse().ok()).unwrap_or(0)
}
