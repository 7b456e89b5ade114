//! What the fuzzer calls, and a property test beside it.

use super::{CniResult, Command, Environment, Version, call::Call};
use crate::plugin::PLUGINS;

/// Reads a call of every plugin as far as that touches nothing: the first line of `bytes` is
/// `CNI_ARGS`, the rest the configuration.
///
/// # Panics
/// When a result that was read is not read again in a version that holds all of it.
pub fn probe(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let args = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let config = parts.next().unwrap_or_default();
    for command in [Command::Add, Command::Del, Command::Check, Command::Gc, Command::Status] {
        let environment = Environment {
            command: command.to_string(),
            container_id: "one".to_owned(),
            namespace: "/run/netns/one".to_owned(),
            link: "eth0".to_owned(),
            args: args.clone(),
            path: "/nowhere".to_owned(),
            ..Environment::default()
        };
        let Ok(call) = Call::new(command, environment, config, &Version::ALL) else { continue };
        for plugin in PLUGINS {
            // An error is as good an answer as a call; panics and hangs are not.
            drop(plugin.probe(&call));
        }
        if let Ok(Some(result)) = call.previous() {
            for version in Version::ALL.into_iter().filter(|version| *version >= Version::V0_3_0) {
                let again = CniResult::parse(&result.to_json(version), version);
                assert_eq!(again.as_ref(), Ok(&result), "{version}");
            }
        }
        drop(call.valid_attachments());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Values of all kinds below keys that plugins know.
    fn config() -> impl Strategy<Value = Value> {
        let texts = ["10.1.0.0/24", "::/0", "fd00::/126", "tcp", "host-local", "10.1.0.1", "eth0"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(|number| json!(number)),
            "[ -~]{0,12}".prop_map(Into::into),
            prop::sample::select(texts.to_vec()).prop_map(Into::into),
        ];
        let keys = [
            "type",
            "ipam",
            "bridge",
            "mtu",
            "vlan",
            "vlanTrunk",
            "minID",
            "id",
            "ranges",
            "subnet",
            "rangeStart",
            "rangeEnd",
            "routes",
            "dst",
            "prevResult",
            "ips",
            "address",
            "interfaces",
            "name",
            "runtimeConfig",
            "portMappings",
            "HostPort",
            "containerPort",
            "hostIP",
            "protocol",
            "ip4",
            "ip",
            "args",
            "cni",
            "dns",
            "nameservers",
            "MAC",
            "cni.dev/valid-attachments",
            "containerID",
            "ifname",
        ];
        let keys = prop::sample::select(keys.to_vec()).prop_map(str::to_owned);
        leaf.prop_recursive(6, 64, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map(keys.clone(), inner, 0..6).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_call_is_answered(
            args in "([A-Za-z]{0,8}=?[0-9./,:]{0,12};?){0,4}",
            mut config in config(),
        ) {
            if let Some(object) = config.as_object_mut() {
                object.insert("name".to_owned(), "net".into());
                object.insert("cniVersion".to_owned(), "1.1.0".into());
            }
            probe(format!("{args}\n{config}").as_bytes());
        }

        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            probe(&bytes);
        }
    }
}
