//! Settings below `/proc/sys/net`. All functions but [`Setting::new`] run within the pod's namespace.

use std::path::{Component, Path, PathBuf};

use crate::{
    kernel::settings,
    protocol::{PluginError, all},
};

/// A setting and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// As it is written.
    pub(super) key: String,
    path: PathBuf,
    value: String,
}

impl Setting {
    /// Finds the file of a key: dots are slashes, and `IFNAME` stands for the link's name.
    pub(super) fn new(key: &str, value: &str, link: &str) -> Result<Self, PluginError> {
        let relative = key.replace('.', "/").replacen("IFNAME", link, 1);
        let relative = relative.trim_start_matches('/');
        // Two dots have become two slashes, which the kernel would pass over.
        let is_whole = relative.split('/').all(|part| !part.is_empty());
        let relative = Path::new(relative);
        let is_plain =
            is_whole && relative.components().all(|part| matches!(part, Component::Normal(_)));
        let below =
            relative.strip_prefix("net").is_ok_and(|rest| rest.components().next().is_some());
        if !is_plain || !below {
            return Err(PluginError::config(
                &format!("sysctl.{key}"),
                "is no setting of the network: it must begin with `net.`",
            ));
        }
        let path = Path::new("/proc/sys").join(relative);
        Ok(Self { key: key.to_owned(), path, value: value.to_owned() })
    }

    fn read(&self) -> Result<String, PluginError> {
        settings::read(&self.path)?.ok_or_else(|| {
            PluginError::config(
                &format!("sysctl.{}", self.key),
                format_args!("is not there: the pod has no `{}`", self.path.display()),
            )
        })
    }

    fn write(&self) -> Result<(), PluginError> {
        settings::write(&self.path, &self.value).map_err(|error| {
            let refused = error.is(&[nix::errno::Errno::EINVAL, nix::errno::Errno::ERANGE]);
            let error = PluginError::from(error);
            if !refused {
                return error;
            }
            let problem = format!("is \"{}\", which the kernel refuses", self.value);
            PluginError::config(&format!("sysctl.{}", self.key), problem).details(error.message)
        })
    }
}

/// Writes all settings, or none; gives what they were before.
pub(super) fn apply(list: &[Setting]) -> Result<Vec<Setting>, PluginError> {
    let before = list
        .iter()
        .map(|setting| Ok(Setting { value: setting.read()?, ..setting.clone() }))
        .collect::<Result<Vec<_>, PluginError>>()?;
    for (number, setting) in list.iter().enumerate() {
        if let Err(failure) = setting.write() {
            // The failure is what to tell.
            drop(restore(before.get(..number).unwrap_or_default()));
            return Err(failure);
        }
    }
    Ok(before)
}

/// Writes settings in reverse order, past those that cannot be.
pub(super) fn restore(before: &[Setting]) -> Result<(), PluginError> {
    all(before.iter().rev().filter_map(|setting| setting.write().err()).collect())
}

/// Compares all settings; a setting of several numbers has them apart by a tab.
pub(super) fn check(list: &[Setting]) -> Result<(), PluginError> {
    for setting in list {
        let now = setting.read()?;
        if !now.split_whitespace().eq(setting.value.split_whitespace()) {
            return Err(PluginError::internal(format!(
                "tuning configured value of `{}` is {}, current value is {now}",
                setting.path.display(),
                setting.value
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_network_is_tuned() {
        let path = |key| Setting::new(key, "1", "eth0").map(|setting| setting.path);
        let good = path("net.ipv4.conf.IFNAME.arp_notify").unwrap();
        assert_eq!(good, Path::new("/proc/sys/net/ipv4/conf/eth0/arp_notify"));
        assert_eq!(path("net/core/somaxconn").unwrap(), Path::new("/proc/sys/net/core/somaxconn"));
        for bad in ["kernel.hostname", "net", "network.x", "net/../kernel/hostname", "", "."] {
            assert!(path(bad).unwrap_err().message.contains("must begin with `net.`"), "{bad}");
        }
    }
}
