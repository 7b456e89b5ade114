use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

/// A transport protocol that has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// SCTP.
    Sctp,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// As rules spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sctp => "sctp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// As IP numbers it.
    #[must_use]
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Sctp => 132,
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// The protocol of that name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Sctp, Self::Tcp, Self::Udp];
        all.into_iter().find(|protocol| protocol.as_str().eq_ignore_ascii_case(name))
    }
}

/// A port of the host that leads to one of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortMapping {
    /// The host's port.
    pub host_port: u16,
    /// The pod's port.
    pub container_port: u16,
    /// The transport.
    pub protocol: Protocol,
    /// The only address of the host that it holds for; all of them without one.
    pub host_ip: Option<IpAddr>,
}

/// Why a text is no mapping.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no HOST:POD port mapping such as 8080:80 or 53:53/udp: {problem}")]
pub struct InvalidMapping {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

impl PortMapping {
    /// Whether it holds for packets to the host's addresses of that family.
    pub(crate) fn is_for(&self, is_v4: bool) -> bool {
        self.host_ip.is_none_or(|address| address.is_ipv4() == is_v4)
    }

    /// The address that rules must match; none for all.
    pub(crate) fn destination(&self) -> Option<IpAddr> {
        self.host_ip.filter(|address| !address.is_unspecified())
    }

    /// Whether a packet could be for this one and for one with that protocol, port and address.
    pub(crate) fn meets(&self, protocol: u8, port: u16, address: Option<IpAddr>) -> bool {
        let same_address = match (self.destination(), address) {
            (Some(own), Some(other)) => own == other,
            _ => true,
        };
        self.protocol.number() == protocol && self.host_port == port && same_address
    }
}

impl fmt::Display for PortMapping {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.destination() {
            Some(IpAddr::V6(address)) => write!(formatter, "[{address}]:")?,
            Some(IpAddr::V4(address)) => write!(formatter, "{address}:")?,
            None => {}
        }
        write!(formatter, "{}->{}/{}", self.host_port, self.container_port, self.protocol.as_str())
    }
}

impl FromStr for PortMapping {
    type Err = InvalidMapping;

    /// Reads `HOST:POD` with `/tcp`, `/udp` or `/sctp` behind it; TCP without.
    fn from_str(text: &str) -> Result<Self, InvalidMapping> {
        let wrong = |problem: String| InvalidMapping { text: text.to_owned(), problem };
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = Protocol::parse(protocol)
            .ok_or_else(|| wrong(format!("`{protocol}` is none of tcp, udp, sctp")))?;
        let (host, container) = ports
            .split_once(':')
            .ok_or_else(|| wrong("there is no `:` between two ports".into()))?;
        let port = |text: &str| {
            let number = text.parse::<u16>().ok().filter(|port| *port != 0);
            number.ok_or_else(|| wrong(format!("`{text}` is no port between 1 and 65535")))
        };
        Ok(Self {
            host_port: port(host)?,
            container_port: port(container)?,
            protocol,
            host_ip: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_read_and_shown() {
        let show = |text: &str| text.parse::<PortMapping>().unwrap().to_string();
        assert_eq!(show("8080:80"), "8080->80/tcp");
        assert_eq!(show("53:5353/UDP"), "53->5353/udp");
        let problem = |text: &str| text.parse::<PortMapping>().unwrap_err().problem;
        assert_eq!(problem("80"), "there is no `:` between two ports");
        assert_eq!(problem("0:80"), "`0` is no port between 1 and 65535");
        assert_eq!(problem("80:70000"), "`70000` is no port between 1 and 65535");
        assert_eq!(problem("80:80/icmp"), "`icmp` is none of tcp, udp, sctp");
    }

    #[test]
    fn two_meet_where_both_addresses_hold() {
        let mut mapping: PortMapping = "80:80".parse().unwrap();
        let here = "192.0.2.1".parse().ok();
        assert!(mapping.meets(6, 80, here) && mapping.meets(6, 80, None));
        assert!(!mapping.meets(17, 80, None) && !mapping.meets(6, 81, None));
        mapping.host_ip = "192.0.2.2".parse().ok();
        assert!(!mapping.meets(6, 80, here) && mapping.meets(6, 80, None));
        mapping.host_ip = "0.0.0.0".parse().ok();
        assert!(mapping.meets(6, 80, here));
    }
}
