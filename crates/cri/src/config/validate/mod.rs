//! Checks of configs that were read without complaint: what the runtime would refuse late, or do
//! in a way that nobody meant.

mod linux;
mod logs;
mod mounts;
mod names;
mod ports;

pub(super) use logs::together;
pub use names::{is_qualified_name, is_word};
pub use ports::addresses_overlap;

use super::{
    finding::{Finding, Report},
    places::{self, Places},
};
use crate::v1;

/// Checks a pod config.
pub(super) fn pod(config: &v1::PodSandboxConfig, places: &Places, report: &mut Report) {
    let mut check = Check { places, report };
    check.pod_metadata(config.metadata.as_ref());
    check.hostname(&config.hostname);
    check.log_directory(&config.log_directory);
    check.dns_servers(config.dns_config.as_ref());
    check.port_mappings(&config.port_mappings);
    check.labels(&config.labels);
    check.annotations(&config.annotations);
    check.pod_linux(config.linux.as_ref());
    check.windows(config.windows.is_some());
}

/// Checks a container config.
pub(super) fn container(config: &v1::ContainerConfig, places: &Places, report: &mut Report) {
    let mut check = Check { places, report };
    check.container_metadata(config.metadata.as_ref());
    check.image(config.image.as_ref());
    check.envs(&config.envs);
    check.mounts(&config.mounts);
    check.devices(&config.devices);
    check.labels(&config.labels);
    check.annotations(&config.annotations);
    check.log_path(&config.log_path);
    check.container_linux(config.linux.as_ref());
    check.windows(config.windows.is_some());
}

/// A config's places and where findings about it go; the checks are methods in the files beside.
struct Check<'a> {
    places: &'a Places,
    report: &'a mut Report,
}

impl Check<'_> {
    /// Makes a finding at the value of a field.
    fn finding(&self, path: &str, message: impl Into<String>) -> Finding {
        Finding::new(message).at(self.places.value(path)).on(path)
    }

    /// Reports that the value of a field is not right.
    fn wrong(&mut self, path: &str, message: impl Into<String>) {
        let finding = self.finding(path, message);
        self.report.stricter(finding);
    }

    /// As [`Check::wrong`], with a hint.
    fn wrong_hint(&mut self, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        let finding = self.finding(path, message).hint(hint);
        self.report.stricter(finding);
    }

    /// Reports that the key of a map's entry is not right.
    fn wrong_key(&mut self, path: &str, message: impl Into<String>) {
        let finding = Finding::new(message).at(self.places.key(path)).on(path);
        self.report.stricter(finding);
    }

    /// Reports that a field is missing that crictl, too, cannot do without.
    fn missing(&mut self, path: &str) {
        let finding = self.finding(path, self.absence(path));
        self.report.error(finding);
    }

    /// Reports that a field is missing that crictl would not ask for.
    fn lacking(&mut self, path: &str) {
        let finding = self.finding(path, self.absence(path));
        self.report.stricter(finding);
    }

    fn absence(&self, path: &str) -> &'static str {
        if self.places.has(path) { "empty" } else { "missing" }
    }

    fn absolute(&mut self, path: &str, value: &str) {
        if !value.starts_with('/') {
            self.wrong(path, format!("{value:?} is not an absolute path"));
        }
    }

    fn windows(&mut self, given: bool) {
        if given {
            self.wrong("windows", "settings for Windows are not possible on Linux");
        }
    }
}

/// Joins a list's path, an index and a field's name.
fn of_item(list: &str, index: usize, name: &str) -> String {
    places::field(&places::item(list, index), name)
}
