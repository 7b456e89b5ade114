//! Making sandboxes and containers.
//!
//! ```text
//! CreateSandbox:   volumes ──▶ resolver's settings ──▶ RunPodSandbox
//! StartContainer:  image ──▶ files ──▶ CreateContainer ──▶ StartContainer ──▶ hook
//! ```
//!
//! Whatever fails leaves nothing: a container that was created and cannot be started is removed. A
//! process that is killed in between leaves a container that was never started, which the next
//! plan removes.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use crilet_core::failpoint;
use crilet_cri::{inventory::Pod as Sandbox, v1};

use super::{
    Target,
    act::{Done, Effect, Failure, Job, at},
    look,
    stop::run_hook,
};
use crate::{
    images::{self, Pull, PullPolicy},
    model::{Container, RestartPolicy},
    render::{self, ImageUser, RenderError, SandboxFacts, StartFacts, dns},
    sync::marks,
    volumes::{self, Roots, VolumeError},
};

/// What is known of one start of a container.
struct Start {
    attempt: u32,
    step: u32,
    image_user: ImageUser,
    volumes: BTreeMap<String, PathBuf>,
}

impl Job {
    pub(super) async fn create_sandbox(
        &self,
        attempt: u32,
        first_start: Option<SystemTime>,
    ) -> Result<Effect, Failure> {
        if attempt > 0 {
            let message = "the sandbox changed, it is made anew".to_owned();
            self.tell(None, "SandboxChanged", message);
        }
        let host = dns::host_text(|path| fs::read_to_string(path));
        let host = at(Path::new("/etc/resolv.conf"), host)?;
        let (dns, cut) = dns::resolve(&self.pod, &host, None);
        for message in cut {
            self.tell(None, "DNSConfigForming", message);
        }
        let facts = SandboxFacts { attempt, dns, cgroup_parent: self.cgroup_parent().await? };
        let mut config = render::sandbox_config(&self.pod, facts);
        let start = marks::format_time(first_start.unwrap_or_else(SystemTime::now));
        config.annotations.insert(marks::FIRST_START.to_owned(), start);
        make_directory(Path::new(&config.log_directory))?;
        self.empty_full_volumes().await?;
        self.make_volumes().await?;
        failpoint::pass("volumes-made");
        let handler = self.pod.runtime_handler.clone();
        let made = self.node.client.run_pod_sandbox(config, &handler).await;
        let id = made.map_err(|error| Failure::of_runtime("FailedCreatePodSandBox", &error))?;
        failpoint::pass("sandbox-created");
        tracing::info!(pod = %self.pod.full_name(), sandbox = %id, attempt, "sandbox created");
        Ok(Effect::Nothing)
    }

    pub(super) async fn start_container(
        &self,
        sandbox: &str,
        name: &str,
        attempt: u32,
        step: u32,
    ) -> Result<Effect, Failure> {
        let gone = || Failure::new("FailedCreate", "its sandbox is not there any more");
        let sandbox = self.sandbox(sandbox).ok_or_else(gone)?;
        let Some(container) = self.pod.container(name) else { return Ok(Effect::Nothing) };
        let image = self.image(&container.image, container.pull_policy).await?;
        failpoint::pass("image-present");
        let attempt = attempt.max(self.next_log(container));
        let (_, volumes) = volumes::plan(&self.pod, &self.roots(), &self.node.facts);
        let start = Start { attempt, step, image_user: user_of(&image), volumes };
        let config = self.container_config(sandbox, container, start)?;
        failpoint::pass("files-written");
        let id = self.create(sandbox, container, config).await?;
        failpoint::pass("container-created");
        if let Err(error) = self.node.client.start_container(&id).await {
            let failure = Failure::of_runtime("StartError", &error);
            self.take_back(&id).await;
            return Err(failure);
        }
        failpoint::pass("container-started");
        tracing::info!(pod = %self.pod.full_name(), container = name, %id, attempt, "container started");
        self.tell(Some(name), "Started", format!("started container {name}"));
        self.after_start(sandbox, container, id).await
    }

    /// Runs the hook; while it does the container does not count as started.
    async fn after_start(
        &self,
        sandbox: &Sandbox,
        container: &Container,
        id: String,
    ) -> Result<Effect, Failure> {
        let Some(hook) = &container.lifecycle.post_start else { return Ok(Effect::Nothing) };
        let asker = self.asker(sandbox, &id);
        let run = run_hook(&asker, &self.pod, &container.name, hook, std::time::Duration::ZERO);
        let result = tokio::select! {
            result = run => result,
            () = self.cancel.cancelled() => return Err(Failure::cancelled()),
        };
        failpoint::pass("hook-run");
        match result {
            Ok(()) => Ok(Effect::Nothing),
            Err(message) => Ok(Effect::HookFailed { container: id, message }),
        }
    }

    async fn create(
        &self,
        sandbox: &Sandbox,
        container: &Container,
        config: v1::ContainerConfig,
    ) -> Result<String, Failure> {
        if self.cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        // The runtime takes from it what the sandbox was made with.
        let facts = SandboxFacts {
            attempt: sandbox.attempt,
            cgroup_parent: self.cgroup_parent().await?,
            dns: None,
        };
        let sandbox_config = render::sandbox_config(&self.pod, facts);
        let created = self.node.client.create_container(&sandbox.id, config, sandbox_config).await;
        let id = created.map_err(|error| Failure::of_runtime("CreateContainerError", &error))?;
        self.tell(
            Some(&container.name),
            "Created",
            format!("created container {}", container.name),
        );
        if self.cancel.is_cancelled() {
            self.take_back(&id).await;
            return Err(Failure::cancelled());
        }
        Ok(id)
    }

    async fn cgroup_parent(&self) -> Result<String, Failure> {
        let parent = self.node.cgroup_parent.get(&self.node.client).await;
        parent.map_err(|error| Failure::of_runtime("FailedCreatePodSandBox", &error))
    }

    async fn take_back(&self, id: &str) {
        // What is left is found as a container that was never started, and removed then.
        if let Err(error) = self.node.client.remove_container(id).await {
            tracing::warn!(container = id, %error, "a container that did not start is left");
        }
    }

    fn container_config(
        &self,
        sandbox: &Sandbox,
        container: &Container,
        start: Start,
    ) -> Result<v1::ContainerConfig, Failure> {
        let Start { attempt, step, image_user, volumes } = start;
        let details = sandbox.details.clone().unwrap_or_default();
        let ips = if details.host_network { &self.node.host_ips } else { &details.ips };
        let hosts_file = self.hosts_file(sandbox)?;
        let termination_file = self.termination_file(container, attempt)?;
        let mut facts = StartFacts {
            attempt,
            pod_ips: ips,
            host_ips: &self.node.host_ips,
            node: &self.node.facts,
            volumes: &volumes,
            sub_paths: &BTreeMap::new(),
            hosts_file: Some(&hosts_file),
            termination_file: termination_file.as_deref(),
            image_user,
        };
        let wrong = |error: RenderError| {
            let hint = error.hint().map_or_else(String::new, |hint| format!("; {hint}"));
            Failure::new("CreateContainerConfigError", format!("{error}{hint}"))
        };
        let parts = render::sub_paths(container, &facts).map_err(wrong)?;
        let parts = self.bind_parts(container, &volumes, parts)?;
        facts.sub_paths = &parts;
        let mut config = render::container_config(&self.pod, container, &facts).map_err(wrong)?;
        config.annotations.insert(marks::BACKOFF_STEP.to_owned(), step.to_string());
        config.annotations.insert(marks::RESTARTS.to_owned(), self.restarts(container).to_string());
        let log = Path::new(&self.pod.sandbox.log_directory).join(&config.log_path);
        if let Some(directory) = log.parent().filter(|_| !config.log_path.is_empty()) {
            make_directory(directory)?;
        }
        Ok(config)
    }

    /// After which ends a container is started again; an init container that has succeeded is done.
    fn restarts(&self, container: &Container) -> RestartPolicy {
        let policy = container.restart_policy.unwrap_or(self.pod.restart_policy);
        let init = self.pod.init.iter().any(|init| init.name == container.name);
        match policy {
            RestartPolicy::Always if init && !container.is_sidecar() => RestartPolicy::OnFailure,
            policy => policy,
        }
    }

    fn hosts_file(&self, sandbox: &Sandbox) -> Result<PathBuf, Failure> {
        let unknown = || Failure::new("FailedCreate", "the sandbox has not been looked at");
        let present = look::present(&self.node, &self.pod, sandbox).ok_or_else(unknown)?;
        let node = Path::new("/etc/hosts");
        let node = if self.pod.uses_host_network() {
            at(node, fs::read_to_string(node))?
        } else {
            String::new()
        };
        let path = present.file.clone();
        at(&path, self.node.names.write(&self.pod.uid, present, &node))?;
        Ok(path)
    }

    fn termination_file(
        &self,
        container: &Container,
        attempt: u32,
    ) -> Result<Option<PathBuf>, Failure> {
        if container.termination.is_none() {
            return Ok(None);
        }
        let roots = self.roots();
        let made = volumes::termination_file(&roots, &self.pod.uid, &container.name, attempt);
        made.map(Some).map_err(|error| volume_failure(&error))
    }

    /// Makes the pod's volumes. Giving much to another owner takes time.
    async fn make_volumes(&self) -> Result<(), Failure> {
        let (pod, node, roots) = (Arc::clone(&self.pod), Arc::clone(&self.node), self.roots());
        aside(move || volumes::materialise(&pod, &roots, &node.facts).map(drop)).await
    }

    /// Brings the pod's mounted files up to date.
    pub(super) async fn update_files(self) -> Done {
        let (pod, node, roots) = (Arc::clone(&self.pod), Arc::clone(&self.node), self.roots());
        let updated = aside(move || volumes::refresh(&pod, &roots, &node.facts).map(drop)).await;
        Done { target: Target::Files, effect: updated.map(|()| Effect::Nothing) }
    }

    fn bind_parts(
        &self,
        container: &Container,
        volumes: &BTreeMap<String, PathBuf>,
        parts: BTreeMap<usize, String>,
    ) -> Result<BTreeMap<usize, PathBuf>, Failure> {
        let mut bound = BTreeMap::new();
        for (index, part) in parts {
            let volume = container.mounts.get(index).and_then(|mount| volumes.get(&mount.volume));
            // Parts of images are the runtime's to mount.
            let Some(volume) = volume else { continue };
            let target =
                volumes::sub_path_target(&self.roots(), &self.pod.uid, &container.name, index);
            volumes::bind(volume, &part, &target).map_err(|error| volume_failure(&error))?;
            bound.insert(index, target);
        }
        Ok(bound)
    }

    fn roots(&self) -> Roots {
        Roots::below(&self.node.data)
    }

    /// Makes sure that an image is there, and gives its status.
    async fn image(&self, reference: &str, policy: PullPolicy) -> Result<v1::Image, Failure> {
        let client = &self.node.client;
        let find = async || {
            let status = client.image_status(reference, false).await;
            status.map_err(|error| Failure::of_runtime("ImageInspectError", &error))
        };
        if policy != PullPolicy::Always
            && let Some(image) = find().await?.image
        {
            return Ok(image);
        }
        if policy == PullPolicy::Never {
            let message = format!(
                "image `{reference}` is not on this machine, and its pull policy is `Never`"
            );
            return Err(Failure::new("ErrImageNeverPull", message));
        }
        let pull = async {
            self.tell(None, "Pulling", format!("pulling image {reference}"));
            let pull = Pull {
                client,
                reference,
                sandbox: &self.pod.sandbox,
                secrets: &self.pod.pull_secrets,
                credentials: &self.node.credentials,
            };
            images::pull(pull).await.map_err(|error| Failure::of("ErrImagePull", &error))?;
            self.tell(None, "Pulled", format!("pulled image {reference}"));
            Ok(())
        };
        tokio::select! {
            result = self.node.pulls.once(reference, pull) => result?,
            () = self.cancel.cancelled() => return Err(Failure::cancelled()),
        }
        let gone =
            || Failure::new("ErrImagePull", format!("image `{reference}` was pulled and is gone"));
        find().await?.image.ok_or_else(gone)
    }

    /// The number behind the newest log of a container, so that logs outlive a runtime that forgot
    /// its containers (the kubelet's `calcRestartCountByLogDir`).
    fn next_log(&self, container: &Container) -> u32 {
        if !container.config.log_path.is_empty() {
            return 0;
        }
        let directory = Path::new(&self.pod.sandbox.log_directory).join(&container.name);
        let names = fs::read_dir(directory).into_iter().flatten().flatten();
        let numbers = names.filter_map(|entry| {
            entry.file_name().to_str()?.split_once(".log")?.0.parse::<u32>().ok()
        });
        numbers.max().map_or(0, |newest| newest.saturating_add(1))
    }

    pub(super) async fn remove_files(&self) -> Result<Effect, Failure> {
        volumes::remove(&self.roots(), &self.pod.uid).map_err(|error| volume_failure(&error))?;
        failpoint::pass("volumes-removed");
        Ok(Effect::FilesRemoved)
    }
}

/// Does what may take long where it holds up nobody.
pub(super) async fn aside(
    work: impl FnOnce() -> Result<(), VolumeError> + Send + 'static,
) -> Result<(), Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| volume_failure(&error)),
        Err(error) => Err(Failure::of("FailedMount", &error)),
    }
}

pub(super) fn volume_failure(error: &VolumeError) -> Failure {
    Failure::of("FailedMount", error)
}

fn user_of(image: &v1::Image) -> ImageUser {
    match (&image.uid, image.username.as_str()) {
        (Some(uid), _) => ImageUser::Number(uid.value),
        (None, "") => ImageUser::Unset,
        (None, name) => ImageUser::Name(name.to_owned()),
    }
}

fn make_directory(path: &Path) -> Result<(), Failure> {
    if path.as_os_str().is_empty() { Ok(()) } else { at(path, fs::create_dir_all(path)) }
}
