//! `/pods`: a PodList of Kubernetes' `v1`.

use crilet_api::{
    Container, ContainerKind, ContainerState, NodeInfo, Phase, Pod, PodList, Protocol, Resources,
    Terminated,
};
use serde_json::{Map, Value, json};

/// All pods as Kubernetes writes them. What the API's pods do not have, such as environment
/// variables and mounts, is left out.
pub(crate) fn pod_list(pods: &PodList, node: &NodeInfo) -> Value {
    let items: Vec<_> = pods.items.iter().map(|item| pod(item, node)).collect();
    json!({
        "kind": "PodList",
        "apiVersion": "v1",
        "metadata": { "resourceVersion": pods.revision.to_string() },
        "items": items,
    })
}

fn pod(pod: &Pod, node: &NodeInfo) -> Value {
    let mut metadata = json!({
        "name": pod.name,
        "namespace": pod.namespace,
        "uid": pod.uid,
        "creationTimestamp": seconds(pod.created_at),
        "resourceVersion": pod.revision.to_string(),
    });
    put(&mut metadata, "labels", (!pod.labels.is_empty()).then(|| json!(pod.labels)));
    let annotations = (!pod.annotations.is_empty()).then(|| json!(pod.annotations));
    put(&mut metadata, "annotations", annotations);
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": metadata,
        "spec": spec(pod, node),
        "status": status(pod, scheme(node)),
    })
}

fn spec(pod: &Pod, node: &NodeInfo) -> Value {
    let containers = |init| -> Vec<_> {
        let wanted = |container: &&Container| is_init(container) == init;
        pod.containers.iter().filter(wanted).map(|found| container_spec(pod, found)).collect()
    };
    let mut spec = json!({
        "containers": containers(false),
        "restartPolicy": pod.restart_policy,
        "terminationGracePeriodSeconds": pod.grace_seconds,
        "nodeName": node.name,
    });
    let init = containers(true);
    put(&mut spec, "initContainers", (!init.is_empty()).then(|| json!(init)));
    put(&mut spec, "hostNetwork", pod.host_network.then_some(Value::Bool(true)));
    let handler = (!pod.runtime_handler.is_empty()).then(|| json!(pod.runtime_handler));
    put(&mut spec, "runtimeClassName", handler);
    spec
}

fn container_spec(pod: &Pod, container: &Container) -> Value {
    let own = |port: &&crilet_api::Port| port.container.as_ref() == Some(&container.name);
    let ports: Vec<_> = pod.ports.iter().filter(own).map(port).collect();
    let mut spec = json!({
        "name": container.name,
        "image": container.image,
        "resources": resources(&container.resources),
    });
    put(&mut spec, "ports", (!ports.is_empty()).then(|| json!(ports)));
    let command = (!container.command.is_empty()).then(|| json!(container.command));
    put(&mut spec, "command", command);
    let always = container.kind == ContainerKind::Sidecar;
    put(&mut spec, "restartPolicy", always.then(|| json!("Always")));
    spec
}

fn port(port: &crilet_api::Port) -> Value {
    let protocol = match port.protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
    };
    let mut value = json!({ "containerPort": port.container_port, "protocol": protocol });
    put(&mut value, "name", port.name.as_ref().map(|name| json!(name)));
    put(&mut value, "hostPort", port.host_port.map(|number| json!(number)));
    put(&mut value, "hostIP", port.host_ip.map(|ip| json!(ip)));
    value
}

fn resources(resources: &Resources) -> Value {
    let list = |cpu: Option<u64>, memory: Option<u64>| {
        let mut list = Map::new();
        let cpu = cpu.map(|millis| match millis % 1000 {
            0 => (millis / 1000).to_string(),
            _ => format!("{millis}m"),
        });
        list.extend(cpu.map(|text| ("cpu".to_owned(), json!(text))));
        list.extend(memory.map(|bytes| ("memory".to_owned(), json!(bytes.to_string()))));
        (!list.is_empty()).then_some(Value::Object(list))
    };
    let mut value = json!({});
    let Resources { cpu_request_millis, cpu_limit_millis, .. } = *resources;
    put(&mut value, "requests", list(cpu_request_millis, resources.memory_request_bytes));
    put(&mut value, "limits", list(cpu_limit_millis, resources.memory_limit_bytes));
    value
}

/// What container ids begin with: `containerd://`, `cri-o://`.
fn scheme(node: &NodeInfo) -> &str {
    if node.runtime.name.is_empty() { "cri" } else { &node.runtime.name }
}

fn status(pod: &Pod, scheme: &str) -> Value {
    let statuses = |init| -> Vec<_> {
        let wanted = |container: &&Container| is_init(container) == init;
        let found = pod.containers.iter().filter(wanted);
        found.map(|container| container_status(container, scheme)).collect()
    };
    let conditions: Vec<_> = pod.conditions.iter().map(condition).collect();
    let mut status = json!({
        "phase": phase(pod),
        "conditions": conditions,
        "qosClass": pod.qos_class,
        "containerStatuses": statuses(false),
    });
    let init = statuses(true);
    put(&mut status, "initContainerStatuses", (!init.is_empty()).then(|| json!(init)));
    put(&mut status, "message", pod.message.as_ref().map(|message| json!(message)));
    put(&mut status, "startTime", pod.started_at.map(|time| json!(seconds(time))));
    put(&mut status, "podIP", pod.ips.first().map(|ip| json!(ip)));
    let ips: Vec<_> = pod.ips.iter().map(|ip| json!({ "ip": ip })).collect();
    put(&mut status, "podIPs", (!ips.is_empty()).then(|| json!(ips)));
    status
}

/// Kubernetes has no word for a pod that is down and stays so until somebody starts it.
fn phase(pod: &Pod) -> &'static str {
    match pod.phase {
        Phase::Pending => "Pending",
        Phase::Running | Phase::Stopping => "Running",
        Phase::Succeeded | Phase::Stopped => "Succeeded",
        Phase::Failed => "Failed",
    }
}

fn condition(condition: &crilet_api::Condition) -> Value {
    let mut value = json!({
        "type": condition.kind,
        "status": condition.status,
        "lastTransitionTime": seconds(condition.since),
    });
    put(&mut value, "reason", condition.reason.as_ref().map(|text| json!(text)));
    put(&mut value, "message", condition.message.as_ref().map(|text| json!(text)));
    value
}

fn container_status(container: &Container, scheme: &str) -> Value {
    let mut status = json!({
        "name": container.name,
        "image": container.image,
        "imageID": container.image_id.as_deref().unwrap_or_default(),
        "ready": container.ready,
        "started": container.started,
        "restartCount": container.restarts,
        "state": state(&container.state, scheme),
        "lastState": container.last_termination.as_ref().map_or_else(
            || json!({}),
            |last| json!({ "terminated": terminated(last, scheme) }),
        ),
    });
    let id = container.id.as_ref().map(|id| json!(format!("{scheme}://{id}")));
    put(&mut status, "containerID", id);
    status
}

fn state(state: &ContainerState, scheme: &str) -> Value {
    match state {
        ContainerState::Waiting { reason, message } => {
            let mut waiting = json!({ "reason": reason });
            put(&mut waiting, "message", message.as_ref().map(|text| json!(text)));
            json!({ "waiting": waiting })
        }
        ContainerState::Running { started_at } => {
            json!({ "running": { "startedAt": seconds(*started_at) } })
        }
        ContainerState::Terminated(last) => json!({ "terminated": terminated(last, scheme) }),
    }
}

fn terminated(last: &Terminated, scheme: &str) -> Value {
    let time = |time: Option<jiff::Timestamp>| time.map(|time| json!(seconds(time)));
    let mut value = json!({ "exitCode": last.exit_code, "reason": last.reason });
    put(&mut value, "message", last.message.as_ref().map(|text| json!(text)));
    put(&mut value, "startedAt", time(last.started_at));
    put(&mut value, "finishedAt", time(last.finished_at));
    let id = last.container_id.as_ref().map(|id| json!(format!("{scheme}://{id}")));
    put(&mut value, "containerID", id);
    value
}

fn is_init(container: &Container) -> bool {
    container.kind != ContainerKind::Regular
}

/// Kubernetes writes times without fractions of seconds.
pub(super) fn seconds(time: jiff::Timestamp) -> String {
    let whole = time.round(jiff::Unit::Second).unwrap_or(time);
    whole.to_string()
}

/// Sets a key that has a value.
pub(super) fn put(object: &mut Value, key: &str, value: Option<Value>) {
    if let (Value::Object(entries), Some(value)) = (object, value) {
        entries.insert(key.to_owned(), value);
    }
}
