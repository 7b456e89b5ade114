//! `ptp`: a pair of links between pod and host, without a bridge.
//!
//! The pod has an address of its subnet, but reaches its neighbours through the host: the route
//! that the kernel makes for the subnet is replaced by one to the gateway alone, and one to the
//! subnet through it. On the host the link has the gateway's address, and a route to the pod.

mod config;

use std::path::Path;

use ipnet::IpNet;
use nix::errno::Errno;
use rtnetlink::packet_route::route::RouteScope;

use super::endpoint::{self, Pair};
use crate::{
    delegate,
    kernel::{Link, Namespace, Netlink, PlainRoute, pod_namespace, settings},
    netfilter::{
        maker::{Chosen, Maker},
        masquerade::{self, Pod},
    },
    protocol::{Call, CniResult, Command, Interface, IpConfig, Plugin, PluginError, all},
};

use config::Config;

pub(super) struct Ptp;

impl Plugin for Ptp {
    fn name(&self) -> &'static str {
        "ptp"
    }

    fn add(&self, call: &Call) -> Result<CniResult, PluginError> {
        let config = Config::read(call)?;
        let namespace = pod_namespace(call)?;
        let host = Netlink::open()?;
        let inside = Netlink::inside(&namespace)?;
        endpoint::refuse_taken_name(&inside, call)?;
        let leased = endpoint::lease(&config.ipam, 1, call)?;
        let mut outer = None;
        let ends = Ends { host: &host, inside: &inside, namespace: &namespace };
        let added = attach(ends, &config, leased, &mut outer, call);
        if added.is_err() {
            // What cannot be taken back is left to DEL; the failure is what to tell.
            if let Some(link) = &outer {
                drop(host.delete_link(link));
            }
            if config.masquerade {
                drop(masquerade::remove(pod_of(call)));
            }
            drop(delegate::ask(&config.ipam, Command::Del, call));
        }
        added
    }

    fn del(&self, call: &Call) -> Result<(), PluginError> {
        let ipam = delegate::address_management(call)?;
        let (first, later) = endpoint::releases(ipam.as_deref());
        let release = |ipam: Option<&str>| {
            ipam.map_or(Ok(()), |ipam| delegate::ask(ipam, Command::Del, call))
        };
        let released = release(first);
        // Rules and link both wait for the kernel's grace period; side by side they wait once.
        let (rules, link) = std::thread::scope(|scope| {
            let rules = scope.spawn(|| masquerade::remove(pod_of(call)));
            let link = endpoint::remove_link(call);
            (rules.join(), link)
        });
        let died = |_| Err(PluginError::internal("the thread for rules died"));
        let results = [released, link, rules.unwrap_or_else(died), release(later)];
        all(results.into_iter().filter_map(Result::err).collect())
    }

    fn check(&self, call: &Call) -> Result<(), PluginError> {
        let config = Config::read(call)?;
        delegate::ask(&config.ipam, Command::Check, call)?;
        let previous = call.required_previous()?;
        let inside = Netlink::inside(&pod_namespace(call)?)?;
        let link = endpoint::check(&inside, &previous, "veth", call)?;
        check_host_link(&link, &previous)?;
        if config.masquerade {
            let addresses: Vec<_> = previous.ips.iter().map(|ip| ip.address).collect();
            masquerade::check(pod_of(call), &addresses)?;
        }
        Ok(())
    }

    fn gc(&self, call: &Call) -> Result<(), PluginError> {
        let valid = call.valid_attachments()?;
        let ipam = delegate::address_management(call)?;
        let rules = masquerade::keep_only(&call.network, &valid);
        let released = ipam.map_or(Ok(()), |ipam| delegate::ask(&ipam, Command::Gc, call));
        all([rules, released].into_iter().filter_map(Result::err).collect())
    }

    fn status(&self, call: &Call) -> Result<(), PluginError> {
        let config = Config::read(call)?;
        delegate::ask(&config.ipam, Command::Status, call)
    }
}

fn pod_of(call: &Call) -> Pod<'_> {
    Pod { network: &call.network, container: call.container_id(), link: call.link() }
}

/// Both sides of the pair.
#[derive(Clone, Copy)]
struct Ends<'a> {
    host: &'a Netlink,
    inside: &'a Netlink,
    namespace: &'a Namespace,
}

fn attach(
    ends: Ends<'_>,
    config: &Config,
    mut result: CniResult,
    outer: &mut Option<Link>,
    call: &Call,
) -> Result<CniResult, PluginError> {
    for ip in &result.ips {
        if ip.gateway.is_none_or(|gateway| gateway.is_ipv4() != ip.address.addr().is_ipv4()) {
            return Err(PluginError::config(
                "ipam",
                format_args!("gives {} without a gateway, which the host's end needs", ip.address),
            ));
        }
        forward(ip)?;
    }
    let maker = config.masquerade.then(|| Maker::start(Chosen::new(config.backend)));
    let Ends { host, inside, namespace } = ends;
    let pair = Pair { mtu: config.mtu, ..Pair::default() };
    let outer = outer.insert(endpoint::add_pair(host, inside, namespace, pair, call)?);
    settings::ensure(&settings::of_link("ipv6", &outer.name, "accept_ra"), "0")?;
    host.set_up(outer, true)?;
    endpoint::configure(inside, namespace, &result, &[], call)?;
    let pod = endpoint::link(inside, call)?;
    for ip in &result.ips {
        route_through_gateway(inside, &pod, ip)?;
    }
    for ip in &result.ips {
        route_to_pod(host, outer, ip)?;
    }
    if let Some(maker) = maker {
        let addresses: Vec<_> = result.ips.iter().map(|ip| ip.address).collect();
        masquerade::add(pod_of(call), &addresses, maker)?;
    }
    let interface = |link: &Link, sandbox: &str| Interface {
        name: link.name.clone(),
        mac: link.mac.clone(),
        sandbox: sandbox.to_owned(),
        ..Interface::default()
    };
    result.interfaces = vec![interface(outer, ""), interface(&pod, &call.environment.namespace)];
    if !config.dns.is_empty() {
        result.dns = config.dns.clone();
    }
    Ok(result)
}

fn forward(ip: &IpConfig) -> Result<(), PluginError> {
    let setting = match ip.address {
        IpNet::V4(_) => "/proc/sys/net/ipv4/ip_forward",
        IpNet::V6(_) => "/proc/sys/net/ipv6/conf/all/forwarding",
    };
    settings::ensure(Path::new(setting), "1")?;
    Ok(())
}

/// In the pod: the gateway on the link, everything else of the subnet through it.
fn route_through_gateway(inside: &Netlink, pod: &Link, ip: &IpConfig) -> Result<(), PluginError> {
    let Some(gateway) = ip.gateway else { return Ok(()) };
    let subnet = PlainRoute {
        destination: ip.address.trunc(),
        gateway: None,
        source: None,
        scope: RouteScope::NoWhere,
    };
    inside.remove_plain(pod, subnet)?;
    let source = Some(ip.address.addr());
    let to_gateway =
        PlainRoute { destination: IpNet::from(gateway), source, scope: RouteScope::Link, ..subnet };
    inside.add_plain(pod, to_gateway)?;
    let through =
        PlainRoute { gateway: Some(gateway), source, scope: RouteScope::Universe, ..subnet };
    inside.add_plain(pod, through)?;
    Ok(())
}

/// On the host: the gateway's address, and the way to the pod.
fn route_to_pod(host: &Netlink, outer: &Link, ip: &IpConfig) -> Result<(), PluginError> {
    let Some(gateway) = ip.gateway else { return Ok(()) };
    host.add_address(outer, IpNet::from(gateway))?;
    let route = PlainRoute {
        destination: IpNet::from(ip.address.addr()),
        gateway: None,
        source: None,
        scope: RouteScope::Host,
    };
    match host.add_plain(outer, route) {
        // As the reference: another way to the pod's address is there.
        Err(error) if error.is(&[Errno::EEXIST]) => Ok(()),
        other => Ok(other?),
    }
}

/// The link on the host is the other end of the pod's.
fn check_host_link(pod: &Link, previous: &CniResult) -> Result<(), PluginError> {
    let host = Netlink::open()?;
    let outer = pod.lower.map(|index| host.link_at(index)).transpose()?.flatten();
    let outer = outer.filter(|link| link.kind == "veth" && link.lower == Some(pod.index));
    let is_known = |link: &Link| {
        previous.interfaces.iter().any(|one| one.sandbox.is_empty() && one.name == link.name)
    };
    if outer.as_ref().is_some_and(is_known) {
        return Ok(());
    }
    Err(PluginError::internal(format!(
        "no link of the host in prevResult is the other end of the pod's link `{}`",
        pod.name
    )))
}
