//! What a pod's resolver is told: the kubelet's rules and caps (`pkg/kubelet/network/dns/dns.go`),
//! without a look-up of any name.

use std::{io, net::IpAddr, path::Path};

use crilet_cri::v1;

use crate::model::{Dns, DnsPolicy, Pod};

/// Most resolvers, as libc reads no more.
const MAX_SERVERS: usize = 3;
/// Most domains, and their length together with the blanks between them.
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_BYTES: usize = 2048;
/// Longest domain.
const MAX_SEARCH: usize = 253;

/// The host's files, in the order in which they are asked.
const HOST_FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// A resolver of crilet's own, for pods with a cluster policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnResolver {
    /// Its addresses as pods see them.
    pub servers: Vec<IpAddr>,
    /// The domain that pods' full names end with.
    pub domain: String,
}

/// What a resolv.conf(5) says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct ResolvConf {
    servers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

/// The text of the host's resolv.conf, for pods.
///
/// A file whose resolvers are all on loopback (systemd-resolved's) is of no use in another network
/// namespace; then the file with the resolvers behind it is taken, where there is one. `read` reads
/// a file; a missing one is no error.
///
/// # Errors
/// When a file is there and cannot be read.
pub fn host_text(read: impl Fn(&Path) -> io::Result<String>) -> io::Result<String> {
    let mut first = None;
    for file in HOST_FILES {
        let text = match read(Path::new(file)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if parse(&text).servers.iter().any(|server| !is_loopback(server)) {
            return Ok(text);
        }
        first.get_or_insert(text);
    }
    Ok(first.unwrap_or_default())
}

/// The resolver's settings of a pod, and what had to be left out of them.
///
/// Nothing for a pod whose sandbox says it itself. `host` is the text of the host's resolv.conf.
pub fn resolve(
    pod: &Pod,
    host: &str,
    own: Option<&OwnResolver>,
) -> (Option<v1::DnsConfig>, Vec<String>) {
    let Some(dns) = &pod.dns else { return (None, Vec::new()) };
    let mut conf = base(dns, pod, host, own);
    append(&mut conf.servers, dns.nameservers.iter().map(ToString::to_string));
    append(&mut conf.searches, dns.searches.iter().cloned());
    conf.searches.retain(|search| search != ".");
    merge_options(&mut conf.options, &dns.options);
    let mut left = Vec::new();
    cap(&mut conf, &mut left);
    let ResolvConf { servers, searches, options } = conf;
    (Some(v1::DnsConfig { servers, searches, options }), left)
}

/// What the policy begins with.
fn base(dns: &Dns, pod: &Pod, host: &str, own: Option<&OwnResolver>) -> ResolvConf {
    let cluster = match dns.policy {
        DnsPolicy::Nothing => return ResolvConf::default(),
        DnsPolicy::Host => false,
        DnsPolicy::ClusterFirst => !pod.uses_host_network(),
        DnsPolicy::ClusterFirstWithHostNet => true,
    };
    let host = parse(host);
    let Some(own) = own.filter(|_| cluster) else { return host };
    let OwnResolver { servers, domain } = own;
    let mut searches =
        vec![format!("{}.svc.{domain}", pod.namespace), format!("svc.{domain}"), domain.clone()];
    append(&mut searches, host.searches.into_iter());
    ResolvConf {
        servers: servers.iter().map(ToString::to_string).collect(),
        searches,
        options: vec!["ndots:5".to_owned()],
    }
}

fn append(list: &mut Vec<String>, more: impl Iterator<Item = String>) {
    for one in more {
        if !list.contains(&one) {
            list.push(one);
        }
    }
}

/// An option given again replaces the one of the same name.
fn merge_options(options: &mut Vec<String>, more: &[String]) {
    let name = |option: &str| option.split(':').next().unwrap_or_default().to_owned();
    for option in more {
        options.retain(|known| name(known) != name(option));
        options.push(option.clone());
    }
}

fn cap(conf: &mut ResolvConf, left: &mut Vec<String>) {
    if conf.servers.len() > MAX_SERVERS {
        let dropped = conf.servers.split_off(MAX_SERVERS).join(", ");
        left.push(format!("only {MAX_SERVERS} nameservers are used; left out: {dropped}"));
    }
    let long = |search: &String| search.len() > MAX_SEARCH;
    if conf.searches.iter().any(long) {
        conf.searches.retain(|search| !long(search));
        left.push(format!("search domains over {MAX_SEARCH} characters are left out"));
    }
    let mut length = 0;
    let fitting = conf.searches.iter().take(MAX_SEARCHES).take_while(|search| {
        length += search.len() + 1;
        length - 1 <= MAX_SEARCH_BYTES
    });
    let kept = fitting.count();
    if kept < conf.searches.len() {
        let dropped = conf.searches.split_off(kept).join(", ");
        left.push(format!(
            "only {MAX_SEARCHES} search domains of {MAX_SEARCH_BYTES} characters in all are used; \
             left out: {dropped}"
        ));
    }
}

/// As libc reads it: the last `search` counts, comments begin with `#` or `;`.
fn parse(text: &str) -> ResolvConf {
    let mut conf = ResolvConf::default();
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => conf.servers.extend(words.next().map(ToOwned::to_owned)),
            Some("search") => {
                let domain = |word: &str| match word.strip_suffix('.') {
                    Some(bare) if !bare.is_empty() => bare.to_owned(),
                    _ => word.to_owned(),
                };
                conf.searches = words.map(domain).collect();
            }
            Some("options") => conf.options = words.map(ToOwned::to_owned).collect(),
            _ => {}
        }
    }
    conf
}

fn is_loopback(server: &str) -> bool {
    // A zone (`fe80::1%eth0`) is no part of the address.
    let address = server.split('%').next().unwrap_or_default();
    address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
