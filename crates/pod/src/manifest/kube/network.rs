//! Names, ports, and what the resolver is told.

use std::net::IpAddr;

use crilet_core::similar;
use crilet_cri::v1;
use k8s_openapi::api::core::v1::{Container, ContainerPort};

use super::lower::Lower;
use crate::{
    manifest::{
        check::{is_dns_label, is_dns_name},
        report::{item, join},
    },
    model::{Dns, DnsPolicy, HostAlias, Names},
    spec,
};

/// Longest host name of the kernel (`HOST_NAME_MAX`).
const MAX_HOSTNAME: usize = 64;

/// Caps of the kubelet's validation (`pkg/apis/core/validation`).
const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;

impl Lower<'_> {
    /// Host name, subdomain and full name.
    pub(super) fn names(&mut self) -> Names {
        let spec = self.spec;
        let given = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
        let own = given(&spec.hostname);
        if own.as_deref().is_some_and(|name| !is_dns_label(name)) {
            self.host_label("spec.hostname", own.as_deref().unwrap_or_default());
        }
        let subdomain = given(&spec.subdomain);
        if subdomain.as_deref().is_some_and(|name| !is_dns_label(name)) {
            self.host_label("spec.subdomain", subdomain.as_deref().unwrap_or_default());
        }
        let short = own.unwrap_or_else(|| spec::hostname(&self.identity.name));
        let namespace = &self.identity.namespace;
        let domain = &self.options.cluster_domain;
        let fqdn = subdomain.as_ref().map(|sub| format!("{short}.{sub}.{namespace}.svc.{domain}"));
        let replaced = given(&spec.hostname_override);
        let as_fqdn = spec.set_hostname_as_fqdn.unwrap_or_default();
        let hostname = match (&replaced, &fqdn) {
            (Some(name), _) => self.override_hostname(name, as_fqdn),
            (None, Some(full)) if as_fqdn => {
                if full.len() > MAX_HOSTNAME {
                    let message = format!("{full:?} is longer than {MAX_HOSTNAME} characters");
                    self.check.wrong("spec.setHostnameAsFQDN", message);
                }
                full.clone()
            }
            _ => short,
        };
        let hostname = if self.host_network() { String::new() } else { hostname };
        Names { hostname, subdomain, fqdn }
    }

    fn host_label(&mut self, path: &str, name: &str) {
        let hint = "lower-case letters, digits and `-`, up to 63, a letter or digit at both ends";
        self.check.wrong_hint(path, format!("{name:?} is not part of a host name"), hint);
    }

    fn override_hostname(&mut self, name: &str, as_fqdn: bool) -> String {
        let path = "spec.hostnameOverride";
        if !is_dns_name(name) || name.len() > MAX_HOSTNAME {
            let hint = "lower-case letters, digits, `-` and `.`, up to 64";
            self.check.wrong_hint(path, format!("{name:?} is not a host name"), hint);
        } else if as_fqdn {
            self.check.wrong(path, "given beside `setHostnameAsFQDN`");
        } else if self.host_network() {
            self.check.wrong(path, "given beside `hostNetwork`, with which the host's name holds");
        }
        name.to_owned()
    }

    pub(super) fn host_aliases(&mut self) -> Vec<HostAlias> {
        let spec = self.spec;
        let mut aliases = Vec::new();
        for (index, alias) in spec.host_aliases.iter().flatten().enumerate() {
            let path = item("spec.hostAliases", index);
            let names = alias.hostnames.clone().unwrap_or_default();
            for (index, name) in names.iter().enumerate() {
                if !is_dns_name(name) {
                    let path = item(&join(&path, "hostnames"), index);
                    self.check.wrong(&path, format!("{name:?} is not a host name"));
                }
            }
            if names.is_empty() {
                self.check.missing(&join(&path, "hostnames"));
            }
            if let Some(ip) = self.address(&join(&path, "ip"), &alias.ip) {
                aliases.push(HostAlias { ip, names });
            }
        }
        aliases
    }

    fn address(&mut self, path: &str, text: &str) -> Option<IpAddr> {
        if text.is_empty() {
            self.check.missing(path);
            return None;
        }
        let address = text.parse().ok();
        if address.is_none() {
            self.check.wrong(path, format!("{text:?} is not an IP address"));
        }
        address
    }

    pub(super) fn dns(&mut self) -> Dns {
        use DnsPolicy::{ClusterFirst, ClusterFirstWithHostNet, Host, Nothing};
        let spec = self.spec;
        let policies = [
            ("ClusterFirst", ClusterFirst),
            ("ClusterFirstWithHostNet", ClusterFirstWithHostNet),
            ("Default", Host),
            ("None", Nothing),
        ];
        let given = spec.dns_policy.as_deref();
        let policy = self.check.choice("spec.dnsPolicy", given, &policies, ClusterFirst);
        let config = spec.dns_config.clone().unwrap_or_default();
        let mut nameservers = Vec::new();
        let path = "spec.dnsConfig.nameservers";
        for (index, server) in config.nameservers.iter().flatten().enumerate() {
            nameservers.extend(self.address(&item(path, index), server));
            if index == MAX_NAMESERVERS {
                self.check.wrong(path, format!("more than {MAX_NAMESERVERS}"));
            }
        }
        if policy == Nothing && config.nameservers.iter().flatten().next().is_none() {
            let hint = "with `dnsPolicy: None` there is no other";
            let message = if self.check.scope.has(path) { "empty" } else { "missing" };
            self.check.wrong_hint(path, message, hint);
        }
        Dns { policy, nameservers, searches: self.searches(), options: self.dns_options() }
    }

    fn searches(&mut self) -> Vec<String> {
        let config = self.spec.dns_config.clone().unwrap_or_default();
        let searches = config.searches.unwrap_or_default();
        let path = "spec.dnsConfig.searches";
        for (index, search) in searches.iter().enumerate() {
            let name = search.strip_suffix('.').unwrap_or(search);
            let part = |part: &str| is_dns_label(&part.replace('_', "x"));
            if search != "." && !(name.len() <= 253 && name.split('.').all(part)) {
                self.check.wrong(&item(path, index), format!("{search:?} is not a domain"));
            }
        }
        if searches.len() > MAX_SEARCHES {
            self.check.wrong(path, format!("more than {MAX_SEARCHES}"));
        }
        searches
    }

    fn dns_options(&mut self) -> Vec<String> {
        let config = self.spec.dns_config.clone().unwrap_or_default();
        let mut options = Vec::new();
        for (index, option) in config.options.into_iter().flatten().enumerate() {
            let path = join(&item("spec.dnsConfig.options", index), "name");
            let name = option.name.unwrap_or_default();
            let value = option.value.unwrap_or_default();
            if name.is_empty() {
                self.check.missing(&path);
            } else if format!("{name}{value}").contains(char::is_whitespace) {
                self.check.wrong(&path, "has a blank in it");
            }
            options.push(if value.is_empty() { name } else { format!("{name}:{value}") });
        }
        options
    }

    /// The names that a container gives its ports.
    pub(super) fn port_names(&mut self, path: &str, container: &Container) -> Vec<(String, u16)> {
        let mut names: Vec<(String, u16)> = Vec::new();
        for (index, port) in container.ports.iter().flatten().enumerate() {
            let name_path = join(&item(&join(path, "ports"), index), "name");
            let Some(name) = port.name.clone().filter(|name| !name.is_empty()) else { continue };
            let letter = name.contains(|sign: char| sign.is_ascii_lowercase());
            if !is_dns_label(&name) || name.len() > 15 || !letter || name.contains("--") {
                let hint =
                    "lower-case letters, digits and single `-`, up to 15, one letter at least";
                let message = format!("{name:?} is not the name of a port");
                self.check.wrong_hint(&name_path, message, hint);
            } else if names.iter().any(|(known, _)| *known == name) {
                self.check.wrong(&name_path, format!("{name:?} is given twice"));
            }
            names.push((name, u16::try_from(port.container_port).unwrap_or_default()));
        }
        names
    }

    /// The ports of all containers, those of init containers, too; the kubelet forgets them.
    pub(super) fn port_mappings(&mut self) -> Vec<v1::PortMapping> {
        let spec = self.spec;
        let init = spec.init_containers.iter().flatten().enumerate();
        let init = init.map(|(index, one)| (item("spec.initContainers", index), one));
        let main = spec.containers.iter().enumerate();
        let main = main.map(|(index, one)| (item("spec.containers", index), one));
        let mut mappings: Vec<(String, v1::PortMapping)> = Vec::new();
        for (path, container) in init.chain(main) {
            for (index, port) in container.ports.iter().flatten().enumerate() {
                let path = item(&join(&path, "ports"), index);
                let mapping = self.port_mapping(&path, port);
                let taken = mappings.iter().find(|(_, other)| collide(other, &mapping));
                if let Some((other, _)) = taken {
                    let message = format!("{} is taken by {other}", shown(&mapping));
                    self.check.wrong(&join(&path, "hostPort"), message);
                }
                mappings.push((path, mapping));
            }
        }
        // On the host's network a port is the host's already.
        let mapped = !self.host_network();
        mappings.into_iter().map(|(_, mapping)| mapping).filter(|_| mapped).collect()
    }

    fn port_mapping(&mut self, path: &str, port: &ContainerPort) -> v1::PortMapping {
        use v1::Protocol::{Sctp, Tcp, Udp};
        let container_port = self.check.port(&join(path, "containerPort"), port.container_port);
        let host_path = join(path, "hostPort");
        let host_port = match port.host_port {
            None | Some(0) => 0,
            Some(port) => self.check.port(&host_path, port),
        };
        if self.host_network() && host_port != 0 && host_port != container_port {
            let message = "differs from `containerPort`, though the network is the host's";
            self.check.wrong(&host_path, message);
        }
        let host_ip = port.host_ip.clone().unwrap_or_default();
        if !host_ip.is_empty() && host_ip.parse::<IpAddr>().is_err() {
            let hint = "leave it out for all addresses of the host";
            let message = format!("{host_ip:?} is not an IP address");
            self.check.wrong_hint(&join(path, "hostIP"), message, hint);
        }
        let protocols = [("TCP", Tcp), ("UDP", Udp), ("SCTP", Sctp)];
        let protocol = port.protocol.as_deref();
        let protocol = self.check.choice(&join(path, "protocol"), protocol, &protocols, Tcp);
        v1::PortMapping {
            protocol: protocol.into(),
            container_port: i32::from(container_port),
            host_port: i32::from(host_port),
            host_ip,
        }
    }

    /// Says that a name is not there, and what was probably meant.
    pub(super) fn absent<'n>(
        &mut self,
        path: &str,
        noun: &str,
        name: &str,
        names: impl Iterator<Item = &'n str>,
    ) {
        let message = format!("no {noun} `{name}`");
        match similar(name, names) {
            Some(meant) => self.check.wrong_hint(path, message, format!("did you mean `{meant}`?")),
            None => self.check.wrong(path, message),
        }
    }
}

/// Whether two mappings publish the same port of the host.
pub(super) fn collide(left: &v1::PortMapping, right: &v1::PortMapping) -> bool {
    left.host_port > 0
        && left.host_port == right.host_port
        && left.protocol == right.protocol
        && crilet_cri::config::addresses_overlap(&left.host_ip, &right.host_ip)
}

/// The host's side of a mapping.
pub(super) fn shown(mapping: &v1::PortMapping) -> String {
    let protocol = mapping.protocol().as_str_name().to_ascii_lowercase();
    let address = match mapping.host_ip.as_str() {
        "" => String::new(),
        address => format!(" on {address}"),
    };
    format!("{}/{protocol}{address}", mapping.host_port)
}
