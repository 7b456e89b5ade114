use std::{collections::HashSet, io, path::Path};

use super::{FakeHandle, Flavour, images::Images, server, state::State};
use crate::ApiVersion;

/// Methods that containerd 1.6 does not have and the fake can have.
const NEWER: [&str; 5] = [
    "CheckpointContainer",
    "GetContainerEvents",
    "ListMetricDescriptors",
    "ListPodSandboxMetrics",
    "RuntimeConfig",
];

/// A runtime that exists in memory only; see [`Fake::builder`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Fake {}

/// What a fake runtime is like.
#[derive(Debug)]
#[must_use = "`start` starts it"]
pub struct Builder {
    flavour: Flavour,
    versions: Vec<ApiVersion>,
    images: Images,
    methods: HashSet<String>,
    systemd_cgroups: bool,
}

impl Fake {
    /// Begins with a containerd 1.6 that speaks v1 and v1alpha2 and has no images.
    pub fn builder() -> Builder {
        Builder {
            flavour: Flavour::Containerd,
            versions: vec![ApiVersion::V1, ApiVersion::V1Alpha2],
            images: Images::default(),
            methods: HashSet::new(),
            systemd_cgroups: false,
        }
    }
}

impl Builder {
    /// Behaves as CRI-O: a name taken gives the id that has it, other texts, other verbose info.
    pub fn crio(mut self) -> Self {
        self.flavour = Flavour::Crio;
        self
    }

    /// Serves this version of the CRI and no other: containerd 1.5 has only v1alpha2, CRI-O and
    /// containerd 2 only v1.
    pub fn only(mut self, version: ApiVersion) -> Self {
        self.versions = vec![version];
        self
    }

    /// Has this image from the start; a short name is completed.
    pub fn image(mut self, name: &str) -> Self {
        self.images.add_local(name);
        self
    }

    /// Can pull this image without credentials.
    pub fn registry_image(mut self, name: &str) -> Self {
        self.images.add_remote(name, None);
        self
    }

    /// Can pull this image with these credentials only.
    pub fn private_image(mut self, name: &str, user: &str, password: &str) -> Self {
        self.images.add_remote(name, Some((user.to_owned(), password.to_owned())));
        self
    }

    /// Has a method that containerd 1.6 does not have: `CheckpointContainer`, `GetContainerEvents`,
    /// `ListMetricDescriptors`, `ListPodSandboxMetrics` or `RuntimeConfig`.
    ///
    /// # Panics
    /// If the fake cannot do that method.
    pub fn with_method(mut self, method: &str) -> Self {
        assert!(NEWER.contains(&method), "the fake has no method `{method}` to turn on");
        self.methods.insert(method.to_owned());
        self
    }

    /// Has systemd drive control groups, and says so where it is asked.
    pub fn systemd_cgroups(mut self) -> Self {
        self.systemd_cgroups = true;
        self
    }

    /// Serves on a new socket at this path until the handle is dropped.
    ///
    /// # Errors
    /// The socket or the thread cannot be made.
    pub fn start(self, socket: &Path) -> io::Result<FakeHandle> {
        let mut state = State::new(self.flavour, self.images, self.methods);
        state.systemd_cgroups = self.systemd_cgroups;
        server::start(socket, state, self.versions)
    }
}
