//! `sbr`: routes by the source of packets, for pods with several links.
//!
//! Each address of the link gets a routing table of its own, the first free one from 100, with a
//! default route through its gateway and the link's routes, which leave the main table. With
//! `table` only the rules are made. Everything is in the pod's namespace and goes with it.

mod config;
mod tables;

use std::{fs::File, net::IpAddr};

use nix::fcntl::{Flock, FlockArg};

use crate::{
    kernel::{Namespace, Netlink, pod_namespace},
    protocol::{Call, CniResult, IpConfig, Plugin, PluginError, all},
};

use config::Config;

pub(super) struct Sbr;

impl Plugin for Sbr {
    fn name(&self) -> &'static str {
        "sbr"
    }

    fn add(&self, call: &Call) -> Result<CniResult, PluginError> {
        let config = Config::read(call)?;
        let result = call.required_previous()?;
        let addresses = addresses(&result, call)?;
        let namespace = pod_namespace(call)?;
        let _lock = lock(&namespace)?;
        let inside = Netlink::inside(&namespace)?;
        tables::add(&inside, &addresses, &config, call)?;
        Ok(result)
    }

    fn del(&self, call: &Call) -> Result<(), PluginError> {
        let table = config::table(call)?;
        let Some(path) = call.environment.namespace() else { return Ok(()) };
        let Some(namespace) = Namespace::open_existing(path)? else { return Ok(()) };
        let _lock = lock(&namespace)?;
        let inside = Netlink::inside(&namespace)?;
        let mut own: Vec<IpAddr> = Vec::new();
        if let Some(link) = inside.link(call.link())? {
            own.extend(inside.addresses(&link)?.iter().map(|address| address.net.addr()));
        }
        // The link may be gone before its rules.
        if let Some(previous) = call.previous()? {
            own.extend(of_link(&previous, call).map(|ip| ip.address.addr()));
        }
        let rules = inside.rules()?.into_iter().filter(|rule| {
            rule.source.is_some_and(|source| own.contains(&source))
                && table.is_none_or(|table| rule.table == table)
        });
        let removed = rules.map(|rule| inside.remove_rule(&rule).map_err(PluginError::from));
        all(removed.filter_map(Result::err).collect())
    }

    fn check(&self, call: &Call) -> Result<(), PluginError> {
        let config = Config::read(call)?;
        let result = call.required_previous()?;
        let addresses = addresses(&result, call)?;
        let inside = Netlink::inside(&pod_namespace(call)?)?;
        tables::check(&inside, &addresses, &config)
    }

    fn gc(&self, call: &Call) -> Result<(), PluginError> {
        // Everything goes with the namespace.
        call.valid_attachments().map(drop)
    }

    fn status(&self, call: &Call) -> Result<(), PluginError> {
        Config::read(call).map(drop)
    }
}

/// Addresses that the result gives the link, and those that it gives no link at all.
fn of_link<'a>(result: &'a CniResult, call: &'a Call) -> impl Iterator<Item = &'a IpConfig> {
    result.ips.iter().filter(|ip| {
        let number = ip.interface.and_then(|number| usize::try_from(number).ok());
        let interface = number.and_then(|number| result.interfaces.get(number));
        interface.is_none_or(|interface| interface.name == call.link())
    })
}

fn addresses(result: &CniResult, call: &Call) -> Result<Vec<IpConfig>, PluginError> {
    let addresses: Vec<_> = of_link(result, call).cloned().collect();
    if !addresses.is_empty() {
        return Ok(addresses);
    }
    let problem = format!("has no address of link `{}`: there is nothing to route by", call.link());
    Err(PluginError::config("prevResult.ips", problem))
}

/// Keeps other plugins out of the namespace's tables, the reference's too, which locks the same file.
fn lock(namespace: &Namespace) -> Result<Flock<File>, PluginError> {
    let path = namespace.path();
    let failed = |cause: std::io::Error| {
        PluginError::because(format_args!("lock `{}`", path.display()), &cause)
    };
    let file = File::open(path).map_err(failed)?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| failed(errno.into()))
}
