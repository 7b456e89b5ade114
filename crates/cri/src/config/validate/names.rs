//! Names, labels, environment, hosts.

use std::{collections::BTreeMap, net::IpAddr};

use super::{Check, of_item};
use crate::{
    config::{Finding, places},
    v1,
};

/// The longest name of a pod or container; a DNS name has no more characters, either.
const MAX_NAME: usize = 253;
/// The longest host name that Linux takes (`HOST_NAME_MAX`).
const MAX_HOSTNAME: usize = 64;
/// The longest name part of a label or annotation, the longest value of a label, and the longest
/// part of a host name.
const MAX_LABEL: usize = 63;
/// What [`is_word`] takes, in words.
const WORD: &str = "up to 63 letters, digits, `-`, `_` and `.` with a letter or digit at both ends";

impl Check<'_> {
    pub(super) fn pod_metadata(&mut self, metadata: Option<&v1::PodSandboxMetadata>) {
        let Some(metadata) = metadata else { return self.missing("metadata") };
        self.name("metadata.name", &metadata.name);
        self.name("metadata.namespace", &metadata.namespace);
        if !metadata.uid.is_empty() {
            self.name("metadata.uid", &metadata.uid);
        }
    }

    pub(super) fn container_metadata(&mut self, metadata: Option<&v1::ContainerMetadata>) {
        let Some(metadata) = metadata else { return self.missing("metadata") };
        self.name("metadata.name", &metadata.name);
    }

    pub(super) fn image(&mut self, image: Option<&v1::ImageSpec>) {
        let Some(image) = image else { return self.missing("image") };
        if image.image.is_empty() {
            self.missing("image.image");
        } else if image.image.contains(char::is_whitespace) {
            self.wrong("image.image", format!("{:?} is not an image name", image.image));
        }
    }

    /// Checks a name. Runtimes take anything; names with `/` or blanks could not be given on a
    /// command line, where a pod is `namespace/name`.
    fn name(&mut self, path: &str, name: &str) {
        if name.is_empty() {
            self.missing(path);
        } else if name.chars().count() > MAX_NAME {
            self.wrong(path, format!("longer than {MAX_NAME} characters"));
        } else if name
            .contains(|sign: char| sign == '/' || sign.is_whitespace() || sign.is_control())
        {
            self.wrong(path, format!("{name:?} has a slash, a blank or a control character in it"));
        }
    }

    pub(super) fn hostname(&mut self, hostname: &str) {
        if hostname.is_empty() {
            return;
        }
        let fits = |part: &str| (1..=MAX_LABEL).contains(&part.len()) && is_word(part);
        if hostname.len() > MAX_HOSTNAME {
            self.wrong("hostname", format!("longer than {MAX_HOSTNAME} characters"));
        } else if !hostname.split('.').all(fits) {
            let hint = "letters, digits and `-`, in parts of up to 63 characters joined by dots";
            self.wrong_hint("hostname", format!("{hostname:?} is not a host name"), hint);
        }
    }

    pub(super) fn dns_servers(&mut self, dns: Option<&v1::DnsConfig>) {
        for (index, server) in dns.iter().flat_map(|dns| dns.servers.iter()).enumerate() {
            if server.parse::<IpAddr>().is_err() {
                let path = places::item("dns_config.servers", index);
                self.wrong(&path, format!("{server:?} is not an IP address"));
            }
        }
    }

    pub(super) fn envs(&mut self, envs: &[v1::KeyValue]) {
        for (index, env) in envs.iter().enumerate() {
            let path = of_item("envs", index, "key");
            if env.key.is_empty() {
                self.lacking(&path);
            } else if env.key.contains('=') {
                let hint = "what stands behind `=` belongs in `value`";
                self.wrong_hint(&path, format!("{:?} has `=` in it", env.key), hint);
            }
        }
    }

    /// Checks labels by the syntax of Kubernetes, which selectors rely on.
    pub(super) fn labels(&mut self, labels: &BTreeMap<String, String>) {
        self.keys("labels", labels);
        for (key, value) in labels {
            if !value.is_empty() && (value.len() > MAX_LABEL || !is_word(value)) {
                let message = format!("{value:?} is not the value of a label");
                let hint = format!("nothing, or {WORD}; annotations take any text");
                self.wrong_hint(&places::entry("labels", key), message, hint);
            }
        }
    }

    pub(super) fn annotations(&mut self, annotations: &BTreeMap<String, String>) {
        self.keys("annotations", annotations);
    }

    fn keys(&mut self, field: &str, entries: &BTreeMap<String, String>) {
        for key in entries.keys() {
            if !is_qualified_name(key) {
                let path = places::entry(field, key);
                let hint = format!("`name` or `dns.domain/name`; a name is {WORD}");
                let finding = Finding::new("not a valid key").at(self.places.key(&path)).on(path);
                self.report.stricter(finding.hint(hint));
            }
        }
    }
}

/// Tells whether a text has only letters, digits, `-`, `_` and `.`, and a letter or digit at both
/// ends; the value of a label has up to 63 of them, or none.
pub fn is_word(text: &str) -> bool {
    let inside = |sign: u8| sign.is_ascii_alphanumeric() || b"-_.".contains(&sign);
    let bytes = text.as_bytes();
    bytes.iter().copied().all(inside)
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

/// Tells whether a key of labels or annotations has the form `name` or `dns.domain/name`.
pub fn is_qualified_name(key: &str) -> bool {
    let (prefix, name) =
        key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let dns_part = |part: &str| part.len() <= MAX_LABEL && is_word(part) && !part.contains('_');
    let prefix_fits =
        prefix.is_none_or(|prefix| prefix.len() <= MAX_NAME && prefix.split('.').all(dns_part));
    name.len() <= MAX_LABEL && is_word(name) && prefix_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualified_names() {
        for good in ["a", "app.kubernetes.io/name", "crilet.dev/restart-policy", "A_b.c-d", "x/Y"] {
            assert!(is_qualified_name(good), "{good}");
        }
        let long = "a".repeat(64);
        for bad in
            ["", "/", "a/", "/a", "a/b/c", "-a", "a-", "a b", "ä", "a_b.c/d", "a..b/c", &long]
        {
            assert!(!is_qualified_name(bad), "{bad}");
        }
    }
}
