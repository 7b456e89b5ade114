//! Files of host-local and of libcni.

use std::{
    fs,
    io::Read as _,
    net::IpAddr,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crilet_cni::{
    PortMapping,
    cache::{self, Cached},
    is_namespace,
};

use super::{Attachment, Lease, Mapping, Protocol, Store};

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

/// Reads the cache of libcni, such as `/var/lib/cni/results`, in the order of its files.
pub(super) fn attachments(directories: &[PathBuf], problems: &mut Vec<String>) -> Vec<Attachment> {
    let mut found = Vec::new();
    for directory in directories {
        let mut files: Vec<_> = cache::read(directory, |_| true).collect();
        files.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (path, read) in files {
            match read {
                Ok(Some(cached)) => found.push(attachment(path, cached)),
                Ok(None) => {}
                Err(error) => problems.push(format!("cache {}: {error}", path.display())),
            }
        }
    }
    found
}

fn attachment(file: PathBuf, cached: Cached) -> Attachment {
    let namespace = cached.namespace.clone().filter(|path| !path.as_os_str().is_empty());
    Attachment {
        namespace_exists: namespace.as_deref().map(is_namespace),
        namespace,
        pod: cached.pod().map(|(namespace, name)| format!("{namespace}/{name}")),
        addresses: cached.addresses(),
        mac: cached.mac(),
        ports: cached.ports().iter().filter_map(mapping).collect(),
        config: cached.config(),
        age: fs::metadata(&file).map(|meta| age(&meta)).unwrap_or_default(),
        network: cached.network,
        container: cached.container,
        link: cached.link,
        result: cached.result,
        capabilities: cached.capabilities,
        file,
    }
}

fn mapping(port: &PortMapping) -> Option<Mapping> {
    Some(Mapping {
        protocol: Protocol::from_name(port.protocol.as_str())?,
        host_ip: port.host_ip,
        host_port: port.host_port,
        container_port: port.container_port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachments_are_those_that_libcni_keeps() {
        let directory = tempfile::tempdir().unwrap();
        let cached = serde_json::json!({
            "kind": "cniCacheV1", "containerId": "abc", "networkName": "net", "ifName": "eth0",
            "netns": "/nowhere",
            "cniArgs": [["K8S_POD_NAME", "web"], ["K8S_POD_NAMESPACE", "default"]],
            "capabilityArgs": {"portMappings": [
                {"hostPort": 53, "containerPort": 53, "protocol": "UDP", "hostIP": "192.0.2.1"},
            ]},
            "result": {"ips": [{"address": "10.88.0.2/16"}]},
        });
        fs::write(directory.path().join("net-abc-eth0"), cached.to_string()).unwrap();
        fs::write(directory.path().join("torn"), "{").unwrap();
        let mut problems = Vec::new();
        let found = attachments(&[directory.path().to_owned()], &mut problems);
        assert_eq!((found.len(), problems.len()), (1, 1));
        let one = &found[0];
        assert_eq!(one.pod.as_deref(), Some("default/web"));
        assert_eq!(one.namespace_exists, Some(false));
        assert_eq!(one.addresses.len(), 1);
        assert_eq!(one.ports.len(), 1);
        assert_eq!(one.ports[0].protocol, Protocol::Udp);
        assert_eq!(one.ports[0].host_ip, "192.0.2.1".parse().ok());
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
