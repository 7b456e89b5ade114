//! What can be asked of the daemon.

use std::{fmt::Write, sync::Arc};

use crate::{Pod, PodList, PodRef};

/// An HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Method {
    Get,
    Post,
    Delete,
}

/// Name of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table of operations says it")]
pub enum OperationId {
    GetNode,
    GetStats,
    ListPods,
    WatchPods,
    GetPod,
    ReadLogs,
    DeletePod,
    StopPod,
    StartPod,
    RestartPod,
    Apply,
    ListEvents,
    WatchEvents,
    CollectImages,
    ExecInContainer,
    AttachToContainer,
    ForwardPorts,
    GetOpenApi,
    GetHealth,
    GetReadiness,
    GetMetrics,
    KubeletPods,
    KubeletStats,
    KubeletResourceMetrics,
}

/// A query parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// `integer` or `string`.
    pub kind: &'static str,
    /// What it does.
    pub description: &'static str,
}

/// What an operation answers when all goes well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// JSON of this wire type.
    Json(&'static str),
    /// JSON in a form that others have defined.
    Foreign,
    /// Text of this content type.
    Text(&'static str),
    /// Server-sent events: their names, and the wire type of the JSON that each carries.
    Events(&'static [(&'static str, &'static str)]),
    /// A WebSocket with one of these subprotocols: what its channels carry.
    Channels(&'static str),
}

/// Something that can be asked of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Its name.
    pub id: OperationId,
    /// Its method.
    pub method: Method,
    /// Its path, with parameters in braces.
    pub path: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// Its query parameters.
    pub query: &'static [Parameter],
    /// The wire type of its body, if it takes one.
    pub body: Option<&'static str>,
    /// What it answers.
    pub answer: Answer,
}

/// What a watch of pods tells.
#[derive(Debug, Clone, PartialEq)]
pub enum PodEvent {
    /// All pods there are; the first of every watch.
    Snapshot(PodList),
    /// A pod is new or another than before.
    Changed(Arc<Pod>),
    /// A pod is gone.
    Gone(PodRef),
}

const NONE: &[Parameter] = &[];

const SINCE: Parameter = Parameter {
    name: "since",
    kind: "integer",
    description: "Only events with a greater revision.",
};

const GRACE: Parameter = Parameter {
    name: "graceSeconds",
    kind: "integer",
    description: "How long containers may take to end, instead of what the manifest says.",
};

const LOGS: &[Parameter] = &[
    Parameter {
        name: "container",
        kind: "string",
        description: "Only this container; without, all of the pod by time.",
    },
    Parameter {
        name: "follow",
        kind: "boolean",
        description: "Whether to go on with what is added, until the containers have ended.",
    },
    Parameter {
        name: "previous",
        kind: "boolean",
        description: "Whether logs of the containers that were there before are meant.",
    },
    Parameter { name: "tail", kind: "integer", description: "Only the last lines of each log." },
    Parameter {
        name: "since",
        kind: "string",
        description: "Only lines since then: 10m, 2026-01-02T15:04:05Z and the like.",
    },
    Parameter { name: "until", kind: "string", description: "Only lines until then." },
    Parameter { name: "stream", kind: "string", description: "Only `stdout` or only `stderr`." },
    Parameter {
        name: "timestamps",
        kind: "boolean",
        description: "Whether the time stands before each line.",
    },
    Parameter { name: "limitBytes", kind: "integer", description: "Only this many bytes." },
    Parameter {
        name: "format",
        kind: "string",
        description: "`text`, `raw`, `json` (an object a line) or `cri` (as on disk); `text` without.",
    },
];

const COMMAND: Parameter = Parameter {
    name: "command",
    kind: "string",
    description: "The program, and once more for each of its arguments.",
};

const STREAMS: [Parameter; 4] = [
    Parameter { name: "stdin", kind: "boolean", description: "Whether channel 0 is read." },
    Parameter {
        name: "stdout",
        kind: "boolean",
        description: "Whether channel 1 is written; true without.",
    },
    Parameter {
        name: "stderr",
        kind: "boolean",
        description: "Whether channel 2 is written; without, true if there is no terminal.",
    },
    Parameter {
        name: "tty",
        kind: "boolean",
        description: "Whether there is a terminal; for an attach, whether the container has one.",
    },
];

const PORT: Parameter = Parameter {
    name: "port",
    kind: "integer",
    description: "A port of the pod, and once more for each other one.",
};

/// What a command's channels carry.
const OF_COMMAND: &str = "0 standard input, 1 standard output, 2 standard error, 3 how it ended as a Kubernetes Status, 4 \
     sizes of the terminal as {\"Width\":80,\"Height\":24}";

/// What the channels of ports carry.
const OF_PORTS: &str = "2n bytes of the nth port, 2n+1 what went wrong with it; both begin with the port in two bytes, the lower first";

const ABOUT: Parameter = Parameter {
    name: "pod",
    kind: "string",
    description: "Only events about this pod, as NAMESPACE/NAME.",
};

/// A row of the table: what most operations have in common is left out.
const fn get(
    id: OperationId,
    path: &'static str,
    answer: Answer,
    summary: &'static str,
) -> Operation {
    Operation { id, method: Method::Get, path, summary, query: NONE, body: None, answer }
}

const fn post(
    id: OperationId,
    path: &'static str,
    body: Option<&'static str>,
    answer: &'static str,
    summary: &'static str,
) -> Operation {
    let answer = Json(answer);
    Operation { id, method: Method::Post, path, summary, query: NONE, body, answer }
}

const fn with(operation: Operation, query: &'static [Parameter]) -> Operation {
    Operation { query, ..operation }
}

use Answer::{Channels, Events, Foreign, Json, Text};
use OperationId::{
    Apply, AttachToContainer, CollectImages, DeletePod, ExecInContainer, ForwardPorts, GetHealth,
    GetMetrics, GetNode, GetOpenApi, GetPod, GetReadiness, GetStats, KubeletPods,
    KubeletResourceMetrics, KubeletStats, ListEvents, ListPods, ReadLogs, RestartPod, StartPod,
    StopPod, WatchEvents, WatchPods,
};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that can be asked of the daemon.
pub const OPERATIONS: &[Operation] = &[
    get(GetNode, "/v1/node", Json("NodeInfo"), "The daemon and what it stands on."),
    get(GetStats, "/v1/stats", Json("Stats"), "What the node and its pods use."),
    get(ListPods, "/v1/pods", Json("PodList"), "All pods that the daemon keeps."),
    get(
        WatchPods,
        "/v1/pods/watch",
        Events(&[("snapshot", "PodList"), ("pod", "Pod"), ("gone", "PodRef")]),
        "All pods, then each that changes. A slow reader gets the latest of a pod, not every step.",
    ),
    get(GetPod, "/v1/pods/{namespace}/{name}", Json("Pod"), "One pod."),
    with(
        get(
            ReadLogs,
            "/v1/pods/{namespace}/{name}/logs",
            Text("text/plain; charset=utf-8"),
            "Logs of a pod, rotated and compressed files with them, in chunks as they are taken.",
        ),
        LOGS,
    ),
    Operation {
        id: DeletePod,
        method: Method::Delete,
        path: "/v1/pods/{namespace}/{name}",
        summary: "Stop a pod that was applied, remove it and forget it.",
        query: &[GRACE],
        body: None,
        answer: Json("Accepted"),
    },
    post(
        StopPod,
        "/v1/pods/{namespace}/{name}/stop",
        Some("StopRequest"),
        "Accepted",
        "Stop a pod. It stays stopped, over restarts of the daemon and of the machine.",
    ),
    post(
        StartPod,
        "/v1/pods/{namespace}/{name}/start",
        None,
        "Accepted",
        "Start a pod that was stopped, ended or waits for a restart.",
    ),
    post(
        RestartPod,
        "/v1/pods/{namespace}/{name}/restart",
        Some("RestartRequest"),
        "Accepted",
        "Start a pod, or one of its containers, again; without waiting for a backoff.",
    ),
    post(
        Apply,
        "/v1/apply",
        Some("ApplyRequest"),
        "ApplyReport",
        "Keep pods as these manifests say. All of them are used or none.",
    ),
    with(
        get(ListEvents, "/v1/events", Json("EventList"), "What happened lately, oldest first."),
        &[SINCE, ABOUT],
    ),
    with(
        get(
            WatchEvents,
            "/v1/events/watch",
            Events(&[("event", "Event")]),
            "What happened lately, then what happens. A reader that is too slow misses events.",
        ),
        &[SINCE, ABOUT],
    ),
    post(
        CollectImages,
        "/v1/images/gc",
        Some("ImageGcRequest"),
        "ImageGcReport",
        "Remove images that nobody needs, if the disk is too full.",
    ),
    with(
        get(
            ExecInContainer,
            "/v1/pods/{namespace}/{name}/containers/{container}/exec",
            Channels(OF_COMMAND),
            "Run a command in a container that runs.",
        ),
        &[COMMAND, STREAMS[0], STREAMS[1], STREAMS[2], STREAMS[3]],
    ),
    with(
        get(
            AttachToContainer,
            "/v1/pods/{namespace}/{name}/containers/{container}/attach",
            Channels(OF_COMMAND),
            "Join the streams of a container's first process.",
        ),
        &STREAMS,
    ),
    with(
        get(
            ForwardPorts,
            "/v1/pods/{namespace}/{name}/portforward",
            Channels(OF_PORTS),
            "Connect to ports of a pod, once to each.",
        ),
        &[PORT],
    ),
    get(GetOpenApi, "/v1/openapi.json", Foreign, "This document."),
    get(GetHealth, "/healthz", Text("text/plain"), "`ok`, or 503 and what is wrong."),
    get(
        GetReadiness,
        "/readyz",
        Text("text/plain"),
        "`ok` once the daemon knows its pods and can act upon them, or 503 and what is wrong.",
    ),
    get(GetMetrics, "/metrics", Text(OPEN_METRICS), "Metrics of the daemon and its pods."),
    get(KubeletPods, "/pods", Foreign, "As the kubelet's `/pods`: a `v1` PodList."),
    get(KubeletStats, "/stats/summary", Foreign, "As the kubelet's `/stats/summary`."),
    get(
        KubeletResourceMetrics,
        "/metrics/resource",
        Text("text/plain; version=0.0.4; charset=utf-8"),
        "As the kubelet's `/metrics/resource`.",
    ),
];

impl OperationId {
    /// The operation of this name.
    pub fn operation(self) -> &'static Operation {
        let found = OPERATIONS.iter().find(|operation| operation.id == self);
        found.unwrap_or(&OPERATIONS[0])
    }
}

impl Operation {
    /// Names of the path's parameters, in order.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// The path with its parameters filled in, in order.
    pub(crate) fn path_with(&self, values: &[&str]) -> String {
        let mut values = values.iter();
        let parts = self.path.split('/').map(|part| match part.starts_with('{') {
            true => values.next().map_or_else(String::new, |value| escape(value)),
            false => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join("/")
    }
}

/// Escapes what has a meaning of its own in paths and queries.
pub(crate) fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(escaped, "%{byte:02X}").unwrap_or_default();
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_operation_has_a_name_and_a_place_of_its_own() {
        let names: HashSet<_> = OPERATIONS.iter().map(|operation| operation.id).collect();
        assert_eq!(names.len(), OPERATIONS.len());
        let places: HashSet<_> =
            OPERATIONS.iter().map(|o| format!("{:?} {}", o.method, o.path)).collect();
        assert_eq!(places.len(), OPERATIONS.len());
        for operation in OPERATIONS {
            assert_eq!(operation.id.operation(), operation);
        }
    }

    #[test]
    fn parameters_are_escaped() {
        let path = GetPod.operation().path_with(&["a/b", "ü ?"]);
        assert_eq!(path, "/v1/pods/a%2Fb/%C3%BC%20%3F");
        let parameters: Vec<_> = StopPod.operation().path_parameters().collect();
        assert_eq!(parameters, ["namespace", "name"]);
    }
}
