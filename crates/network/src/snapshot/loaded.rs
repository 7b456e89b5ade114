//! The networks that a runtime says it has loaded.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::join::{field, text};

/// What a runtime has of network configurations, which may be older than the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    /// The directory that it reads.
    pub directory: PathBuf,
    /// Its networks, loopback left out.
    pub networks: Vec<LoadedNetwork>,
    /// What came of its last look: `OK`, or why it has none.
    pub status: Option<String>,
}

/// A network that a runtime has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedNetwork {
    /// Its name.
    pub name: String,
    /// The configuration list that it was made of.
    pub text: String,
}

/// Reads the texts of containerd's verbose status: `cniconfig` is what go-cni has, and
/// `lastCNILoadStatus` what came of its last look at the directory. CRI-O has neither.
pub(super) fn read(info: &BTreeMap<String, String>) -> Option<Loaded> {
    let config: Value = serde_json::from_str(info.get("cniconfig")?).ok()?;
    let listed = field(&config, "Networks").and_then(Value::as_array);
    let networks = listed.into_iter().flatten().filter_map(network);
    Some(Loaded {
        directory: text(&config, "PluginConfDir")?.into(),
        networks: networks.collect(),
        status: info.get("lastCNILoadStatus").cloned(),
    })
}

/// The one for `lo` is containerd's own, and of no file.
fn network(value: &Value) -> Option<LoadedNetwork> {
    let config = field(value, "Config").filter(|_| text(value, "IFName") != Some("lo"))?;
    let name = text(config, "Name")?.to_owned();
    Some(LoadedNetwork { name, text: text(config, "Source").unwrap_or_default().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_containerd_tells_is_read_without_its_loopback() {
        let config = r#"{"PluginDirs":["/opt/cni/bin"],"PluginConfDir":"/etc/cni/net.d","PluginMaxConfNum":1,"Prefix":"eth",
          "Networks":[
            {"Config":{"Name":"cni-loopback","CNIVersion":"0.3.1","Plugins":[],"Source":"{}"},"IFName":"lo"},
            {"Config":{"Name":"net","CNIVersion":"1.0.0","Plugins":[],"Source":"{\"name\":\"net\"}"},"IFName":"eth0"}]}"#;
        let info = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
        };
        let loaded = read(&info(&[("cniconfig", config), ("lastCNILoadStatus", "OK")])).unwrap();
        assert_eq!(loaded.directory.to_str(), Some("/etc/cni/net.d"));
        assert_eq!(loaded.status.as_deref(), Some("OK"));
        let network =
            LoadedNetwork { name: "net".to_owned(), text: r#"{"name":"net"}"#.to_owned() };
        assert_eq!(loaded.networks, [network]);
        assert_eq!(read(&info(&[("config", "{}")])), None);
        assert_eq!(read(&info(&[("cniconfig", "null")])), None);
    }
}
