//! Making the rules of an attachment again that somebody took away.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    netfilter::{
        maker::{Backend, Chosen, Maker},
        masquerade::{self, Pod},
    },
    plugin::find,
    protocol::{Call, Command, Environment, PluginError, all, key},
};

/// What the frame of a call wants to be there; no plugin is looked for in it.
const PLUGINS: &str = "/opt/cni/bin";

/// An attachment as its runtime remembers it.
#[derive(Debug, Clone, Copy)]
pub struct Again<'a> {
    /// Id of the container.
    pub container: &'a str,
    /// The link inside.
    pub link: &'a str,
    /// Its network namespace.
    pub namespace: &'a Path,
    /// The configuration that it was made with: a list or a single plugin.
    pub config: &'a str,
    /// What plugins said when it was made.
    pub result: &'a Value,
    /// What the runtime gave for capabilities.
    pub capabilities: Option<&'a Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Masquerading {
    ip_masq: bool,
    ip_masq_backend: Option<Backend>,
}

/// Makes what plugins wrote into the packet filter for an attachment, as they would write it now:
/// masquerading of `bridge` and `ptp`, what `firewall` and `portmap` make. Links, addresses and leases
/// are left as they are. Goes on past a plugin that fails.
///
/// # Errors
/// When the configuration or the result cannot be read, and when rules cannot be made.
pub fn attach_again(again: &Again<'_>) -> Result<(), PluginError> {
    let list: Value = serde_json::from_str(again.config).map_err(|error| {
        PluginError::config("config", format_args!("of the cached attachment is no JSON: {error}"))
    })?;
    let plugins = match key(&list, "plugins").and_then(Value::as_array) {
        Some(plugins) => plugins.clone(),
        None => vec![list.clone()],
    };
    let made = plugins.iter().map(|plugin| one(again, &list, plugin));
    all(made.filter_map(Result::err).collect())
}

fn one(again: &Again<'_>, list: &Value, plugin: &Value) -> Result<(), PluginError> {
    let kind = key(plugin, "type").and_then(Value::as_str).unwrap_or_default();
    if !["bridge", "ptp", "firewall", "portmap"].contains(&kind) {
        return Ok(());
    }
    let Some(known) = find(kind) else { return Ok(()) };
    let environment = Environment {
        command: Command::Add.to_string(),
        container_id: again.container.to_owned(),
        namespace: again.namespace.display().to_string(),
        link: again.link.to_owned(),
        path: PLUGINS.to_owned(),
        ..Environment::default()
    };
    let config = completed(again, list, plugin).to_string();
    let call = Call::new(Command::Add, environment, config.as_bytes(), known.versions())?;
    if !["bridge", "ptp"].contains(&kind) {
        return known.add(&call).map(drop);
    }
    let keys: Masquerading = call.config()?;
    if !keys.ip_masq {
        return Ok(());
    }
    let addresses: Vec<_> = call.required_previous()?.ips.iter().map(|ip| ip.address).collect();
    let pod = Pod { network: &call.network, container: again.container, link: again.link };
    masquerade::add(pod, &addresses, Maker::start(Chosen::new(keys.ip_masq_backend)))
}

/// The plugin's configuration, as libcni completes it.
fn completed(again: &Again<'_>, list: &Value, plugin: &Value) -> Value {
    let mut config = plugin.as_object().cloned().unwrap_or_default();
    for name in ["name", "cniVersion"] {
        if let Some(value) = key(list, name) {
            config.retain(|other, _| !other.eq_ignore_ascii_case(name));
            config.insert(name.to_owned(), value.clone());
        }
    }
    config.insert("prevResult".to_owned(), again.result.clone());
    let declared = key(plugin, "capabilities").and_then(Value::as_object);
    let is_declared = |name: &str| {
        let of_name = declared.and_then(|all| all.get(name));
        of_name.and_then(Value::as_bool).unwrap_or(false)
    };
    let given = again.capabilities.and_then(Value::as_object).into_iter().flatten();
    let wanted: Map<String, Value> = given
        .filter(|(name, _)| is_declared(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !wanted.is_empty() {
        config.insert("runtimeConfig".to_owned(), json!(wanted));
    }
    Value::Object(config)
}
