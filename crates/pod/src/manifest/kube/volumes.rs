//! Volumes.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, DownwardAPIVolumeFile, EmptyDirVolumeSource, HostPathVolumeSource,
    KeyToPath, ObjectFieldSelector, ProjectedVolumeSource, SecretVolumeSource, Volume,
    VolumeProjection,
};

use super::{
    container::text_of,
    env::{Known, no_key_hint},
    lower::Lower,
    store::Of,
    treatment,
};
use crate::{
    manifest::{
        check::Check,
        quantity::Quantity,
        report::{item, join},
    },
    model::{self, FileContent, FileSet, Hidden, HostPathType, Medium, VolumeFile, VolumeSource},
};

/// Permission bits of files that say nothing about it.
const DEFAULT_MODE: u32 = 0o644;
const MAX_MODE: u32 = 0o777;

/// What keeps the versions of files apart in a volume; no file may be called so.
const RESERVED: &str = "..";

impl Lower<'_> {
    /// Lowers all volumes; those that something is wrong with stay in the list, so that mounts find
    /// them.
    pub(super) fn volumes(&mut self) -> Vec<model::Volume> {
        let spec = self.spec;
        let mut volumes: Vec<model::Volume> = Vec::new();
        for (index, given) in spec.volumes.iter().flatten().enumerate() {
            let path = item("spec.volumes", index);
            self.check.dns_label(&join(&path, "name"), &given.name);
            if volumes.iter().any(|volume| volume.name == given.name) && !given.name.is_empty() {
                let message = format!("volume `{}` is already given", given.name);
                self.check.wrong(&join(&path, "name"), message);
            }
            let source = self.volume(&path, given);
            volumes.push(model::Volume { name: given.name.clone(), source });
        }
        volumes
    }

    fn volume(&mut self, path: &str, given: &Volume) -> VolumeSource {
        let mut sources = Vec::new();
        let at = |field: &str| join(path, field);
        if let Some(host) = &given.host_path {
            sources.push(("hostPath", self.host_path(&at("hostPath"), host)));
        }
        if let Some(empty) = &given.empty_dir {
            sources.push(("emptyDir", self.empty_dir(&at("emptyDir"), empty)));
        }
        if let Some(config) = &given.config_map {
            sources.push(("configMap", self.config_map(&at("configMap"), config)));
        }
        if let Some(secret) = &given.secret {
            sources.push(("secret", self.secret(&at("secret"), secret)));
        }
        if let Some(downward) = &given.downward_api {
            let path = at("downwardAPI");
            let mode = self.mode(&join(&path, "defaultMode"), downward.default_mode, DEFAULT_MODE);
            let mut files = Files::default();
            self.downward(&path, downward.items.as_deref().unwrap_or_default(), mode, &mut files);
            sources.push(("downwardAPI", files.finish(false)));
        }
        if let Some(projected) = &given.projected {
            sources.push(("projected", self.projected(&at("projected"), projected)));
        }
        if let Some(claim) = &given.persistent_volume_claim {
            let path = join(&at("persistentVolumeClaim"), "claimName");
            sources.push(("persistentVolumeClaim", self.claim(&path, &claim.claim_name)));
        }
        if let Some(image) = &given.image {
            let path = at("image");
            let reference = image.reference.clone().unwrap_or_default();
            match reference.as_str() {
                "" => self.check.missing(&join(&path, "reference")),
                name => self.image_name(&join(&path, "reference"), name),
            }
            let policy = image.pull_policy.as_deref();
            let pull_policy = self.pull_policy(&join(&path, "pullPolicy"), policy, &reference);
            sources.push(("image", VolumeSource::Image { reference, pull_policy }));
        }
        self.only_source(path, sources)
    }

    fn only_source(
        &mut self,
        path: &str,
        sources: Vec<(&'static str, VolumeSource)>,
    ) -> VolumeSource {
        let mut sources = sources.into_iter();
        let Some((first, source)) = sources.next() else {
            let nothing = VolumeSource::EmptyDir { medium: Medium::Disk, size_limit: None };
            if self.is_refused(path, "Volume") {
                return nothing;
            }
            let hint = "one of `hostPath`, `emptyDir`, `configMap`, `secret`, `downwardAPI`, \
                        `projected`, `persistentVolumeClaim`, `image`";
            self.check.wrong_hint(path, "does not say what it is made of", hint);
            return nothing;
        };
        for (other, _) in sources {
            self.check.wrong(&join(path, other), format!("given beside `{first}`"));
        }
        source
    }

    fn host_path(&mut self, path: &str, given: &HostPathVolumeSource) -> VolumeSource {
        let file = join(path, "path");
        self.check.absolute(&file, &given.path);
        if given.path.split('/').any(|part| part == "..") {
            self.check.wrong(&file, format!("{:?} has `..` in it", given.path));
        }
        let types = [
            ("", HostPathType::Unchecked),
            ("DirectoryOrCreate", HostPathType::DirectoryOrCreate),
            ("Directory", HostPathType::Directory),
            ("FileOrCreate", HostPathType::FileOrCreate),
            ("File", HostPathType::File),
            ("Socket", HostPathType::Socket),
            ("CharDevice", HostPathType::CharDevice),
            ("BlockDevice", HostPathType::BlockDevice),
        ];
        let kind = given.type_.as_deref();
        let kind = self.check.choice(&join(path, "type"), kind, &types, HostPathType::Unchecked);
        VolumeSource::HostPath { path: PathBuf::from(&given.path), kind }
    }

    fn empty_dir(&mut self, path: &str, given: &EmptyDirVolumeSource) -> VolumeSource {
        let limit_path = join(path, "sizeLimit");
        let limit = given.size_limit.as_ref();
        let size_limit = limit.and_then(|limit| self.check.quantity(&limit_path, &limit.0, 1));
        let medium_path = join(path, "medium");
        let medium = match given.medium.as_deref().unwrap_or_default() {
            "" => Medium::Disk,
            "Memory" => Medium::Memory,
            "HugePages" => Medium::HugePages(None),
            other => match other.strip_prefix("HugePages-").map(Quantity::parse) {
                Some(Ok(size)) => Medium::HugePages(size.scaled(1)),
                _ => {
                    let choices = [("Memory", ()), ("HugePages", ()), ("HugePages-SIZE", ())];
                    self.check.choice(&medium_path, Some(other), &choices, ());
                    Medium::Disk
                }
            },
        };
        if medium == Medium::Disk && size_limit == Some(0) {
            self.check.wrong(&limit_path, "nothing would fit");
        }
        // As in Kubernetes, 0 in memory is no limit of its own.
        VolumeSource::EmptyDir { medium, size_limit: size_limit.filter(|limit| *limit > 0) }
    }

    fn config_map(&mut self, path: &str, given: &ConfigMapVolumeSource) -> VolumeSource {
        let mode = self.mode(&join(path, "defaultMode"), given.default_mode, DEFAULT_MODE);
        let from = From { of: Of::Config, field: "name", name: &given.name };
        let mut files = Files::default();
        let optional = given.optional.unwrap_or_default();
        self.data(path, from, given.items.as_deref(), optional, mode, &mut files);
        files.finish(false)
    }

    fn secret(&mut self, path: &str, given: &SecretVolumeSource) -> VolumeSource {
        let mode = self.mode(&join(path, "defaultMode"), given.default_mode, DEFAULT_MODE);
        let name = given.secret_name.as_deref().unwrap_or_default();
        let from = From { of: Of::Secret, field: "secretName", name };
        let mut files = Files::default();
        let optional = given.optional.unwrap_or_default();
        self.data(path, from, given.items.as_deref(), optional, mode, &mut files);
        files.finish(true)
    }

    fn projected(&mut self, path: &str, given: &ProjectedVolumeSource) -> VolumeSource {
        let mode = self.mode(&join(path, "defaultMode"), given.default_mode, DEFAULT_MODE);
        let mut files = Files::default();
        let mut secret = false;
        for (index, source) in given.sources.iter().flatten().enumerate() {
            let path = item(&join(path, "sources"), index);
            secret |= source.secret.is_some();
            self.projection(&path, source, mode, &mut files);
        }
        files.finish(secret)
    }

    fn projection(&mut self, path: &str, source: &VolumeProjection, mode: u32, files: &mut Files) {
        let VolumeProjection { config_map, downward_api, secret, .. } = source;
        match (config_map, secret, downward_api) {
            (Some(config), None, None) => {
                let from = From { of: Of::Config, field: "name", name: &config.name };
                let optional = config.optional.unwrap_or_default();
                let path = join(path, "configMap");
                self.data(&path, from, config.items.as_deref(), optional, mode, files);
            }
            (None, Some(secret), None) => {
                let from = From { of: Of::Secret, field: "name", name: &secret.name };
                let optional = secret.optional.unwrap_or_default();
                let path = join(path, "secret");
                self.data(&path, from, secret.items.as_deref(), optional, mode, files);
            }
            (None, None, Some(downward)) => {
                let items = downward.items.as_deref().unwrap_or_default();
                self.downward(&join(path, "downwardAPI"), items, mode, files);
            }
            (None, None, None) if self.is_refused(path, "VolumeProjection") => {}
            _ => {
                let hint = "one of `configMap`, `secret`, `downwardAPI`";
                self.check.wrong_hint(path, "does not say from where", hint);
            }
        }
    }

    /// Files out of a ConfigMap or Secret: all keys, or those that are listed.
    fn data(
        &mut self,
        path: &str,
        from: From<'_>,
        items: Option<&[KeyToPath]>,
        optional: bool,
        mode: u32,
        files: &mut Files,
    ) {
        let From { of, field, name } = from;
        let Some(named) = self.named(of, &join(path, field), name, optional) else { return };
        let data = named.data.clone();
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            for (key, bytes) in data {
                let content = FileContent::Bytes(Hidden::new(bytes));
                files.add(&mut self.check, path, &key, mode, content);
            }
            return;
        };
        for (index, one) in items.iter().enumerate() {
            let path = item(&join(path, "items"), index);
            let mode = self.mode(&join(&path, "mode"), one.mode, mode);
            let file_path = join(&path, "path");
            let fits = self.file_path(&file_path, &one.path);
            match data.get(&one.key) {
                Some(bytes) if fits => {
                    let content = FileContent::Bytes(Hidden::new(bytes.clone()));
                    files.add(&mut self.check, &file_path, &one.path, mode, content);
                }
                Some(_) => {}
                None if one.key.is_empty() => self.check.missing(&join(&path, "key")),
                None if optional => {}
                None => {
                    let message = format!("no key `{}` in {} `{name}`", one.key, of.noun());
                    let hint = no_key_hint(data.keys(), &one.key);
                    self.check.wrong_hint(&join(&path, "key"), message, hint);
                }
            }
        }
    }

    fn downward(
        &mut self,
        path: &str,
        items: &[DownwardAPIVolumeFile],
        mode: u32,
        files: &mut Files,
    ) {
        for (index, one) in items.iter().enumerate() {
            let path = item(&join(path, "items"), index);
            let mode = self.mode(&join(&path, "mode"), one.mode, mode);
            let file_path = join(&path, "path");
            let fits = self.file_path(&file_path, &one.path);
            let content = match (&one.field_ref, &one.resource_field_ref) {
                (Some(field), None) => self.field_content(&join(&path, "fieldRef"), field),
                (None, Some(resource)) => {
                    let known = self.resource(&join(&path, "resourceFieldRef"), resource, None);
                    known.map(|known| match text_of(known) {
                        Ok(text) => FileContent::Bytes(Hidden::new(text.into_bytes())),
                        Err(late) => FileContent::Late(late),
                    })
                }
                _ => {
                    let hint = "one of `fieldRef`, `resourceFieldRef`";
                    self.check.wrong_hint(&path, "does not say from where", hint);
                    None
                }
            };
            if let Some(content) = content.filter(|_| fits) {
                files.add(&mut self.check, &file_path, &one.path, mode, content);
            }
        }
    }

    /// Volumes know whole maps, `KEY="VALUE"` a line, but nothing that only a start knows
    /// (`pkg/fieldpath`).
    fn field_content(&mut self, path: &str, field: &ObjectFieldSelector) -> Option<FileContent> {
        let lines = |map: &std::collections::BTreeMap<String, String>| {
            let lines = map.iter().map(|(key, value)| format!("{key}={value:?}"));
            lines.collect::<Vec<_>>().join("\n")
        };
        let text = match field.field_path.as_str() {
            "metadata.labels" => lines(&self.identity.labels),
            "metadata.annotations" => lines(&self.identity.annotations),
            _ => match self.field(path, field)? {
                Known::Now(text) => text,
                Known::Late(_) => {
                    let message = format!("{:?} cannot be in a volume", field.field_path);
                    let hint = "an environment variable can have it";
                    self.check.wrong_hint(&join(path, "fieldPath"), message, hint);
                    return None;
                }
            },
        };
        Some(FileContent::Bytes(Hidden::new(text.into_bytes())))
    }

    fn claim(&mut self, path: &str, name: &str) -> VolumeSource {
        let namespace = self.identity.namespace.clone();
        if name.is_empty() {
            self.check.missing(path);
        } else if !self.store.has_claim(&namespace, name) {
            let hint = self.store.suggest_claim(&namespace, name);
            let message = format!("no PersistentVolumeClaim `{name}` in this source");
            self.check.wrong_hint(path, message, hint);
        }
        VolumeSource::Claim { name: name.to_owned() }
    }

    /// Whether a volume is a claim that its pod mounts read only.
    pub(super) fn read_only_claim(&self, volume: &str) -> bool {
        let volumes = self.spec.volumes.iter().flatten();
        let mut claims = volumes.filter(|given| given.name == volume);
        claims.any(|given| {
            let claim = given.persistent_volume_claim.as_ref();
            claim.and_then(|claim| claim.read_only).unwrap_or_default()
        })
    }

    /// Whether something is given there that was refused already.
    pub(super) fn is_refused(&self, path: &str, name: &str) -> bool {
        treatment::refused(name).any(|field| self.check.scope.has(&join(path, field)))
    }

    fn mode(&mut self, path: &str, given: Option<i32>, default: u32) -> u32 {
        let Some(mode) = given else { return default };
        match u32::try_from(mode) {
            Ok(mode @ 0..=MAX_MODE) => mode,
            _ => {
                let hint = "permission bits from 0 to 0777, which is 511 as a decimal";
                let shown = u32::try_from(mode)
                    .map_or_else(|_| mode.to_string(), |mode| format!("{mode:04o}"));
                self.check.wrong_hint(path, format!("{shown} is not a mode of files"), hint);
                default
            }
        }
    }

    fn file_path(&mut self, path: &str, file: &str) -> bool {
        if file.split('/').any(|part| part.starts_with(RESERVED)) {
            self.check.wrong(path, format!("{file:?} has a part that begins with `..`"));
            return false;
        }
        self.check.relative(path, file)
    }
}

/// A ConfigMap or Secret and the field that names it.
#[derive(Clone, Copy)]
struct From<'a> {
    of: Of,
    field: &'static str,
    name: &'a str,
}

/// Files that are being collected.
#[derive(Default)]
struct Files(Vec<VolumeFile>);

impl Files {
    fn add(
        &mut self,
        check: &mut Check<'_>,
        at: &str,
        file: &str,
        mode: u32,
        content: FileContent,
    ) {
        let parts = file.split('/').filter(|part| !part.is_empty() && *part != ".");
        let path: PathBuf = parts.collect();
        let other =
            |other: &&VolumeFile| other.path.starts_with(&path) || path.starts_with(&other.path);
        match self.0.iter().find(other) {
            Some(other) if other.path == path => {
                check.wrong(at, format!("file {:?} is given twice", path.display().to_string()));
            }
            Some(other) => {
                let (inner, outer) = if path.starts_with(&other.path) {
                    (&path, &other.path)
                } else {
                    (&other.path, &path)
                };
                let message = format!(
                    "{:?} cannot be in {:?}, which is a file",
                    inner.display().to_string(),
                    outer.display().to_string()
                );
                check.wrong(at, message);
            }
            None => self.0.push(VolumeFile { path, mode, content }),
        }
    }

    fn finish(mut self, secret: bool) -> VolumeSource {
        self.0.sort_by(|left, right| left.path.cmp(&right.path));
        VolumeSource::Files(FileSet { files: self.0, secret })
    }
}
