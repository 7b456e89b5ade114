use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// The socket a runtime listens on.
///
/// Written as `unix:///path/to.sock`, as everybody's configuration has it, or as a bare absolute
/// path. The CRI is not spoken over anything but unix sockets on Linux.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    path: PathBuf,
}

impl Endpoint {
    /// The endpoint at a socket's path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The socket's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "unix://{}", self.path.display())
    }
}

/// A text that is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a runtime endpoint: expected unix:///path/to.sock or an absolute path")]
pub struct InvalidEndpoint {
    text: String,
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Both unix:///run/x.sock and unix:/run/x.sock are in use; gRPC's naming allows either.
        let path =
            text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or(text);
        if path.starts_with('/') && path.len() > 1 && !path.contains('\0') {
            Ok(Self::new(path))
        } else {
            Err(InvalidEndpoint { text: text.to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_spelling_is_read() {
        for text in ["unix:///run/c.sock", "unix:/run/c.sock", "/run/c.sock"] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.path(), Path::new("/run/c.sock"), "{text}");
            assert_eq!(endpoint.to_string(), "unix:///run/c.sock");
        }
    }

    #[test]
    fn what_is_no_unix_socket_is_refused() {
        for text in ["", "/", "tcp://127.0.0.1:80", "run/c.sock", "unix://run/c.sock", "npipe://x"]
        {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
