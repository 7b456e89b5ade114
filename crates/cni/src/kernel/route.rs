//! Routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nix::errno::Errno;
use rtnetlink::{
    RouteMessageBuilder,
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        route::{
            RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteProtocol, RouteScope,
            RouteType,
        },
    },
};

use super::{KernelError, Link, Netlink, netlink::Mode};
use crate::protocol::Route;

impl Netlink {
    /// Adds a route over a link, with `gateway` where the route has none of its own.
    ///
    /// # Errors
    /// When the kernel refuses, with `EEXIST` when there is such a route.
    pub(crate) fn add_route(
        &self,
        link: &Link,
        route: &Route,
        gateway: Option<IpAddr>,
    ) -> Result<(), KernelError> {
        let gateway = route.gw.or(gateway);
        let message = RouteNetlinkMessage::NewRoute(route_message(link, route, gateway));
        let action = || {
            let via = gateway.map_or_else(String::new, |gateway| format!(" via {gateway}"));
            format!("add route {}{via} over link `{}`", route.dst, link.name)
        };
        self.request(message, Mode::Create, action).map(drop)
    }

    /// The link over which packets to an address leave.
    ///
    /// # Errors
    /// When the kernel cannot be asked, or knows no way.
    pub(crate) fn output_link(&self, address: IpAddr) -> Result<Option<u32>, KernelError> {
        Ok(self.route_to(address)?.as_ref().and_then(output))
    }

    /// Whether an address is this namespace's own; what the kernel knows no way to is not.
    pub(crate) fn is_own(&self, address: IpAddr) -> bool {
        let route = self.route_to(address).ok().flatten();
        route.is_some_and(|route| route.header.kind == RouteType::Local)
    }

    fn route_to(&self, address: IpAddr) -> Result<Option<RouteMessage>, KernelError> {
        let message = match address {
            IpAddr::V4(address) => {
                RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(address, 32).build()
            }
            IpAddr::V6(address) => {
                RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(address, 128).build()
            }
        };
        let action = || format!("find the route to {address}");
        let answers = self.request(RouteNetlinkMessage::GetRoute(message), Mode::Get, action)?;
        Ok(answers.into_iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewRoute(route) => Some(route),
            _ => None,
        }))
    }

    /// Routes of one family, in all tables.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn routes(&self, is_v4: bool) -> Result<Vec<RouteMessage>, KernelError> {
        let message = if is_v4 {
            RouteMessageBuilder::<Ipv4Addr>::new().build()
        } else {
            RouteMessageBuilder::<Ipv6Addr>::new().build()
        };
        let message = RouteNetlinkMessage::GetRoute(message);
        let answers = self.request(message, Mode::List, || "list routes".to_owned())?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewRoute(route) => Some(route),
                _ => None,
            })
            .collect())
    }
}

/// The link that a route leads over.
pub(crate) fn output(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

/// The network that a route leads to; the whole family's for a default route.
pub(crate) fn destination(route: &RouteMessage) -> Option<IpNet> {
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(address) => plain(address),
        _ => None,
    });
    let any = match route.header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    IpNet::new(address.unwrap_or(any), route.header.destination_prefix_length).ok()
}

/// The next hop of a route.
pub(crate) fn gateway(route: &RouteMessage) -> Option<IpAddr> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => plain(address),
        _ => None,
    })
}

fn plain(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

fn route_message(link: &Link, route: &Route, gateway: Option<IpAddr>) -> RouteMessage {
    let mut message = match route.dst {
        IpNet::V4(net) => {
            let mut builder = RouteMessageBuilder::<Ipv4Addr>::new()
                .output_interface(link.index)
                .destination_prefix(net.network(), net.prefix_len());
            if let Some(IpAddr::V4(gateway)) = gateway {
                builder = builder.gateway(gateway);
            }
            builder.build()
        }
        IpNet::V6(net) => {
            let mut builder = RouteMessageBuilder::<Ipv6Addr>::new()
                .output_interface(link.index)
                .destination_prefix(net.network(), net.prefix_len());
            if let Some(IpAddr::V6(gateway)) = gateway {
                builder = builder.gateway(gateway);
            }
            builder.build()
        }
    };
    message.header.protocol = RouteProtocol::Boot;
    // As the reference does: a route without a gateway is in reach of the link unless told
    // otherwise.
    message.header.scope = match route.scope {
        Some(scope) => RouteScope::from(scope),
        None => RouteScope::Universe,
    };
    let metrics = [route.mtu.map(RouteMetric::Mtu), route.advmss.map(RouteMetric::Advmss)];
    let metrics: Vec<_> = metrics.into_iter().flatten().collect();
    if !metrics.is_empty() {
        message.attributes.push(RouteAttribute::Metrics(metrics));
    }
    message.attributes.extend(route.priority.map(RouteAttribute::Priority));
    if let Some(table) = route.table {
        message.attributes.push(RouteAttribute::Table(table));
    }
    message
}

/// A route of the main table, for what [`Netlink::add_route`] does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlainRoute {
    pub(crate) destination: IpNet,
    pub(crate) gateway: Option<IpAddr>,
    /// The address that packets leave with.
    pub(crate) source: Option<IpAddr>,
    /// How far away the destination is; `Nowhere` matches any when a route is removed.
    pub(crate) scope: RouteScope,
}

impl PlainRoute {
    /// The message that adds it.
    pub(crate) fn message(self, link: &Link) -> RouteMessage {
        let (net, index) = (self.destination, link.index);
        let mut message = match net.network() {
            IpAddr::V4(address) => RouteMessageBuilder::<Ipv4Addr>::new()
                .output_interface(index)
                .destination_prefix(address, net.prefix_len())
                .build(),
            IpAddr::V6(address) => RouteMessageBuilder::<Ipv6Addr>::new()
                .output_interface(index)
                .destination_prefix(address, net.prefix_len())
                .build(),
        };
        let gateway = self.gateway.map(|address| RouteAttribute::Gateway(address.into()));
        let source = self.source.map(|address| RouteAttribute::PrefSource(address.into()));
        message.attributes.extend(gateway.into_iter().chain(source));
        message.header.scope = self.scope;
        message.header.protocol = RouteProtocol::Boot;
        message
    }
}

impl Netlink {
    /// Adds a plain route over a link.
    ///
    /// # Errors
    /// When the kernel refuses, with `EEXIST` when there is such a route.
    pub(crate) fn add_plain(&self, link: &Link, route: PlainRoute) -> Result<(), KernelError> {
        let action = || format!("add route {} over link `{}`", route.destination, link.name);
        let message = RouteNetlinkMessage::NewRoute(route.message(link));
        self.request(message, Mode::Create, action).map(drop)
    }

    /// Removes a route over a link, whoever made it; `false` when there is none.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn remove_plain(&self, link: &Link, route: PlainRoute) -> Result<bool, KernelError> {
        let action = || format!("remove route {} over link `{}`", route.destination, link.name);
        let mut message = route.message(link);
        message.header.protocol = RouteProtocol::Unspec;
        message.header.kind = RouteType::Unspec;
        let message = RouteNetlinkMessage::DelRoute(message);
        match self.request(message, Mode::Change, action) {
            Ok(_) => Ok(true),
            Err(error) if error.is(&[Errno::ESRCH, Errno::ENOENT]) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The number of a route's table.
pub(crate) fn table(route: &RouteMessage) -> u32 {
    let attribute = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    attribute.unwrap_or_else(|| route.header.table.into())
}

/// The address that packets leave with.
pub(crate) fn source(route: &RouteMessage) -> Option<IpAddr> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::PrefSource(address) => plain(address),
        _ => None,
    })
}

/// The same route in another table, without what the kernel notes of it.
pub(crate) fn in_table(route: &RouteMessage, table: u32) -> RouteMessage {
    let mut route = route.clone();
    route.header.flags = rtnetlink::packet_route::route::RouteFlags::empty();
    route.header.table = u8::try_from(table).unwrap_or_default();
    route.attributes.retain(|attribute| {
        !matches!(attribute, RouteAttribute::Table(_) | RouteAttribute::CacheInfo(_))
    });
    route.attributes.push(RouteAttribute::Table(table));
    route
}

impl Netlink {
    /// Adds a route as it is, in place of one that is there.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn replace_route(&self, route: RouteMessage) -> Result<(), KernelError> {
        let action = describe("add", &route);
        self.request(RouteNetlinkMessage::NewRoute(route), Mode::Replace, || action).map(drop)
    }

    /// Removes a route as it is; what is gone is no failure.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn remove_route(&self, route: RouteMessage) -> Result<(), KernelError> {
        let action = describe("remove", &route);
        let removed = self.request(RouteNetlinkMessage::DelRoute(route), Mode::Change, || action);
        match removed {
            Err(error) if error.is(&[Errno::ESRCH, Errno::ENOENT]) => Ok(()),
            other => other.map(drop),
        }
    }
}

fn describe(verb: &str, route: &RouteMessage) -> String {
    let net = destination(route).map_or_else(|| "of no family".to_owned(), |net| net.to_string());
    let via = gateway(route).map_or_else(String::new, |gateway| format!(" via {gateway}"));
    format!("{verb} route {net}{via} of table {}", table(route))
}
