//! Hardware addresses.

use serde::Deserialize;

use super::pair::random as random_bytes;
use crate::{
    kernel,
    protocol::{Call, PluginError},
};

/// Where a configuration may have one.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Written {
    mac: String,
    runtime_config: Mac,
    args: Args,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Mac {
    mac: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Args {
    cni: Mac,
}

/// The hardware address that is asked for: the runtime's wish, then that of the configuration's
/// arguments, of `CNI_ARGS`, and of the configuration.
pub(in crate::plugin) fn wanted(call: &Call) -> Result<Option<[u8; 6]>, PluginError> {
    let written: Written = call.config()?;
    let args = call.args(&["MAC"])?;
    let wishes = [
        ("runtimeConfig.mac", written.runtime_config.mac.as_str()),
        ("args.cni.mac", written.args.cni.mac.as_str()),
        ("CNI_ARGS MAC", args.get("MAC").unwrap_or_default()),
        ("mac", written.mac.as_str()),
    ];
    let wish = wishes.into_iter().find(|(_, text)| !text.is_empty());
    wish.map(|(key, text)| parse(key, text)).transpose()
}

/// Reads the address of one link.
pub(in crate::plugin) fn parse(key: &str, text: &str) -> Result<[u8; 6], PluginError> {
    let problem = |problem: &str| {
        PluginError::config(key, format_args!("is \"{text}\", but must be {problem}"))
    };
    let mac = kernel::parse_mac(text)
        .ok_or_else(|| problem("a hardware address such as 02:00:00:00:00:01"))?;
    let is_group = mac.first().is_some_and(|byte| byte & 1 == 1);
    if is_group || mac == [0; 6] {
        return Err(problem("the address of one link, not of a group, nor zero"));
    }
    Ok(mac)
}

/// A local address of one link.
pub(in crate::plugin) fn random() -> Result<[u8; 6], PluginError> {
    let mut mac: [u8; 6] = random_bytes()?;
    if let Some(first) = mac.first_mut() {
        *first = *first & 0xfc | 0x02;
    }
    Ok(mac)
}
