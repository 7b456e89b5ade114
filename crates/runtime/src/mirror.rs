//! Registry mirrors, as people give them and as containerd reads them.

use std::{collections::BTreeMap, fmt, net::Ipv6Addr, str::FromStr};

use serde::{Deserialize, Serialize};

/// Where Docker's registry really answers.
const DOCKER_SERVER: &str = "https://registry-1.docker.io";

/// A mirror of a registry, written `docker.io=http://127.0.0.1:5000`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mirror {
    registry: String,
    url: String,
}

/// Why a text names no mirror.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a mirror: {reason}")]
pub struct InvalidMirror {
    text: String,
    reason: &'static str,
}

impl Mirror {
    /// The registry that is mirrored, such as `docker.io` or `registry.local:5000`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Where the mirror answers, such as `http://127.0.0.1:5000`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}", self.registry, self.url)
    }
}

impl FromStr for Mirror {
    type Err = InvalidMirror;

    fn from_str(text: &str) -> Result<Self, InvalidMirror> {
        parse(text).map_err(|reason| InvalidMirror { text: text.to_owned(), reason })
    }
}

impl TryFrom<String> for Mirror {
    type Error = InvalidMirror;

    fn try_from(text: String) -> Result<Self, InvalidMirror> {
        text.parse()
    }
}

impl From<Mirror> for String {
    fn from(mirror: Mirror) -> Self {
        mirror.to_string()
    }
}

/// The `hosts.toml` of each mirrored registry, by registry. Mirrors are asked in the order given,
/// the registry itself last.
pub(crate) fn hosts_files(mirrors: &[Mirror]) -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for mirror in mirrors {
        let server = || format!("server = \"{}\"\n", server(&mirror.registry));
        let file = files.entry(mirror.registry.clone()).or_insert_with(server);
        let (url, capabilities) = (&mirror.url, r#"["pull", "resolve"]"#);
        file.push_str(&["\n[host.\"", url, "\"]\n  capabilities = ", capabilities, "\n"].concat());
    }
    files
}

/// containerd asks registries on this machine over HTTP, as docker does; naming a server in
/// `hosts.toml` switches that off, so it is decided here.
fn server(registry: &str) -> String {
    let host = host_part(registry);
    let is_local = host == "localhost" || host == "[::1]" || host.starts_with("127.");
    match registry {
        "docker.io" => DOCKER_SERVER.to_owned(),
        _ if is_local => format!("http://{registry}"),
        _ => format!("https://{registry}"),
    }
}

fn parse(text: &str) -> Result<Mirror, &'static str> {
    let Some((registry, url)) = text.split_once('=') else {
        return Err("write REGISTRY=URL, for example docker.io=http://127.0.0.1:5000");
    };
    if !is_authority(registry) {
        return Err("before the = stands a registry such as docker.io or registry.local:5000");
    }
    let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
    let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")) else {
        return Err("its URL must begin with http:// or https://");
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err("its URL must not hold a user or a password; pass them when pulling");
    }
    if !is_authority(authority) {
        return Err("its URL needs a host name or address (IPv6 in brackets), and a port if any");
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    if !path.bytes().all(plain) {
        return Err("the path of its URL may hold letters, digits and - . _ ~ / only");
    }
    Ok(Mirror { registry: registry.to_owned(), url: url.trim_end_matches('/').to_owned() })
}

fn host_part(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}

/// A host with an optional port; safe as a directory name and within TOML quotes.
fn is_authority(text: &str) -> bool {
    let host = host_part(text);
    let port = text.get(host.len()..).unwrap_or_default();
    if !port.is_empty() && !port.trim_start_matches(':').parse::<u16>().is_ok_and(|port| port > 0) {
        return false;
    }
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(text: &str) -> Mirror {
        text.parse().unwrap()
    }

    #[test]
    fn mirrors_of_one_registry_are_asked_in_order_and_the_registry_last() {
        let mirrors = [
            mirror("docker.io=http://127.0.0.1:5000"),
            mirror("registry.local:5000=https://[fd00::1]:443/cache/"),
            mirror("docker.io=https://mirror.example"),
            mirror("localhost:5001=http://10.0.0.1"),
        ];
        let files = hosts_files(&mirrors);
        let all: Vec<_> = files.iter().map(|(name, text)| format!("# {name}\n{text}")).collect();
        insta::assert_snapshot!(all.join("\n"), @r#"
        # docker.io
        server = "https://registry-1.docker.io"

        [host."http://127.0.0.1:5000"]
          capabilities = ["pull", "resolve"]

        [host."https://mirror.example"]
          capabilities = ["pull", "resolve"]

        # localhost:5001
        server = "http://localhost:5001"

        [host."http://10.0.0.1"]
          capabilities = ["pull", "resolve"]

        # registry.local:5000
        server = "https://registry.local:5000"

        [host."https://[fd00::1]:443/cache"]
          capabilities = ["pull", "resolve"]
        "#);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["docker.io=http://127.0.0.1:5000", "[::1]:5000=https://a.b/c"] {
            assert_eq!(mirror(text).to_string(), text);
        }
        assert_eq!(mirror("index.docker.io=http://a").registry(), "docker.io");
    }

    #[test]
    fn mistakes_are_explained() {
        for (text, word) in [
            ("docker.io", "write REGISTRY=URL"),
            ("http://127.0.0.1:5000", "write REGISTRY=URL"),
            ("=http://a", "before the ="),
            ("../x=http://a", "before the ="),
            ("a/b=http://a", "before the ="),
            ("docker.io=127.0.0.1:5000", "must begin with http"),
            ("docker.io=ftp://a", "must begin with http"),
            ("docker.io=http://", "needs a host"),
            ("docker.io=http://::1:5000", "needs a host"),
            ("docker.io=http://a:0", "needs a host"),
            ("docker.io=http://a:99999", "needs a host"),
            ("docker.io=http://a:", "needs a host"),
            ("docker.io=http://me:secret@a", "must not hold a user"),
            ("docker.io=http://a/\"]\nevil", "may hold letters"),
            ("docker.io=http://a?x=1", "needs a host"),
        ] {
            let error = text.parse::<Mirror>().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
