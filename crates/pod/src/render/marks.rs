//! Labels and annotations by which pods are found again, and by which containers are ended rightly
//! when their manifest is gone.
//!
//! Those that begin with `io.kubernetes` are the kubelet's (`staging/.../kubelet/pkg/types`,
//! `pkg/kubelet/kuberuntime/labels.go`); tools read them.

use std::{collections::BTreeMap, time::Duration};

use crilet_cri::v1;
use serde_json::{Value, json};

use crate::{
    manifest,
    model::{Container, Handler, Hook, HttpGet, Pod, Scheme, TerminationPolicy},
};

/// Label of everything that `crilet serve` made: pods without it are others'.
pub const MANAGED_BY: &str = "crilet.dev/managed-by";
/// Its value.
pub const MANAGER: &str = "serve";
/// Label: the pod's name.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// Label: the pod's namespace.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Label: the pod's uid.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// Label: the container's name.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// Annotation of sandboxes: [`Pod::sandbox_hash`].
pub const SANDBOX_HASH: &str = "crilet.dev/sandbox-hash";
/// Annotation of containers: [`Container::hash`].
pub const CONTAINER_HASH: &str = "crilet.dev/container-hash";
/// Annotation of containers: which start it is.
pub const ATTEMPT: &str = "io.kubernetes.container.restartCount";
/// Annotation of containers: where they may leave a last word.
pub const TERMINATION_PATH: &str = "io.kubernetes.container.terminationMessagePath";
/// Annotation of containers: `File` or `FallbackToLogsOnError`.
pub const TERMINATION_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// Annotation of containers: the hook before their end, as JSON.
pub const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";
/// Annotation of containers: how long they may take to end, in seconds.
pub const GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";

/// What is known of a container whose manifest is gone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marks {
    /// Whether `crilet serve` made it.
    pub managed: bool,
    /// Its hash when it was made.
    pub hash: Option<String>,
    /// Which start it is.
    pub attempt: Option<u32>,
    /// How long it may take to end.
    pub grace: Option<Duration>,
    /// What is done before its end.
    pub pre_stop: Option<Hook>,
    /// Where it may leave a last word.
    pub termination_path: Option<String>,
    /// Whether the end of its log may stand for that.
    pub termination_fallback: bool,
}

impl Marks {
    /// Reads what [`super::container_config`] wrote; what cannot be read is as if not there.
    pub fn read(labels: &BTreeMap<String, String>, annotations: &BTreeMap<String, String>) -> Self {
        let get = |key: &str| annotations.get(key).filter(|value| !value.is_empty());
        Self {
            managed: labels.get(MANAGED_BY).is_some_and(|value| value == MANAGER),
            hash: get(CONTAINER_HASH).cloned(),
            attempt: get(ATTEMPT).and_then(|value| value.parse().ok()),
            grace: get(GRACE).and_then(|value| value.parse().ok()).map(Duration::from_secs),
            pre_stop: get(PRE_STOP).and_then(|json| manifest::hook_from_json(json)),
            termination_path: get(TERMINATION_PATH).cloned(),
            termination_fallback: get(TERMINATION_POLICY)
                .is_some_and(|value| value == "FallbackToLogsOnError"),
        }
    }
}

pub(super) fn mark_sandbox(pod: &Pod, config: &mut v1::PodSandboxConfig) {
    mark_pod(pod, &mut config.labels);
    config.annotations.insert(SANDBOX_HASH.to_owned(), pod.sandbox_hash.clone());
}

fn mark_pod(pod: &Pod, labels: &mut BTreeMap<String, String>) {
    for (key, value) in [
        (MANAGED_BY, MANAGER),
        (POD_NAME, &pod.name),
        (POD_NAMESPACE, &pod.namespace),
        (POD_UID, &pod.uid),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
}

pub(super) fn mark_container(
    pod: &Pod,
    container: &Container,
    attempt: u32,
    config: &mut v1::ContainerConfig,
) {
    mark_pod(pod, &mut config.labels);
    config.labels.insert(CONTAINER_NAME.to_owned(), container.name.clone());
    let mut note = |key: &str, value: String| {
        config.annotations.insert(key.to_owned(), value);
    };
    note(CONTAINER_HASH, container.hash.clone());
    note(ATTEMPT, attempt.to_string());
    note(GRACE, container.grace.unwrap_or(pod.grace).as_secs().to_string());
    if let Some(termination) = &container.termination {
        note(TERMINATION_PATH, termination.path.clone());
        let policy = match termination.policy {
            TerminationPolicy::File => "File",
            TerminationPolicy::FallbackToLogsOnError => "FallbackToLogsOnError",
        };
        note(TERMINATION_POLICY, policy.to_owned());
    }
    if let Some(hook) = &container.lifecycle.pre_stop {
        note(PRE_STOP, json(hook).to_string());
    }
}

/// A hook in Kubernetes' words.
fn json(hook: &Hook) -> Value {
    match hook {
        Hook::Sleep(time) => json!({"sleep": {"seconds": time.as_secs()}}),
        Hook::Handler(Handler::Exec(command)) => json!({"exec": {"command": command}}),
        Hook::Handler(Handler::Http(http)) => json!({"httpGet": json_http(http)}),
        Hook::Handler(Handler::Tcp { host, port }) => {
            json!({"tcpSocket": {"host": host, "port": port}})
        }
        Hook::Handler(Handler::Grpc { port, service }) => {
            json!({"grpc": {"port": port, "service": service}})
        }
    }
}

fn json_http(http: &HttpGet) -> Value {
    let headers = http.headers.iter().map(|(name, value)| json!({"name": name, "value": value}));
    json!({
        "host": http.host,
        "httpHeaders": headers.collect::<Vec<_>>(),
        "path": http.path,
        "port": http.port,
        "scheme": if http.scheme == Scheme::Https { "HTTPS" } else { "HTTP" },
    })
}
