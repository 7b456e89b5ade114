//! Users, capabilities, confinement.

use std::path::Path;

use crilet_core::similar;
use crilet_cri::v1::{self, security_profile::ProfileType};
use k8s_openapi::api::core::v1::{
    AppArmorProfile, Capabilities, PodSecurityContext, PodSpec, SELinuxOptions, SeccompProfile,
    SecurityContext,
};

use super::lower::Lower;
use crate::{
    manifest::report::{item, join},
    model::{FsGroup, FsGroupPolicy},
};

/// The kernel's capabilities, without `CAP_` (capability.h).
const CAPABILITIES: [&str; 42] = [
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// What containers cannot see unless `procMount` is `Unmasked` (`pkg/securitycontext/util.go`).
const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];

/// What containers cannot write to, likewise.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Where the pod's own security context stands.
const POD: &str = "spec.securityContext";

/// Numbers of users and groups.
const IDS: (i64, i64) = (0, i32::MAX as i64);

impl Lower<'_> {
    /// The namespaces of the sandbox and of its containers.
    pub(super) fn namespaces(&mut self) -> v1::NamespaceOption {
        let PodSpec { host_network, host_pid, host_ipc, share_process_namespace, .. } = self.spec;
        let host = |given: Option<bool>| {
            if given.unwrap_or_default() { v1::NamespaceMode::Node } else { v1::NamespaceMode::Pod }
        };
        let (host_pid, share) =
            (host_pid.unwrap_or_default(), share_process_namespace.unwrap_or_default());
        if host_pid && share {
            let path = "spec.shareProcessNamespace";
            self.check.wrong(path, "given beside `hostPID`; only one of them can hold");
        }
        let pid = match (host_pid, share) {
            (true, _) => v1::NamespaceMode::Node,
            (false, true) => v1::NamespaceMode::Pod,
            // The kubelet says so of the sandbox, too.
            (false, false) => v1::NamespaceMode::Container,
        };
        v1::NamespaceOption {
            network: host(*host_network).into(),
            pid: pid.into(),
            ipc: host(*host_ipc).into(),
            ..Default::default()
        }
    }

    /// The sandbox's security context (`kuberuntime_sandbox_linux.go`).
    pub(super) fn sandbox_security(&mut self, privileged: bool) -> v1::LinuxSandboxSecurityContext {
        let namespace_options = Some(self.namespaces());
        let context = self.spec.security_context.clone().unwrap_or_default();
        let run_as_user = self.id(&join(POD, "runAsUser"), context.run_as_user);
        let run_as_group = self.id(&join(POD, "runAsGroup"), context.run_as_group);
        let selinux_options = context.se_linux_options.as_ref().map(selinux);
        self.seccomp(&join(POD, "seccompProfile"), context.seccomp_profile.as_ref());
        self.apparmor(&join(POD, "appArmorProfile"), context.app_armor_profile.as_ref());
        v1::LinuxSandboxSecurityContext {
            namespace_options,
            selinux_options,
            // The CRI takes a group with a user only.
            run_as_group: run_as_group.filter(|_| run_as_user.is_some()),
            run_as_user,
            supplemental_groups: self.groups(&context),
            supplemental_groups_policy: self.groups_policy(&context).into(),
            privileged,
            seccomp: Some(profile(ProfileType::RuntimeDefault, "")),
            ..Default::default()
        }
    }

    /// The security context of the container at `path`.
    pub(super) fn container_security(
        &mut self,
        path: &str,
        own: Option<&SecurityContext>,
    ) -> v1::LinuxContainerSecurityContext {
        let path = join(path, "securityContext");
        let own = own.cloned().unwrap_or_default();
        let pod = self.spec.security_context.clone().unwrap_or_default();
        let privileged = own.privileged.unwrap_or_default();
        let user = self.id(&join(&path, "runAsUser"), own.run_as_user);
        let group = self.id(&join(&path, "runAsGroup"), own.run_as_group);
        self.escalation(&path, &own);
        let seccomp = own.seccomp_profile.as_ref();
        let seccomp = self.seccomp(&join(&path, "seccompProfile"), seccomp);
        let seccomp = match (privileged, seccomp, &pod.seccomp_profile) {
            (true, ..) => profile(ProfileType::Unconfined, ""),
            (false, Some(own), _) => own,
            (false, None, of_pod) => self
                .seccomp(&join(POD, "seccompProfile"), of_pod.as_ref())
                .unwrap_or_else(|| profile(ProfileType::RuntimeDefault, "")),
        };
        let apparmor = own.app_armor_profile.as_ref().or(pod.app_armor_profile.as_ref());
        let apparmor = self.apparmor(&join(&path, "appArmorProfile"), apparmor);
        let (masked_paths, readonly_paths) =
            self.proc_mount(&path, own.proc_mount.as_deref(), privileged);
        let to_value = |value| v1::Int64Value { value };
        v1::LinuxContainerSecurityContext {
            capabilities: own.capabilities.as_ref().map(|given| self.capabilities(&path, given)),
            privileged,
            namespace_options: Some(self.namespaces()),
            selinux_options: own
                .se_linux_options
                .as_ref()
                .or(pod.se_linux_options.as_ref())
                .map(selinux),
            run_as_user: user.or_else(|| pod.run_as_user.map(to_value)),
            run_as_group: group.or_else(|| pod.run_as_group.map(to_value)),
            readonly_rootfs: own.read_only_root_filesystem.unwrap_or_default(),
            supplemental_groups: self.groups(&pod),
            supplemental_groups_policy: self.groups_policy(&pod).into(),
            no_new_privs: own.allow_privilege_escalation == Some(false),
            masked_paths,
            readonly_paths,
            apparmor,
            seccomp: Some(seccomp),
            ..Default::default()
        }
    }

    /// Whether a user that is root is refused; the container's word goes before the pod's.
    pub(super) fn non_root(&mut self, path: &str, own: Option<&SecurityContext>) -> bool {
        let pod = self.spec.security_context.as_ref();
        let user = own.and_then(|own| own.run_as_user);
        let user = user.or_else(|| pod.and_then(|pod| pod.run_as_user));
        let non_root = own.and_then(|own| own.run_as_non_root);
        let non_root = non_root.or_else(|| pod.and_then(|pod| pod.run_as_non_root));
        let non_root = non_root.unwrap_or_default();
        if non_root && user == Some(0) {
            let path = join(path, "securityContext.runAsUser");
            self.check.wrong(&path, "0 is root, which `runAsNonRoot` refuses");
        }
        non_root
    }

    fn id(&mut self, path: &str, value: Option<i64>) -> Option<v1::Int64Value> {
        let value = value?;
        Some(v1::Int64Value { value: self.check.bounded(path, Some(value), IDS, 0) })
    }

    /// What the kernel would contradict (`ValidateSecurityContext`).
    fn escalation(&mut self, path: &str, own: &SecurityContext) {
        if own.allow_privilege_escalation != Some(false) {
            return;
        }
        let added = own.capabilities.iter().flat_map(|given| given.add.iter().flatten());
        let admin = added.into_iter().any(|name| bare(name) == "SYS_ADMIN");
        let path = join(path, "allowPrivilegeEscalation");
        if own.privileged.unwrap_or_default() {
            self.check.wrong(&path, "false, but `privileged` is true");
        } else if admin {
            self.check.wrong(&path, "false, but capability SYS_ADMIN is added");
        }
    }

    fn capabilities(&mut self, path: &str, given: &Capabilities) -> v1::Capability {
        let path = join(path, "capabilities");
        let mut read = |field: &str, names: Option<&Vec<String>>| {
            let path = join(&path, field);
            let names = names.into_iter().flatten().enumerate();
            names.map(|(index, name)| self.capability(&item(&path, index), name)).collect()
        };
        v1::Capability {
            add_capabilities: read("add", given.add.as_ref()),
            drop_capabilities: read("drop", given.drop.as_ref()),
            ..Default::default()
        }
    }

    fn capability(&mut self, path: &str, name: &str) -> String {
        let bare = bare(name);
        if !CAPABILITIES.contains(&bare.as_str()) {
            let message = format!("{name:?} is no capability");
            match similar(&bare, CAPABILITIES) {
                Some(meant) => {
                    self.check.wrong_hint(path, message, format!("did you mean `{meant}`?"));
                }
                None => self.check.wrong_hint(path, message, "see capabilities(7)"),
            }
        }
        bare
    }

    fn seccomp(
        &mut self,
        path: &str,
        given: Option<&SeccompProfile>,
    ) -> Option<v1::SecurityProfile> {
        let given = given?;
        let file = given.localhost_profile.as_deref();
        let kind = self.profile_type(path, &given.type_, file)?;
        let root = &self.options.seccomp_root;
        let file = file.filter(|_| kind == ProfileType::Localhost).map(|file| {
            // A relative path is below the root, an absolute one is taken as it is.
            root.join(Path::new(file)).display().to_string()
        });
        Some(profile(kind, &file.unwrap_or_default()))
    }

    fn apparmor(
        &mut self,
        path: &str,
        given: Option<&AppArmorProfile>,
    ) -> Option<v1::SecurityProfile> {
        let given = given?;
        let name = given.localhost_profile.as_deref();
        let kind = self.profile_type(path, &given.type_, name)?;
        Some(profile(kind, name.filter(|_| kind == ProfileType::Localhost).unwrap_or_default()))
    }

    fn profile_type(
        &mut self,
        path: &str,
        name: &str,
        profile: Option<&str>,
    ) -> Option<ProfileType> {
        let types = [
            ("RuntimeDefault", ProfileType::RuntimeDefault),
            ("Unconfined", ProfileType::Unconfined),
            ("Localhost", ProfileType::Localhost),
        ];
        let type_path = join(path, "type");
        if name.is_empty() {
            self.check.missing(&type_path);
            return None;
        }
        let kind = self.check.choice(&type_path, Some(name), &types, ProfileType::RuntimeDefault);
        let profile_path = join(path, "localhostProfile");
        match profile {
            None | Some("") if kind == ProfileType::Localhost => self.check.missing(&profile_path),
            Some(_) if kind != ProfileType::Localhost => {
                self.check.wrong(&profile_path, "is for type Localhost alone");
            }
            Some(file) if file.split('/').any(|part| part == "..") => {
                self.check.wrong(&profile_path, format!("{file:?} has `..` in it"));
            }
            _ => {}
        }
        Some(kind)
    }

    fn proc_mount(
        &mut self,
        path: &str,
        given: Option<&str>,
        privileged: bool,
    ) -> (Vec<String>, Vec<String>) {
        let path = join(path, "procMount");
        let choices = [("Default", true), ("Unmasked", false)];
        let masked = self.check.choice(&path, given, &choices, true) && !privileged;
        let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        if masked { (paths(&MASKED), paths(&READ_ONLY)) } else { (Vec::new(), Vec::new()) }
    }

    fn groups(&mut self, context: &PodSecurityContext) -> Vec<i64> {
        let mut groups = Vec::new();
        let path = join(POD, "supplementalGroups");
        for (index, group) in context.supplemental_groups.iter().flatten().enumerate() {
            groups.push(self.check.bounded(&item(&path, index), Some(*group), IDS, 0));
        }
        groups.extend(context.fs_group.filter(|group| !groups.contains(group)));
        groups
    }

    fn groups_policy(&mut self, context: &PodSecurityContext) -> v1::SupplementalGroupsPolicy {
        use v1::SupplementalGroupsPolicy::{Merge, Strict};
        let given = context.supplemental_groups_policy.as_deref();
        let path = join(POD, "supplementalGroupsPolicy");
        self.check.choice(&path, given, &[("Merge", Merge), ("Strict", Strict)], Merge)
    }

    /// Which group owns the pod's volumes.
    pub(super) fn fs_group(&mut self) -> Option<FsGroup> {
        let context = self.spec.security_context.as_ref()?;
        let policies =
            [("Always", FsGroupPolicy::Always), ("OnRootMismatch", FsGroupPolicy::OnRootMismatch)];
        let path = join(POD, "fsGroupChangePolicy");
        let given = context.fs_group_change_policy.as_deref();
        let policy = self.check.choice(&path, given, &policies, FsGroupPolicy::Always);
        let gid = context.fs_group?;
        let gid = self.check.bounded(&join(POD, "fsGroup"), Some(gid), (0, u32::MAX >> 1), 0);
        Some(FsGroup { gid, policy })
    }

    /// Settings of the kernel that belong to the pod's own namespaces; the host's are never set.
    pub(super) fn sysctls(&mut self) -> std::collections::BTreeMap<String, String> {
        let context = self.spec.security_context.as_ref();
        let given: Vec<_> =
            context.iter().flat_map(|context| context.sysctls.iter().flatten()).collect();
        let mut sysctls = std::collections::BTreeMap::new();
        for (index, sysctl) in given.into_iter().enumerate() {
            let path = join(&item(&join(POD, "sysctls"), index), "name");
            let name = sysctl.name.replace('/', ".");
            let host_ipc = self.spec.host_ipc.unwrap_or_default();
            if name.is_empty() {
                self.check.missing(&path);
            } else if is_ipc(&name) && host_ipc {
                self.check.wrong(&path, "would be the host's, as `hostIPC` is set");
            } else if name.starts_with("net.") && self.host_network() {
                self.check.wrong(&path, "would be the host's, as `hostNetwork` is set");
            } else if !is_ipc(&name) && !name.starts_with("net.") {
                let message = format!("{:?} is a setting of the whole machine", sysctl.name);
                let hint = "a pod has its own of net.*, kernel.shm*, kernel.msg*, kernel.sem, \
                            fs.mqueue.*";
                self.check.wrong_hint(&path, message, hint);
            } else if sysctls.insert(name, sysctl.value.clone()).is_some() {
                self.check.wrong(&path, format!("{:?} is given twice", sysctl.name));
            }
        }
        sysctls
    }
}

fn is_ipc(name: &str) -> bool {
    ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| name.starts_with(prefix))
        || name == "kernel.sem"
}

/// A capability in capital letters without `CAP_`, as the CRI has it.
fn bare(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}

fn profile(kind: ProfileType, file: &str) -> v1::SecurityProfile {
    v1::SecurityProfile { profile_type: kind.into(), localhost_ref: file.to_owned() }
}

fn selinux(options: &SELinuxOptions) -> v1::SeLinuxOption {
    v1::SeLinuxOption {
        user: options.user.clone().unwrap_or_default(),
        role: options.role.clone().unwrap_or_default(),
        r#type: options.type_.clone().unwrap_or_default(),
        level: options.level.clone().unwrap_or_default(),
    }
}
