//! Links and their addresses.

use std::net::IpAddr;

use ipnet::IpNet;
use nix::errno::Errno;
use rtnetlink::{
    AddressMessageBuilder, LinkMessageBuilder, LinkUnspec,
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{
            AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
        },
        link::{
            AfSpecInet, AfSpecUnspec, InfoData, InfoKind, InfoPortData, LinkAttribute, LinkFlags,
            LinkInfo, LinkMessage, State,
        },
    },
};

use super::{KernelError, Netlink, netlink::Mode};

/// What plugins need to know of a link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// Hardware address, as `02:00:00:00:00:01`; empty when it has none.
    pub(crate) mac: String,
    pub(crate) mtu: u32,
    /// Kind, as `veth`; empty for hardware and the loopback link.
    pub(crate) kind: String,
    /// Administratively up.
    pub(crate) is_up: bool,
    /// Up and with a carrier.
    pub(crate) is_operational: bool,
    pub(crate) is_promiscuous: bool,
    pub(crate) is_allmulticast: bool,
    pub(crate) tx_queue_length: u32,
    /// The bridge or other link that it is a port of.
    pub(crate) controller: Option<u32>,
    /// The link it stands on; the peer of a veth, perhaps in another namespace.
    pub(crate) lower: Option<u32>,
    /// What is particular to its kind.
    pub(crate) data: Option<InfoData>,
    /// A note that goes with the link.
    pub(crate) alias: String,
    /// As a port of a bridge: whether it gets its own packets back.
    pub(crate) is_hairpin: bool,
    /// Whether 127.0.0.0/8 is routed over it.
    pub(crate) routes_localnet: bool,
}

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinkAddress {
    pub(crate) net: IpNet,
    pub(crate) is_tentative: bool,
    /// Another host has it.
    pub(crate) is_duplicate: bool,
    /// It reaches no further than the link.
    pub(crate) is_link_local: bool,
}

impl Netlink {
    /// The link of that name.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn link(&self, name: &str) -> Result<Option<Link>, KernelError> {
        let message = LinkMessageBuilder::<LinkUnspec>::new().name(name).build();
        self.get_link(message, || format!("look for link `{name}`"))
    }

    /// The link with that number.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn link_at(&self, index: u32) -> Result<Option<Link>, KernelError> {
        let message = LinkMessageBuilder::<LinkUnspec>::new().index(index).build();
        self.get_link(message, || format!("look for link number {index}"))
    }

    fn get_link(
        &self,
        message: LinkMessage,
        action: impl FnOnce() -> String,
    ) -> Result<Option<Link>, KernelError> {
        match self.request(RouteNetlinkMessage::GetLink(message), Mode::Get, action) {
            Ok(answers) => Ok(answers.into_iter().find_map(Link::read)),
            // A name that no link can have is answered with ERANGE.
            Err(error) if error.is(&[Errno::ENODEV, Errno::ERANGE]) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All links.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn links(&self) -> Result<Vec<Link>, KernelError> {
        let message = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let answers = self.request(message, Mode::List, || "list links".to_owned())?;
        Ok(answers.into_iter().filter_map(Link::read).collect())
    }

    /// Makes a link; `name` is for the error.
    ///
    /// # Errors
    /// When the kernel refuses, with `EEXIST` when the name is taken.
    pub(crate) fn add_link(&self, message: LinkMessage, name: &str) -> Result<(), KernelError> {
        let message = RouteNetlinkMessage::NewLink(message);
        self.request(message, Mode::Create, || format!("add link `{name}`")).map(drop)
    }

    /// Changes a link; `action` says what is changed.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn change_link(
        &self,
        message: LinkMessage,
        action: impl FnOnce() -> String,
    ) -> Result<(), KernelError> {
        self.request(RouteNetlinkMessage::NewLink(message), Mode::Change, action).map(drop)
    }

    /// Adds VLANs to a port of a bridge.
    ///
    /// # Errors
    /// When the kernel refuses, as one without VLANs does.
    pub(crate) fn set_vlans(
        &self,
        message: LinkMessage,
        action: impl FnOnce() -> String,
    ) -> Result<(), KernelError> {
        self.request(RouteNetlinkMessage::SetLink(message), Mode::Change, action).map(drop)
    }

    /// Takes VLANs from a port of a bridge.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn delete_vlans(
        &self,
        message: LinkMessage,
        action: impl FnOnce() -> String,
    ) -> Result<(), KernelError> {
        self.request(RouteNetlinkMessage::DelLink(message), Mode::Change, action).map(drop)
    }

    /// Switches a link on or off.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn set_up(&self, link: &Link, up: bool) -> Result<(), KernelError> {
        let message = LinkMessageBuilder::<LinkUnspec>::new().index(link.index);
        let message = if up { message.up() } else { message.down() }.build();
        let word = if up { "up" } else { "down" };
        self.change_link(message, || format!("set link `{}` {word}", link.name))
    }

    /// Removes a link; `false` when it was gone.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn delete_link(&self, link: &Link) -> Result<bool, KernelError> {
        let message = LinkMessageBuilder::<LinkUnspec>::new().index(link.index).build();
        let action = || format!("remove link `{}`", link.name);
        match self.request(RouteNetlinkMessage::DelLink(message), Mode::Change, action) {
            Ok(_) => Ok(true),
            Err(error) if error.is(&[Errno::ENODEV]) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Addresses of a link, of both families.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub(crate) fn addresses(&self, link: &Link) -> Result<Vec<LinkAddress>, KernelError> {
        let mut message = AddressMessage::default();
        message.header.index = link.index;
        let message = RouteNetlinkMessage::GetAddress(message);
        let action = || format!("list addresses of link `{}`", link.name);
        // Beside a thousand pods, all others' take longer than all else that is asked of links.
        let answers = self.strictly(|| self.request(message, Mode::List, action))?;
        let own = answers.into_iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewAddress(message) if message.header.index == link.index => {
                LinkAddress::read(&message)
            }
            _ => None,
        });
        Ok(own.collect())
    }

    /// Gives a link an address.
    ///
    /// # Errors
    /// When the kernel refuses, with `EEXIST` when it has it.
    pub(crate) fn add_address(&self, link: &Link, net: IpNet) -> Result<(), KernelError> {
        let message = RouteNetlinkMessage::NewAddress(address_message(link, net));
        let action = || format!("add address {net} to link `{}`", link.name);
        self.request(message, Mode::Create, action).map(drop)
    }

    /// Gives a link an address that it may have.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn replace_address(&self, link: &Link, net: IpNet) -> Result<(), KernelError> {
        let message = RouteNetlinkMessage::NewAddress(address_message(link, net));
        let action = || format!("add address {net} to link `{}`", link.name);
        self.request(message, Mode::Replace, action).map(drop)
    }

    /// Takes an address from a link.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn delete_address(&self, link: &Link, net: IpNet) -> Result<(), KernelError> {
        let message = RouteNetlinkMessage::DelAddress(address_message(link, net));
        let action = || format!("remove address {net} from link `{}`", link.name);
        self.request(message, Mode::Change, action).map(drop)
    }
}

fn address_message(link: &Link, net: IpNet) -> AddressMessage {
    match net {
        IpNet::V4(net) => AddressMessageBuilder::<std::net::Ipv4Addr>::new()
            .index(link.index)
            .address(net.addr(), net.prefix_len())
            .build(),
        IpNet::V6(net) => AddressMessageBuilder::<std::net::Ipv6Addr>::new()
            .index(link.index)
            .address(net.addr(), net.prefix_len())
            .build(),
    }
}

impl Link {
    fn read(message: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewLink(message) = message else { return None };
        let flags = message.header.flags;
        let mut link = Self {
            index: message.header.index,
            is_up: flags.contains(LinkFlags::Up),
            is_promiscuous: flags.contains(LinkFlags::Promisc),
            is_allmulticast: flags.contains(LinkFlags::Allmulti),
            ..Self::default()
        };
        for attribute in message.attributes {
            link.take(attribute);
        }
        Some(link)
    }

    fn take(&mut self, attribute: LinkAttribute) {
        match attribute {
            LinkAttribute::IfName(name) => self.name = name,
            LinkAttribute::IfAlias(alias) => self.alias = alias,
            LinkAttribute::Address(bytes) => self.mac = mac_text(&bytes),
            LinkAttribute::Mtu(mtu) => self.mtu = mtu,
            LinkAttribute::OperState(state) => self.is_operational = state == State::Up,
            LinkAttribute::TxQueueLen(length) => self.tx_queue_length = length,
            LinkAttribute::Controller(index) => self.controller = Some(index),
            LinkAttribute::Link(index) => self.lower = Some(index),
            LinkAttribute::AfSpecUnspec(families) => {
                self.routes_localnet = families.iter().any(|family| {
                    match family {
                    AfSpecUnspec::Inet(settings) => settings.iter().any(|settings| {
                        matches!(settings, AfSpecInet::DevConf(conf) if conf.route_localnet == 1)
                    }),
                    _ => false,
                }
                });
            }
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    match info {
                        LinkInfo::Kind(kind) => self.kind = kind_text(&kind),
                        LinkInfo::Data(data) => self.data = Some(data),
                        LinkInfo::PortData(InfoPortData::BridgePort(port)) => {
                            self.is_hairpin = port.iter().any(|info| {
                                use rtnetlink::packet_route::link::InfoBridgePort;
                                matches!(info, InfoBridgePort::HairpinMode(true))
                            });
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

fn kind_text(kind: &InfoKind) -> String {
    kind.to_string()
}

/// A hardware address as the kernel's tools print it; nothing for one of no bytes.
pub(crate) fn mac_text(bytes: &[u8]) -> String {
    let parts: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    parts.join(":")
}

/// Six bytes written as `02:00:00:00:00:01`, with `:` or `-`, in any case.
pub(crate) fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let separator = if text.contains('-') { '-' } else { ':' };
    let bytes = text.split(separator).map(|part| {
        let is_hex = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        u8::from_str_radix(part, 16).ok().filter(|_| is_hex)
    });
    bytes.collect::<Option<Vec<_>>>()?.try_into().ok()
}

impl LinkAddress {
    fn read(message: &AddressMessage) -> Option<Self> {
        let find = |local: bool| {
            message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(address) if local => Some(*address),
                AddressAttribute::Address(address) if !local => Some(*address),
                _ => None,
            })
        };
        let address: IpAddr = find(true).or_else(|| find(false))?;
        let wide = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Flags(flags) => Some(*flags),
            _ => None,
        });
        let has = |narrow: AddressHeaderFlags, flag: AddressFlags| {
            message.header.flags.contains(narrow) || wide.is_some_and(|flags| flags.contains(flag))
        };
        Some(Self {
            net: IpNet::new(address, message.header.prefix_len).ok()?,
            is_tentative: has(AddressHeaderFlags::Tentative, AddressFlags::Tentative),
            is_duplicate: has(AddressHeaderFlags::Dadfailed, AddressFlags::Dadfailed),
            is_link_local: message.header.family == AddressFamily::Inet6
                && message.header.scope == AddressScope::Link,
        })
    }
}
