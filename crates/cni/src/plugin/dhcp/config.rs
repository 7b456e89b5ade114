//! The configuration, as the plugin and the daemon read it.

use std::path::PathBuf;

use serde::Deserialize;

use super::packet::option;
use crate::protocol::{CniArgs, PluginError};

const SOCKET: &str = "/run/cni/dhcp.sock";
/// Longest value of an option, in bytes.
const VALUE: usize = 255;
/// Options that every client asks for.
const USUAL: [u8; 2] = [option::ROUTER, option::SUBNET_MASK];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Keys {
    ipam: Ipam,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Ipam {
    daemon_socket_path: String,
    provide: Vec<Provided>,
    request: Vec<Requested>,
    priority: u32,
    suppress: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Provided {
    option: String,
    value: String,
    from_arg: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Requested {
    skip_default: bool,
    option: String,
}

/// What is to be asked of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Config {
    /// Where the daemon listens.
    pub(super) socket: PathBuf,
    /// Options for the server, by number.
    pub(super) provide: Vec<(u8, Vec<u8>)>,
    /// Options that the server is asked for.
    pub(super) request: Vec<u8>,
    /// Priority of the routes; 0 leaves the kernel's.
    pub(super) priority: u32,
    /// No gateway, and no default route.
    pub(super) is_without_gateway: bool,
}

impl Config {
    /// Reads a configuration; options may take their values from `args`.
    pub(super) fn read(config: serde_json::Value, args: &str) -> Result<Self, PluginError> {
        let Keys { ipam } = crate::protocol::from_value(config)?;
        let socket = match ipam.daemon_socket_path.as_str() {
            "" => SOCKET.into(),
            path if path.starts_with('/') => path.into(),
            path => {
                let problem = format!("is \"{path}\", but must begin with `/`");
                return Err(PluginError::config("ipam.daemonSocketPath", problem));
            }
        };
        let mut is_without_gateway = false;
        for item in &ipam.suppress {
            if item != "gateway" {
                let problem = format!("has \"{item}\", but only \"gateway\" can be suppressed");
                return Err(PluginError::config("ipam.suppress", problem));
            }
            is_without_gateway = true;
        }
        let priority = ipam.priority;
        let provide = provided(&ipam.provide, args)?;
        Ok(Self {
            socket,
            provide,
            request: requested(&ipam.request)?,
            priority,
            is_without_gateway,
        })
    }
}

fn provided(list: &[Provided], args: &str) -> Result<Vec<(u8, Vec<u8>)>, PluginError> {
    // What cannot be read names no value; the plugin that gave it has said so.
    let args = CniArgs::parse(args).unwrap_or_default();
    let mut options: Vec<(u8, Vec<u8>)> = Vec::new();
    for (index, one) in list.iter().enumerate() {
        let key = format!("ipam.provide[{index}]");
        let number = number(&one.option, &key)?;
        let from_args = Some(&one.from_arg).filter(|name| !name.is_empty());
        let value = from_args.and_then(|name| args.get(name)).unwrap_or(&one.value);
        if value.len() > VALUE {
            let problem = format!("has {} bytes, but an option has at most {VALUE}", value.len());
            return Err(PluginError::config(&format!("{key}.value"), problem));
        }
        options.retain(|(known, _)| *known != number || value.is_empty());
        if !value.is_empty() {
            options.push((number, value.as_bytes().to_vec()));
        }
    }
    Ok(options)
}

fn requested(list: &[Requested]) -> Result<Vec<u8>, PluginError> {
    let mut numbers = Vec::new();
    for (index, one) in list.iter().enumerate() {
        // An entry may be there for nothing but to leave out the usual ones.
        if one.option.is_empty() && one.skip_default {
            continue;
        }
        numbers.push(number(&one.option, &format!("ipam.request[{index}]"))?);
    }
    if !list.iter().any(|one| one.skip_default) {
        numbers.extend(USUAL);
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// The number of an option: by name, as dhcp-options(5) has it, or as it is.
fn number(text: &str, key: &str) -> Result<u8, PluginError> {
    let known = match text {
        "dhcp-client-identifier" => Some(option::CLIENT),
        "host-name" => Some(option::HOST_NAME),
        "routers" => Some(option::ROUTER),
        "subnet-mask" => Some(option::SUBNET_MASK),
        "user-class" => Some(option::USER_CLASS),
        "vendor-class-identifier" => Some(option::VENDOR_CLASS),
        number => number.parse().ok().filter(|number| (1..=254).contains(number)),
    };
    known.ok_or_else(|| {
        PluginError::config(
            &format!("{key}.option"),
            format_args!(
                "is \"{text}\", but must be a number from 1 to 254, or one of \
                 dhcp-client-identifier, host-name, routers, subnet-mask, user-class and \
                 vendor-class-identifier"
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(ipam: serde_json::Value) -> Result<Config, PluginError> {
        Config::read(json!({ "ipam": ipam }), "K8S_POD_NAME=web;OTHER=1")
    }

    #[test]
    fn options_are_named_numbered_and_taken_from_arguments() {
        let config = read(json!({
            "type": "dhcp",
            "provide": [{"option": "host-name", "value": "fallback", "fromArg": "K8S_POD_NAME"},
                        {"option": "60", "value": "crilet", "fromArg": "UNKNOWN"}],
            "request": [{"option": "121"}, {"option": "subnet-mask"}],
        }));
        let config = config.unwrap();
        assert_eq!(config.provide, [(12, b"web".to_vec()), (60, b"crilet".to_vec())]);
        assert_eq!(config.request, [1, 3, 121]);
        assert_eq!(config.socket, PathBuf::from(SOCKET));
        let config = read(json!({"request": [{"skipDefault": true, "option": "1"}]})).unwrap();
        assert_eq!(config.request, [1]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let fails = |ipam, expected: &str| {
            let error = read(ipam).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        fails(json!({"provide": [{"option": "x"}]}), "`ipam.provide[0].option` is \"x\"");
        fails(json!({"request": [{"option": "255"}]}), "`ipam.request[0].option` is \"255\"");
        fails(json!({"suppress": ["dns"]}), "`ipam.suppress` has \"dns\"");
        fails(json!({"daemonSocketPath": "a"}), "`ipam.daemonSocketPath` is \"a\"");
        let long = "x".repeat(256);
        fails(json!({"provide": [{"option": "12", "value": long}]}), "[0].value` has 256 bytes");
    }
}
