use std::{ops::Deref, sync::Arc};

use crilet_api::PodRef;
use crilet_daemon::fake::{FakeNode, Served};

use crate::bed::Bed;

/// A bed with a daemon in it.
pub(super) struct DaemonBed {
    bed: Bed,
    pub(super) node: Arc<FakeNode>,
    pub(super) served: Option<Served>,
}

impl Deref for DaemonBed {
    type Target = Bed;

    fn deref(&self) -> &Bed {
        &self.bed
    }
}

impl DaemonBed {
    pub(super) fn new() -> Self {
        let mut bed = Self { bed: Bed::with_app(), node: FakeNode::new(), served: None };
        bed.serve();
        bed
    }

    /// With the pods `default/web` and `default/db`.
    pub(super) fn with_pods() -> Self {
        let bed = Self::new();
        for name in ["web", "db"] {
            bed.node.put(FakeNode::pod_named("default", name));
        }
        bed
    }

    /// Begins to serve again.
    pub(super) fn serve(&mut self) {
        let node = Arc::<FakeNode>::clone(&self.node);
        self.served = Some(Served::start(node, &self.bed.path("state/crilet.sock")).unwrap());
    }
}

pub(super) fn web() -> PodRef {
    PodRef::new("default", "web")
}
