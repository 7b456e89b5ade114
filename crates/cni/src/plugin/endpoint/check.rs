//! Whether the pod's link is as ADD made it.

use crate::{
    kernel::{Link, Netlink, route},
    protocol::{Call, CniResult, Interface, PluginError, Route},
};

/// Looks at link, addresses and routes; gives the link, which must be of `kind` unless that is
/// empty.
pub(in crate::plugin) fn check(
    inside: &Netlink,
    previous: &CniResult,
    kind: &str,
    call: &Call,
) -> Result<Link, PluginError> {
    let link = check_link(inside, previous, kind, call)?;
    let addresses = inside.addresses(&link)?;
    let has = |wanted| addresses.iter().any(|address| address.net == wanted);
    if let Some(missing) = previous.ips.iter().find(|ip| !has(ip.address)) {
        return Err(PluginError::internal(format!(
            "address {} is missing from link `{}` of the pod",
            missing.address, link.name
        )));
    }
    check_routes(inside, &link, previous)?;
    Ok(link)
}

/// The interface of the result that is the pod's link.
fn expected<'a>(previous: &'a CniResult, call: &Call) -> Result<&'a Interface, PluginError> {
    let mut interfaces = previous.interfaces.iter();
    let own = |interface: &&Interface| {
        interface.name == call.link() && interface.sandbox == call.environment.namespace
    };
    interfaces.find(own).ok_or_else(|| {
        PluginError::config(
            "prevResult.interfaces",
            format_args!("has no link `{}` in `{}`", call.link(), call.environment.namespace),
        )
    })
}

/// Looks at the link alone.
fn check_link(
    inside: &Netlink,
    previous: &CniResult,
    kind: &str,
    call: &Call,
) -> Result<Link, PluginError> {
    let expected = expected(previous, call)?;
    let link = inside.link(call.link())?.ok_or_else(|| {
        PluginError::internal(format!("link `{}` is missing from the pod", call.link()))
    })?;
    if !kind.is_empty() && link.kind != kind {
        let message = format!("container interface {} not of type {kind}", link.name);
        return Err(PluginError::internal(message));
    }
    if !expected.mac.is_empty() && !expected.mac.eq_ignore_ascii_case(&link.mac) {
        return Err(PluginError::internal(format!(
            "interface {} Mac {} doesn't match container Mac: {}",
            expected.name, expected.mac, link.mac
        )));
    }
    Ok(link)
}

fn check_routes(inside: &Netlink, link: &Link, previous: &CniResult) -> Result<(), PluginError> {
    for is_v4 in [true, false] {
        let of_family = |route: &&Route| route.dst.addr().is_ipv4() == is_v4;
        let wanted: Vec<&Route> = previous.routes.iter().filter(of_family).collect();
        if wanted.is_empty() {
            continue;
        }
        let found = inside.routes(is_v4)?;
        for want in wanted {
            let gateway = want.gw.or_else(|| super::gateway_of(previous, is_v4));
            let is_there = found.iter().any(|message| {
                route::output(message) == Some(link.index)
                    && route::destination(message) == Some(want.dst.trunc())
                    && (gateway.is_none() || route::gateway(message) == gateway)
            });
            if !is_there {
                let message = format!("expected Route {} not found in routing table", want.dst);
                return Err(PluginError::internal(message));
            }
        }
    }
    Ok(())
}
