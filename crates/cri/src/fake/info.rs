//! The JSON of a verbose status: containerd's `SandboxInfo` and `ContainerInfo`
//! (pkg/cri/server/sandbox_status.go, container_status.go) and CRI-O's (server/sandbox_status.go,
//! container_status.go).

use std::collections::BTreeMap;

use prost::Message;
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::{Value, json};

use super::{Flavour, containers::Container, sandboxes::Sandbox};
use crate::{schema::descriptor_pool, v1};

const PAUSE: &str = "registry.k8s.io/pause:3.6";

pub(super) fn sandbox(flavour: Flavour, sandbox: &Sandbox) -> BTreeMap<String, String> {
    entry(&match flavour {
        Flavour::Containerd => containerd_sandbox(sandbox),
        Flavour::Crio => json!({
            "image": PAUSE,
            "pid": sandbox.pid,
            "runtimeSpec": runtime_spec(sandbox, crio_annotations(sandbox)),
        }),
    })
}

pub(super) fn container(
    flavour: Flavour,
    container: &Container,
    sandbox: Option<&Sandbox>,
) -> BTreeMap<String, String> {
    let spec = sandbox.map(|sandbox| runtime_spec(sandbox, json!({})));
    entry(&match flavour {
        Flavour::Containerd => json!({
            "sandboxID": container.sandbox_id,
            "pid": container.pid,
            "removing": false,
            "snapshotKey": container.id,
            "snapshotter": "overlayfs",
            "runtimeType": "io.containerd.runc.v2",
            "runtimeOptions": {},
            "config": container_config(&container.config),
            "runtimeSpec": spec,
        }),
        Flavour::Crio => json!({
            "sandboxID": container.sandbox_id,
            "pid": container.pid,
            "runtimeSpec": spec,
            "privileged": false,
        }),
    })
}

fn entry(info: &Value) -> BTreeMap<String, String> {
    BTreeMap::from([("info".to_owned(), info.to_string())])
}

fn containerd_sandbox(sandbox: &Sandbox) -> Value {
    let node = sandbox.ip.is_empty();
    let interfaces = json!({
        "eth0": {
            "IPConfigs": [{"IP": sandbox.ip, "Gateway": "10.88.0.1"}],
            "Mac": "0a:58:0a:58:00:02",
            "Sandbox": namespace_path(sandbox),
        },
        "lo": {"IPConfigs": [{"IP": "127.0.0.1", "Gateway": ""}], "Mac": "00:00:00:00:00:00"},
    });
    json!({
        "pid": sandbox.pid,
        "processStatus": if sandbox.ready { "running" } else { "deleted" },
        "netNamespaceClosed": !sandbox.ready && !node,
        "image": PAUSE,
        "snapshotKey": sandbox.id,
        "snapshotter": "overlayfs",
        "runtimeHandler": sandbox.handler,
        "runtimeType": "io.containerd.runc.v2",
        "runtimeOptions": {},
        "config": as_json("runtime.v1.PodSandboxConfig", &sandbox.config),
        "runtimeSpec": runtime_spec(sandbox, Value::Null),
        "cniResult": if node { Value::Null } else { json!({"Interfaces": interfaces}) },
    })
}

/// The parts of an OCI spec that tools read.
fn runtime_spec(sandbox: &Sandbox, annotations: Value) -> Value {
    let mut namespaces = vec![json!({"type": "pid"}), json!({"type": "ipc"})];
    if !sandbox.ip.is_empty() {
        namespaces.push(json!({"type": "network", "path": namespace_path(sandbox)}));
    }
    json!({
        "ociVersion": "1.0.2-dev",
        "hostname": sandbox.config.hostname,
        "annotations": annotations,
        "linux": {"namespaces": namespaces},
    })
}

fn namespace_path(sandbox: &Sandbox) -> String {
    let name: String = sandbox.id.chars().take(8).collect();
    format!("/var/run/netns/cni-{name}")
}

fn crio_annotations(sandbox: &Sandbox) -> Value {
    let config = &sandbox.config;
    let ports: Vec<Value> = config
        .port_mappings
        .iter()
        .map(|port| {
            json!({
                "Protocol": port.protocol().as_str_name(),
                "ContainerPort": port.container_port,
                "HostPort": port.host_port,
                "HostIP": port.host_ip,
            })
        })
        .collect();
    let parent = config.linux.as_ref().map_or("", |linux| &linux.cgroup_parent);
    json!({
        "io.kubernetes.cri-o.HostName": config.hostname,
        "io.kubernetes.cri-o.LogPath": format!("{}/{}.log", config.log_directory, sandbox.id),
        "io.kubernetes.cri-o.PortMappings": Value::from(ports).to_string(),
        "io.kubernetes.cri-o.CgroupParent": parent,
    })
}

/// Prints a container's config; the values of its environment are text, as they were in the CRI
/// that these runtimes were built with.
fn container_config(config: &v1::ContainerConfig) -> Value {
    let mut printed = as_json("runtime.v1.ContainerConfig", config);
    let values = config.envs.iter().map(|env| String::from_utf8_lossy(&env.value).into_owned());
    if let Some(envs) = printed.get_mut("envs").and_then(Value::as_array_mut) {
        for (env, value) in envs.iter_mut().zip(values) {
            env["value"] = Value::from(value);
        }
    }
    printed
}

/// Prints a message as Go's encoding/json does: the proto's names, enums as numbers, nothing for
/// defaults.
fn as_json(name: &str, message: &impl Message) -> Value {
    let descriptor = descriptor_pool().get_message_by_name(name).expect("the CRI has it");
    let encoded = message.encode_to_vec();
    let message = DynamicMessage::decode(descriptor, encoded.as_slice()).expect("just encoded");
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .use_enum_numbers(true)
        .stringify_64_bit_integers(false);
    let printed = message.serialize_with_options(serde_json::value::Serializer, &options);
    printed.expect("a message without Any and floats always prints")
}
