//! One container.

use std::path::PathBuf;

use crilet_core::ImageName;
use crilet_cri::v1;
use k8s_openapi::api::core::v1::{Container, VolumeMount};

use super::{env::Known, lower::Lower, probes, resources};
use crate::{
    images::PullPolicy,
    manifest::report::{item, join},
    model::{
        self, EnvValue, Handler, RestartAction, RestartPolicy, RestartRule, SubPath, Termination,
        TerminationPolicy, Volume,
    },
    render,
};

/// Where the kubelet has a container's last word by default.
const TERMINATION_PATH: &str = "/dev/termination-log";

impl Lower<'_> {
    /// Lowers the container at `path`.
    pub(super) fn container(
        &mut self,
        path: &str,
        given: &Container,
        init: bool,
        volumes: &[Volume],
    ) -> model::Container {
        self.check.dns_label(&join(path, "name"), &given.name);
        let image = self.image(path, given);
        let restart_policy = self.own_restart_policy(path, given);
        let ports = self.port_names(path, given);
        let sidecar = init && restart_policy == Some(RestartPolicy::Always);
        if init && !sidecar {
            self.no_probes(path, given);
        }
        let mut probes = probes::probes(&mut self.check, path, given, &ports);
        let env = self.env(path, given);
        for probe in [&mut probes.startup, &mut probes.liveness, &mut probes.readiness] {
            if let Some(Handler::Exec(command)) = probe.as_mut().map(|probe| &mut probe.handler) {
                expand_static(command, &env);
            }
        }
        model::Container {
            name: given.name.clone(),
            pull_policy: self.pull_policy(
                &join(path, "imagePullPolicy"),
                given.image_pull_policy.as_deref(),
                &image,
            ),
            restart_policy,
            restart_rules: self.restart_rules(path, given),
            lifecycle: probes::lifecycle(&mut self.check, path, given, &ports),
            probes,
            termination: Some(self.termination(path, given)),
            grace: None,
            resources: resources::read(&mut self.check, path, given.resources.as_ref()),
            run_as_non_root: self.non_root(path, given.security_context.as_ref()),
            env,
            mounts: self.mounts(path, given, volumes),
            config: self.config(path, given, &image),
            expand: true,
            image,
            hash: String::new(),
        }
    }

    fn config(&mut self, path: &str, given: &Container, image: &str) -> v1::ContainerConfig {
        let security = self.container_security(path, given.security_context.as_ref());
        if given.stdin_once.unwrap_or_default() && !given.stdin.unwrap_or_default() {
            self.check.wrong(&join(path, "stdinOnce"), "given without `stdin`");
        }
        v1::ContainerConfig {
            metadata: Some(v1::ContainerMetadata { name: given.name.clone(), attempt: 0 }),
            image: Some(v1::ImageSpec { image: image.to_owned(), ..Default::default() }),
            command: given.command.clone().unwrap_or_default(),
            args: given.args.clone().unwrap_or_default(),
            working_dir: given.working_dir.clone().unwrap_or_default(),
            stdin: given.stdin.unwrap_or_default(),
            stdin_once: given.stdin_once.unwrap_or_default(),
            tty: given.tty.unwrap_or_default(),
            linux: Some(v1::LinuxContainerConfig {
                resources: None,
                security_context: Some(security),
            }),
            stop_signal: self.stop_signal(path, given).into(),
            ..Default::default()
        }
    }

    fn image(&mut self, path: &str, given: &Container) -> String {
        let path = join(path, "image");
        let image = given.image.clone().unwrap_or_default();
        if image.is_empty() {
            self.check.missing(&path);
        } else {
            self.image_name(&path, &image);
        }
        image
    }

    pub(super) fn image_name(&mut self, path: &str, image: &str) {
        if let Err(error) = image.parse::<ImageName>() {
            self.check.wrong(path, error.to_string());
        }
    }

    /// Always for `:latest` and no tag, else if it is not there (`pkg/apis/core/v1/defaults.go`).
    pub(super) fn pull_policy(
        &mut self,
        path: &str,
        given: Option<&str>,
        image: &str,
    ) -> PullPolicy {
        use PullPolicy::{Always, Missing, Never};
        let choices = [("Always", Always), ("IfNotPresent", Missing), ("Never", Never)];
        let name: Option<ImageName> = image.parse().ok();
        let moves = name.is_some_and(|name| name.tag() == Some("latest"));
        let default = if moves && !image.contains('@') { Always } else { Missing };
        self.check.choice(path, given, &choices, default)
    }

    fn own_restart_policy(&mut self, path: &str, given: &Container) -> Option<RestartPolicy> {
        let value = given.restart_policy.as_deref()?;
        Some(self.restart_policy(&join(path, "restartPolicy"), Some(value)))
    }

    pub(super) fn restart_policy(&mut self, path: &str, given: Option<&str>) -> RestartPolicy {
        use RestartPolicy::{Always, Never, OnFailure};
        let choices = [("Always", Always), ("OnFailure", OnFailure), ("Never", Never)];
        self.check.choice(path, given, &choices, Always)
    }

    fn restart_rules(&mut self, path: &str, given: &Container) -> Vec<RestartRule> {
        let path = join(path, "restartPolicyRules");
        let mut rules = Vec::new();
        for (index, rule) in given.restart_policy_rules.iter().flatten().enumerate() {
            let path = item(&path, index);
            let actions = [
                ("Restart", RestartAction::Restart),
                ("RestartAllContainers", RestartAction::RestartAllContainers),
            ];
            let action = Some(rule.action.as_str());
            let action =
                self.check.choice(&join(&path, "action"), action, &actions, RestartAction::Restart);
            let Some(codes) = &rule.exit_codes else {
                self.check.missing(&join(&path, "exitCodes"));
                continue;
            };
            let path = join(&path, "exitCodes");
            let operators = [("In", true), ("NotIn", false)];
            let operator = Some(codes.operator.as_str());
            let within = self.check.choice(&join(&path, "operator"), operator, &operators, true);
            rules.push(RestartRule {
                action,
                within,
                codes: codes.values.clone().unwrap_or_default(),
            });
        }
        if !rules.is_empty() && given.restart_policy.is_none() {
            let hint = "rules need a `restartPolicy` of the same container to fall back to";
            self.check.wrong_hint(&path, "given without `restartPolicy`", hint);
        }
        rules
    }

    /// A plain init container ends before anybody could ask it.
    fn no_probes(&mut self, path: &str, given: &Container) {
        let hint = "with `restartPolicy: Always` it is a sidecar and may have it";
        for (field, is_given) in [
            ("livenessProbe", given.liveness_probe.is_some()),
            ("readinessProbe", given.readiness_probe.is_some()),
            ("startupProbe", given.startup_probe.is_some()),
            ("lifecycle", given.lifecycle.is_some()),
        ] {
            if is_given {
                let message = "an init container has no such thing";
                self.check.wrong_hint(&join(path, field), message, hint);
            }
        }
    }

    fn termination(&mut self, path: &str, given: &Container) -> Termination {
        use TerminationPolicy::{FallbackToLogsOnError, File};
        let file = given.termination_message_path.clone().filter(|path| !path.is_empty());
        let file = file.unwrap_or_else(|| TERMINATION_PATH.to_owned());
        self.check.absolute(&join(path, "terminationMessagePath"), &file);
        let policies = [("File", File), ("FallbackToLogsOnError", FallbackToLogsOnError)];
        let policy = given.termination_message_policy.as_deref();
        let path = join(path, "terminationMessagePolicy");
        Termination { path: file, policy: self.check.choice(&path, policy, &policies, File) }
    }

    fn stop_signal(&mut self, path: &str, given: &Container) -> v1::Signal {
        let path = join(path, "lifecycle.stopSignal");
        let lifecycle = given.lifecycle.as_ref();
        let Some(name) = lifecycle.and_then(|lifecycle| lifecycle.stop_signal.as_deref()) else {
            return v1::Signal::RuntimeDefault;
        };
        // Kubernetes writes SIGRTMIN+1, the CRI SIGRTMINPLUS1.
        let spelt = name.replace('+', "PLUS").replace('-', "MINUS");
        v1::Signal::from_str_name(&spelt)
            .filter(|signal| *signal != v1::Signal::RuntimeDefault)
            .unwrap_or_else(|| {
                let message = format!("{name:?} is no signal");
                self.check.wrong_hint(&path, message, "such as `SIGTERM`, `SIGINT`, `SIGQUIT`");
                v1::Signal::RuntimeDefault
            })
    }

    fn mounts(&mut self, path: &str, given: &Container, volumes: &[Volume]) -> Vec<model::Mount> {
        let mut mounts: Vec<model::Mount> = Vec::new();
        let path = join(path, "volumeMounts");
        for (index, mount) in given.volume_mounts.iter().flatten().enumerate() {
            let path = item(&path, index);
            let Some(mount) = self.mount(&path, mount, given, volumes) else { continue };
            if let Some(earlier) = mounts.iter().position(|other| other.path == mount.path) {
                let message =
                    format!("{} is taken by volumeMounts[{earlier}]", mount.path.display());
                self.check.wrong(&join(&path, "mountPath"), message);
            }
            mounts.push(mount);
        }
        mounts
    }

    fn mount(
        &mut self,
        path: &str,
        mount: &VolumeMount,
        container: &Container,
        volumes: &[Volume],
    ) -> Option<model::Mount> {
        self.check.absolute(&join(path, "mountPath"), &mount.mount_path);
        let name_path = join(path, "name");
        let Some(volume) = volumes.iter().find(|volume| volume.name == mount.name) else {
            if mount.name.is_empty() {
                self.check.missing(&name_path);
            } else {
                let names = volumes.iter().map(|volume| volume.name.as_str());
                self.absent(&name_path, "volume", &mount.name, names);
            }
            return None;
        };
        let read_only = mount.read_only.unwrap_or_default()
            || matches!(volume.source, model::VolumeSource::Image { .. })
            || self.read_only_claim(&volume.name);
        Some(model::Mount {
            volume: mount.name.clone(),
            path: PathBuf::from(&mount.mount_path),
            sub_path: self.sub_path(path, mount),
            read_only,
            recursive_read_only: self.recursive(path, mount, read_only),
            propagation: self.propagation(path, mount, container),
        })
    }

    fn sub_path(&mut self, path: &str, mount: &VolumeMount) -> Option<SubPath> {
        let text = mount.sub_path.clone().filter(|path| !path.is_empty());
        let expanded = mount.sub_path_expr.clone().filter(|path| !path.is_empty());
        if let Some(text) = &text {
            self.check.relative(&join(path, "subPath"), text);
        }
        if let Some(expanded) = &expanded {
            let path = join(path, "subPathExpr");
            self.check.relative(&path, expanded);
            if text.is_some() {
                self.check.wrong(&path, "given beside `subPath`");
            }
        }
        text.map(SubPath::Text).or_else(|| expanded.map(SubPath::Expanded))
    }

    fn recursive(&mut self, path: &str, mount: &VolumeMount, read_only: bool) -> bool {
        let path = join(path, "recursiveReadOnly");
        // Whether a runtime can do it shows at the start; "if possible" asks for no failure.
        let choices = [("Disabled", false), ("IfPossible", false), ("Enabled", true)];
        let enabled =
            self.check.choice(&path, mount.recursive_read_only.as_deref(), &choices, false);
        if enabled && !read_only {
            self.check.wrong(&path, "given without `readOnly: true`");
        }
        enabled
    }

    fn propagation(
        &mut self,
        path: &str,
        mount: &VolumeMount,
        container: &Container,
    ) -> v1::MountPropagation {
        use v1::MountPropagation::{
            PropagationBidirectional, PropagationHostToContainer, PropagationPrivate,
        };
        let path = join(path, "mountPropagation");
        let choices = [
            ("None", PropagationPrivate),
            ("HostToContainer", PropagationHostToContainer),
            ("Bidirectional", PropagationBidirectional),
        ];
        let given = mount.mount_propagation.as_deref();
        let propagation = self.check.choice(&path, given, &choices, PropagationPrivate);
        let context = container.security_context.as_ref();
        let privileged = context.and_then(|context| context.privileged).unwrap_or_default();
        if propagation == PropagationBidirectional && !privileged {
            self.check.wrong(&path, "Bidirectional is for privileged containers alone");
        }
        propagation
    }
}

/// Expands what is known before the start in a probe's command, as the kubelet does.
fn expand_static(command: &mut [String], env: &[model::EnvVar]) {
    let mut known: Vec<(String, String)> = Vec::new();
    for variable in env {
        let value = match &variable.value {
            EnvValue::Text(text) => render::expand(text, |name| render::find(&known, name)),
            EnvValue::Exact(text) => text.clone(),
            EnvValue::Secret(text) => text.reveal().clone(),
            EnvValue::Late(_) => continue,
        };
        known.push((variable.name.clone(), value));
    }
    for word in command {
        *word = render::expand(word, |name| render::find(&known, name));
    }
}

/// A value as text, where nothing that only a start knows can be used.
pub(super) fn text_of(known: Known) -> Result<String, model::LateValue> {
    match known {
        Known::Now(text) => Ok(text),
        Known::Late(late) => Err(late),
    }
}
