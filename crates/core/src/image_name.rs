//! Image names as people type them, and as registries and runtimes want them.

use std::{fmt, str::FromStr};

const DEFAULT_REGISTRY: &str = "docker.io";
const OFFICIAL: &str = "library";
const DEFAULT_TAG: &str = "latest";
/// Longest registry plus path that registries take, in bytes.
const NAME_LIMIT: usize = 255;
const TAG_LIMIT: usize = 128;

/// A full image name: registry, path, and a tag or a digest or both.
///
/// Parsing completes a short name the way docker does, so `busybox` becomes
/// `docker.io/library/busybox:latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    registry: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// Why a text is no image name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an image name: {reason}")]
pub struct InvalidImageName {
    text: String,
    reason: &'static str,
}

impl ImageName {
    /// Registry host with its port, if any: `docker.io`, `localhost:5000`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Repository within the registry: `library/busybox`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, which is `latest` when the text named neither tag nor digest.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.path)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for ImageName {
    type Err = InvalidImageName;

    fn from_str(text: &str) -> Result<Self, InvalidImageName> {
        parse(text).map_err(|reason| InvalidImageName { text: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<ImageName, &'static str> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) if is_digest(digest) => (rest, Some(digest.to_owned())),
        Some(_) => return Err("what follows @ must be a digest such as sha256:…"),
        None => (text, None),
    };
    // A colon before the last slash belongs to the registry's port.
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("a tag has 1 to 128 letters, digits, _ . - and does not begin with . or -");
    }
    let (registry, path) = split_registry(name)?;
    if registry.len() + path.len() > NAME_LIMIT {
        return Err("it is longer than 255 bytes");
    }
    let tag = tag.map(str::to_owned);
    let tag = if tag.is_none() && digest.is_none() { Some(DEFAULT_TAG.to_owned()) } else { tag };
    Ok(ImageName { registry, path, tag, digest })
}

fn split_registry(name: &str) -> Result<(String, String), &'static str> {
    let looks_like_host = |part: &str| {
        part == "localhost" || part.contains(['.', ':']) || part.contains(char::is_uppercase)
    };
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if looks_like_host(first) => (first, path),
        _ => (DEFAULT_REGISTRY, name),
    };
    let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
    if !is_host(registry) {
        return Err("the part before the first slash is not a host name with an optional port");
    }
    if !path.split('/').all(is_path_part) {
        return Err("its path has lower-case letters and digits, separated by single . _ - or /");
    }
    let is_short = registry == DEFAULT_REGISTRY && !path.contains('/');
    let path = if is_short { format!("{OFFICIAL}/{path}") } else { path.to_owned() };
    Ok((registry.to_owned(), path))
}

/// A host name, an IPv4 address or an IPv6 address in brackets, with an optional port.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    if port.is_some_and(|port| port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit())) {
        return false;
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.split('.').all(is_label)
}

/// Runs of lower-case letters and digits between separators: one dot, one or two underscores, or
/// any number of dashes.
fn is_path_part(part: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let ends_in_words = bytes.first().is_some_and(|byte| is_word(*byte))
        && bytes.last().is_some_and(|byte| is_word(*byte));
    let separators =
        part.split(|character: char| character.is_ascii_lowercase() || character.is_ascii_digit());
    let is_separator =
        |text: &str| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    ends_in_words && separators.into_iter().all(is_separator)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_LIMIT
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || byte == b'.' || byte == b'-')
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    algorithm.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && algorithm.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+._-".contains(&byte))
        && hex.len() >= 32
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> String {
        text.parse::<ImageName>().unwrap().to_string()
    }

    #[test]
    fn short_names_are_completed_as_docker_does() {
        let digest = format!("@sha256:{}", "a".repeat(64));
        for (short, long) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("mysql:5.7", "docker.io/library/mysql:5.7"),
            ("me/tool", "docker.io/me/tool:latest"),
            ("docker.io/busybox", "docker.io/library/busybox:latest"),
            ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/a/b:1", "localhost:5000/a/b:1"),
            ("[::1]:5000/app:v1", "[::1]:5000/app:v1"),
            ("registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9"),
            ("a__b/c--d.e", "docker.io/a__b/c--d.e:latest"),
        ] {
            assert_eq!(full(short), long);
            assert_eq!(full(&full(short)), long, "completing twice changes nothing");
        }
        assert_eq!(full(&format!("busybox{digest}")), format!("docker.io/library/busybox{digest}"));
        assert_eq!(full(&format!("x:1{digest}")), format!("docker.io/library/x:1{digest}"));
    }

    #[test]
    fn what_is_no_name_is_refused_with_a_reason() {
        for text in [
            "",
            ":",
            "/",
            "a:",
            "a//b",
            "Busybox",
            "a b",
            "a:-x",
            "../etc",
            "a/..",
            "-a",
            "a_",
            "a___b",
            "a@sha256:12",
            "host:port/a",
            "http://x/y",
            "a..b",
        ] {
            let error = text.parse::<ImageName>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("`{text}` is not an image name: ")));
        }
        assert!(format!("a:{}", "t".repeat(129)).parse::<ImageName>().is_err());
        assert!("a/".repeat(200).trim_end_matches('/').parse::<ImageName>().is_err());
    }
}
