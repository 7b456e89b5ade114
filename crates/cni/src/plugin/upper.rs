//! Links that stand on another one: what macvlan, ipvlan and vlan have in common.

use nix::errno::Errno;
use rtnetlink::{
    LinkMessageBuilder, LinkUnspec,
    packet_route::link::{LinkAttribute, LinkMessage},
};
use serde::Deserialize;

use super::endpoint::{self, Setting};
use crate::{
    delegate,
    kernel::{Link, Namespace, Netlink, pod_namespace, route},
    protocol::{Call, CniResult, Code, Command, Dns, Interface, PluginError, all},
};

/// The main routing table.
const MAIN: u8 = 254;

/// The keys as they are written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    master: String,
    mtu: u32,
    link_in_container: bool,
    dns: Dns,
}

/// A kind of such links.
pub(super) struct Kind<'a> {
    /// As the kernel names it.
    pub(super) name: &'static str,
    /// What the kernel needs for it.
    pub(super) module: &'static str,
    /// The message that makes a link of this name on the link of that number.
    pub(super) build: &'a dyn Fn(&str, u32) -> LinkMessage,
    pub(super) settings: &'static [Setting],
}

/// Both namespaces, and what the configuration says.
pub(super) struct Upper {
    keys: Keys,
    pub(super) ipam: Option<String>,
    namespace: Namespace,
    inside: Netlink,
    /// Where the lower link is.
    below: Netlink,
}

impl Upper {
    /// Opens the pod and reads the configuration; changes nothing.
    pub(super) fn open(call: &Call) -> Result<Self, PluginError> {
        let keys: Keys = call.config()?;
        let ipam = delegate::address_management(call)?;
        let namespace = pod_namespace(call)?;
        let inside = Netlink::inside(&namespace)?;
        let below =
            if keys.link_in_container { Netlink::inside(&namespace)? } else { Netlink::open()? };
        Ok(Self { keys, ipam, namespace, inside, below })
    }

    /// The link to stand on: the one that is named or, with `or`, another, or that of the default
    /// route.
    fn master(&self, or: Option<String>) -> Result<Link, PluginError> {
        let place = if self.keys.link_in_container { "in the pod" } else { "on the host" };
        let missing = |name: &str| {
            let problem = format!("is \"{name}\", but there is no such link {place}");
            PluginError::config("master", problem)
        };
        let named = Some(self.keys.master.clone()).filter(|name| !name.is_empty()).or(or);
        if let Some(name) = named {
            return self.below.link(&name)?.ok_or_else(|| missing(&name));
        }
        for is_v4 in [true, false] {
            let routes = self.below.routes(is_v4)?;
            let mut defaults = routes.iter().filter(|message| {
                message.header.destination_prefix_length == 0 && message.header.table == MAIN
            });
            if let Some(index) = defaults.find_map(route::output)
                && let Some(link) = self.below.link_at(index)?
            {
                return Ok(link);
            }
        }
        let problem = format!("is missing, and there is no default route {place} to take it from");
        Err(PluginError::config("master", problem))
    }

    fn check_mtu(&self, master: &Link) -> Result<(), PluginError> {
        let mtu = self.keys.mtu;
        if mtu <= master.mtu {
            return endpoint::check_mtu(mtu);
        }
        let problem =
            format!("is {mtu}, but must not be above {} of `{}`", master.mtu, master.name);
        Err(PluginError::config("mtu", problem))
    }

    /// Makes the link and gives it addresses: those of `given`, or else of the IPAM plugin, or
    /// none. Leaves nothing when it fails.
    pub(super) fn add(
        &self,
        kind: &Kind<'_>,
        given: Option<CniResult>,
        call: &Call,
    ) -> Result<CniResult, PluginError> {
        // In a chain, the link of the plugin before is the one to stand on.
        let before = given.as_ref().and_then(|result| result.interfaces.first());
        let master = self.master(before.map(|interface| interface.name.clone()))?;
        self.check_mtu(&master)?;
        endpoint::refuse_taken_name(&self.inside, call)?;
        let link = self.make(kind, &master, call)?;
        let mut is_leased = false;
        let added = self.set_up(kind, given, &link, &mut is_leased, call);
        if added.is_err() {
            // What cannot be taken back is left to DEL; the failure is what to tell.
            drop(self.inside.delete_link(&link));
            if let (Some(ipam), true) = (&self.ipam, is_leased) {
                drop(delegate::ask(ipam, Command::Del, call));
            }
        }
        added
    }

    fn make(&self, kind: &Kind<'_>, master: &Link, call: &Call) -> Result<Link, PluginError> {
        // Made under the pod's name it would clash with a link of the host.
        let name = endpoint::random_name()?;
        let mut message = (kind.build)(&name, master.index);
        message.attributes.push(LinkAttribute::NetNsFd(self.namespace.raw_fd()));
        if self.keys.mtu != 0 {
            message.attributes.push(LinkAttribute::Mtu(self.keys.mtu));
        }
        self.below.add_link(message, &name).map_err(|error| {
            let is_unknown = error.is(&[Errno::EOPNOTSUPP]);
            let mut said = PluginError::from(error);
            said.message = format!(
                "failed to make a link of kind {} on `{}`: {}",
                kind.name, master.name, said.message
            );
            if is_unknown {
                let (name, module) = (kind.name, kind.module);
                said.details =
                    format!("the kernel has no links of kind {name}: load its module `{module}`");
            }
            said
        })?;
        let made = self.inside.link(&name)?;
        let made = made.ok_or_else(|| PluginError::internal(format!("link `{name}` is gone")))?;
        let message = LinkMessageBuilder::<LinkUnspec>::new().index(made.index).name(call.link());
        let action = || format!("rename link `{name}` of the pod to `{}`", call.link());
        if let Err(failure) = self.inside.change_link(message.build(), action) {
            // The failure is what to tell.
            drop(self.inside.delete_link(&made));
            return Err(failure.into());
        }
        Ok(Link { name: call.link().to_owned(), ..made })
    }

    fn set_up(
        &self,
        kind: &Kind<'_>,
        given: Option<CniResult>,
        link: &Link,
        is_leased: &mut bool,
        call: &Call,
    ) -> Result<CniResult, PluginError> {
        let result = match (given, &self.ipam) {
            (Some(given), _) => Some(given),
            (None, Some(ipam)) => Some(endpoint::lease(ipam, 0, call)?),
            (None, None) => None,
        };
        *is_leased = result.is_some();
        let mut result = match result {
            Some(mut result) => {
                result.ips.iter_mut().for_each(|ip| ip.interface = Some(0));
                endpoint::configure(&self.inside, &self.namespace, &result, kind.settings, call)?;
                result
            }
            None => {
                endpoint::switch_on(&self.inside, call)?;
                CniResult::default()
            }
        };
        result.interfaces = vec![Interface {
            name: link.name.clone(),
            mac: link.mac.clone(),
            sandbox: call.environment.namespace.clone(),
            ..Interface::default()
        }];
        result.dns = self.keys.dns.clone();
        Ok(result)
    }

    /// Looks at the pod's link, which is given, and at the one that it stands on.
    pub(super) fn check(&self, kind: &str, call: &Call) -> Result<Link, PluginError> {
        if let Some(ipam) = &self.ipam {
            delegate::ask(ipam, Command::Check, call)?;
        }
        let previous = call.required_previous()?;
        let link = endpoint::check(&self.inside, &previous, kind, call)?;
        if !self.keys.master.is_empty() {
            self.master(None)?;
        }
        if self.keys.mtu != 0 && self.keys.mtu != link.mtu {
            return Err(PluginError::internal(format!(
                "mtu of link `{}` is {}, but `mtu` is {}",
                link.name, link.mtu, self.keys.mtu
            )));
        }
        Ok(link)
    }
}

/// Takes the link and its lease away.
pub(super) fn del(call: &Call) -> Result<(), PluginError> {
    let ipam = delegate::address_management(call)?;
    let released = ipam.map_or(Ok(()), |ipam| delegate::ask(&ipam, Command::Del, call));
    let removed = endpoint::remove_link(call);
    all([released, removed].into_iter().filter_map(Result::err).collect())
}

/// Links go with their pods; leases may be left.
pub(super) fn gc(call: &Call) -> Result<(), PluginError> {
    call.valid_attachments()?;
    let ipam = delegate::address_management(call)?;
    ipam.map_or(Ok(()), |ipam| delegate::ask(&ipam, Command::Gc, call))
}

/// Whether the link to stand on is there, and addresses are to be had.
pub(super) fn status(call: &Call) -> Result<(), PluginError> {
    let keys: Keys = call.config()?;
    if !keys.master.is_empty()
        && !keys.link_in_container
        && Netlink::open()?.link(&keys.master)?.is_none()
    {
        let problem = format!("`master` is \"{}\", but there is no such link", keys.master);
        return Err(PluginError::new(Code::NotAvailable, problem));
    }
    let ipam = delegate::address_management(call)?;
    ipam.map_or(Ok(()), |ipam| delegate::ask(&ipam, Command::Status, call))
}

/// The mode of the pod's link is another one than is configured.
pub(super) fn wrong_mode(kind: &str, link: &Link, wanted: &str) -> PluginError {
    PluginError::internal(format!(
        "container {kind} mode of link `{}` does not match expected value: {wanted}",
        link.name
    ))
}
