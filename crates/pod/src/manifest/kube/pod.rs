//! One pod.

use std::{collections::HashMap, time::Duration};

use crilet_cri::v1;

use super::{lower::Lower, resources, store::Of};
use crate::{
    images::PullSecrets,
    manifest::{policy, report},
    model::{self, DEFAULT_GRACE, Origin},
};

/// Types of Secrets that hold credentials of registries, with their keys.
const DOCKER_CONFIG: (&str, &str) = ("kubernetes.io/dockerconfigjson", ".dockerconfigjson");
const DOCKER_LEGACY: (&str, &str) = ("kubernetes.io/dockercfg", ".dockercfg");

/// Lowers a pod.
pub(super) fn lower(mut lower: Lower<'_>, origin: Origin) -> model::Pod {
    let spec = lower.spec;
    lower.identity.service_account = lower.service_account();
    let backoff = lower.backoff();
    let volumes = lower.volumes();
    let init =
        lower.containers("spec.initContainers", spec.init_containers.as_deref(), true, &volumes);
    let containers = lower.containers("spec.containers", Some(&spec.containers), false, &volumes);
    lower.unique_names();
    if containers.is_empty() {
        lower.check.missing("spec.containers");
    }
    lower.platform();
    let privileged = init.iter().chain(&containers).any(is_privileged);
    let names = lower.names();
    let mut pod = model::Pod {
        namespace: lower.identity.namespace.clone(),
        name: lower.identity.name.clone(),
        uid: lower.identity.uid.clone(),
        labels: lower.identity.labels.clone(),
        annotations: lower.identity.annotations.clone(),
        origin,
        restart_policy: lower.restart_policy("spec.restartPolicy", spec.restart_policy.as_deref()),
        backoff,
        grace: lower.grace(),
        active_deadline: lower.active_deadline(),
        runtime_handler: lower.runtime_handler(),
        sandbox: lower.sandbox(privileged, &names.hostname),
        names,
        host_aliases: lower.host_aliases(),
        dns: Some(lower.dns()),
        fs_group: lower.fs_group(),
        qos: resources::qos(init.iter().chain(&containers)),
        pull_secrets: lower.pull_secrets(),
        init,
        containers,
        volumes,
        sandbox_hash: String::new(),
    };
    pod.seal();
    pod
}

fn is_privileged(container: &model::Container) -> bool {
    let linux = container.config.linux.as_ref();
    linux
        .and_then(|linux| linux.security_context.as_ref())
        .is_some_and(|context| context.privileged)
}

impl Lower<'_> {
    fn containers(
        &mut self,
        path: &str,
        given: Option<&[k8s_openapi::api::core::v1::Container]>,
        init: bool,
        volumes: &[model::Volume],
    ) -> Vec<model::Container> {
        let given = given.unwrap_or_default().iter().enumerate();
        let lowered = given
            .map(|(index, one)| self.container(&report::item(path, index), one, init, volumes));
        lowered.collect()
    }

    /// Names of containers are unique over both lists.
    fn unique_names(&mut self) {
        let spec = self.spec;
        let init = spec.init_containers.iter().flatten().enumerate();
        let init = init.map(|(index, one)| (report::item("spec.initContainers", index), one));
        let main = spec.containers.iter().enumerate();
        let main = main.map(|(index, one)| (report::item("spec.containers", index), one));
        let mut first: HashMap<&str, String> = HashMap::new();
        for (path, container) in init.chain(main).filter(|(_, one)| !one.name.is_empty()) {
            if let Some(first) = first.get(container.name.as_str()) {
                let message = format!("{:?} is the name of {first}", container.name);
                self.check.wrong(&report::join(&path, "name"), message);
            } else {
                first.insert(&container.name, path);
            }
        }
    }

    fn sandbox(&mut self, privileged: bool, hostname: &str) -> v1::PodSandboxConfig {
        let model_name = self.identity.clone();
        let directory = format!("{}_{}_{}", model_name.namespace, model_name.name, model_name.uid);
        v1::PodSandboxConfig {
            metadata: Some(v1::PodSandboxMetadata {
                name: model_name.name,
                uid: model_name.uid,
                namespace: model_name.namespace,
                attempt: 0,
            }),
            hostname: hostname.to_owned(),
            log_directory: self.options.log_root.join(directory).display().to_string(),
            port_mappings: self.port_mappings(),
            labels: model_name.labels,
            annotations: model_name.annotations,
            linux: Some(v1::LinuxPodSandboxConfig {
                security_context: Some(self.sandbox_security(privileged)),
                sysctls: self.sysctls(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn grace(&mut self) -> Duration {
        let path = "spec.terminationGracePeriodSeconds";
        let given = self.spec.termination_grace_period_seconds;
        let default = u32::try_from(DEFAULT_GRACE.as_secs()).unwrap_or(30);
        let seconds = self.check.bounded(path, given, (0, u32::MAX >> 1), default);
        Duration::from_secs(u64::from(seconds))
    }

    fn active_deadline(&mut self) -> Option<Duration> {
        let given = self.spec.active_deadline_seconds?;
        let path = "spec.activeDeadlineSeconds";
        let seconds: u32 = self.check.bounded(path, Some(given), (1, u32::MAX >> 1), 1);
        Some(Duration::from_secs(u64::from(seconds)))
    }

    fn runtime_handler(&mut self) -> String {
        let given = self.spec.runtime_class_name.clone().unwrap_or_default();
        if !given.is_empty() {
            self.check.dns_name("spec.runtimeClassName", &given);
        }
        given
    }

    fn service_account(&self) -> String {
        let given = self.spec.service_account_name.as_ref().or(self.spec.service_account.as_ref());
        given.filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| "default".to_owned())
    }

    /// What only Linux with its one user namespace can be asked for.
    fn platform(&mut self) {
        if let Some(os) = &self.spec.os
            && os.name != "linux"
        {
            self.check.wrong("spec.os.name", format!("{:?} is not `linux`", os.name));
        }
        if self.spec.host_users == Some(false) {
            let message = "user namespaces are not supported";
            let hint = "containers can run as another user: `runAsUser`";
            self.check.wrong_hint("spec.hostUsers", message, hint);
        }
    }

    fn backoff(&mut self) -> model::Backoff {
        let (backoff, wrong) = policy::of_kube(&self.identity.annotations);
        for wrong in wrong {
            let path = report::entry("metadata.annotations", &wrong.key);
            let finding = self.check.scope.finding(&path, wrong.message);
            let finding = match wrong.hint {
                Some(hint) => finding.hint(hint),
                None => finding,
            };
            let finding = if wrong.harmless { report::warning(finding) } else { finding };
            self.check.report.push(finding);
        }
        backoff
    }

    fn pull_secrets(&mut self) -> PullSecrets {
        let spec = self.spec;
        let mut secrets = PullSecrets::default();
        for (index, reference) in spec.image_pull_secrets.iter().flatten().enumerate() {
            let path = report::join(&report::item("spec.imagePullSecrets", index), "name");
            let Some(named) = self.named(Of::Secret, &path, &reference.name, false) else {
                continue;
            };
            let json = |(kind, key): (&str, &str)| {
                let data = named.data.get(key).cloned();
                data.filter(|_| {
                    named.kind == kind || named.kind.is_empty() || named.kind == "Opaque"
                })
            };
            let added = match (json(DOCKER_CONFIG), json(DOCKER_LEGACY)) {
                (Some(json), _) => secrets.add_config(&json).map_err(|error| error.to_string()),
                (None, Some(json)) => secrets.add_legacy(&json).map_err(|error| error.to_string()),
                (None, None) => Err(format!("has no key `{}`", DOCKER_CONFIG.1)),
            };
            if let Err(message) = added {
                let message = format!("Secret `{}` {}", reference.name, because(&message));
                self.check.wrong(&path, message);
            }
        }
        secrets
    }
}

/// Makes a reason the end of a sentence about a Secret.
fn because(message: &str) -> String {
    match message.starts_with("has ") || message.starts_with("names ") {
        true => message.to_owned(),
        false => format!("holds no credentials: {message}"),
    }
}
