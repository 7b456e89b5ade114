//! containerd's configuration for a host: facts in, text out.
//!
//! The format is version 2, which containerd reads since 1.3 and 2.x converts by itself.

use std::{fmt, path::PathBuf};

use crate::{layout::Layout, mirror::Mirror, pause::PAUSE_IMAGE};

/// What of a host decides how containerd is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostFacts {
    pub(crate) version: Version,
    pub(crate) runc: PathBuf,
    pub(crate) plugin_directory: PathBuf,
    pub(crate) cgroups: Cgroups,
    /// Whether this process could raise priorities; without it, containers cannot be given a lower
    /// score for the out-of-memory killer than this process has, and every sandbox fails.
    pub(crate) may_lower_oom_score: bool,
    /// Whether layers can be stacked on the file system of the root directory.
    pub(crate) overlay: bool,
    pub(crate) apparmor: bool,
}

/// containerd's version, as far as it decides anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

/// How this host groups processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cgroups {
    /// A hierarchy for each controller.
    V1,
    /// As v1, with an empty v2 hierarchy for systemd beside them.
    Hybrid,
    /// One hierarchy.
    V2,
}

impl fmt::Display for Cgroups {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::V1 => "v1",
            Self::Hybrid => "hybrid",
            Self::V2 => "v2",
        })
    }
}

impl Version {
    /// Reads the answer to `containerd --version`, such as
    /// `containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+b1`.
    pub(crate) fn parse(answer: &str) -> Option<Self> {
        answer.split_whitespace().find_map(|word| {
            let mut parts = word.trim_start_matches('v').split('.');
            let major = parts.next()?.parse().ok()?;
            let minor = parts.next()?.parse().ok()?;
            Some(Self { major, minor })
        })
    }

    fn since(self, major: u32, minor: u32) -> bool {
        self >= Self { major, minor }
    }
}

/// Plugins that a pod host does not need, and of which some act outside containerd's own
/// directories: `opt` creates /opt/containerd, `nri` listens below /var/run.
fn disabled_plugins(facts: &HostFacts) -> Vec<&'static str> {
    let mut plugins = vec![
        "io.containerd.internal.v1.opt",
        "io.containerd.internal.v1.restart",
        "io.containerd.internal.v1.tracing",
        "io.containerd.tracing.processor.v1.otlp",
        "io.containerd.snapshotter.v1.aufs",
        "io.containerd.snapshotter.v1.blockfile",
        "io.containerd.snapshotter.v1.btrfs",
        "io.containerd.snapshotter.v1.devmapper",
        "io.containerd.snapshotter.v1.erofs",
        "io.containerd.snapshotter.v1.zfs",
    ];
    if !facts.overlay {
        plugins.push("io.containerd.snapshotter.v1.overlayfs");
    }
    plugins
}

/// Writes containerd's configuration.
pub(crate) fn render(layout: &Layout, facts: &HostFacts, mirrors: &[Mirror]) -> String {
    [
        daemon_section(layout, facts),
        cri_section(layout, facts),
        runc_section(layout, facts),
        registry_section(layout, facts, mirrors),
    ]
    .join("\n")
}

fn daemon_section(layout: &Layout, facts: &HostFacts) -> String {
    let disabled: Vec<_> =
        disabled_plugins(facts).into_iter().map(|plugin| format!("  \"{plugin}\",\n")).collect();
    let oom_score = if facts.may_lower_oom_score { -999 } else { 0 };
    format!(
        "# Written by `crilet runtime up`, which overwrites it.\n\
         version = 2\n\
         root = {root}\n\
         state = {state}\n\
         oom_score = {oom_score}\n\
         disabled_plugins = [\n{disabled}]\n\
         \n\
         [grpc]\n\
         address = {socket}\n\
         uid = 0\n\
         gid = 0\n\
         \n\
         [plugins.\"io.containerd.nri.v1.nri\"]\n\
         disable = true\n",
        root = quoted(&layout.root().join("containerd")),
        state = quoted(&layout.state().join("containerd")),
        socket = quoted(&layout.socket()),
        disabled = disabled.concat(),
    )
}

fn cri_section(layout: &Layout, facts: &HostFacts) -> String {
    format!(
        "[plugins.\"io.containerd.grpc.v1.cri\"]\n\
         sandbox_image = \"{PAUSE_IMAGE}\"\n\
         stream_server_address = \"127.0.0.1\"\n\
         stream_server_port = \"0\"\n\
         restrict_oom_score_adj = {restrict}\n\
         disable_apparmor = {disable_apparmor}\n\
         tolerate_missing_hugetlb_controller = true\n\
         netns_mounts_under_state_dir = true\n\
         \n\
         [plugins.\"io.containerd.grpc.v1.cri\".cni]\n\
         bin_dir = {plugins}\n\
         conf_dir = {conf}\n\
         max_conf_num = 1\n",
        restrict = !facts.may_lower_oom_score,
        disable_apparmor = !facts.apparmor,
        plugins = quoted(&facts.plugin_directory),
        conf = quoted(&layout.cni_config_directory()),
    )
}

/// runc makes the control groups itself, also under systemd. Its systemd driver takes only pods
/// whose `cgroup_parent` is a slice, which a kubelet names and a hand-written pod file does not.
fn runc_section(layout: &Layout, facts: &HostFacts) -> String {
    let snapshotter = if facts.overlay { "overlayfs" } else { "native" };
    format!(
        "[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n\
         snapshotter = \"{snapshotter}\"\n\
         default_runtime_name = \"runc\"\n\
         \n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n\
         runtime_type = \"io.containerd.runc.v2\"\n\
         \n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n\
         BinaryName = {runc}\n\
         Root = {state}\n\
         SystemdCgroup = false\n",
        runc = quoted(&facts.runc),
        state = quoted(&layout.state().join("runc")),
    )
}

/// A directory of `hosts.toml` files, which are read anew at each pull; containerd before 1.5 has
/// the mirrors in its own configuration.
fn registry_section(layout: &Layout, facts: &HostFacts, mirrors: &[Mirror]) -> String {
    if facts.version.since(1, 5) {
        return format!(
            "[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = {}\n",
            quoted(&layout.registries())
        );
    }
    let mut registries: Vec<&str> = mirrors.iter().map(Mirror::registry).collect();
    registries.sort_unstable();
    registries.dedup();
    let sections = registries.into_iter().map(|registry| {
        let own = mirrors.iter().filter(|mirror| mirror.registry() == registry);
        let urls: Vec<_> = own.map(|mirror| format!("{:?}", mirror.url())).collect();
        format!(
            "[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"{registry}\"]\nendpoint = [{}]\n",
            urls.join(", ")
        )
    });
    sections.collect::<Vec<_>>().join("\n")
}

/// A path as a TOML string; Rust's escapes for the characters in question are TOML's too.
fn quoted(path: &std::path::Path) -> String {
    let escaped = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests;
