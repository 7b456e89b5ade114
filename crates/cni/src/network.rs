//! The network that crilet ships, with subnets that fit this host.

use std::{fmt, fs, io::Read, net::Ipv6Addr, path::Path};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    CniError, Conflist, Family,
    host_network::{HostNetwork, host_network},
    leftovers::nat_works,
};

/// Name of the network; it is part of chain names, comments and lease paths.
pub const NETWORK: &str = "crilet";

/// Name of the bridge.
pub const BRIDGE: &str = "crilet0";

/// The list as it is shipped; subnets and the lease directory are filled in on the host.
const TEMPLATE: &str = include_str!("../../../cni-config/10-crilet.conflist");

const RANDOM: &str = "/dev/urandom";

/// Where pods live on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Subnet for IPv4 addresses.
    pub ipv4: Ipv4Net,
    /// Subnet for IPv6 addresses, where the host can have pods with IPv6.
    pub ipv6: Option<Ipv6Net>,
    /// A random local prefix that stays with the host even while IPv6 is off.
    prefix: Ipv6Net,
}

/// Why pods get no IPv6 addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoIpv6 {
    /// The kernel has no IPv6, or it is switched off.
    Disabled,
    /// `ip6tables` cannot translate addresses.
    NoTranslation,
    /// A host that forwards IPv6 ignores router advertisements, and would lose the route that this
    /// link got from one.
    WouldLoseRoute {
        /// The link.
        link: String,
    },
}

impl fmt::Display for NoIpv6 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => formatter.write_str("the kernel has IPv6 switched off"),
            Self::NoTranslation => formatter.write_str("ip6tables has no working nat table"),
            Self::WouldLoseRoute { link } => write!(
                formatter,
                "forwarding would cost this host the IPv6 route it learned on {link} \
                 (set net.ipv6.conf.{link}.accept_ra=2 to allow both)"
            ),
        }
    }
}

impl Network {
    /// The conflist of this network; leases are kept below `lease_directory`.
    ///
    /// # Errors
    /// Never for the list that is shipped; the template is checked like any other.
    pub fn conflist(&self, lease_directory: &Path) -> Result<Conflist, crate::InvalidConflist> {
        let mut list = Conflist::parse(TEMPLATE)?;
        let mut ranges = vec![json!([{ "subnet": self.ipv4.trunc() }])];
        let mut routes = vec![json!({ "dst": "0.0.0.0/0" })];
        if let Some(ipv6) = self.ipv6 {
            ranges.push(json!([{ "subnet": ipv6.trunc() }]));
            routes.push(json!({ "dst": "::/0" }));
        }
        let bridges = list.plugins.iter_mut().filter(|plugin| plugin.kind == "bridge");
        for ipam in bridges.filter_map(|bridge| bridge.settings.get_mut("ipam")) {
            ipam["ranges"] = Value::Array(ranges.clone());
            ipam["routes"] = Value::Array(routes.clone());
            ipam["dataDir"] = lease_directory.to_string_lossy().into();
        }
        Ok(list)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.ipv4)?;
        self.ipv6.map_or(Ok(()), |ipv6| write!(formatter, ", {ipv6}"))
    }
}

/// Finds subnets that overlap no address and no route of this host, and keeps `previous` ones that
/// still do not. The second value says why there is no IPv6, if so.
///
/// Must run in the network namespace that the pods' bridge will be in.
///
/// # Errors
/// When the kernel cannot be asked, or all candidates are taken.
pub async fn choose(previous: Option<&Network>) -> Result<(Network, Option<NoIpv6>), CniError> {
    let host = host_network(BRIDGE).await?;
    let no_ipv6 = without_ipv6(&host).await;
    let prefix = match previous {
        Some(network) if is_free(&IpNet::V6(network.prefix), &host) => network.prefix,
        _ => random_prefix()?,
    };
    let ipv4 = choose_ipv4(previous.map(|network| network.ipv4), &host)?;
    let ipv6 = no_ipv6.is_none().then_some(prefix);
    Ok((Network { ipv4, ipv6, prefix }, no_ipv6))
}

/// Candidates in order: private ranges that home routers, VPNs, Docker and Kubernetes use least.
fn candidates() -> impl Iterator<Item = Ipv4Net> {
    let tens = (44..60).map(|second| ([10, second, 0, 0], 16));
    let twelves = (24..32).rev().map(|second| ([172, second, 0, 0], 16));
    let sixteens = (0..4).map(|part| ([192, 168, 192 + 16 * part, 0], 20));
    let all = tens.chain(twelves).chain(sixteens);
    all.filter_map(|(address, length)| Ipv4Net::new(address.into(), length).ok())
}

fn choose_ipv4(previous: Option<Ipv4Net>, host: &HostNetwork) -> Result<Ipv4Net, CniError> {
    let mut wanted = previous.into_iter().chain(candidates());
    wanted.find(|net| is_free(&IpNet::V4(*net), host)).ok_or_else(|| CniError::NoSubnet {
        candidates: candidates().map(|net| net.to_string()).collect::<Vec<_>>().join(", "),
    })
}

fn is_free(net: &IpNet, host: &HostNetwork) -> bool {
    !host.taken.iter().any(|taken| taken.contains(&net.network()) || net.contains(&taken.network()))
}

async fn without_ipv6(host: &HostNetwork) -> Option<NoIpv6> {
    let setting = |link: &str, name: &str| {
        let path = format!("/proc/sys/net/ipv6/conf/{link}/{name}");
        fs::read_to_string(path).ok().map(|value| value.trim().to_owned())
    };
    let is = |link: &str, name: &str, value: &str| setting(link, name).as_deref() == Some(value);
    if !is("all", "disable_ipv6", "0") || !is("default", "disable_ipv6", "0") {
        return Some(NoIpv6::Disabled);
    }
    // The value 1 takes advertisements only while forwarding is off; 2 takes them always; with 0
    // the routes are kept by a daemon, which forwarding does not disturb.
    let loses = |link: &&String| is(link, "accept_ra", "1") && is(link, "forwarding", "0");
    if let Some(link) = host.advertised.iter().find(loses) {
        return Some(NoIpv6::WouldLoseRoute { link: link.clone() });
    }
    (!nat_works(Family::Ipv6).await).then_some(NoIpv6::NoTranslation)
}

/// A unique local prefix (RFC 4193): fd, 40 random bits, subnet 44.
fn random_prefix() -> Result<Ipv6Net, CniError> {
    let mut random = [0; 5];
    fs::File::open(RANDOM)
        .and_then(|mut file| file.read_exact(&mut random))
        .map_err(|cause| CniError::Random { path: RANDOM.into(), cause })?;
    let [a, b, c, d, e] = random;
    let bytes = [0xfd, a, b, c, d, e, 0, 0x44, 0, 0, 0, 0, 0, 0, 0, 0];
    Ok(Ipv6Net::new_assert(Ipv6Addr::from(bytes), 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(taken: &[&str]) -> HostNetwork {
        let taken = taken.iter().map(|net| net.parse().unwrap()).collect();
        HostNetwork { taken, advertised: Vec::new() }
    }

    fn chosen(previous: Option<&str>, taken: &[&str]) -> String {
        let previous = previous.map(|net| net.parse().unwrap());
        choose_ipv4(previous, &host(taken)).unwrap().to_string()
    }

    #[test]
    fn a_subnet_that_the_host_uses_is_passed_over() {
        assert_eq!(chosen(None, &[]), "10.44.0.0/16");
        assert_eq!(chosen(None, &["10.44.7.1/24", "10.45.0.0/17"]), "10.46.0.0/16");
        assert_eq!(chosen(None, &["10.0.0.0/8"]), "172.31.0.0/16");
        assert_eq!(chosen(None, &["10.0.0.0/8", "172.16.0.0/12"]), "192.168.192.0/20");
    }

    #[test]
    fn an_earlier_choice_stays_while_it_is_free() {
        assert_eq!(chosen(Some("10.99.0.0/16"), &["10.44.0.0/16"]), "10.99.0.0/16");
        assert_eq!(chosen(Some("10.99.0.0/16"), &["10.99.1.0/24"]), "10.44.0.0/16");
    }

    #[test]
    fn a_host_that_uses_everything_is_told_what_was_tried() {
        let taken = host(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]);
        let text = choose_ipv4(None, &taken).unwrap_err().to_string();
        assert!(text.contains("10.44.0.0/16, 10.45.0.0/16"), "{text}");
    }

    #[test]
    fn the_conflist_carries_the_choice() {
        let network = Network {
            ipv4: "10.50.0.0/16".parse().unwrap(),
            ipv6: None,
            prefix: random_prefix().unwrap(),
        };
        let list = network.conflist(Path::new("/run/leases")).unwrap();
        assert_eq!(list.name, NETWORK);
        let bridge = list.plugin("bridge").unwrap();
        assert_eq!(bridge.settings["bridge"], BRIDGE);
        assert_eq!(
            bridge.settings["ipam"],
            json!({
                "type": "host-local",
                "dataDir": "/run/leases",
                "ranges": [[{"subnet": "10.50.0.0/16"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            })
        );
        let dual = Network { ipv6: Some("fd01::/64".parse().unwrap()), ..network };
        let list = dual.conflist(Path::new("/run/leases")).unwrap();
        let ipam = &list.plugin("bridge").unwrap().settings["ipam"];
        assert_eq!(ipam["ranges"][1], json!([{"subnet": "fd01::/64"}]));
        assert_eq!(ipam["routes"][1], json!({"dst": "::/0"}));
    }

    #[test]
    fn prefixes_are_local_and_random() {
        let (one, other) = (random_prefix().unwrap(), random_prefix().unwrap());
        assert!(one.to_string().starts_with("fd"), "{one}");
        assert_ne!(one, other);
        assert_eq!(one.prefix_len(), 64);
    }

    #[test]
    fn a_stored_choice_is_read_back() {
        let network = Network {
            ipv4: "10.50.0.0/16".parse().unwrap(),
            ipv6: Some("fd01::/64".parse().unwrap()),
            prefix: "fd01::/64".parse().unwrap(),
        };
        let text = serde_json::to_string(&network).unwrap();
        assert_eq!(serde_json::from_str::<Network>(&text).unwrap(), network);
    }
}
