//! How long logs are kept, from defaults, pods and containers.

use std::{collections::BTreeMap, time::Duration};

use crilet_core::{LogCompression, LogSetting};
use serde::Serialize;

use crate::files::Compression;

/// Where annotations of pods and containers begin.
const PREFIX: &str = "crilet.dev/log-";

/// What is kept of one container's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Size at which the live file is rotated, bytes; absent for never.
    pub max_size: Option<u64>,
    /// Files that are kept, the live one among them; at least 2.
    pub max_files: u32,
    /// How old lines may get before their file is removed. A live file whose first line is that old
    /// is rotated.
    #[serde(serialize_with = "seconds")]
    pub max_age: Option<Duration>,
    /// How rotated files are compressed; absent for not at all.
    pub compression: Option<Compression>,
    /// How long the newest rotated file is left as it is, for shippers of logs that have not read it
    /// to its end. The next rotation ends that, too.
    #[serde(skip)]
    pub compress_after: Duration,
}

impl Default for Policy {
    /// A kubelet's limits: 10 MiB, 5 files, gzip.
    fn default() -> Self {
        Self {
            max_size: Some(10 << 20),
            max_files: 5,
            max_age: None,
            compression: Some(Compression::Gzip),
            compress_after: Duration::from_secs(60),
        }
    }
}

#[expect(clippy::ref_option, reason = "serde hands the field by reference")]
fn seconds<S: serde::Serializer>(age: &Option<Duration>, out: S) -> Result<S::Ok, S::Error> {
    age.map(|age| age.as_secs()).serialize(out)
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}: {value}`: expected {expected}")]
pub struct InvalidSetting {
    /// The annotation, or whatever it was called where it was written.
    pub key: String,
    /// What stood there.
    pub value: String,
    /// What it should have been.
    pub expected: &'static str,
}

/// What was set of a policy, by whoever.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    max_size: Option<Option<u64>>,
    max_files: Option<u32>,
    max_age: Option<Option<Duration>>,
    compression: Option<Option<Compression>>,
}

impl Settings {
    /// Reads one of [`LOG_SETTINGS`](crilet_core::LOG_SETTINGS); tells whether it is one of these.
    ///
    /// # Errors
    /// A value that is none of that setting.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool, InvalidSetting> {
        let invalid =
            |expected| InvalidSetting { key: name.to_owned(), value: value.to_owned(), expected };
        let Some(read) = LogSetting::read(name, value) else { return Ok(false) };
        match read.map_err(invalid)? {
            LogSetting::MaxSize(size) => self.max_size = Some(size),
            LogSetting::MaxFiles(files) => self.max_files = Some(files),
            LogSetting::MaxAge(age) => self.max_age = Some(age),
            LogSetting::Compression(Some(LogCompression::Zstd)) if !cfg!(feature = "zstd") => {
                return Err(invalid("gzip or none: this crilet was built without zstd"));
            }
            LogSetting::Compression(compression) => {
                self.compression = Some(compression.map(|compression| match compression {
                    LogCompression::Gzip => Compression::Gzip,
                    LogCompression::Zstd => Compression::Zstd,
                }));
            }
        }
        Ok(true)
    }

    /// Reads the annotations `crilet.dev/log-NAME`, or `crilet.dev/log-NAME.CONTAINER` where a
    /// container is given. What cannot be used is left out and told.
    pub fn of_annotations(
        annotations: &BTreeMap<String, String>,
        container: Option<&str>,
    ) -> (Self, Vec<InvalidSetting>) {
        let (mut settings, mut invalid) = (Self::default(), Vec::new());
        for (key, value) in annotations {
            let Some(name) = key.strip_prefix(PREFIX) else { continue };
            let name = match container {
                None => Some(name),
                Some(container) => {
                    name.split_once('.').filter(|of| of.1 == container).map(|of| of.0)
                }
            };
            if let Some(Err(error)) = name.map(|name| settings.set(name, value)) {
                invalid.push(InvalidSetting { key: key.clone(), ..error });
            }
        }
        (settings, invalid)
    }

    /// The policy that these settings make of another one.
    #[must_use]
    pub fn over(&self, policy: Policy) -> Policy {
        Policy {
            max_size: self.max_size.unwrap_or(policy.max_size),
            max_files: self.max_files.unwrap_or(policy.max_files),
            max_age: self.max_age.unwrap_or(policy.max_age),
            compression: self.compression.unwrap_or(policy.compression),
            compress_after: policy.compress_after,
        }
    }
}

impl Policy {
    /// The policy of a container: its own annotations count before those of the pod that name it,
    /// those before the pod's for all containers, those before this policy.
    pub fn of_container(
        self,
        pod: &BTreeMap<String, String>,
        name: &str,
        container: &BTreeMap<String, String>,
    ) -> (Self, Vec<InvalidSetting>) {
        let (mut policy, mut invalid) = (self, Vec::new());
        for (annotations, of) in [(pod, None), (pod, Some(name)), (container, None)] {
            let (settings, wrong) = Settings::of_annotations(annotations, of);
            policy = settings.over(policy);
            invalid.extend(wrong);
        }
        (policy, invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_nearest_setting_counts() {
        let pod = map(&[
            ("crilet.dev/log-max-size", "1Mi"),
            ("crilet.dev/log-max-files", "3"),
            ("crilet.dev/log-max-files.db", "9"),
            ("crilet.dev/log-max-age.db", "2d"),
            ("crilet.dev/log-compression", "none"),
            ("crilet.dev/restart-policy", "Always"),
        ]);
        let own = map(&[("crilet.dev/log-max-size", "none"), ("crilet.dev/log-max-age", "1d")]);
        let (policy, invalid) = Policy::default().of_container(&pod, "db", &own);
        assert_eq!(invalid, []);
        assert_eq!((policy.max_size, policy.max_files, policy.compression), (None, 9, None));
        assert_eq!(policy.max_age, Some(Duration::from_secs(86_400)));
        let (policy, _) = Policy::default().of_container(&pod, "web", &map(&[]));
        assert_eq!((policy.max_size, policy.max_files, policy.max_age), (Some(1 << 20), 3, None));
    }

    #[test]
    fn what_cannot_be_used_is_told_and_left_out() {
        let pod = map(&[
            ("crilet.dev/log-max-files", "1"),
            ("crilet.dev/log-max-size", "huge"),
            ("crilet.dev/log-compression", "rar"),
            ("crilet.dev/log-max-age", "soon"),
        ]);
        let (policy, invalid) = Policy::default().of_container(&pod, "db", &map(&[]));
        assert_eq!((policy, invalid.len()), (Policy::default(), 4));
        let text = invalid[1].to_string();
        assert_eq!(
            text,
            "`crilet.dev/log-max-age: soon`: expected a time such as 36h or 14d, or none"
        );
    }
}
