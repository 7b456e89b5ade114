//! Links, addresses and routes, asked of the kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::{
    Handle, RouteMessageBuilder,
    packet_route::{
        address::AddressAttribute,
        link::LinkAttribute,
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol},
    },
};
use tokio::task::JoinHandle;

use crate::CniError;

/// `ENODEV` as the kernel answers it.
const NO_SUCH_DEVICE: i32 = -19;

/// What of the host's network matters to the choice of a subnet.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct HostNetwork {
    /// Networks that addresses and routes of other links than the own bridge lead to.
    pub(crate) taken: Vec<IpNet>,
    /// Links over which the kernel itself took a route from a router advertisement.
    pub(crate) advertised: Vec<String>,
}

/// A connection to the kernel whose driver ends with it.
struct Netlink {
    handle: Handle,
    driver: JoinHandle<()>,
}

impl Netlink {
    fn connect() -> Result<Self, CniError> {
        let (connection, handle, _) = rtnetlink::new_connection()
            .map_err(|cause| CniError::Read { what: "network", cause: cause.into() })?;
        Ok(Self { handle, driver: tokio::spawn(connection) })
    }

    async fn links(&self) -> Result<Vec<(u32, String)>, rtnetlink::Error> {
        let messages: Vec<_> = self.handle.link().get().execute().try_collect().await?;
        let named = messages.into_iter().filter_map(|message| {
            let name = message.attributes.into_iter().find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name),
                _ => None,
            })?;
            Some((message.header.index, name))
        });
        Ok(named.collect())
    }

    /// Addresses with their networks, by link.
    async fn addresses(&self) -> Result<Vec<(u32, IpNet)>, rtnetlink::Error> {
        let messages: Vec<_> = self.handle.address().get().execute().try_collect().await?;
        let nets = messages.into_iter().flat_map(|message| {
            let (link, length) = (message.header.index, message.header.prefix_len);
            message.attributes.into_iter().filter_map(move |attribute| match attribute {
                AddressAttribute::Address(address) | AddressAttribute::Local(address) => {
                    IpNet::new(address, length).ok().map(|net| (link, net))
                }
                _ => None,
            })
        });
        Ok(nets.collect())
    }

    async fn routes(&self) -> Result<Vec<RouteMessage>, rtnetlink::Error> {
        let four = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let six = RouteMessageBuilder::<Ipv6Addr>::new().build();
        let mut routes: Vec<_> = self.handle.route().get(four).execute().try_collect().await?;
        // A kernel without IPv6 refuses the question; then it has no such routes.
        if let Ok(more) = self.handle.route().get(six).execute().try_collect::<Vec<_>>().await {
            routes.extend(more);
        }
        Ok(routes)
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Reads what other links than `bridge` use.
pub(crate) async fn host_network(bridge: &str) -> Result<HostNetwork, CniError> {
    let read = |what| move |cause: rtnetlink::Error| CniError::Read { what, cause: cause.into() };
    let netlink = Netlink::connect()?;
    let links = netlink.links().await.map_err(read("links"))?;
    let own = links.iter().find(|(_, name)| name == bridge).map(|(index, _)| *index);
    let addresses = netlink.addresses().await.map_err(read("addresses"))?;
    let (own_nets, others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|(link, _)| Some(*link) == own);
    let mut taken: Vec<IpNet> = others.into_iter().map(|(_, net)| net).collect();
    // Some kernels route a link's own IPv6 addresses over the loopback link.
    let is_own_address = |net: &IpNet| {
        net.prefix_len() == net.max_prefix_len()
            && own_nets.iter().any(|(_, own)| own.contains(&net.addr()))
    };
    let mut advertised = Vec::new();
    for route in netlink.routes().await.map_err(read("routes"))? {
        let link = output_link(&route);
        if link.is_some() && link == own {
            continue;
        }
        taken.extend(destination(&route).filter(|net| !is_own_address(net)));
        if route.header.protocol == RouteProtocol::Ra {
            let name = links.iter().find(|(index, _)| Some(*index) == link);
            advertised.extend(name.map(|(_, name)| name.clone()));
        }
    }
    Ok(HostNetwork { taken, advertised })
}

/// Removes a bridge; `false` when there was none of that name.
///
/// # Errors
/// When the kernel refuses.
pub async fn remove_bridge(link: &str) -> Result<bool, CniError> {
    let netlink = Netlink::connect()?;
    let failed = |cause: rtnetlink::Error| CniError::RemoveLink {
        link: link.to_owned(),
        cause: cause.into(),
    };
    let links = netlink.links().await.map_err(failed)?;
    let Some((index, _)) = links.into_iter().find(|(_, name)| name == link) else {
        return Ok(false);
    };
    match netlink.handle.link().del(index).execute().await {
        Ok(()) => Ok(true),
        Err(rtnetlink::Error::NetlinkError(error))
            if error.code.is_some_and(|code| code.get() == NO_SUCH_DEVICE) =>
        {
            Ok(false)
        }
        Err(error) => Err(failed(error)),
    }
}

fn output_link(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

/// The network a route leads to; `None` for a default route, which overlaps everything.
fn destination(route: &RouteMessage) -> Option<IpNet> {
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })?;
    let net = IpNet::new(address, route.header.destination_prefix_length).ok()?;
    Some(net).filter(|net| net.prefix_len() > 0 && !net.addr().is_multicast())
}
