//! Port mappings.

use std::{fmt, net::IpAddr};

use super::{Check, of_item};
use crate::v1;

impl Check<'_> {
    pub(super) fn port_mappings(&mut self, mappings: &[v1::PortMapping]) {
        for (index, mapping) in mappings.iter().enumerate() {
            self.port_mapping(index, mapping);
        }
        for (index, mapping) in mappings.iter().enumerate() {
            let earlier = mappings.iter().take(index).position(|earlier| collide(earlier, mapping));
            if let Some(earlier) = earlier {
                let path = of_item("port_mappings", index, "host_port");
                let message = format!("{} is taken by port_mappings[{earlier}]", HostPort(mapping));
                self.wrong(&path, message);
            }
        }
    }

    fn port_mapping(&mut self, index: usize, mapping: &v1::PortMapping) {
        let path = |name| of_item("port_mappings", index, name);
        match mapping.container_port {
            1..=65535 => {}
            0 if !self.places.has(&path("container_port")) => {
                self.wrong(&path("container_port"), "missing");
            }
            port => {
                self.wrong(&path("container_port"), format!("{port} is not a port: 1 to 65535"));
            }
        }
        if !(0..=65535).contains(&mapping.host_port) {
            let message = format!("{} is not a port: 1 to 65535", mapping.host_port);
            self.wrong_hint(&path("host_port"), message, "0 or nothing leaves it unpublished");
        }
        let host_ip = &mapping.host_ip;
        if !host_ip.is_empty() && host_ip.parse::<IpAddr>().is_err() {
            let message = format!("{host_ip:?} is not an IP address");
            self.wrong_hint(
                &path("host_ip"),
                message,
                "leave it out for all addresses of the host",
            );
        }
    }
}

/// Tells whether two mappings publish the same port of the host.
fn collide(left: &v1::PortMapping, right: &v1::PortMapping) -> bool {
    left.host_port > 0
        && left.host_port == right.host_port
        && left.protocol == right.protocol
        && addresses_overlap(&left.host_ip, &right.host_ip)
}

/// Tells whether two host addresses have an address in common. Nothing means all addresses,
/// `0.0.0.0` all of IPv4, `::` all of IPv6; what is not an address has nothing in common.
pub fn addresses_overlap(left: &str, right: &str) -> bool {
    match (left.parse::<IpAddr>(), right.parse::<IpAddr>()) {
        (Ok(left), Ok(right)) => {
            left == right
                || (left.is_ipv4() == right.is_ipv4()
                    && (left.is_unspecified() || right.is_unspecified()))
        }
        (Ok(_), Err(_)) => right.is_empty(),
        (Err(_), Ok(_)) => left.is_empty(),
        (Err(_), Err(_)) => left.is_empty() && right.is_empty(),
    }
}

/// Displays a mapping's side of the host.
struct HostPort<'a>(&'a v1::PortMapping);

impl fmt::Display for HostPort<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self.0.protocol().as_str_name().to_ascii_lowercase();
        write!(formatter, "host port {}/{protocol}", self.0.host_port)?;
        match self.0.host_ip.as_str() {
            "" => Ok(()),
            address => write!(formatter, " on {address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps() {
        for (left, right, expected) in [
            ("", "", true),
            ("", "::1", true),
            ("", "10.0.0.1", true),
            ("0.0.0.0", "10.0.0.1", true),
            ("0.0.0.0", "::1", false),
            ("0.0.0.0", "::", false),
            ("::", "::1", true),
            ("::1", "0:0:0:0:0:0:0:1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("public_ip", "", false),
        ] {
            assert_eq!(addresses_overlap(left, right), expected, "{left} {right}");
            assert_eq!(addresses_overlap(right, left), expected, "{right} {left}");
        }
    }
}
