//! What a plugin gives back, in every version of the specification.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, ser::PrettyFormatter};

use super::{Code, PluginError, Version, folding};

/// A result: links, addresses, routes and name servers of an attachment.
///
/// The fields are those of version 1.1.0; [`CniResult::parse`] and [`CniResult::to_json`] convert
/// from and to the older ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CniResult {
    /// Links that were made, in the pod and on the host. Address management gives none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Interface>,
    /// Addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpConfig>,
    /// Routes within the pod.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Name servers.
    #[serde(skip_serializing_if = "Dns::is_empty")]
    pub dns: Dns,
}

/// A link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address, as `02:00:00:00:00:01`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// Largest packet in bytes; since version 1.1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Path of the network namespace that it is in; empty for the host's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sandbox: String,
    /// Path of a socket that stands for the link; since version 1.1.0.
    #[serde(rename = "socketPath", skip_serializing_if = "String::is_empty")]
    pub socket_path: String,
    /// Id of the PCI device behind it; since version 1.1.0.
    #[serde(rename = "pciID", skip_serializing_if = "String::is_empty")]
    pub pci_id: String,
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpConfig {
    /// Which of the interfaces has it, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<i64>,
    /// The address with the length of its network's prefix.
    pub address: IpNet,
    /// The gateway of its network.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_address")]
    pub gateway: Option<IpAddr>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where it leads.
    pub dst: IpNet,
    /// The next hop; without one, the gateway of the address's network.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_address")]
    pub gw: Option<IpAddr>,
    /// Largest packet in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Largest segment of TCP that is announced, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advmss: Option<u32>,
    /// Lower ones win.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Routing table; the main one without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// Scope as rtnetlink numbers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
}

/// Name servers of the pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Their addresses.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "list")]
    pub nameservers: Vec<String>,
    /// The local domain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Domains that short names are looked up in.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "list")]
    pub search: Vec<String>,
    /// Options of the resolver.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "list")]
    pub options: Vec<String>,
}

/// A list that may be null.
fn list<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Option::<Vec<String>>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Dns {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Route {
    /// A route to `dst` that leaves everything else open.
    #[must_use]
    pub fn to(dst: IpNet) -> Self {
        Self { dst, gw: None, mtu: None, advmss: None, priority: None, table: None, scope: None }
    }
}

/// The form of versions 0.1.0 and 0.2.0.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Oldest {
    ip4: Option<OldestAddress>,
    ip6: Option<OldestAddress>,
    dns: Dns,
}

#[derive(Debug, Deserialize)]
struct OldestAddress {
    ip: IpNet,
    #[serde(default, with = "optional_address")]
    gateway: Option<IpAddr>,
    #[serde(default)]
    routes: Vec<Route>,
}

impl CniResult {
    /// Reads a result of any version; `version` is what it is in when it does not say so itself.
    ///
    /// # Errors
    /// With code 7 and the path of what is wrong.
    pub fn parse(value: &Value, version: Version) -> Result<Self, PluginError> {
        let named = folding::get(value, "cniVersion").and_then(Value::as_str);
        let version = match named.filter(|text| !text.is_empty()) {
            Some(text) => Version::negotiate(text, &Version::ALL).map_err(|error| {
                PluginError::new(Code::IncompatibleVersion, "incompatible version of a result")
                    .details(error.details)
            })?,
            None => version,
        };
        if version >= Version::V0_3_0 {
            return folding::from_value_at(value.clone(), "prevResult");
        }
        let oldest: Oldest = folding::from_value_at(value.clone(), "prevResult")?;
        let mut result = Self { dns: oldest.dns, ..Self::default() };
        for part in [oldest.ip4, oldest.ip6].into_iter().flatten() {
            let (address, gateway) = (part.ip, part.gateway);
            result.ips.push(IpConfig { interface: None, address, gateway });
            result.routes.extend(part.routes);
        }
        Ok(result)
    }

    /// The result in a version's form; keys come sorted.
    #[must_use]
    pub fn to_json(&self, version: Version) -> Value {
        if version < Version::V0_3_0 {
            return self.to_oldest(version);
        }
        let mut object = json!(self);
        object["cniVersion"] = version.as_str().into();
        if version < Version::V1_0_0 {
            object["dns"] = json!(self.dns);
            let ips = object.get_mut("ips").and_then(Value::as_array_mut);
            for ip in ips.into_iter().flatten() {
                let is_v6 = ip["address"].as_str().is_some_and(|address| address.contains(':'));
                ip["version"] = if is_v6 { "6" } else { "4" }.into();
            }
        }
        object
    }

    fn to_oldest(&self, version: Version) -> Value {
        let mut object = Map::new();
        object.insert("cniVersion".to_owned(), version.as_str().into());
        object.insert("dns".to_owned(), json!(self.dns));
        let families = [("ip4", true), ("ip6", false)];
        for (key, is_v4) in families {
            let of_family = |net: &IpNet| matches!(net, IpNet::V4(_)) == is_v4;
            let Some(ip) = self.ips.iter().find(|ip| of_family(&ip.address)) else { continue };
            let mut part = json!({ "ip": ip.address });
            if let Some(gateway) = ip.gateway {
                part["gateway"] = json!(gateway);
            }
            let routes = self.routes.iter().filter(|route| of_family(&route.dst));
            let routes: Vec<_> = routes.map(|route| json!(route)).collect();
            if !routes.is_empty() {
                part["routes"] = routes.into();
            }
            object.insert(key.to_owned(), part);
        }
        object.into()
    }

    /// The result as a plugin prints it, in the words of the reference library.
    #[must_use]
    pub fn to_text(&self, version: Version) -> String {
        indented(&self.to_json(version))
    }
}

/// JSON indented by 4 blanks.
pub(super) fn indented(value: &Value) -> String {
    let mut bytes = Vec::new();
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    "));
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
        // Only a writer could fail, and a vector does not.
        Err(_) => value.to_string(),
    }
}

/// An address that may be missing, null, or the empty text.
mod optional_address {
    use std::net::IpAddr;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(
        address: &Option<IpAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        address.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<IpAddr>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let text = text.filter(|text| !text.is_empty());
        let parse = |text: String| {
            text.parse().map_err(|_| D::Error::custom(format!("\"{text}\" is no IP address")))
        };
        text.map(parse).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Value {
        json!({
            "cniVersion": "1.1.0",
            "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/run/netns/x"}],
            "ips": [
                {"interface": 0, "address": "10.1.0.5/24", "gateway": "10.1.0.1"},
                {"interface": 0, "address": "fd00::5/64"},
            ],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0", "gw": "fd00::1"}],
        })
    }

    #[test]
    fn every_version_has_its_form() {
        let result = CniResult::parse(&whole(), Version::V1_1_0).unwrap();
        assert_eq!(result.to_json(Version::V1_1_0), whole());

        let mut middle = whole();
        middle["cniVersion"] = "0.4.0".into();
        middle["dns"] = json!({});
        middle["ips"][0]["version"] = "4".into();
        middle["ips"][1]["version"] = "6".into();
        assert_eq!(result.to_json(Version::V0_4_0), middle);
        assert_eq!(CniResult::parse(&middle, Version::V0_4_0).unwrap(), result);

        let oldest = json!({
            "cniVersion": "0.2.0",
            "dns": {},
            "ip4": {"ip": "10.1.0.5/24", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0"}]},
            "ip6": {"ip": "fd00::5/64", "routes": [{"dst": "::/0", "gw": "fd00::1"}]},
        });
        assert_eq!(result.to_json(Version::V0_2_0), oldest);
        let back = CniResult::parse(&oldest, Version::V1_0_0).unwrap();
        assert_eq!(back.routes, result.routes);
        assert_eq!(back.ips[1].address, result.ips[1].address);
    }

    #[test]
    fn a_result_of_no_version_is_refused() {
        let error = CniResult::parse(&json!({"cniVersion": "2.0.0"}), Version::V1_0_0).unwrap_err();
        assert_eq!(error.code, Code::IncompatibleVersion);
        let error = CniResult::parse(&json!({"ips": [{"address": "10.0.0.1"}]}), Version::V1_0_0);
        let message = error.unwrap_err().message;
        assert!(message.starts_with("`prevResult.ips[0].address`: "), "{message}");
    }
}
