//! Settings of the Linux kernel.

use super::Check;
use crate::{config::places, v1};

impl Check<'_> {
    pub(super) fn pod_linux(&mut self, linux: Option<&v1::LinuxPodSandboxConfig>) {
        let Some(linux) = linux else { return };
        for (name, value) in &linux.sysctls {
            let path = places::entry("linux.sysctls", name);
            if !is_sysctl(name) {
                self.wrong_key(&path, format!("{name:?} is not the name of a kernel setting"));
            } else if value.contains('\n') {
                self.wrong(&path, "has a line break in it");
            }
        }
        if let Some(context) = &linux.security_context {
            let path = "linux.security_context";
            self.namespaces(path, context.namespace_options.as_ref());
            if context.run_as_group.is_some() && context.run_as_user.is_none() {
                self.group_without_user(path);
            }
        }
        self.resources("linux.resources", linux.resources.as_ref());
        self.resources("linux.overhead", linux.overhead.as_ref());
    }

    pub(super) fn container_linux(&mut self, linux: Option<&v1::LinuxContainerConfig>) {
        let Some(linux) = linux else { return };
        if let Some(context) = &linux.security_context {
            let path = "linux.security_context";
            self.namespaces(path, context.namespace_options.as_ref());
            let username = &context.run_as_username;
            let user = context.run_as_user.is_some() || !username.is_empty();
            if context.run_as_group.is_some() && !user {
                self.group_without_user(path);
            }
            if context.run_as_user.is_some() && !username.is_empty() {
                let path = places::field(path, "run_as_username");
                self.wrong(&path, "given beside `run_as_user`; only one of them can hold");
            }
        }
        self.resources("linux.resources", linux.resources.as_ref());
    }

    fn namespaces(&mut self, parent: &str, options: Option<&v1::NamespaceOption>) {
        let Some(options) = options else { return };
        let path = |name| places::field(&places::field(parent, "namespace_options"), name);
        let target = i32::from(v1::NamespaceMode::Target);
        if options.pid == target && options.target_id.is_empty() {
            let hint = "TARGET joins the process namespace of the container with this id";
            self.wrong_hint(&path("target_id"), "missing, as `pid` is TARGET", hint);
        }
        for (name, mode) in [("network", options.network), ("ipc", options.ipc)] {
            if mode == target {
                self.wrong(&path(name), "TARGET is for `pid` only");
            }
        }
    }

    /// Reports a group without a user, which the CRI wants the runtime to refuse.
    fn group_without_user(&mut self, parent: &str) {
        self.wrong(&places::field(parent, "run_as_group"), "given without a user");
    }

    fn resources(&mut self, parent: &str, resources: Option<&v1::LinuxContainerResources>) {
        let Some(resources) = resources else { return };
        let adjustment = resources.oom_score_adj;
        if !(-1000..=1000).contains(&adjustment) {
            let message = format!("{adjustment} is out of range: -1000 to 1000");
            self.wrong(&places::field(parent, "oom_score_adj"), message);
        }
    }
}

/// Tells whether a name has the form of a kernel setting: `net.ipv4.ip_forward`, or with slashes.
fn is_sysctl(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.chars().all(|sign| sign.is_ascii_alphanumeric() || "-_:@".contains(sign))
    };
    name.contains(['.', '/']) && name.split(['.', '/']).all(part)
}
