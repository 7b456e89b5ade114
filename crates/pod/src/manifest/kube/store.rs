//! ConfigMaps, Secrets and claims of a source, by namespace and name.

use std::collections::{BTreeMap, BTreeSet};

use crilet_core::{similar, yaml::Position};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};

use super::objects::{Data, DataKind, metadata};
use crate::manifest::{
    check::Check,
    report::{Report, Scope, entry},
};

type Key = (String, String);

/// What pods of a source may refer to.
#[derive(Debug, Default)]
pub(super) struct Store {
    configs: BTreeMap<Key, Named>,
    secrets: BTreeMap<Key, Named>,
    claims: BTreeMap<Key, Position>,
}

/// A ConfigMap or Secret.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) data: BTreeMap<String, Vec<u8>>,
    /// Keys of `binaryData`, which variables do not see, as in Kubernetes.
    pub(super) binary: BTreeSet<String>,
    /// Type of a Secret.
    pub(super) kind: String,
    position: Position,
}

/// Which of the two is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Config,
    Secret,
}

impl Of {
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Config => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

impl Store {
    pub(super) fn take(&mut self, data: Data<'_>, report: &mut Report) {
        let scope =
            Scope { file: data.source.file, root: data.source.root, base: data.base.as_str() };
        let mut check = Check { scope, report };
        match data.kind {
            DataKind::ConfigMap(config) => self.take_config(&mut check, config),
            DataKind::Secret(secret) => self.take_secret(&mut check, secret),
            DataKind::Claim(claim) => self.take_claim(&mut check, &claim),
        }
    }

    fn take_config(&mut self, check: &mut Check<'_>, config: ConfigMap) {
        let key = metadata(check, &config.metadata);
        let mut data = BTreeMap::new();
        for (name, text) in config.data.unwrap_or_default() {
            check.data_key(&entry("data", &name), &name);
            data.insert(name, text.into_bytes());
        }
        let mut binary = BTreeSet::new();
        for (name, bytes) in config.binary_data.unwrap_or_default() {
            let path = entry("binaryData", &name);
            check.data_key(&path, &name);
            binary.insert(name.clone());
            if data.insert(name, bytes.0).is_some() {
                check.wrong(&path, "given in `data`, too");
            }
        }
        let position = check.scope.value("");
        let named = Named { data, binary, kind: String::new(), position };
        insert(check, &mut self.configs, key, named, Of::Config.noun(), |named| named.position);
    }

    /// `stringData` goes before `data`, as in Kubernetes.
    fn take_secret(&mut self, check: &mut Check<'_>, secret: Secret) {
        let key = metadata(check, &secret.metadata);
        let mut data = BTreeMap::new();
        for (name, bytes) in secret.data.unwrap_or_default() {
            check.data_key(&entry("data", &name), &name);
            data.insert(name, bytes.0);
        }
        for (name, text) in secret.string_data.unwrap_or_default() {
            check.data_key(&entry("stringData", &name), &name);
            data.insert(name, text.into_bytes());
        }
        let position = check.scope.value("");
        let named = Named {
            data,
            binary: BTreeSet::new(),
            kind: secret.type_.unwrap_or_default(),
            position,
        };
        insert(check, &mut self.secrets, key, named, Of::Secret.noun(), |named| named.position);
    }

    fn take_claim(&mut self, check: &mut Check<'_>, claim: &PersistentVolumeClaim) {
        let key = metadata(check, &claim.metadata);
        let mode = claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref());
        if mode == Some("Block") {
            check.wrong("spec.volumeMode", "block devices of claims do not exist here");
        } else {
            check.choice("spec.volumeMode", mode, &[("Filesystem", ()), ("Block", ())], ());
        }
        let position = check.scope.value("");
        insert(check, &mut self.claims, key, position, "PersistentVolumeClaim", |place| *place);
    }

    pub(super) fn get(&self, of: Of, namespace: &str, name: &str) -> Option<&Named> {
        self.map(of).get(&(namespace.to_owned(), name.to_owned()))
    }

    pub(super) fn has_claim(&self, namespace: &str, name: &str) -> bool {
        self.claims.contains_key(&(namespace.to_owned(), name.to_owned()))
    }

    /// What to say about a name that is not there.
    pub(super) fn suggest(&self, of: Of, namespace: &str, name: &str) -> String {
        suggest(self.map(of).keys(), of.noun(), namespace, name)
    }

    pub(super) fn suggest_claim(&self, namespace: &str, name: &str) -> String {
        suggest(self.claims.keys(), "PersistentVolumeClaim", namespace, name)
    }

    /// Namespaces and names of all claims.
    pub(super) fn claims(&self) -> Vec<Key> {
        self.claims.keys().cloned().collect()
    }

    fn map(&self, of: Of) -> &BTreeMap<Key, Named> {
        match of {
            Of::Config => &self.configs,
            Of::Secret => &self.secrets,
        }
    }
}

fn insert<T>(
    check: &mut Check<'_>,
    map: &mut BTreeMap<Key, T>,
    key: Key,
    value: T,
    noun: &str,
    place: impl Fn(&T) -> Position,
) {
    if let Some(first) = map.get(&key) {
        let line = place(first).line;
        let message = format!("{noun} `{}/{}` is already given in line {line}", key.0, key.1);
        check.wrong("metadata.name", message);
        return;
    }
    map.insert(key, value);
}

fn suggest<'a>(
    keys: impl Iterator<Item = &'a Key> + Clone,
    noun: &str,
    namespace: &str,
    name: &str,
) -> String {
    let here = keys.clone().filter(|key| key.0 == namespace).map(|key| key.1.as_str());
    if let Some(meant) = similar(name, here) {
        return format!("did you mean `{meant}`?");
    }
    if let Some(other) = keys.clone().find(|key| key.1 == name) {
        return format!("there is one in namespace `{}`", other.0);
    }
    format!("add the {noun} to the same file or directory")
}
