//! `bridge`: a pair of links from the pod to a bridge on the host.
//!
//! What is made, and in which order results name it, is the reference plugin's. Better than there:
//! links get their hardware addresses in the message that makes them, so that udev leaves them
//! alone; rules are made beside the links; an ADD that fails half-way leaves nothing; DEL and GC find
//! the masquerading rules by the container's id, so that they go with a namespace that is gone
//! already.

mod check;
mod config;
mod gateway;
mod ports;
mod spoof;

pub(crate) use spoof::{BASE as SPOOF_BASE, TABLE as SPOOF_TABLE};

use crate::{
    delegate,
    kernel::{Link, Namespace, Netlink, mac_text},
    netfilter::{
        maker::{Chosen, Maker},
        masquerade::{self, Pod},
    },
    protocol::{Call, CniResult, Command, Interface, Plugin, PluginError, Proof, all},
};

use super::endpoint;
use config::Config;
use ports::Veth;

pub(super) struct Bridge;

impl Plugin for Bridge {
    fn name(&self) -> &'static str {
        "bridge"
    }

    fn probe(&self, call: &Call) -> Result<(), PluginError> {
        Config::read(call).map(drop)
    }

    fn add(&self, call: &Call) -> Result<CniResult, PluginError> {
        let config = Config::read(call)?;
        let namespace = crate::kernel::pod_namespace(call)?;
        let host = Netlink::open()?;
        let inside = Netlink::inside(&namespace)?;
        let is_new = ports::ensure_bridge(&host, &config)?;
        let mut made = Made {
            host: &host,
            config: &config,
            call,
            links: None,
            has_lease: false,
            proof: None,
            may_have_rules: false,
        };
        let added = add(&mut made, &inside, &namespace);
        if added.is_err() {
            made.undo(is_new);
        }
        added
    }

    fn del(&self, call: &Call) -> Result<(), PluginError> {
        let config = Config::read(call)?;
        let pod = pod_of(call);
        let mut errors: Vec<PluginError> = Vec::new();
        // What is given back over the pod's own link goes before it.
        let (first, later) = endpoint::releases(config.ipam.as_deref());
        errors.extend(first.and_then(|ipam| delegate::ask(ipam, Command::Del, call).err()));
        // Taking a link away waits for the kernel's grace periods, and looking for rules takes its time,
        // too. The lease is free after the link.
        let rules = std::thread::scope(|scope| {
            let rules = scope.spawn(|| {
                let results = [masquerade::remove(pod), spoof::remove(call)];
                all(results.into_iter().filter_map(Result::err).collect())
            });
            errors.extend(endpoint::remove_link(call).err());
            errors.extend(later.and_then(|ipam| delegate::ask(ipam, Command::Del, call).err()));
            rules.join().unwrap_or_else(died)
        });
        errors.extend(rules.err());
        // Where the network has no portmap, as CRI-O's need not have.
        errors.extend(crate::ports::published::forget(&call.network, call.container_id()).err());
        all(errors)
    }

    fn check(&self, call: &Call) -> Result<(), PluginError> {
        let config = Config::read(call)?;
        if let Some(ipam) = &config.ipam {
            delegate::ask(ipam, Command::Check, call)?;
        }
        check::check(call, &config)
    }

    fn gc(&self, call: &Call) -> Result<(), PluginError> {
        let valid = call.valid_attachments()?;
        let config = Config::read(call)?;
        let mut errors = Vec::new();
        errors.extend(masquerade::keep_only(&call.network, &valid).err());
        // Also where the configuration does not ask for the check any more.
        errors.extend(spoof::keep_only(&Netlink::open()?, &valid).err());
        if let Some(ipam) = &config.ipam {
            errors.extend(delegate::ask(ipam, Command::Gc, call).err());
        }
        all(errors)
    }

    fn status(&self, call: &Call) -> Result<(), PluginError> {
        let config = Config::read(call)?;
        match &config.ipam {
            Some(ipam) => delegate::ask(ipam, Command::Status, call),
            None => Ok(()),
        }
    }
}

fn pod_of(call: &Call) -> Pod<'_> {
    Pod { network: &call.network, container: call.container_id(), link: call.link() }
}

/// What an ADD has made so far.
struct Made<'a> {
    host: &'a Netlink,
    config: &'a Config,
    call: &'a Call,
    /// The bridge and the pair.
    links: Option<(Link, Veth)>,
    has_lease: bool,
    /// What is still to be looked at before the lease is one.
    proof: Option<Proof>,
    /// Whether rules may have been made. Those that are there before are of an earlier ADD.
    may_have_rules: bool,
}

impl Made<'_> {
    /// The bridge and the pair, which is made unless it is there.
    fn link(
        &mut self,
        inside: &Netlink,
        namespace: &Namespace,
    ) -> Result<(Link, Veth), PluginError> {
        if let Some(links) = &self.links {
            return Ok(links.clone());
        }
        let (config, call, host) = (self.config, self.call, self.host);
        let bridge = ports::bridge(host, &config.bridge)?;
        let veth = ports::add_veth(host, inside, namespace, &bridge, config, call)?;
        Ok(self.links.insert((bridge, veth)).clone())
    }

    /// Makes sure of the lease; when it is none, there is nothing to take back of it.
    fn prove(&mut self) -> Result<(), PluginError> {
        let proven = self.proof.take().map_or(Ok(()), Proof::give);
        proven.inspect_err(|_| self.has_lease = false)
    }

    /// Takes back what was made. What cannot be taken back is left to DEL, which the runtime calls
    /// after a failed ADD; the failure itself is what to tell.
    fn undo(&mut self, bridge_is_new: bool) {
        drop(self.prove());
        if let Some((_, veth)) = &self.links {
            drop(self.host.delete_link(&veth.host));
        }
        if self.config.masquerade && self.may_have_rules {
            drop(masquerade::remove(pod_of(self.call)));
        }
        if self.config.spoof_check && self.may_have_rules {
            drop(spoof::remove(self.call));
        }
        if let (Some(ipam), true) = (&self.config.ipam, self.has_lease) {
            drop(delegate::ask(ipam, Command::Del, self.call));
        }
        if bridge_is_new {
            ports::remove_unused_bridge(self.host, &self.config.bridge);
        }
    }
}

fn add(
    made: &mut Made<'_>,
    inside: &Netlink,
    namespace: &Namespace,
) -> Result<CniResult, PluginError> {
    let (config, call) = (made.config, made.call);
    endpoint::refuse_taken_name(inside, call)?;
    let masquerading =
        (config.masquerade && config.ipam.is_some()).then(|| Chosen::new(config.backend));
    let mut maker = masquerading.map(Maker::start);
    let mut result = CniResult::default();
    if let Some(ipam) = &config.ipam {
        // Rules need nothing but the address, so the link is made beside them where it can be.
        if endpoint::leases_over_link(ipam) {
            made.link(inside, namespace)?;
        }
        let early = endpoint::lease_early(ipam, 2, call)?;
        (result, made.proof) = (early.result, Some(early.proof));
        made.has_lease = true;
        gateway::complete(&mut result, config);
    }
    made.may_have_rules = true;
    let first = maker.as_mut().map(Maker::after);
    let rules = maker.map(|maker| || masquerade(call, &result, maker));
    result.interfaces = beside(rules, || {
        made.link(inside, namespace)?;
        drop(first);
        let interfaces = set_up(made, inside, namespace, &result)?;
        made.prove().map(|()| interfaces)
    })?;
    if !config.dns.is_empty() {
        result.dns = config.dns.clone();
    }
    Ok(result)
}

/// Makes the pair of links unless it is there, and gives it what the result says.
fn set_up(
    made: &mut Made<'_>,
    inside: &Netlink,
    namespace: &Namespace,
    result: &CniResult,
) -> Result<Vec<Interface>, PluginError> {
    let (config, call, host) = (made.config, made.call, made.host);
    let (bridge, veth) = made.link(inside, namespace)?;
    if config.ipam.is_some() {
        endpoint::configure(inside, namespace, result, config.link_settings(), call)?;
        if config.is_gateway {
            gateway::ensure(host, &bridge, result, config)?;
        }
    } else if !config.is_interface_disabled {
        endpoint::switch_on(inside, call)?;
    }
    if config.spoof_check {
        let mac = config.mac.map_or_else(|| veth.pod.mac.clone(), |mac| mac_text(&mac));
        spoof::add(&veth.host.name, &mac, call)?;
    }
    if !config.is_interface_disabled {
        ports::await_carrier(host, &veth.host)?;
    }
    interfaces(host, inside, namespace, config, &veth)
}

fn masquerade(call: &Call, result: &CniResult, maker: Maker) -> Result<(), PluginError> {
    let addresses: Vec<_> = result.ips.iter().map(|ip| ip.address).collect();
    masquerade::add(pod_of(call), &addresses, maker)
}

/// Makes rules, where there are any to make, on a thread of its own beside something else: the kernel
/// looks at all rules of the node each time. When both fail, the other's failure is told.
fn beside<T>(
    rules: Option<impl FnOnce() -> Result<(), PluginError> + Send>,
    other: impl FnOnce() -> Result<T, PluginError>,
) -> Result<T, PluginError> {
    std::thread::scope(|scope| {
        let rules = rules.map(|rules| scope.spawn(rules));
        let done = other();
        let made = rules.map_or(Ok(()), |rules| rules.join().unwrap_or_else(died));
        let done = done?;
        made.map(|()| done)
    })
}

fn died(_panic: Box<dyn std::any::Any + Send>) -> Result<(), PluginError> {
    Err(PluginError::internal("the thread for rules died"))
}

/// The bridge, the link on the host, the link in the pod; hardware addresses as they are now, for
/// that of a bridge may come from its first port.
fn interfaces(
    host: &Netlink,
    inside: &Netlink,
    namespace: &Namespace,
    config: &Config,
    veth: &Veth,
) -> Result<Vec<Interface>, PluginError> {
    let bridge = ports::bridge(host, &config.bridge)?;
    let outer = host.link_at(veth.host.index)?.unwrap_or_else(|| veth.host.clone());
    let pod = inside.link(&veth.pod.name)?.unwrap_or_else(|| veth.pod.clone());
    let sandbox = namespace.path().display().to_string();
    let interface = |name: String, mac: String, sandbox: &str| Interface {
        name,
        mac,
        sandbox: sandbox.to_owned(),
        ..Interface::default()
    };
    Ok(vec![
        interface(bridge.name, bridge.mac, ""),
        interface(outer.name, outer.mac, ""),
        interface(pod.name, pod.mac, &sandbox),
    ])
}
