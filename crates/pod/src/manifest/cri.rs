//! Configurations of the CRI: all files of a source are one pod.

use std::collections::HashSet;

use crilet_cri::{
    config::{self, Finding, Findings, Located},
    v1,
};

use super::{
    Manifests, ReadOptions, Text, conclude,
    policy::{self, ContainerPolicy, Wrong},
    report,
};
use crate::{
    images::PullSecrets,
    model::{
        Container, DEFAULT_GRACE, Dns, Format, Names, Origin, Pod, Qos, Resources, derive_uid,
    },
    spec,
};

/// Reads a pod config and its container configs.
pub(super) fn read(texts: &[Text], options: &ReadOptions) -> Result<Manifests, Findings> {
    let files = config::read_texts(texts.iter().map(|text| (&*text.file, &*text.content)))?;
    let mut findings = Vec::new();
    let mut init = Vec::new();
    let mut containers = Vec::new();
    for located in files.containers {
        let (policy, wrong) = policy::of_container(&located.config.annotations);
        findings.extend(wrong.into_iter().map(|wrong| finding(&located, wrong)));
        let list = if policy.init { &mut init } else { &mut containers };
        list.push(container(located.config, policy));
    }
    let (policy, wrong) = policy::of_pod(&files.pod.config.annotations);
    findings.extend(wrong.into_iter().map(|wrong| finding(&files.pod, wrong)));
    if containers.is_empty() {
        let place = files.pod.finding("", "a pod without containers");
        findings.push(place.hint("a container config beside it has metadata, image, command, ..."));
    }
    let file = files.pod.file().to_owned();
    let position = files.pod.finding("", "").position;
    let mut sandbox = files.pod.config;
    complete(&mut sandbox, options);
    let metadata = sandbox.metadata.clone().unwrap_or_default();
    let dns = sandbox.dns_config.is_none().then(Dns::default);
    let hostname = sandbox.hostname.clone();
    let mut pod = Pod {
        namespace: metadata.namespace,
        name: metadata.name,
        uid: metadata.uid,
        labels: sandbox.labels.clone(),
        annotations: sandbox.annotations.clone(),
        origin: Origin { file, position, document: 1, format: Format::Cri },
        restart_policy: policy.restart_policy,
        backoff: policy.backoff,
        grace: policy.grace.unwrap_or(DEFAULT_GRACE),
        active_deadline: policy.active_deadline,
        runtime_handler: policy.runtime_handler,
        names: Names { hostname, subdomain: None, fqdn: None },
        host_aliases: Vec::new(),
        dns,
        fs_group: None,
        qos: Qos::BestEffort,
        init,
        containers,
        volumes: Vec::new(),
        pull_secrets: PullSecrets::default(),
        sandbox_hash: String::new(),
        sandbox,
    };
    pod.qos = qos(&pod);
    pod.seal();
    conclude(vec![pod], Vec::new(), findings)
}

fn finding<T>(located: &Located<T>, wrong: Wrong) -> Finding {
    let finding = located.finding(&report::entry("annotations", &wrong.key), wrong.message);
    let finding = match wrong.hint {
        Some(hint) => finding.hint(hint),
        None => finding,
    };
    if wrong.harmless { report::warning(finding) } else { finding }
}

/// Fills in what a kubelet would: uid, host name, log directory.
fn complete(sandbox: &mut v1::PodSandboxConfig, options: &ReadOptions) {
    let linux = sandbox.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
    let namespaces = linux.and_then(|context| context.namespace_options.as_ref());
    let host = namespaces.is_some_and(|options| options.network() == v1::NamespaceMode::Node);
    let Some(metadata) = sandbox.metadata.as_mut() else { return };
    if metadata.uid.is_empty() {
        metadata.uid = derive_uid(&metadata.namespace, &metadata.name);
    }
    if sandbox.hostname.is_empty() && !host {
        sandbox.hostname = spec::hostname(&metadata.name);
    }
    if sandbox.log_directory.is_empty() {
        let directory = format!("{}_{}_{}", metadata.namespace, metadata.name, metadata.uid);
        sandbox.log_directory = options.log_root.join(directory).display().to_string();
    }
}

fn container(config: v1::ContainerConfig, policy: ContainerPolicy) -> Container {
    let name = config.metadata.as_ref().map_or_else(String::new, |data| data.name.clone());
    let image = config.image.as_ref().map_or_else(String::new, |image| image.image.clone());
    Container {
        name,
        image,
        pull_policy: policy.pull_policy,
        restart_policy: policy.restart_policy,
        restart_rules: Vec::new(),
        probes: policy.probes,
        lifecycle: policy.lifecycle,
        termination: None,
        grace: policy.grace,
        resources: resources(&config),
        run_as_non_root: false,
        env: Vec::new(),
        mounts: Vec::new(),
        config,
        expand: false,
        hash: String::new(),
    }
}

/// What the CRI's numbers mean in Kubernetes' words.
fn resources(config: &v1::ContainerConfig) -> Resources {
    let linux = config.linux.as_ref();
    let Some(given) = linux.and_then(|linux| linux.resources.as_ref()) else {
        return Resources::default();
    };
    let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    let period = positive(given.cpu_period).unwrap_or(100_000);
    let cpu_limit = positive(given.cpu_quota).map(|quota| quota.saturating_mul(1000) / period);
    let memory_limit = positive(given.memory_limit_in_bytes);
    Resources {
        cpu_request: positive(given.cpu_shares).map(|shares| shares.saturating_mul(1000) / 1024),
        cpu_limit,
        memory_request: memory_limit,
        memory_limit,
        ..Resources::default()
    }
}

fn qos(pod: &Pod) -> Qos {
    let empty = Resources::default();
    let limited: HashSet<bool> =
        pod.all_containers().map(|container| container.resources != empty).collect();
    if limited.contains(&true) { Qos::Burstable } else { Qos::BestEffort }
}
