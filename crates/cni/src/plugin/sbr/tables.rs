//! Rules and tables of the pod.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::packet_route::route::{RouteMessage, RouteScope};

use super::config::Config;
use crate::{
    kernel::{Link, Netlink, PlainRoute, SourceRule, route},
    plugin::endpoint,
    protocol::{Call, IpConfig, PluginError, Route, all},
};

const MAIN: u32 = 254;
/// The first table that is looked at for a free one.
const FIRST: u32 = 100;

/// What was changed, to be taken back when a later step fails.
#[derive(Default)]
struct Changes {
    rules: Vec<SourceRule>,
    added: Vec<RouteMessage>,
    removed: Vec<RouteMessage>,
}

impl Changes {
    fn undo(self, inside: &Netlink) -> Result<(), PluginError> {
        let rules = self.rules.iter().rev().map(|rule| inside.remove_rule(rule));
        let mut results: Vec<_> = rules.collect();
        // A route needs the one to its gateway, which was made, and so comes back, before it.
        results.extend(self.removed.into_iter().map(|route| inside.replace_route(route)));
        results.extend(self.added.into_iter().rev().map(|route| inside.remove_route(route)));
        all(results.into_iter().filter_map(Result::err).map(Into::into).collect())
    }
}

/// Makes rules and tables, or changes nothing.
pub(super) fn add(
    inside: &Netlink,
    addresses: &[IpConfig],
    config: &Config,
    call: &Call,
) -> Result<(), PluginError> {
    let mut changes = Changes::default();
    let added = match config.table {
        Some(table) => {
            addresses.iter().try_for_each(|ip| add_rule(inside, ip, table, &mut changes))
        }
        None => fill(inside, addresses, config, &mut changes, call),
    };
    if added.is_err() {
        // The failure is what to tell.
        drop(changes.undo(inside));
    }
    added
}

fn add_rule(
    inside: &Netlink,
    ip: &IpConfig,
    table: u32,
    changes: &mut Changes,
) -> Result<(), PluginError> {
    let rule = SourceRule::new(ip.address.addr(), table);
    // The kernel would take the same rule once more.
    let is_same = |other: &SourceRule| other.source == rule.source && other.table == table;
    if inside.rules()?.iter().any(is_same) {
        return Ok(());
    }
    inside.add_rule(&rule)?;
    changes.rules.push(rule);
    Ok(())
}

fn fill(
    inside: &Netlink,
    addresses: &[IpConfig],
    config: &Config,
    changes: &mut Changes,
    call: &Call,
) -> Result<(), PluginError> {
    let link = endpoint::link(inside, call)?;
    let all: Vec<RouteMessage> = [inside.routes(true)?, inside.routes(false)?].concat();
    let mut taken: Vec<u32> = inside.rules()?.iter().map(|rule| rule.table).collect();
    taken.extend(all.iter().map(route::table));
    let own = all.into_iter().filter(|message| {
        route::table(message) == MAIN && route::output(message) == Some(link.index)
    });
    let own: Vec<RouteMessage> = own.collect();
    for ip in addresses {
        let table = (FIRST..).find(|table| !taken.contains(table)).unwrap_or(FIRST);
        taken.push(table);
        add_rule(inside, ip, table, changes)?;
        add_default(inside, &link, config.gateway(ip), table, changes)?;
        // The default route through a gateway that is named must stay.
        let is_named = config.names_gateway(ip.address.addr());
        let copied = own.iter().filter(|message| {
            is_for(message, ip.address)
                && !(is_named && message.header.destination_prefix_length == 0)
        });
        for message in copied {
            let copy = route::in_table(message, table);
            inside.replace_route(copy.clone())?;
            changes.added.push(copy);
        }
    }
    if config.has_hints {
        hint(inside, &link, addresses, changes)?;
    }
    // All of them only now: a gateway is found through a route of the main table.
    for message in own {
        if config.has_hints && message.header.scope == RouteScope::Link {
            continue;
        }
        inside.remove_route(message.clone())?;
        changes.removed.push(message);
    }
    Ok(())
}

fn add_default(
    inside: &Netlink,
    link: &Link,
    gateway: Option<IpAddr>,
    table: u32,
    changes: &mut Changes,
) -> Result<(), PluginError> {
    let Some(gateway) = gateway else { return Ok(()) };
    let everywhere = match gateway {
        IpAddr::V4(_) => IpNet::new_assert(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        IpAddr::V6(_) => IpNet::new_assert(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
    };
    let wanted = Route { gw: Some(gateway), table: Some(table), ..Route::to(everywhere) };
    inside.add_route(link, &wanted, None)?;
    let made = inside.routes(gateway.is_ipv4())?.into_iter();
    changes.added.extend(made.filter(|message| {
        route::table(message) == table && message.header.destination_prefix_length == 0
    }));
    Ok(())
}

/// Routes of an address's network, and those that name neither source nor gateway.
fn is_for(message: &RouteMessage, net: IpNet) -> bool {
    let (source, gateway) = (route::source(message), route::gateway(message));
    let is_within = |address: Option<IpAddr>| address.is_some_and(|address| net.contains(&address));
    is_within(source) || is_within(gateway) || (source.is_none() && gateway.is_none())
}

/// Leaves the way to each subnet in the main table, with the address to leave with.
fn hint(
    inside: &Netlink,
    link: &Link,
    addresses: &[IpConfig],
    changes: &mut Changes,
) -> Result<(), PluginError> {
    for ip in addresses {
        let subnet = PlainRoute {
            destination: ip.address.trunc(),
            gateway: None,
            source: Some(ip.address.addr()),
            scope: RouteScope::Link,
        };
        let message = subnet.message(link);
        inside.replace_route(message.clone())?;
        changes.added.push(message);
    }
    Ok(())
}

/// Looks whether each address has its rule and, without `table`, its default route.
pub(super) fn check(
    inside: &Netlink,
    addresses: &[IpConfig],
    config: &Config,
) -> Result<(), PluginError> {
    let rules = inside.rules()?;
    for ip in addresses {
        let address = ip.address.addr();
        let rule = rules.iter().find(|rule| {
            rule.source == Some(address) && config.table.is_none_or(|table| rule.table == table)
        });
        let Some(rule) = rule else {
            let message = format!("no rule leads packets from {address} to a table of their own");
            return Err(PluginError::internal(message));
        };
        let Some(gateway) = config.gateway(ip).filter(|_| config.table.is_none()) else {
            continue;
        };
        let routes = inside.routes(address.is_ipv4())?;
        let is_there = routes.iter().any(|message| {
            route::table(message) == rule.table
                && message.header.destination_prefix_length == 0
                && route::gateway(message) == Some(gateway)
        });
        if !is_there {
            return Err(PluginError::internal(format!(
                "table {} has no default route via {gateway} for packets from {address}",
                rule.table
            )));
        }
    }
    Ok(())
}
