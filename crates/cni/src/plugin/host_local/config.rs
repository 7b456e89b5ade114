//! The configuration of `host-local`.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use serde::Deserialize;

use super::range::{Range, RangeSet};
use crate::protocol::{Call, Code, Dns, PluginError, Route};

/// Where leases are kept unless `ipam.dataDir` says otherwise.
pub(super) const DATA_DIRECTORY: &str = "/var/lib/cni/networks";

/// What the plugin works with.
#[derive(Debug)]
pub(super) struct Config {
    /// Where the network's leases are.
    pub(super) directory: PathBuf,
    /// One address comes from each.
    pub(super) sets: Vec<RangeSet>,
    pub(super) routes: Vec<Route>,
    /// Addresses that the pod asks for.
    pub(super) requested: Vec<IpAddr>,
    resolver: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Written {
    ipam: Option<Ipam>,
    runtime_config: RuntimeConfig,
    args: Args,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Ipam {
    subnet: Option<String>,
    range_start: Option<String>,
    range_end: Option<String>,
    gateway: Option<String>,
    ranges: Vec<Vec<WrittenRange>>,
    routes: Vec<Route>,
    data_dir: String,
    resolv_conf: String,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WrittenRange {
    subnet: Option<String>,
    range_start: Option<String>,
    range_end: Option<String>,
    gateway: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RuntimeConfig {
    ip_ranges: Vec<Vec<WrittenRange>>,
    ips: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Args {
    cni: CniIps,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CniIps {
    ips: Vec<String>,
}

impl Config {
    /// Reads and checks the configuration of a call.
    pub(super) fn read(call: &Call) -> Result<Self, PluginError> {
        let written: Written = call.config()?;
        let ipam = written
            .ipam
            .ok_or_else(|| PluginError::config("ipam", "is missing from the network"))?;
        let sets = range_sets(&ipam, &written.runtime_config)?;
        let mut requested = Vec::new();
        let args = call.args(&["IP"])?;
        let of_args = args.get("IP").filter(|text| !text.is_empty());
        for text in of_args.into_iter().flat_map(|text| text.split(',')) {
            requested.push(address("CNI_ARGS IP", text)?);
        }
        let lists = [
            ("args.cni.ips", written.args.cni.ips),
            ("runtimeConfig.ips", written.runtime_config.ips),
        ];
        for (key, list) in lists {
            for (index, text) in list.iter().enumerate() {
                requested.push(address(&format!("{key}[{index}]"), text)?);
            }
        }
        let directory = if ipam.data_dir.is_empty() { DATA_DIRECTORY } else { &ipam.data_dir };
        Ok(Self {
            directory: Path::new(directory).join(&call.network),
            sets,
            routes: ipam.routes,
            requested,
            resolver: ipam.resolv_conf,
        })
    }

    /// Name servers of `ipam.resolvConf`; nothing without it.
    pub(super) fn dns(&self) -> Result<Dns, PluginError> {
        if self.resolver.is_empty() {
            return Ok(Dns::default());
        }
        let text = fs::read_to_string(&self.resolver).map_err(|cause| {
            let message = format!("`ipam.resolvConf`: failed to read `{}`: {cause}", self.resolver);
            PluginError::new(Code::InvalidConfig, message)
        })?;
        Ok(parse_resolver(&text))
    }
}

/// The sets in the order of their numbers, which leases are found by: those of the runtime, the
/// flat one, the list.
fn range_sets(ipam: &Ipam, runtime: &RuntimeConfig) -> Result<Vec<RangeSet>, PluginError> {
    let flat = WrittenRange {
        subnet: ipam.subnet.clone(),
        range_start: ipam.range_start.clone(),
        range_end: ipam.range_end.clone(),
        gateway: ipam.gateway.clone(),
    };
    let flat = flat.subnet.is_some().then(|| vec![flat]);
    let of_runtime = runtime.ip_ranges.iter().enumerate();
    let named = of_runtime.map(|(index, set)| (format!("runtimeConfig.ipRanges[{index}]"), set));
    let flat = flat.iter().map(|set| ("ipam".to_owned(), set));
    let listed = ipam.ranges.iter().enumerate();
    let listed = listed.map(|(index, set)| (format!("ipam.ranges[{index}]"), set));
    let mut sets: Vec<(String, RangeSet)> = Vec::new();
    for (key, written) in named.chain(flat).chain(listed) {
        let set = range_set(&key, written)?;
        if let Some((other, _)) = sets.iter().find(|(_, other)| set.overlaps(other)) {
            return Err(PluginError::config(&key, format_args!("overlaps with `{other}`")));
        }
        sets.push((key, set));
    }
    if sets.is_empty() {
        return Err(PluginError::config("ipam.ranges", "has no IP ranges; give it a subnet"));
    }
    Ok(sets.into_iter().map(|(_, set)| set).collect())
}

fn range_set(key: &str, written: &[WrittenRange]) -> Result<RangeSet, PluginError> {
    let mut ranges = Vec::new();
    for (index, written) in written.iter().enumerate() {
        let key = if key == "ipam" { key.to_owned() } else { format!("{key}[{index}]") };
        ranges.push(range(&key, written)?);
    }
    let set = RangeSet { ranges };
    let Some(first) = set.ranges.first() else {
        return Err(PluginError::config(key, "is empty; give it a subnet"));
    };
    let is_v4 = first.subnet.addr().is_ipv4();
    if set.ranges.iter().any(|range| range.subnet.addr().is_ipv4() != is_v4) {
        return Err(PluginError::config(key, "mixes IPv4 and IPv6; give each a set of its own"));
    }
    if let Some((one, two)) = set.overlaps_itself() {
        return Err(PluginError::config(key, format_args!("has {one}, which overlaps {two}")));
    }
    Ok(set)
}

fn range(key: &str, written: &WrittenRange) -> Result<Range, PluginError> {
    let below = |part: &str| format!("{key}.{part}");
    let subnet = written.subnet.as_deref().unwrap_or_default();
    let subnet: IpNet = subnet.parse().map_err(|_| {
        let problem = format!("is \"{subnet}\", but must be a subnet such as 10.1.0.0/16");
        PluginError::config(&below("subnet"), problem)
    })?;
    let part = |name: &str, text: &Option<String>| {
        let text = text.as_deref().filter(|text| !text.is_empty());
        text.map(|text| address(&below(name), text)).transpose()
    };
    let start = part("rangeStart", &written.range_start)?;
    let end = part("rangeEnd", &written.range_end)?;
    let gateway = part("gateway", &written.gateway)?;
    Range::new(subnet, start, end, gateway)
        .map_err(|(part, problem)| PluginError::config(&below(part), format_args!("is {problem}")))
}

/// An address, perhaps with the length of a prefix.
fn address(key: &str, text: &str) -> Result<IpAddr, PluginError> {
    let plain = text.split_once('/').map_or(text, |(address, _)| address);
    let valid = !text.contains('/') || text.parse::<IpNet>().is_ok();
    plain.parse().ok().filter(|_| valid).ok_or_else(|| {
        PluginError::config(key, format_args!("is \"{text}\", but must be an IP address"))
    })
}

fn parse_resolver(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => dns.nameservers.extend(words.next()),
            Some("domain") => dns.domain = words.next().unwrap_or_default(),
            Some("search") => dns.search.extend(words),
            Some("options") => dns.options.extend(words),
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_file_is_read_as_the_reference_reads_it() {
        let text = "# c\nnameserver 192.0.2.1\nnameserver\tfd00::1\ndomain a.example\n\
                    search b.example c.example\noptions ndots:5 rotate\n";
        let dns = parse_resolver(text);
        assert_eq!(dns.nameservers, ["192.0.2.1", "fd00::1"]);
        assert_eq!(dns.domain, "a.example");
        assert_eq!(dns.search, ["b.example", "c.example"]);
        assert_eq!(dns.options, ["ndots:5", "rotate"]);
    }

    #[test]
    fn addresses_may_have_a_prefix() {
        assert_eq!(address("k", "10.0.0.1/24").unwrap().to_string(), "10.0.0.1");
        for wrong in ["", "10.0.0", "10.0.0.1/33", "10.0.0.1/"] {
            let message = address("k", wrong).unwrap_err().message;
            assert_eq!(message, format!("`k` is \"{wrong}\", but must be an IP address"));
        }
    }
}
