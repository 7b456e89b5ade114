//! `flannel`: makes the configuration of another plugin from what flannel's daemon leased to the
//! node, and calls it.
//!
//! The made configuration is kept in a file of the container's name until DEL, in the reference's
//! place and form. Without that file DEL makes it anew, so that nothing stays when it is lost.

mod environment;
mod scratch;

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    delegate,
    protocol::{Call, CniResult, Code, Command, Plugin, PluginError, key},
};

use environment::Subnets;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    subnet_file: String,
    data_dir: String,
}

impl Keys {
    fn subnets(&self) -> Result<Subnets, PluginError> {
        let file = Some(self.subnet_file.as_str()).filter(|path| !path.is_empty());
        Subnets::read(file.unwrap_or("/run/flannel/subnet.env").as_ref())
    }

    fn directory(&self) -> PathBuf {
        let named = Some(self.data_dir.as_str()).filter(|path| !path.is_empty());
        PathBuf::from(named.unwrap_or("/var/lib/cni/flannel"))
    }
}

pub(super) struct Flannel;

impl Plugin for Flannel {
    fn name(&self) -> &'static str {
        "flannel"
    }

    fn add(&self, call: &Call) -> Result<CniResult, PluginError> {
        let keys: Keys = call.config()?;
        let made = make(&keys.subnets()?, call)?;
        let kind = kind_of(&made)?;
        let directory = keys.directory();
        scratch::write(&directory, call.container_id(), &made)?;
        delegate::add(&kind, &call.with_config(made)).inspect_err(|_| {
            // The plugin leaves nothing; the failure is what to tell.
            drop(scratch::remove(&directory, call.container_id()));
        })
    }

    fn del(&self, call: &Call) -> Result<(), PluginError> {
        let keys: Keys = call.config()?;
        let directory = keys.directory();
        let kept = scratch::read(&directory, call.container_id())?;
        // A container can have a link in another network that flannel serves.
        let kept =
            kept.filter(|config| config.get("name").is_none_or(|name| *name == call.network));
        let Some(config) = kept.or_else(|| make(&keys.subnets().ok()?, call).ok()) else {
            return Ok(());
        };
        delegate::ask(
            &kind_of(&config)?,
            Command::Del,
            &call.with_config(with_previous(config, call)),
        )?;
        scratch::remove(&directory, call.container_id())
    }

    fn check(&self, call: &Call) -> Result<(), PluginError> {
        let keys: Keys = call.config()?;
        call.required_previous()?;
        let config = match scratch::read(&keys.directory(), call.container_id())? {
            Some(config) => config,
            None => make(&keys.subnets()?, call)?,
        };
        delegate::ask(
            &kind_of(&config)?,
            Command::Check,
            &call.with_config(with_previous(config, call)),
        )
    }

    fn gc(&self, call: &Call) -> Result<(), PluginError> {
        let valid = call.valid_attachments()?;
        let keys: Keys = call.config()?;
        let directory = keys.directory();
        let gone = scratch::without(&directory, &call.network, &valid)?;
        // What the daemon leased may be known no more; what was made of it is.
        let made = keys.subnets().and_then(|subnets| make(&subnets, call));
        let config = match (made, gone.first()) {
            (Ok(config), _) => config,
            (Err(_), Some((_, config))) => config.clone(),
            (Err(_), None) => return Ok(()),
        };
        let mut config = config;
        for name in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
            if let Some(list) = call.key(name) {
                config[name] = list.clone();
            }
        }
        config["cniVersion"] = call.version.as_str().into();
        delegate::ask(&kind_of(&config)?, Command::Gc, &call.with_config(config))?;
        gone.iter().try_for_each(|(container, _)| scratch::remove(&directory, container))
    }

    fn status(&self, call: &Call) -> Result<(), PluginError> {
        let keys: Keys = call.config()?;
        let subnets =
            keys.subnets().map_err(|error| PluginError { code: Code::NotAvailable, ..error })?;
        let config = make(&subnets, call)?;
        delegate::ask(&kind_of(&config)?, Command::Status, &call.with_config(config))
    }
}

fn with_previous(mut config: Value, call: &Call) -> Value {
    if let Some(previous) = call.key("prevResult") {
        config["prevResult"] = previous.clone();
    }
    // What the runtime says now, such as a pod's ports, is not in a file of before.
    if let Some(runtime) = call.key("runtimeConfig") {
        config["runtimeConfig"] = runtime.clone();
    }
    config["cniVersion"] = call.version.as_str().into();
    config
}

fn kind_of(config: &Value) -> Result<String, PluginError> {
    let kind = config.get("type").and_then(Value::as_str).unwrap_or_default();
    if kind.is_empty() || kind.contains('/') || kind == "flannel" {
        let problem = format!("is \"{kind}\", but must be another plugin, such as \"bridge\"");
        return Err(PluginError::config("delegate.type", problem));
    }
    Ok(kind.to_owned())
}

/// The configuration of the plugin that is called.
fn make(subnets: &Subnets, call: &Call) -> Result<Value, PluginError> {
    let mut delegate = match call.key("delegate") {
        None => json!({}),
        Some(delegate) if delegate.is_object() => delegate.clone(),
        Some(_) => return Err(PluginError::config("delegate", "must be an object")),
    };
    for name in ["name", "ipam"] {
        if key(&delegate, name).is_some() {
            let problem = "must not be set: flannel sets it";
            return Err(PluginError::config(&format!("delegate.{name}"), problem));
        }
    }
    let mut default = |name: &str, value: Value| {
        if key(&delegate, name).is_none() {
            delegate[name] = value;
        }
    };
    default("type", "bridge".into());
    default("ipMasq", (!subnets.is_masqueraded).into());
    default("mtu", subnets.mtu.into());
    if key(&delegate, "type").and_then(Value::as_str) == Some("bridge") {
        let has_gateway = key(&delegate, "isGateway").is_some();
        if !has_gateway {
            delegate["isGateway"] = true.into();
        }
    }
    delegate["name"] = call.network.clone().into();
    delegate["cniVersion"] = call.version.as_str().into();
    delegate["ipam"] = address_management(subnets, call)?;
    if let Some(runtime) = call.key("runtimeConfig") {
        delegate["runtimeConfig"] = runtime.clone();
    }
    Ok(delegate)
}

/// The network's own, with the node's subnets for ranges and the whole network for a route.
fn address_management(subnets: &Subnets, call: &Call) -> Result<Value, PluginError> {
    let mut ipam = match call.key("ipam") {
        None => Map::new(),
        Some(Value::Object(ipam)) => ipam.clone(),
        Some(_) => return Err(PluginError::config("ipam", "must be an object")),
    };
    ipam.entry("type").or_insert_with(|| "host-local".into());
    let ranges = subnets.own.iter().map(|net| json!([{ "subnet": net }]));
    ipam.insert("ranges".to_owned(), ranges.collect());
    let mut routes = match ipam.remove("routes") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(routes)) => routes,
        Some(_) => return Err(PluginError::config("ipam.routes", "must be a list")),
    };
    routes.extend(subnets.networks.iter().map(|net| json!({ "dst": net })));
    ipam.insert("routes".to_owned(), routes.into());
    Ok(ipam.into())
}
