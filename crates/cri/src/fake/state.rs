//! What the runtime has.

use std::collections::{BTreeMap, HashSet};

use tonic::{Code, Status};

use super::{
    Flavour, containers::Container, events::Listeners, ids::Ids, images::Images, sandboxes::Sandbox,
};
use crate::v1;

pub(super) type Answer<T> = Result<T, Status>;

/// Everything that calls read and change.
#[derive(Debug)]
pub(super) struct State {
    pub(super) flavour: Flavour,
    pub(super) images: Images,
    pub(super) methods: HashSet<String>,
    pub(super) systemd_cgroups: bool,
    pub(super) sandboxes: BTreeMap<String, Sandbox>,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) ids: Ids,
    pub(super) listeners: Listeners,
}

/// What containerd would make sandboxes of; it is there only if a test has put it there.
const SANDBOX_IMAGE: &str = "fake.test/pause:1";

impl State {
    pub(super) fn new(flavour: Flavour, images: Images, methods: HashSet<String>) -> Self {
        Self {
            flavour,
            images,
            methods,
            systemd_cgroups: false,
            sandboxes: BTreeMap::new(),
            containers: BTreeMap::new(),
            ids: Ids::default(),
            listeners: Listeners::default(),
        }
    }

    pub(super) fn version(&self) -> v1::VersionResponse {
        let (name, version) = match self.flavour {
            Flavour::Containerd => ("containerd", "1.6.20~ds1"),
            Flavour::Crio => ("cri-o", "1.30.0"),
        };
        v1::VersionResponse {
            version: "0.1.0".to_owned(),
            runtime_name: name.to_owned(),
            runtime_version: version.to_owned(),
            runtime_api_version: "v1".to_owned(),
        }
    }

    pub(super) fn status(&self) -> v1::StatusResponse {
        let condition = |kind: &str| v1::RuntimeCondition {
            r#type: kind.to_owned(),
            status: true,
            ..v1::RuntimeCondition::default()
        };
        let conditions = vec![condition("RuntimeReady"), condition("NetworkReady")];
        let has_more = self.systemd_cgroups || self.images.find(SANDBOX_IMAGE).is_some();
        v1::StatusResponse {
            status: Some(v1::RuntimeStatus { conditions }),
            // containerd's own words, as far as anybody reads them.
            info: match self.flavour {
                Flavour::Containerd if has_more => {
                    let config = serde_json::json!({
                        "containerd": {"options": {"SystemdCgroup": self.systemd_cgroups}},
                        "sandboxImage": SANDBOX_IMAGE,
                    });
                    [("config".to_owned(), config.to_string())].into()
                }
                _ => Default::default(),
            },
            ..v1::StatusResponse::default()
        }
    }

    pub(super) fn runtime_config(&self) -> v1::RuntimeConfigResponse {
        let driver = match self.systemd_cgroups {
            true => v1::CgroupDriver::Systemd.into(),
            false => v1::CgroupDriver::Cgroupfs.into(),
        };
        let linux = v1::LinuxRuntimeConfiguration { cgroup_driver: driver };
        v1::RuntimeConfigResponse { linux: Some(linux) }
    }

    /// Lets a container end by itself; tells whether there was such a running container.
    pub(super) fn exit(&mut self, container: &str, exit_code: i32) -> bool {
        let running = self.containers.values().find(|candidate| {
            let named = candidate.id == container || candidate.name() == container;
            named && candidate.state == v1::ContainerState::ContainerRunning
        });
        let Some(id) = running.map(|running| running.id.clone()) else { return false };
        self.end(&id, exit_code);
        true
    }
}

/// Finds the one key that an id or the beginning of one means, as runtimes do.
pub(super) fn resolve<T>(objects: &BTreeMap<String, T>, id: &str) -> Answer<Option<String>> {
    if id.is_empty() {
        return Err(unknown("Prefix can't be empty"));
    }
    let mut matches = objects.keys().filter(|key| key.starts_with(id));
    match (matches.next(), matches.next()) {
        (Some(only), None) => Ok(Some(only.clone())),
        (Some(_), Some(_)) if objects.contains_key(id) => Ok(Some(id.to_owned())),
        (Some(_), Some(_)) => {
            Err(unknown(format!("multiple IDs found with provided prefix: {id}")))
        }
        (None, _) => Ok(None),
    }
}

/// The code of errors that a runtime written in Go does not classify.
pub(super) fn unknown(message: impl Into<String>) -> Status {
    Status::new(Code::Unknown, message)
}

pub(super) fn not_found(message: impl Into<String>) -> Status {
    Status::new(Code::NotFound, message)
}
