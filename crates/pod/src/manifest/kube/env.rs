//! Environment variables, and values that come from the pod itself.

use crilet_core::similar;
use k8s_openapi::api::core::v1::{
    Container, EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector, ResourceFieldSelector,
};

use super::{lower::Lower, resources, store::Of};
use crate::{
    manifest::{
        quantity::Quantity,
        report::{item, join},
    },
    model::{self, Divisor, EnvValue, Hidden, LateValue},
};

/// What a field or resource is: known now, or at a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    Now(String),
    Late(LateValue),
}

/// The fields that may be referred to, without those of maps.
const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

impl Lower<'_> {
    /// The environment of the container at `path`: `envFrom` first, then `env`.
    pub(super) fn env(&mut self, path: &str, container: &Container) -> Vec<model::EnvVar> {
        let mut variables = Vec::new();
        for (index, source) in container.env_from.iter().flatten().enumerate() {
            let path = item(&join(path, "envFrom"), index);
            self.env_from(&path, source, &mut variables);
        }
        for (index, variable) in container.env.iter().flatten().enumerate() {
            let path = item(&join(path, "env"), index);
            self.env_name(&join(&path, "name"), &variable.name);
            if let Some(value) = self.env_value(&path, variable, container) {
                variables.push(model::EnvVar { name: variable.name.clone(), value });
            }
        }
        variables
    }

    /// Kubernetes takes any printable ASCII but `=`.
    fn env_name(&mut self, path: &str, name: &str) {
        if name.is_empty() {
            self.check.missing(path);
        } else if name.contains('=') {
            let message = format!("{name:?} has `=` in it");
            self.check.wrong_hint(path, message, "what stands behind `=` belongs in `value`");
        } else if !name.chars().all(|sign| sign.is_ascii_graphic() || sign == ' ') {
            self.check.wrong(path, format!("{name:?} is not printable ASCII"));
        }
    }

    fn env_from(&mut self, path: &str, source: &EnvFromSource, variables: &mut Vec<model::EnvVar>) {
        let config = source.config_map_ref.as_ref();
        let secret = source.secret_ref.as_ref();
        let (of, field, name, optional) = match (config, secret) {
            (Some(config), None) => {
                (Of::Config, "configMapRef", &config.name, config.optional.unwrap_or_default())
            }
            (None, Some(secret)) => {
                (Of::Secret, "secretRef", &secret.name, secret.optional.unwrap_or_default())
            }
            _ => {
                let hint = "one of `configMapRef`, `secretRef`";
                return self.check.wrong_hint(path, "does not say from where", hint);
            }
        };
        let prefix = source.prefix.clone().unwrap_or_default();
        if !prefix.is_empty() {
            self.env_name(&join(path, "prefix"), &prefix);
        }
        let path = join(path, field);
        let Some(named) = self.named(of, &join(&path, "name"), name, optional) else { return };
        let mut data = named.data.clone();
        data.retain(|key, _| !named.binary.contains(key));
        for (key, bytes) in data {
            match text_value(of, bytes) {
                Some(value) => {
                    variables.push(model::EnvVar { name: format!("{prefix}{key}"), value });
                }
                None => self.check.wrong(&path, not_text(of, name, &key)),
            }
        }
    }

    fn env_value(
        &mut self,
        path: &str,
        variable: &EnvVar,
        container: &Container,
    ) -> Option<EnvValue> {
        let Some(source) = &variable.value_from else {
            return Some(EnvValue::Text(variable.value.clone().unwrap_or_default()));
        };
        if variable.value.as_ref().is_some_and(|value| !value.is_empty()) {
            self.check.wrong(&join(path, "valueFrom"), "given beside `value`");
            return None;
        }
        self.env_source(&join(path, "valueFrom"), source, container)
    }

    fn env_source(
        &mut self,
        path: &str,
        source: &EnvVarSource,
        container: &Container,
    ) -> Option<EnvValue> {
        let EnvVarSource {
            config_map_key_ref, field_ref, resource_field_ref, secret_key_ref, ..
        } = source;
        match (config_map_key_ref, field_ref, resource_field_ref, secret_key_ref) {
            (Some(key), None, None, None) => {
                let path = join(path, "configMapKeyRef");
                self.key(Of::Config, &path, &key.name, &key.key, key.optional.unwrap_or_default())
            }
            (None, None, None, Some(key)) => {
                let path = join(path, "secretKeyRef");
                self.key(Of::Secret, &path, &key.name, &key.key, key.optional.unwrap_or_default())
            }
            (None, Some(field), None, None) => match self.field(&join(path, "fieldRef"), field)? {
                Known::Now(text) => Some(EnvValue::Exact(text)),
                Known::Late(late) => Some(EnvValue::Late(late)),
            },
            (None, None, Some(resource), None) => {
                let path = join(path, "resourceFieldRef");
                match self.resource(&path, resource, Some(&container.name))? {
                    Known::Now(text) => Some(EnvValue::Exact(text)),
                    Known::Late(late) => Some(EnvValue::Late(late)),
                }
            }
            (None, None, None, None) if self.is_refused(path, "EnvVarSource") => None,
            _ => {
                let hint = "one of `configMapKeyRef`, `secretKeyRef`, `fieldRef`, \
                            `resourceFieldRef`";
                self.check.wrong_hint(path, "does not say from where", hint);
                None
            }
        }
    }

    fn key(
        &mut self,
        of: Of,
        path: &str,
        name: &str,
        key: &str,
        optional: bool,
    ) -> Option<EnvValue> {
        let key_path = join(path, "key");
        if key.is_empty() {
            self.check.missing(&key_path);
            return None;
        }
        let named = self.named(of, &join(path, "name"), name, optional)?;
        let Some(bytes) = named.data.get(key).filter(|_| !named.binary.contains(key)) else {
            let hint = match named.binary.contains(key) {
                true => "variables do not see `binaryData`".to_owned(),
                false => no_key_hint(named.data.keys(), key),
            };
            if !optional {
                let message = format!("no key `{key}` in {} `{name}`", of.noun());
                self.check.wrong_hint(&key_path, message, hint);
            }
            return None;
        };
        let value = text_value(of, bytes.clone());
        if value.is_none() {
            self.check.wrong(&key_path, not_text(of, name, key));
        }
        value
    }

    /// The ConfigMap or Secret of that name; that it is missing is reported unless it may be.
    pub(super) fn named(
        &mut self,
        of: Of,
        path: &str,
        name: &str,
        optional: bool,
    ) -> Option<&'_ super::store::Named> {
        if name.is_empty() {
            self.check.missing(path);
            return None;
        }
        let namespace = &self.identity.namespace;
        let found = self.store.get(of, namespace, name);
        if found.is_none() && !optional {
            let message = format!("no {} `{name}` in this source", of.noun());
            let hint = self.store.suggest(of, namespace, name);
            self.check.wrong_hint(path, message, hint);
        }
        found
    }

    /// A field of the pod as a variable.
    pub(super) fn field(&mut self, path: &str, field: &ObjectFieldSelector) -> Option<Known> {
        let versions = [("v1", ()), ("", ())];
        self.check.choice(&join(path, "apiVersion"), field.api_version.as_deref(), &versions, ());
        let path = join(path, "fieldPath");
        let identity = &self.identity;
        Some(match field.field_path.as_str() {
            "metadata.name" => Known::Now(identity.name.clone()),
            "metadata.namespace" => Known::Now(identity.namespace.clone()),
            "metadata.uid" => Known::Now(identity.uid.clone()),
            "spec.serviceAccountName" => Known::Now(identity.service_account.clone()),
            "spec.nodeName" => Known::Late(LateValue::NodeName),
            "status.hostIP" => Known::Late(LateValue::HostIp),
            "status.hostIPs" => Known::Late(LateValue::HostIps),
            "status.podIP" => Known::Late(LateValue::PodIp),
            "status.podIPs" => Known::Late(LateValue::PodIps),
            "" => {
                self.check.missing(&path);
                return None;
            }
            other => match self.map_entry(other) {
                Some(text) => Known::Now(text),
                None => {
                    self.unknown_field(&path, other);
                    return None;
                }
            },
        })
    }

    /// `metadata.labels['KEY']`, `metadata.annotations['KEY']`; empty where there is no such key.
    pub(super) fn map_entry(&self, field: &str) -> Option<String> {
        let (map, key) = match field.split_once("['")? {
            ("metadata.labels", key) => (&self.identity.labels, key),
            ("metadata.annotations", key) => (&self.identity.annotations, key),
            _ => return None,
        };
        let key = key.strip_suffix("']")?;
        Some(map.get(key).cloned().unwrap_or_default())
    }

    pub(super) fn unknown_field(&mut self, path: &str, field: &str) {
        let message = format!("{field:?} is no field that can be referred to");
        let hint = match similar(field, FIELDS) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("one of {}, metadata.labels['KEY']", FIELDS.join(", ")),
        };
        self.check.wrong_hint(path, message, hint);
    }

    /// A container's limit or request.
    pub(super) fn resource(
        &mut self,
        path: &str,
        resource: &ResourceFieldSelector,
        own: Option<&str>,
    ) -> Option<Known> {
        let named = resource.container_name.as_deref().filter(|name| !name.is_empty());
        let name_path = join(path, "containerName");
        let Some(name) = named.or(own) else {
            self.check.missing(&name_path);
            return None;
        };
        let Some(amounts) = resources::of_container(self.spec, name) else {
            self.check.wrong(&name_path, format!("no container `{name}`"));
            return None;
        };
        let resource_path = join(path, "resource");
        let (kind, what) = resource.resource.split_once('.').unwrap_or((&resource.resource, ""));
        let known = matches!(what, "cpu" | "memory" | "ephemeral-storage")
            || what.starts_with(resources::HUGEPAGES);
        if !known || !matches!(kind, "limits" | "requests") {
            let message = format!("{:?} is no resource that can be referred to", resource.resource);
            let hint = "one of limits.cpu, limits.memory, requests.cpu, requests.memory";
            self.check.wrong_hint(&resource_path, message, hint);
            return None;
        }
        let divisor = self.divisor(&join(path, "divisor"), resource, what)?;
        let limit = amounts.limits.get(what).copied();
        let amount = match kind {
            "limits" => limit,
            _ => Some(amounts.requests.get(what).copied().or(limit).unwrap_or_default()),
        };
        Some(match (amount, what) {
            (Some(amount), _) => Known::Now(divisor.divide(amount).to_string()),
            (None, "cpu") => Known::Late(LateValue::NodeCpu(divisor)),
            (None, "memory") => Known::Late(LateValue::NodeMemory(divisor)),
            (None, "ephemeral-storage") => Known::Late(LateValue::NodeStorage(divisor)),
            (None, _) => Known::Now("0".to_owned()),
        })
    }

    fn divisor(
        &mut self,
        path: &str,
        resource: &ResourceFieldSelector,
        what: &str,
    ) -> Option<Divisor> {
        let factor = if what == "cpu" { 1000 } else { 1 };
        let text = resource.divisor.as_ref().map_or("1", |divisor| divisor.0.as_str());
        // A divisor of nothing is 1, as Kubernetes has it.
        let text = if Quantity::parse(text).is_ok_and(|one| one.scaled(1) == Some(0)) {
            "1"
        } else {
            text
        };
        let amount = self.check.quantity(path, text, factor)?;
        std::num::NonZeroU64::new(amount).map(Divisor)
    }
}

fn text_value(of: Of, bytes: Vec<u8>) -> Option<EnvValue> {
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))?;
    Some(match of {
        Of::Config => EnvValue::Exact(text),
        Of::Secret => EnvValue::Secret(Hidden::new(text)),
    })
}

fn not_text(of: Of, name: &str, key: &str) -> String {
    format!("key `{key}` of {} `{name}` is not text", of.noun())
}

/// What to say about a key that is not there.
pub(super) fn no_key_hint<'a>(keys: impl Iterator<Item = &'a String> + Clone, key: &str) -> String {
    match similar(key, keys.clone().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => {
            let keys: Vec<_> = keys.take(8).map(|key| format!("`{key}`")).collect();
            if keys.is_empty() {
                "it is empty".to_owned()
            } else {
                format!("it has {}", keys.join(", "))
            }
        }
    }
}
