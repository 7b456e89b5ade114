//! `loopback`: switches the pod's `lo` on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::{
    kernel::{KernelError, Link, Namespace, Netlink},
    protocol::{Call, CniResult, Interface, IpConfig, Plugin, PluginError},
};

/// The only link that it serves, whatever `CNI_IFNAME` says.
const LINK: &str = "lo";

pub(super) struct Loopback;

impl Plugin for Loopback {
    fn name(&self) -> &'static str {
        "loopback"
    }

    fn add(&self, call: &Call) -> Result<CniResult, PluginError> {
        let previous = call.previous()?;
        let namespace = open(call)?;
        let netlink = Netlink::inside(&namespace)?;
        let link = lo(&netlink)?;
        netlink.set_up(&link, true)?;
        if let Some(previous) = previous {
            return Ok(previous);
        }
        let addresses = netlink.addresses(&link)?;
        Ok(result(&addresses.iter().map(|address| address.net).collect::<Vec<_>>(), call))
    }

    fn del(&self, call: &Call) -> Result<(), PluginError> {
        let Some(path) = call.environment.namespace() else { return Ok(()) };
        let Some(namespace) = Namespace::open_existing(path)? else { return Ok(()) };
        let netlink = Netlink::inside(&namespace)?;
        Ok(netlink.set_up(&lo(&netlink)?, false)?)
    }

    fn check(&self, call: &Call) -> Result<(), PluginError> {
        let netlink = Netlink::inside(&open(call)?)?;
        let link = lo(&netlink)?;
        if link.is_up {
            return Ok(());
        }
        Err(PluginError::internal("loopback interface `lo` is down"))
    }

    fn gc(&self, _call: &Call) -> Result<(), PluginError> {
        // It goes with the namespace.
        Ok(())
    }

    fn status(&self, _call: &Call) -> Result<(), PluginError> {
        Ok(())
    }
}

fn open(call: &Call) -> Result<Namespace, PluginError> {
    Ok(Namespace::open(call.environment.namespace().unwrap_or_else(|| "".as_ref()))?)
}

fn lo(netlink: &Netlink) -> Result<Link, KernelError> {
    netlink.link(LINK)?.ok_or_else(|| KernelError::Refused {
        action: format!("find link `{LINK}` in the pod"),
        cause: nix::errno::Errno::ENODEV.into(),
    })
}

/// The link with those of the two usual addresses that it has.
fn result(addresses: &[IpNet], call: &Call) -> CniResult {
    let usual = [
        IpNet::new_assert(IpAddr::V4(Ipv4Addr::LOCALHOST), 8),
        IpNet::new_assert(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
    ];
    let ip = |address| IpConfig { interface: Some(0), address, gateway: None };
    CniResult {
        interfaces: vec![Interface {
            name: LINK.to_owned(),
            mac: "00:00:00:00:00:00".to_owned(),
            sandbox: call.environment.namespace.clone(),
            ..Interface::default()
        }],
        ips: usual.into_iter().filter(|net| addresses.contains(net)).map(ip).collect(),
        ..CniResult::default()
    }
}
