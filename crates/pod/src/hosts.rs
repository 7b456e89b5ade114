//! `/etc/hosts` of a pod.
//!
//! A runtime gives its containers the host's file, in which a pod does not find its own name. The
//! kubelet writes one for each pod (pkg/kubelet/kubelet_pods.go, `managedHostsFileContent`); so
//! does crilet.

use std::net::IpAddr;

/// Where containers have the file.
pub(crate) const CONTAINER_PATH: &str = "/etc/hosts";

const HEADER: &str = "# made by crilet for this pod; lost with it
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
";

/// The file of a pod with a network of its own.
pub(crate) fn for_pod(hostname: &str, addresses: &[IpAddr]) -> String {
    let own = addresses.iter().map(|address| format!("{address}\t{hostname}\n"));
    std::iter::once(HEADER.to_owned()).chain(own).collect()
}

/// The file of a pod on the host's network: the host's own names.
pub(crate) fn for_host_network(node: &str) -> String {
    format!("# made by crilet from the host's /etc/hosts\n{node}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_finds_itself_by_every_address() {
        let addresses = ["10.88.0.3".parse().unwrap(), "fd00::3".parse().unwrap()];
        let text = for_pod("blog-sandbox", &addresses);
        assert!(text.starts_with("# made by crilet"));
        assert!(text.contains("\n127.0.0.1\tlocalhost\n"));
        assert!(text.ends_with("\n10.88.0.3\tblog-sandbox\nfd00::3\tblog-sandbox\n"));
    }
}
