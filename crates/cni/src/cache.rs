//! What libcni keeps of attachments: a file `NETWORK-CONTAINER-LINK` of the form `cniCacheV1` for each,
//! written behind a successful ADD and removed with DEL (libcni/api.go, `cachedInfo`).
//!
//! containerd, CRI-O and everybody else who adds pods to networks with libcni keep it at the same place.
//! So it tells of a pod what its runtime was told, without asking the runtime.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    ports::{PortMapping, Protocol},
    protocol,
};

/// Where the files are.
pub const RESULTS: &str = "/var/lib/cni/results";
/// Where they may be, those of old releases as well.
pub const DIRECTORIES: [&str; 2] = [RESULTS, "/var/lib/cni/cache/results"];

/// An attachment as libcni keeps it; what it does not tell is empty.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Cached {
    kind: String,
    /// The network's name.
    #[serde(rename = "networkName")]
    pub network: String,
    /// The container's id; of a pod, that of its sandbox.
    #[serde(rename = "containerId")]
    pub container: String,
    /// The link in the container.
    #[serde(rename = "ifName")]
    pub link: String,
    /// The namespace's file; libcni writes it since 1.2.
    #[serde(rename = "netns")]
    pub namespace: Option<PathBuf>,
    #[serde(rename = "cniArgs")]
    arguments: Option<Vec<(String, String)>>,
    /// In base64, as Go writes bytes.
    config: Option<String>,
    /// What the runtime gave for capabilities.
    #[serde(rename = "capabilityArgs")]
    pub capabilities: Option<Value>,
    /// The result that the plugins gave.
    pub result: Option<Value>,
}

impl Cached {
    /// Reads a file's text; nothing for another form, such as the bare results of old releases, which
    /// name nobody.
    ///
    /// # Errors
    /// When it is no JSON, or a field is of another type.
    pub fn parse(text: &[u8]) -> serde_json::Result<Option<Self>> {
        let cached: Self = serde_json::from_slice(text)?;
        Ok(Some(cached).filter(|cached| cached.kind == "cniCacheV1"))
    }

    fn argument(&self, key: &str) -> Option<&str> {
        let mut pairs = self.arguments.iter().flatten();
        pairs.find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The pod's namespace and name.
    #[must_use]
    pub fn pod(&self) -> Option<(&str, &str)> {
        Some((self.argument("K8S_POD_NAMESPACE")?, self.argument("K8S_POD_NAME")?))
    }

    /// The configuration that it was made with.
    #[must_use]
    pub fn config(&self) -> Option<String> {
        decode(self.config.as_deref()?)
    }

    /// The namespace's file, by the plugins' word where libcni did not write it.
    #[must_use]
    pub fn namespace_path(&self) -> Option<&Path> {
        let of_link = || Some(Path::new(self.interface()?.get("sandbox")?.as_str()?));
        let path = self.namespace.as_deref().or_else(of_link);
        path.filter(|path| !path.as_os_str().is_empty())
    }

    /// All addresses of the result, on whichever link.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpNet> {
        let Some(result) = &self.result else { return Vec::new() };
        let listed = ips(result).filter_map(address);
        // Before 0.3.0 there was one of each family.
        let old = ["ip4", "ip6"].into_iter();
        let old = old.filter_map(|key| result.get(key)?.get("ip")?.as_str()?.parse().ok());
        listed.chain(old).collect()
    }

    /// Addresses of the attachment's own link, in the result's order. What names no link is of this one.
    #[must_use]
    pub fn own_addresses(&self) -> Vec<IpAddr> {
        let Some(result) = &self.result else { return Vec::new() };
        let interfaces = result.get("interfaces").and_then(Value::as_array);
        let is_own = |ip: &&Value| {
            let Some(index) = ip.get("interface").and_then(Value::as_u64) else { return true };
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            let interface = interfaces.and_then(|all| all.get(index));
            interface.and_then(|one| one.get("name")?.as_str()) == Some(&self.link)
        };
        ips(result).filter(is_own).filter_map(address).map(|net| net.addr()).collect()
    }

    /// The hardware address of the link, as the plugins said it.
    #[must_use]
    pub fn mac(&self) -> Option<String> {
        self.interface()?.get("mac")?.as_str().map(str::to_ascii_lowercase)
    }

    /// The link in the result: the one of its name in a namespace.
    fn interface(&self) -> Option<&Value> {
        let mut interfaces = self.result.as_ref()?.get("interfaces")?.as_array()?.iter();
        interfaces.find(|one| {
            let sandbox = one.get("sandbox").and_then(Value::as_str).unwrap_or_default();
            one.get("name").and_then(Value::as_str) == Some(&self.link) && !sandbox.is_empty()
        })
    }

    /// The host ports that were asked for. containerd writes `HostPort`, everybody else `hostPort`.
    #[must_use]
    pub fn ports(&self) -> Vec<PortMapping> {
        let capabilities = self.capabilities.as_ref();
        let listed = capabilities.and_then(|all| protocol::key(all, "portMappings"));
        listed.and_then(Value::as_array).into_iter().flatten().filter_map(mapping).collect()
    }
}

fn ips(result: &Value) -> impl Iterator<Item = &Value> {
    result.get("ips").and_then(Value::as_array).into_iter().flatten()
}

fn address(ip: &Value) -> Option<IpNet> {
    ip.get("address")?.as_str()?.parse().ok()
}

fn mapping(value: &Value) -> Option<PortMapping> {
    let port =
        |key| u16::try_from(protocol::key(value, key)?.as_u64()?).ok().filter(|port| *port > 0);
    let protocol = protocol::key(value, "protocol").and_then(Value::as_str).unwrap_or("tcp");
    let address = protocol::key(value, "hostIP").and_then(Value::as_str).unwrap_or_default();
    Some(PortMapping {
        protocol: Protocol::parse(protocol)?,
        host_ip: address.parse().ok().filter(|address: &IpAddr| !address.is_unspecified()),
        host_port: port("hostPort")?,
        container_port: port("containerPort")?,
    })
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut held) = (0u32, 0u32);
    for letter in text.bytes().filter(|letter| !b"=\r\n".contains(letter)) {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).unwrap_or_default());
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

/// What was read of a file.
pub type Read = io::Result<Option<Cached>>;

/// Reads the files of a directory whose names `is_wanted` takes, in no order. A directory that cannot
/// be read has none, and neither is what goes away meanwhile.
pub fn read(
    directory: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> impl Iterator<Item = (PathBuf, Read)> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let wanted = entries.filter(move |entry| entry.file_name().to_str().is_some_and(&is_wanted));
    wanted.filter_map(|entry| {
        let path = entry.path();
        let read = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(error),
            Ok(text) => Cached::parse(&text).map_err(io::Error::from),
        };
        Some((path, read))
    })
}

/// What is kept of a container's attachments.
pub(crate) fn of_container(container: &str) -> impl Iterator<Item = (PathBuf, Read)> {
    let wanted = format!("-{container}-");
    let files = read(Path::new(RESULTS), move |name| name.contains(&wanted));
    let container = container.to_owned();
    // What cannot be read may be the container's.
    files.filter(move |(_, read)| match read {
        Ok(cached) => cached.as_ref().is_some_and(|cached| cached.container == container),
        Err(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cached() -> Cached {
        let text = serde_json::json!({
            "kind": "cniCacheV1", "containerId": "abc", "networkName": "net", "ifName": "eth0",
            "config": "eyJuYW1lIjoibmV0In0=", "netns": null,
            "cniArgs": [["K8S_POD_NAME", "web"], ["K8S_POD_NAMESPACE", "default"]],
            "capabilityArgs": {"portMappings": [
                {"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""},
                {"hostPort": 53, "containerPort": 53, "protocol": "UDP", "hostIP": "192.0.2.1"},
                {"HostPort": 0, "ContainerPort": 81, "Protocol": "tcp", "HostIP": ""},
            ]},
            "result": {
                "ips": [{"address": "10.88.0.2/16", "interface": 2},
                    {"address": "10.99.0.2/16", "interface": 3}, {"address": "fd00::2/64"}],
                "interfaces": [{"name": "br0"}, {"name": "veth1"},
                    {"name": "eth0", "mac": "AA:bb:cc:dd:ee:ff", "sandbox": "/run/netns/a"},
                    {"name": "net1", "sandbox": "/run/netns/a"}]},
        });
        Cached::parse(text.to_string().as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn an_attachment_is_read_in_either_runtimes_spelling() {
        let cached = cached();
        assert_eq!(cached.pod(), Some(("default", "web")));
        assert_eq!(cached.config().as_deref(), Some(r#"{"name":"net"}"#));
        assert_eq!(cached.mac().as_deref(), Some("aa:bb:cc:dd:ee:ff"));
        assert_eq!(cached.namespace_path(), Some(Path::new("/run/netns/a")));
        let ports: Vec<_> = cached.ports().iter().map(ToString::to_string).collect();
        assert_eq!(ports, ["8080->80/tcp", "192.0.2.1:53->53/udp"]);
        assert_eq!(cached.addresses().len(), 3);
        let own: Vec<_> = cached.own_addresses().iter().map(ToString::to_string).collect();
        assert_eq!(own, ["10.88.0.2", "fd00::2"]);
    }

    #[test]
    fn what_is_of_another_form_is_nothing() {
        assert_eq!(Cached::parse(br#"{"cniVersion": "0.4.0", "ips": []}"#).unwrap(), None);
        assert!(Cached::parse(b"{").is_err());
        let old = br#"{"kind": "cniCacheV1", "result": {"ip4": {"ip": "10.1.0.2/24"}}}"#;
        let old = Cached::parse(old).unwrap().unwrap();
        assert_eq!(old.addresses().len(), 1);
        assert_eq!((old.pod(), old.config(), old.namespace_path()), (None, None, None));
    }
}
