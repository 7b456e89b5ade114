//! The variables that a runtime calls a plugin with.

use std::path::{Path, PathBuf};

use super::{Code, Command, PluginError};

/// Longest name of a link, in bytes; the kernel's buffer has one more for the end.
const LINK_NAME: usize = 15;

/// Variables of the environment that the protocol knows, as they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `CNI_COMMAND`.
    pub command: String,
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_NETNS`; empty when the namespace is gone.
    pub namespace: String,
    /// `CNI_IFNAME`.
    pub link: String,
    /// `CNI_ARGS`.
    pub args: String,
    /// `CNI_PATH`.
    pub path: String,
    /// `CNI_NETNS_OVERRIDE`: the pod may be in the host's own namespace.
    pub namespace_override: String,
    /// `DBUS_SYSTEM_BUS_ADDRESS`, where firewalld is asked; empty for the usual place.
    pub bus: String,
}

impl Environment {
    /// Reads all variables through `read`.
    pub fn read(read: impl Fn(&str) -> Option<String>) -> Self {
        let text = |name| read(name).unwrap_or_default();
        Self {
            command: text("CNI_COMMAND"),
            container_id: text("CNI_CONTAINERID"),
            namespace: text("CNI_NETNS"),
            link: text("CNI_IFNAME"),
            args: text("CNI_ARGS"),
            path: text("CNI_PATH"),
            namespace_override: text("CNI_NETNS_OVERRIDE"),
            bus: text("DBUS_SYSTEM_BUS_ADDRESS"),
        }
    }

    /// The variables with their names, for a plugin that this one calls.
    pub(crate) fn variables(&self) -> [(&'static str, &str); 7] {
        [
            ("CNI_COMMAND", &self.command),
            ("CNI_CONTAINERID", &self.container_id),
            ("CNI_NETNS", &self.namespace),
            ("CNI_IFNAME", &self.link),
            ("CNI_ARGS", &self.args),
            ("CNI_PATH", &self.path),
            ("CNI_NETNS_OVERRIDE", &self.namespace_override),
        ]
    }

    /// Directories in which plugins are looked for.
    #[must_use]
    pub fn directories(&self) -> Vec<PathBuf> {
        std::env::split_paths(&self.path).collect()
    }

    /// Path of the pod's network namespace, while there is one.
    #[must_use]
    pub fn namespace(&self) -> Option<&Path> {
        Some(Path::new(&self.namespace)).filter(|path| !path.as_os_str().is_empty())
    }

    /// Whether the pod may be in the namespace of the plugin.
    pub(crate) fn overrides_namespace(&self) -> bool {
        self.namespace_override == "1" || self.namespace_override.eq_ignore_ascii_case("true")
    }

    /// Finds all variables that `command` needs and that are missing, then wrong ones.
    pub(crate) fn check(&self, command: Command) -> Result<(), PluginError> {
        use Command::{Add, Check, Del, Version};
        let attached = matches!(command, Add | Check | Del);
        let needed = [
            ("CNI_CONTAINERID", &self.container_id, attached),
            ("CNI_NETNS", &self.namespace, matches!(command, Add | Check)),
            ("CNI_IFNAME", &self.link, attached),
            ("CNI_PATH", &self.path, command != Version),
        ];
        let missing = needed.into_iter().filter(|(_, value, need)| *need && value.is_empty());
        let missing: Vec<_> = missing.map(|(name, _, _)| name).collect();
        if !missing.is_empty() {
            let message = format!("required env variables [{}] missing", missing.join(","));
            return Err(PluginError::new(Code::InvalidEnvironment, message));
        }
        if !attached {
            return Ok(());
        }
        if !is_identifier(&self.container_id) {
            return Err(wrong(
                "CNI_CONTAINERID",
                &self.container_id,
                "must be letters, digits, `_`, `.` and `-`, and begin with a letter or digit",
            ));
        }
        link_name_problem(&self.link)
            .map_or(Ok(()), |problem| Err(wrong("CNI_IFNAME", &self.link, problem)))
    }
}

fn wrong(name: &str, value: &str, problem: &str) -> PluginError {
    PluginError::new(Code::InvalidEnvironment, format!("{name} is `{value}`, but {problem}"))
}

/// Whether a text can be a container's id or a network's name.
#[must_use]
pub(crate) fn is_identifier(text: &str) -> bool {
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    begins && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// What keeps a text from being a link's name.
#[must_use]
pub(crate) fn link_name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("must not be empty");
    }
    if name.len() > LINK_NAME {
        return Some("must not be longer than 15 bytes, the kernel's limit for link names");
    }
    if name == "." || name == ".." {
        return Some("must not be `.` or `..`");
    }
    let forbidden = |c: char| c == '/' || c == ':' || c.is_whitespace();
    name.contains(forbidden).then_some("must not contain `/`, `:` or blanks")
}
