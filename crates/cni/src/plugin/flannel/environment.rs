//! The file in which flannel's daemon says what it leased.

use std::{fs, path::Path};

use ipnet::IpNet;

use crate::protocol::{Code, PluginError};

/// What was leased to the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Subnets {
    /// The node's own subnets, one of each family at most.
    pub(super) own: Vec<IpNet>,
    /// The networks of all nodes.
    pub(super) networks: Vec<IpNet>,
    /// Largest packet in bytes.
    pub(super) mtu: u32,
    /// The daemon masquerades, so that the plugin need not.
    pub(super) is_masqueraded: bool,
}

impl Subnets {
    pub(super) fn read(path: &Path) -> Result<Self, PluginError> {
        let text = fs::read_to_string(path).map_err(|cause| {
            PluginError::new(
                Code::Io,
                format!(
                    "failed to read `{}`: {cause}; flannel's daemon writes it when it has a subnet \
                     for this node: look at its log",
                    path.display()
                ),
            )
        })?;
        Self::parse(&text).map_err(|problem| {
            PluginError::new(Code::InvalidConfig, format!("`{}`{problem}", path.display()))
        })
    }

    /// Reads lines `NAME=VALUE`; other names are none of ours.
    fn parse(text: &str) -> Result<Self, String> {
        let [mut four, mut six, mut own_four, mut own_six] = <[Vec<IpNet>; 4]>::default();
        let (mut mtu, mut masquerade) = (None, None);
        for (number, line) in text.lines().enumerate() {
            let Some((name, value)) = line.split_once('=') else { continue };
            let wrong = |what: &str| {
                format!(" line {}: {name} is \"{value}\", but must be {what}", number + 1)
            };
            let nets = || -> Result<Vec<IpNet>, String> {
                let list = value.split(',').map(|text| {
                    let net: Option<IpNet> = text.trim().parse().ok();
                    net.map(|net| net.trunc())
                        .ok_or_else(|| wrong("a subnet such as 10.244.0.0/16"))
                });
                let mut list = list.collect::<Result<Vec<_>, _>>()?;
                list.dedup();
                Ok(list)
            };
            match name {
                "FLANNEL_NETWORK" => four = nets()?,
                "FLANNEL_IPV6_NETWORK" => six = nets()?,
                "FLANNEL_SUBNET" => own_four = nets()?,
                "FLANNEL_IPV6_SUBNET" => own_six = nets()?,
                "FLANNEL_MTU" => {
                    mtu = Some(value.parse().map_err(|_| wrong("a number of bytes"))?);
                }
                "FLANNEL_IPMASQ" => masquerade = Some(value == "true"),
                _ => {}
            }
        }
        let networks = [four, six].concat();
        let own = [own_four, own_six].concat();
        let missing = [
            ("FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK", networks.is_empty()),
            ("FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET", own.is_empty()),
            ("FLANNEL_MTU", mtu.is_none()),
            ("FLANNEL_IPMASQ", masquerade.is_none()),
        ];
        let names: Vec<_> =
            missing.iter().filter(|(_, gone)| *gone).map(|(name, _)| *name).collect();
        match (mtu, masquerade) {
            (Some(mtu), Some(is_masqueraded)) if names.is_empty() => {
                Ok(Self { own, networks, mtu, is_masqueraded })
            }
            _ => Err(format!(" is missing {}", names.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_daemon_writes_is_read() {
        let text = "FLANNEL_NETWORK=10.244.0.0/16,10.245.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\n\
                    FLANNEL_IPV6_NETWORK=fd00::/48\nFLANNEL_IPV6_SUBNET=fd00:0:0:3::1/64\n\
                    FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\nOTHER=x\n";
        let subnets = Subnets::parse(text).unwrap();
        let nets = |list: &[IpNet]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(nets(&subnets.own), ["10.244.3.0/24", "fd00:0:0:3::/64"]);
        assert_eq!(nets(&subnets.networks), ["10.244.0.0/16", "10.245.0.0/16", "fd00::/48"]);
        assert_eq!((subnets.mtu, subnets.is_masqueraded), (1450, true));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let problem = |text: &str| Subnets::parse(text).unwrap_err();
        assert_eq!(
            problem("\nFLANNEL_SUBNET=10.244\n"),
            " line 2: FLANNEL_SUBNET is \"10.244\", but must be a subnet such as 10.244.0.0/16"
        );
        assert!(problem("FLANNEL_MTU=x").contains("must be a number of bytes"));
        assert_eq!(
            problem("FLANNEL_MTU=1"),
            " is missing FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK, FLANNEL_SUBNET, \
             FLANNEL_IPV6_SUBNET, FLANNEL_IPMASQ"
        );
    }
}
