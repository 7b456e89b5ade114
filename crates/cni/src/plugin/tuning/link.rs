//! Aspects of a link.

use nix::errno::Errno;
use rtnetlink::{LinkMessageBuilder, LinkUnspec};

use crate::{
    kernel::{Link, Netlink, parse_mac},
    protocol::PluginError,
};

/// What a link is to be, or was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Aspects {
    /// Hardware address.
    pub(super) mac: Option<String>,
    pub(super) promisc: Option<bool>,
    /// Largest packet in bytes.
    pub(super) mtu: Option<u32>,
    pub(super) allmulti: Option<bool>,
    /// Length of the queue of packets to send.
    pub(super) tx_q_len: Option<u32>,
}

impl Aspects {
    /// Those aspects of a link that `wanted` would change.
    pub(super) fn of(link: &Link, wanted: &Self) -> Self {
        Self {
            mac: wanted.mac.as_ref().map(|_| link.mac.clone()),
            promisc: wanted.promisc.map(|_| link.is_promiscuous),
            mtu: wanted.mtu.map(|_| link.mtu),
            allmulti: wanted.allmulti.map(|_| link.is_allmulticast),
            tx_q_len: wanted.tx_q_len.map(|_| link.tx_queue_length),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Changes a link; stops at what the kernel refuses.
pub(super) fn apply(netlink: &Netlink, link: &Link, wanted: &Aspects) -> Result<(), PluginError> {
    let name = &link.name;
    let message = || LinkMessageBuilder::<LinkUnspec>::new().index(link.index);
    if let Some(mac) = wanted.mac.as_deref() {
        let bytes = parse_mac(mac).unwrap_or_default().to_vec();
        let action = || format!("give link `{name}` the hardware address {mac}");
        netlink.change_link(message().address(bytes).build(), action)?;
    }
    if let Some(on) = wanted.promisc {
        let action = || format!("make link `{name}` promiscuous: {on}");
        netlink.change_link(message().promiscuous(on).build(), action)?;
    }
    if let Some(mtu) = wanted.mtu {
        let action = || format!("set the mtu of link `{name}` to {mtu}");
        let changed = netlink.change_link(message().mtu(mtu).build(), action);
        changed.map_err(|error| {
            if !error.is(&[Errno::EINVAL]) {
                return error.into();
            }
            let problem = format!("is {mtu}, but link `{name}` takes none so small or so large");
            PluginError::config("mtu", problem).details(PluginError::from(error).message)
        })?;
    }
    if let Some(on) = wanted.allmulti {
        let action = || format!("make link `{name}` receive all multicast packets: {on}");
        netlink.change_link(message().allmulticast(on).build(), action)?;
    }
    if let Some(length) = wanted.tx_q_len {
        let action = || format!("set the queue length of link `{name}` to {length}");
        netlink.change_link(message().txqueuelen(length).build(), action)?;
    }
    Ok(())
}

/// Compares a link with what it should be. As in the reference, a link that is promiscuous without
/// being told so is wrong too.
pub(super) fn check(link: &Link, wanted: &Aspects) -> Result<(), PluginError> {
    let differs = |what: &str, wanted: String, now: String| {
        Err(PluginError::internal(format!(
            "tuning configured {what} of `{}` is {wanted}, current value is {now}",
            link.name
        )))
    };
    if let Some(mac) = &wanted.mac
        && parse_mac(mac) != parse_mac(&link.mac)
    {
        return differs("hardware address", mac.clone(), link.mac.clone());
    }
    let promiscuous = wanted.promisc.unwrap_or(false);
    let pairs = [
        ("promisc", Some(promiscuous.into()), u32::from(link.is_promiscuous)),
        ("mtu", wanted.mtu, link.mtu),
        ("allmulti", wanted.allmulti.map(u32::from), link.is_allmulticast.into()),
        ("txQLen", wanted.tx_q_len, link.tx_queue_length),
    ];
    for (what, wanted, now) in pairs {
        if let Some(wanted) = wanted
            && wanted != now
        {
            return differs(what, wanted.to_string(), now.to_string());
        }
    }
    Ok(())
}
