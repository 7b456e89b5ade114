//! A pair of links, one end in the pod, the other on the host.

use std::{fs::File, io::Read};

use nix::errno::Errno;
use rtnetlink::{
    LinkMessageBuilder, LinkUnspec, LinkVeth,
    packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage},
};

use crate::{
    kernel::{Link, Namespace, Netlink},
    protocol::{Call, PluginError},
};

/// A veth uses one queue unless it is told otherwise; the kernel makes as many as there may be processors,
/// switches off all but one, and waits for a grace period of each end, which beside a transaction of
/// nf_tables lasts as long as that (`veth_init_queues` in the kernel's veth.c). With one made none waits.
const ONE_QUEUE: [LinkAttribute; 2] =
    [LinkAttribute::NumTxQueues(1), LinkAttribute::NumRxQueues(1)];

/// How often a name for the link on the host is tried.
const NAMES: u32 = 10;

/// What a pair is to be.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::plugin) struct Pair {
    /// Largest packet in bytes; 0 leaves the kernel's.
    pub(in crate::plugin) mtu: u32,
    /// Hardware address of the pod's end; without one, a random one.
    pub(in crate::plugin) mac: Option<[u8; 6]>,
    /// The bridge that the host's end is a port of.
    pub(in crate::plugin) controller: Option<u32>,
}

/// Makes a pair and gives the host's end. Links get their hardware addresses in the message that
/// makes them, so that udev leaves them alone.
pub(in crate::plugin) fn add_pair(
    host: &Netlink,
    inside: &Netlink,
    namespace: &Namespace,
    wanted: Pair,
    call: &Call,
) -> Result<Link, PluginError> {
    super::refuse_taken_name(inside, call)?;
    for attempt in 1.. {
        let name = random_name()?;
        let message = message(&name, namespace, wanted, call)?;
        match host.add_link(message, &name) {
            Ok(()) => {
                let link = host.link(&name)?;
                return link.ok_or_else(|| PluginError::internal(format!("link `{name}` is gone")));
            }
            Err(error) if error.is(&[Errno::EEXIST]) && attempt < NAMES => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(PluginError::internal("no name for the link on the host is free"))
}

fn message(
    name: &str,
    namespace: &Namespace,
    wanted: Pair,
    call: &Call,
) -> Result<LinkMessage, PluginError> {
    let pod_mac = match wanted.mac {
        Some(mac) => mac,
        None => super::random_mac()?,
    };
    let mut peer = LinkMessageBuilder::<LinkUnspec>::new()
        .name(call.link())
        .address(pod_mac.to_vec())
        .append_extra_attribute(LinkAttribute::NetNsFd(namespace.raw_fd()));
    let mut message = LinkVeth::new(name, call.link()).address(super::random_mac()?.to_vec());
    for queues in ONE_QUEUE {
        peer = peer.append_extra_attribute(queues.clone());
        message = message.append_extra_attribute(queues);
    }
    if let Some(controller) = wanted.controller {
        message = message.controller(controller);
    }
    if wanted.mtu != 0 {
        peer = peer.mtu(wanted.mtu);
        message = message.mtu(wanted.mtu);
    }
    let peer = InfoData::Veth(InfoVeth::Peer(peer.build()));
    Ok(message.set_info_data(peer).build())
}

/// A name as the reference gives its links on the host.
pub(in crate::plugin) fn random_name() -> Result<String, PluginError> {
    Ok(format!("veth{:08x}", u32::from_ne_bytes(random()?)))
}

/// Random bytes.
pub(in crate::plugin) fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], PluginError> {
    const SOURCE: &str = "/dev/urandom";
    let mut bytes = [0; LENGTH];
    File::open(SOURCE)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|cause| PluginError::because(format_args!("read `{SOURCE}`"), &cause))?;
    Ok(bytes)
}
