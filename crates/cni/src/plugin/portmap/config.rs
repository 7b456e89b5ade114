//! The configuration of `portmap`.

use std::net::IpAddr;

use serde::Deserialize;

use crate::{
    netfilter::maker::{Backend, Chosen},
    ports::{PortMapping, Protocol, conflict, script::Options},
    protocol::{Call, PluginError},
};

const MARK_BITS: std::ops::RangeInclusive<i64> = 0..=31;

/// What the plugin works with.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) chosen: Chosen,
    pub(super) options: Options,
    pub(super) mappings: Vec<PortMapping>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Written {
    backend: Option<Backend>,
    snat: Option<bool>,
    masq_all: bool,
    mark_masq_bit: Option<i64>,
    external_set_mark_chain: Option<String>,
    #[serde(rename = "conditionsV4")]
    conditions_v4: Vec<String>,
    #[serde(rename = "conditionsV6")]
    conditions_v6: Vec<String>,
    runtime_config: RuntimeConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RuntimeConfig {
    port_mappings: Vec<WrittenMapping>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WrittenMapping {
    host_port: i64,
    container_port: i64,
    protocol: String,
    #[serde(rename = "hostIP")]
    host_ip: String,
}

impl Config {
    /// Reads and checks the configuration of a call.
    pub(super) fn read(call: &Call) -> Result<Self, PluginError> {
        let written: Written = call.config()?;
        let mut mappings = Vec::new();
        for (index, mapping) in written.runtime_config.port_mappings.iter().enumerate() {
            mappings.push(mapping.check(&format!("runtimeConfig.portMappings[{index}]"))?);
        }
        if let Some((first, second)) = conflict::within(&mappings) {
            return Err(PluginError::config(
                &format!("runtimeConfig.portMappings[{second}].hostPort"),
                format_args!("is that of portMappings[{first}], which leads elsewhere"),
            ));
        }
        let chosen = choose(&written)?;
        if written.external_set_mark_chain.is_some() && written.mark_masq_bit.is_some() {
            return Err(PluginError::config(
                "externalSetMarkChain",
                "excludes `markMasqBit`: leave one out",
            ));
        }
        let bit = written.mark_masq_bit.unwrap_or(13);
        let mark_bit = u32::try_from(bit).ok().filter(|_| MARK_BITS.contains(&bit));
        let mark_bit = mark_bit.ok_or_else(|| {
            PluginError::config(
                "markMasqBit",
                format_args!("is {bit}, but must be between 0 and 31"),
            )
        })?;
        let options = Options {
            snat: written.snat.unwrap_or(true),
            masquerades_all: written.masq_all,
            mark_bit,
            mark_chain: written.external_set_mark_chain,
            conditions_v4: written.conditions_v4,
            conditions_v6: written.conditions_v6,
        };
        Ok(Self { chosen, options, mappings })
    }
}

impl WrittenMapping {
    fn check(&self, key: &str) -> Result<PortMapping, PluginError> {
        let port = |name: &str, number: i64| {
            u16::try_from(number).ok().filter(|port| *port != 0).ok_or_else(|| {
                PluginError::config(
                    &format!("{key}.{name}"),
                    format_args!("is {number}, but must be between 1 and 65535"),
                )
            })
        };
        let host_ip = Some(self.host_ip.as_str()).filter(|text| !text.is_empty());
        let host_ip = host_ip.map(|text| {
            text.parse::<IpAddr>().map_err(|_| {
                PluginError::config(
                    &format!("{key}.hostIP"),
                    format_args!("is \"{text}\", but must be an IP address"),
                )
            })
        });
        let protocol = Protocol::parse(&self.protocol).ok_or_else(|| {
            PluginError::config(
                &format!("{key}.protocol"),
                format_args!("is \"{}\", but must be tcp, udp or sctp", self.protocol),
            )
        })?;
        Ok(PortMapping {
            host_port: port("hostPort", self.host_port)?,
            container_port: port("containerPort", self.container_port)?,
            protocol,
            host_ip: host_ip.transpose()?,
        })
    }
}

/// Conditions are in the words of one of the tools, which tell the backend as well.
fn choose(written: &Written) -> Result<Chosen, PluginError> {
    let chosen = Chosen::new(written.backend);
    let lists =
        [("conditionsV4", &written.conditions_v4), ("conditionsV6", &written.conditions_v6)];
    for (key, words) in lists {
        let Some(first) = words.first() else { continue };
        let of_iptables = first.starts_with('-') || first.starts_with('!');
        if of_iptables != (chosen.backend == Backend::Iptables) {
            let (theirs, ours) =
                if of_iptables { ("iptables", "nftables") } else { ("nftables", "iptables") };
            return Err(PluginError::config(
                key,
                format_args!("is in the words of {theirs}, but the backend is {ours}"),
            ));
        }
    }
    Ok(chosen)
}
