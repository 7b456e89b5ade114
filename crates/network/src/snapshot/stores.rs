//! Files of host-local and of libcni.

use std::{
    fs,
    io::Read as _,
    net::IpAddr,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde_json::Value;

use super::{Attachment, Lease, Mapping, Protocol, Store, enter};
use crate::join::field;

/// Seconds since a file was written.
fn age(meta: &fs::Metadata) -> u64 {
    let at = meta.modified().unwrap_or_else(|_| SystemTime::now());
    SystemTime::now().duration_since(at).unwrap_or_default().as_secs()
}

fn entries(directory: &Path) -> Vec<fs::DirEntry> {
    let listed = fs::read_dir(directory).into_iter().flatten();
    let mut entries: Vec<_> = listed.filter_map(Result::ok).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    entries
}

/// Reads the stores below directories such as `/var/lib/cni/networks`. No lock is taken: a lease is
/// one file, which is there or not.
pub(super) fn leases(directories: &[PathBuf]) -> Vec<Store> {
    let networks = directories.iter().flat_map(|directory| entries(directory));
    networks.filter(|entry| entry.path().is_dir()).map(|entry| store(&entry.path())).collect()
}

fn store(directory: &Path) -> Store {
    let network = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut store = Store { directory: directory.to_owned(), network, ..Store::default() };
    for entry in entries(directory) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "lock" || name.starts_with("last_reserved_ip.") {
            continue;
        }
        // Windows' form of IPv6 addresses has dashes.
        match name.parse::<IpAddr>() {
            Ok(address) => store.leases.extend(lease(&entry.path(), address)),
            Err(_) => store.strange.push(entry.path()),
        }
    }
    store
}

/// A lease that goes away while it is read is none.
fn lease(path: &Path, address: IpAddr) -> Option<Lease> {
    let mut file = fs::File::open(path).ok()?;
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    let mut lines = text.trim().lines().map(str::trim);
    let container = lines.next().unwrap_or_default().to_owned();
    let link = lines.next().unwrap_or_default().to_owned();
    Some(Lease { address, container, link, age: age(&file.metadata().ok()?) })
}

/// Reads the cache of libcni, such as `/var/lib/cni/results`.
pub(super) fn attachments(directories: &[PathBuf], problems: &mut Vec<String>) -> Vec<Attachment> {
    let mut found = Vec::new();
    for entry in directories.iter().flat_map(|directory| entries(directory)) {
        let path = entry.path();
        let Ok(bytes) = fs::read(&path) else { continue };
        let age = entry.metadata().map(|meta| age(&meta)).unwrap_or_default();
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(value) => found.extend(attachment(path, &value, age)),
            Err(error) => problems.push(format!("cache {}: {error}", path.display())),
        }
    }
    found
}

/// Anything else than `cniCacheV1` is a bare result of an old libcni, which names nobody.
fn attachment(file: PathBuf, value: &Value, age: u64) -> Option<Attachment> {
    if value.get("kind")?.as_str()? != "cniCacheV1" {
        return None;
    }
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let namespace = Some(text("netns")).filter(|path| !path.is_empty()).map(PathBuf::from);
    let result = value.get("result").filter(|result| !result.is_null());
    let link = text("ifName");
    let capabilities = value.get("capabilityArgs").filter(|it| !it.is_null()).cloned();
    Some(Attachment {
        network: text("networkName"),
        container: text("containerId"),
        namespace_exists: namespace.as_deref().map(enter::is_namespace),
        namespace,
        pod: pod(value.get("cniArgs")),
        addresses: result.map(addresses).unwrap_or_default(),
        mac: result.and_then(|result| mac(result, &link)),
        ports: capabilities.as_ref().map(ports).unwrap_or_default(),
        config: decode(&text("config")),
        result: result.cloned(),
        capabilities,
        file,
        link,
        age,
    })
}

fn pod(arguments: Option<&Value>) -> Option<String> {
    let pairs = arguments?.as_array()?;
    let of = |key: &str| {
        let mut own = pairs.iter().filter(|pair| pair.get(0).and_then(Value::as_str) == Some(key));
        own.next()?.get(1)?.as_str().map(str::to_owned)
    };
    Some(format!("{}/{}", of("K8S_POD_NAMESPACE")?, of("K8S_POD_NAME")?))
}

fn addresses(result: &Value) -> Vec<ipnet::IpNet> {
    let listed = result.get("ips").and_then(Value::as_array).into_iter().flatten();
    let listed = listed.filter_map(|ip| ip.get("address")?.as_str()?.parse().ok());
    let old = ["ip4", "ip6"]
        .into_iter()
        .filter_map(|key| result.get(key)?.get("ip")?.as_str()?.parse().ok());
    listed.chain(old).collect()
}

fn mac(result: &Value, link: &str) -> Option<String> {
    let mut interfaces = result.get("interfaces")?.as_array()?.iter();
    let own = interfaces.find(|one| {
        let sandbox = one.get("sandbox").and_then(Value::as_str).unwrap_or_default();
        one.get("name").and_then(Value::as_str) == Some(link) && !sandbox.is_empty()
    });
    own?.get("mac")?.as_str().map(str::to_ascii_lowercase)
}

/// containerd writes `HostPort`, everybody else `hostPort`.
fn ports(capabilities: &Value) -> Vec<Mapping> {
    let listed = field(capabilities, "portMappings").and_then(Value::as_array);
    listed.into_iter().flatten().filter_map(mapping).collect()
}

fn mapping(value: &Value) -> Option<Mapping> {
    let port = |key| u16::try_from(field(value, key)?.as_u64()?).ok().filter(|port| *port > 0);
    let protocol = field(value, "protocol").and_then(Value::as_str).unwrap_or("tcp");
    let address = field(value, "hostIP").and_then(Value::as_str).unwrap_or_default();
    Some(Mapping {
        protocol: Protocol::from_name(protocol)?,
        host_ip: address.parse().ok().filter(|address: &IpAddr| !address.is_unspecified()),
        host_port: port("hostPort")?,
        container_port: port("containerPort")?,
    })
}

/// Base64, as Go writes it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_attachment_is_read_in_either_runtimes_spelling() {
        let directory = tempfile::tempdir().unwrap();
        let cached = serde_json::json!({
            "kind": "cniCacheV1", "containerId": "abc", "networkName": "net", "ifName": "eth0",
            "config": "eyJuYW1lIjoibmV0In0=", "netns": "/nowhere",
            "cniArgs": [["K8S_POD_NAME", "web"], ["K8S_POD_NAMESPACE", "default"]],
            "capabilityArgs": {"portMappings": [
                {"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""},
                {"hostPort": 53, "containerPort": 53, "protocol": "UDP", "hostIP": "192.0.2.1"},
            ]},
            "result": {"ips": [{"address": "10.88.0.2/16"}],
                "interfaces": [{"name": "eth0", "mac": "AA:bb:cc:dd:ee:ff", "sandbox": "/nowhere"}]},
        });
        fs::write(directory.path().join("net-abc-eth0"), cached.to_string()).unwrap();
        fs::write(directory.path().join("torn"), "{").unwrap();
        let mut problems = Vec::new();
        let found = attachments(&[directory.path().to_owned()], &mut problems);
        assert_eq!((found.len(), problems.len()), (1, 1));
        let one = &found[0];
        assert_eq!(one.pod.as_deref(), Some("default/web"));
        assert_eq!(one.namespace_exists, Some(false));
        assert_eq!(one.config.as_deref(), Some(r#"{"name":"net"}"#));
        assert_eq!(one.mac.as_deref(), Some("aa:bb:cc:dd:ee:ff"));
        assert_eq!(one.ports.len(), 2);
        assert_eq!(one.ports[1].protocol, Protocol::Udp);
        assert_eq!(one.ports[1].host_ip, "192.0.2.1".parse().ok());
    }

    #[test]
    fn leases_and_strange_files_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("net");
        fs::create_dir(&store).unwrap();
        for (name, text) in [
            ("10.88.0.2", "abc\r\neth0"),
            ("10.88.0.3", ""),
            ("lock", ""),
            ("last_reserved_ip.0", "10.88.0.3"),
            ("x", ""),
        ] {
            fs::write(store.join(name), text).unwrap();
        }
        let found = leases(&[directory.path().to_owned()]);
        let [store] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(store.network, "net");
        assert_eq!(store.leases[0].container, "abc");
        assert_eq!(store.leases[0].link, "eth0");
        assert_eq!(store.leases[1].container, "");
        assert_eq!(store.strange.len(), 1);
    }
}
