//! What every part of the reader does with a field: name what is wrong with it.

use crilet_core::similar;
use crilet_cri::config::{Finding, is_qualified_name, is_word};

use super::{
    quantity::{Quantity, Unfit},
    report::{self, Report, Scope},
};

/// A scope, and where findings about it go.
pub(super) struct Check<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) report: &'a mut Report,
}

impl Check<'_> {
    pub(super) fn wrong(&mut self, path: &str, message: impl Into<String>) {
        let finding = self.scope.finding(path, message);
        self.report.push(finding);
    }

    pub(super) fn wrong_hint(
        &mut self,
        path: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let finding = self.scope.finding(path, message).hint(hint);
        self.report.push(finding);
    }

    pub(super) fn warn(&mut self, path: &str, message: impl Into<String>) {
        let finding = report::warning(self.scope.finding(path, message));
        self.report.push(finding);
    }

    /// Reports that the key of an entry is not right.
    pub(super) fn wrong_key(&mut self, path: &str, message: impl Into<String>, hint: &str) {
        let finding = Finding::new(message).in_file(self.scope.file).at(self.scope.key(path));
        self.report.push(finding.on(self.scope.full(path)).hint(hint));
    }

    /// Reports that a field is missing, or given without a value.
    pub(super) fn missing(&mut self, path: &str) {
        let message = if self.scope.has(path) { "empty" } else { "missing" };
        self.wrong(path, message);
    }

    /// One of a few words; nothing is the default.
    pub(super) fn choice<T: Copy>(
        &mut self,
        path: &str,
        value: Option<&str>,
        choices: &[(&str, T)],
        default: T,
    ) -> T {
        let Some(value) = value else { return default };
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == value) {
            return *choice;
        }
        let names = choices.iter().map(|(name, _)| *name).filter(|name| !name.is_empty());
        let names: Vec<_> = names.collect();
        let message = format!("{value:?} is none of {}", names.join(", "));
        match similar(value, names.iter().copied()) {
            Some(meant) => self.wrong_hint(path, message, format!("did you mean `{meant}`?")),
            None => self.wrong(path, message),
        }
        default
    }

    /// A number within bounds; nothing is the default.
    pub(super) fn bounded<T>(
        &mut self,
        path: &str,
        value: Option<impl Into<i64>>,
        (least, most): (T, T),
        default: T,
    ) -> T
    where
        T: TryFrom<i64> + PartialOrd + Copy + std::fmt::Display,
    {
        let Some(value) = value.map(Into::into) else { return default };
        match T::try_from(value) {
            Ok(number) if (least..=most).contains(&number) => number,
            _ => {
                self.wrong(path, format!("{value} is out of range: {least} to {most}"));
                default
            }
        }
    }

    /// A port of a container or host.
    pub(super) fn port(&mut self, path: &str, value: i32) -> u16 {
        match u16::try_from(value) {
            Ok(port @ 1..) => port,
            _ if value == 0 && !self.scope.has(path) => {
                self.missing(path);
                0
            }
            _ => {
                self.wrong(path, format!("{value} is not a port: 1 to 65535"));
                0
            }
        }
    }

    /// A quantity, times `factor`.
    pub(super) fn quantity(&mut self, path: &str, text: &str, factor: u64) -> Option<u64> {
        let message = match Quantity::parse(text) {
            Ok(quantity) => match quantity.scaled(factor) {
                Some(value) => return Some(value),
                None => format!("{text:?} is too large"),
            },
            Err(Unfit::TooLarge) => format!("{text:?} is too large"),
            Err(Unfit::Negative) => format!("{text:?} is negative"),
            Err(Unfit::Syntax) => {
                let message = format!("{text:?} is not a quantity");
                self.wrong_hint(path, message, "such as `500m`, `2`, `1.5Gi`, `64Mi`");
                return None;
            }
        };
        self.wrong(path, message);
        None
    }

    pub(super) fn absolute(&mut self, path: &str, value: &str) {
        if value.is_empty() {
            self.missing(path);
        } else if !value.starts_with('/') {
            self.wrong(path, format!("{value:?} is not an absolute path"));
        }
    }

    /// A path that stays within what it is relative to.
    pub(super) fn relative(&mut self, path: &str, value: &str) -> bool {
        let message = if value.is_empty() {
            self.missing(path);
            return false;
        } else if value.starts_with('/') {
            format!("{value:?} is not a relative path")
        } else if value.split('/').any(|part| part == "..") {
            format!("{value:?} has `..` in it")
        } else {
            return true;
        };
        self.wrong(path, message);
        false
    }

    /// A name that can be part of a host name: containers, volumes, namespaces.
    pub(super) fn dns_label(&mut self, path: &str, name: &str) {
        let hint = "lower-case letters, digits and `-`, up to 63, a letter or digit at both ends";
        if name.is_empty() {
            self.missing(path);
        } else if !is_dns_label(name) {
            self.wrong_hint(path, format!("{name:?} is not a valid name"), hint);
        }
    }

    /// A name that can be a host name: pods, ConfigMaps and so on.
    pub(super) fn dns_name(&mut self, path: &str, name: &str) {
        let hint = "lower-case letters, digits, `-` and `.`, up to 253, a letter or digit at both \
                    ends";
        if name.is_empty() {
            self.missing(path);
        } else if !is_dns_name(name) {
            self.wrong_hint(path, format!("{name:?} is not a valid name"), hint);
        }
    }

    /// The key of a ConfigMap or Secret.
    pub(super) fn data_key(&mut self, path: &str, key: &str) {
        let fits = |sign: u8| sign.is_ascii_alphanumeric() || b"-_.".contains(&sign);
        let good = (1..=253).contains(&key.len()) && key.bytes().all(fits);
        if !good || key == "." || key.starts_with("..") {
            let hint = "letters, digits, `-`, `_` and `.`, up to 253, not beginning with `..`";
            self.wrong_key(path, format!("{key:?} is not a valid key"), hint);
        }
    }

    /// Labels by the syntax of Kubernetes.
    pub(super) fn labels<'m>(
        &mut self,
        path: &str,
        labels: impl IntoIterator<Item = (&'m String, &'m String)>,
    ) {
        for (key, value) in labels {
            let path = report::entry(path, key);
            self.qualified(&path, key);
            if !value.is_empty() && (value.len() > 63 || !is_word(value)) {
                let hint = "nothing, or up to 63 letters, digits, `-`, `_` and `.`; annotations \
                            take any text";
                self.wrong_hint(&path, format!("{value:?} is not the value of a label"), hint);
            }
        }
    }

    /// The key of a label or annotation.
    pub(super) fn qualified(&mut self, path: &str, key: &str) {
        if !is_qualified_name(key) {
            self.wrong_key(path, "not a valid key", "`name` or `dns.domain/name`");
        }
    }
}

pub(super) fn is_dns_label(name: &str) -> bool {
    let inside = |sign: u8| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == b'-';
    let end = |sign: Option<u8>| sign.is_some_and(|sign| sign != b'-');
    (1..=63).contains(&name.len())
        && name.bytes().all(inside)
        && end(name.bytes().next())
        && end(name.bytes().next_back())
}

pub(super) fn is_dns_name(name: &str) -> bool {
    let part = |part: &str| {
        // Parts of a name may be longer than those of a host name, as in Kubernetes.
        let inside = |sign: u8| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == b'-';
        !part.is_empty()
            && part.bytes().all(inside)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(part)
}
