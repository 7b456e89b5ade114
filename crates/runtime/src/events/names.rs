//! Whose a container is, by what containerd's CRI keeps with it: JSON of its own types, the same in 1.x
//! and 2.x.

use serde::Deserialize;

/// Names of the CRI's extensions.
const SANDBOX: &str = "io.cri-containerd.sandbox.metadata";
const CONTAINER: &str = "io.cri-containerd.container.metadata";

/// The names of a sandbox, or of a container in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The container's name and how many of that name there were before; nothing for a sandbox.
    pub container: Option<(String, u32)>,
}

/// What is kept with one of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Sandbox(Names),
    Container { sandbox: String, name: String, attempt: u32 },
}

#[derive(Deserialize)]
struct Versioned<T> {
    #[serde(rename = "Metadata")]
    metadata: T,
}

#[derive(Deserialize)]
struct Metadata<T> {
    #[serde(rename = "SandboxID", default)]
    sandbox_id: String,
    #[serde(rename = "Config")]
    config: Config<T>,
}

#[derive(Deserialize)]
struct Config<T> {
    metadata: T,
}

#[derive(Deserialize)]
struct SandboxNames {
    name: String,
    namespace: String,
}

#[derive(Deserialize)]
struct ContainerNames {
    name: String,
    #[serde(default)]
    attempt: u32,
}

/// Reads extensions; nothing of a container that is not the CRI's.
pub(super) fn read(extensions: &[(String, Vec<u8>)]) -> Option<Kept> {
    let find = |wanted: &str| extensions.iter().find(|(name, _)| name == wanted);
    if let Some((_, json)) = find(SANDBOX) {
        let kept: Versioned<Metadata<SandboxNames>> = serde_json::from_slice(json).ok()?;
        let SandboxNames { name, namespace } = kept.metadata.config.metadata;
        return Some(Kept::Sandbox(Names { namespace, pod: name, container: None }));
    }
    let (_, json) = find(CONTAINER)?;
    let kept: Versioned<Metadata<ContainerNames>> = serde_json::from_slice(json).ok()?;
    let ContainerNames { name, attempt } = kept.metadata.config.metadata;
    Some(Kept::Container { sandbox: kept.metadata.sandbox_id, name, attempt })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_nothing_else_is_taken_for_them() {
        let read = |name: &str, json: &str| read(&[(name.to_owned(), json.as_bytes().to_vec())]);
        let sandbox = r#"{"Version": "v1", "Metadata": {"ID": "s1", "Name": "web_default_uid_0",
            "Config": {"metadata": {"name": "web", "uid": "uid", "namespace": "default"}, "linux": {}}}}"#;
        let names =
            Names { namespace: "default".to_owned(), pod: "web".to_owned(), container: None };
        assert_eq!(read(SANDBOX, sandbox), Some(Kept::Sandbox(names)));
        let container = r#"{"Version": "v1", "Metadata": {"ID": "c1", "SandboxID": "s1",
            "Config": {"metadata": {"name": "main", "attempt": 2}}}}"#;
        let kept =
            Kept::Container { sandbox: "s1".to_owned(), name: "main".to_owned(), attempt: 2 };
        assert_eq!(read(CONTAINER, container), Some(kept));
        assert_eq!(read("somebody.else", container), None);
        assert_eq!(read(CONTAINER, "{}"), None);
        assert_eq!(read(CONTAINER, "not JSON"), None);
    }
}
