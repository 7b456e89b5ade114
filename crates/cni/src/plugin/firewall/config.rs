//! The configuration, checked.

use serde::Deserialize;

use super::rules::Isolation;
use crate::protocol::{Call, CniResult, PluginError};

/// Longest name of a chain, in bytes.
const CHAIN_NAME: usize = 28;
/// The zone that pods are put in when the configuration names none.
const ZONE: &str = "trusted";

/// The keys as they are written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    backend: String,
    iptables_admin_chain_name: String,
    firewalld_zone: String,
    ingress_policy: String,
}

/// Who lets a pod's traffic through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    /// firewalld where it runs, and rules otherwise.
    Automatic,
    /// Rules of the filter table.
    Iptables,
    /// A zone of firewalld.
    Firewalld,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Open,
    SameBridge,
    Isolated,
}

/// What the plugin is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) admin_chain: String,
    pub(super) backend: Backend,
    /// The zone of firewalld that pods are to be in.
    pub(super) zone: String,
    policy: Policy,
}

impl Config {
    /// Reads and checks the keys.
    pub(super) fn read(call: &Call) -> Result<Self, PluginError> {
        let keys: Keys = call.config()?;
        let zone = Some(keys.firewalld_zone).filter(|zone| !zone.is_empty());
        Ok(Self {
            admin_chain: admin_chain(keys.iptables_admin_chain_name)?,
            backend: backend(&keys.backend)?,
            zone: zone.unwrap_or_else(|| ZONE.to_owned()),
            policy: policy(&keys.ingress_policy)?,
        })
    }

    /// What keeps the bridge apart from others; the reference takes the first link for the bridge.
    pub(super) fn isolation(&self, result: &CniResult) -> Result<Option<Isolation>, PluginError> {
        if self.policy == Policy::Open {
            return Ok(None);
        }
        let bridge = result.interfaces.first().map(|interface| interface.name.clone());
        let bridge = bridge.filter(|name| !name.is_empty()).ok_or_else(|| {
            PluginError::config(
                "ingressPolicy",
                "needs a bridge as the first of `prevResult.interfaces`: chain the plugin after \
                 `bridge`, or leave the key out",
            )
        })?;
        Ok(Some(Isolation { bridge, is_complete: self.policy == Policy::Isolated }))
    }
}

fn backend(name: &str) -> Result<Backend, PluginError> {
    match name {
        "" => Ok(Backend::Automatic),
        "iptables" => Ok(Backend::Iptables),
        "firewalld" => Ok(Backend::Firewalld),
        other => Err(PluginError::config(
            "backend",
            format_args!("is \"{other}\", but must be \"iptables\" or \"firewalld\""),
        )),
    }
}

fn policy(text: &str) -> Result<Policy, PluginError> {
    match text {
        "" | "open" => Ok(Policy::Open),
        "same-bridge" => Ok(Policy::SameBridge),
        "isolated" => Ok(Policy::Isolated),
        other => Err(PluginError::config(
            "ingressPolicy",
            format_args!("is \"{other}\", but must be \"open\", \"same-bridge\" or \"isolated\""),
        )),
    }
}

fn admin_chain(name: String) -> Result<String, PluginError> {
    const KEY: &str = "iptablesAdminChainName";
    if name.is_empty() {
        return Ok("CNI-ADMIN".to_owned());
    }
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if name.len() > CHAIN_NAME || !is_plain || name.starts_with('-') {
        return Err(PluginError::config(
            KEY,
            format_args!(
                "is \"{name}\", but must be at most {CHAIN_NAME} letters, digits, `_`, `.` and `-`, \
                 and not begin with `-`"
            ),
        ));
    }
    let taken = ["INPUT", "OUTPUT", "FORWARD", "ACCEPT", "DROP", "RETURN", "CNI-FORWARD"];
    if taken.contains(&name.as_str()) {
        let problem = format!("is \"{name}\", but must be a chain of its own");
        return Err(PluginError::config(KEY, problem));
    }
    Ok(name)
}
