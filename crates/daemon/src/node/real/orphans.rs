//! What is left of pods that nobody wants any more: their manifests went while no daemon ran.

use std::{collections::BTreeSet, sync::Arc};

use crilet_cri::{
    Client, CriError,
    inventory::{self, Detail, Pod as Sandbox},
    v1,
};
use crilet_pod::{
    model::{Backoff, DEFAULT_GRACE, Format, Names, Origin, Pod, Qos, RestartPolicy},
    sync::marks,
    volumes::{self, Roots},
};

/// Pods, as far as they can still be known, of which the runtime or the disk has something although
/// their uids are not among the wanted.
pub(super) async fn find(
    client: &Client,
    roots: &Roots,
    wanted: &BTreeSet<String>,
) -> Result<Vec<Arc<Pod>>, CriError> {
    let mut sandboxes = inventory::read(client, Detail::Lists).await?;
    sandboxes.retain(|sandbox| marks::is_kept(sandbox) && !wanted.contains(&sandbox.uid));
    let mut seen = wanted.clone();
    let mut orphans = Vec::new();
    for sandbox in &sandboxes {
        if seen.insert(sandbox.uid.clone()) {
            orphans.push(Arc::new(of_sandbox(sandbox)));
        }
    }
    let directories = volumes::list(roots).unwrap_or_else(|error| {
        tracing::error!(%error, "cannot list the directories of pods");
        Vec::new()
    });
    for uid in directories {
        if seen.insert(uid.clone()) {
            orphans.push(Arc::new(pod("", &uid, uid.clone())));
        }
    }
    Ok(orphans)
}

fn of_sandbox(sandbox: &Sandbox) -> Pod {
    pod(&sandbox.namespace, &sandbox.name, sandbox.uid.clone())
}

/// A pod without containers of its own: those that are left know by their marks how to end.
fn pod(namespace: &str, name: &str, uid: String) -> Pod {
    let metadata = v1::PodSandboxMetadata {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        uid: uid.clone(),
        attempt: 0,
    };
    Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid,
        labels: Default::default(),
        annotations: Default::default(),
        origin: Origin {
            file: Default::default(),
            position: None,
            document: 1,
            format: Format::Pod,
        },
        restart_policy: RestartPolicy::Never,
        backoff: Backoff::DEFAULT,
        grace: DEFAULT_GRACE,
        active_deadline: None,
        runtime_handler: String::new(),
        sandbox: v1::PodSandboxConfig { metadata: Some(metadata), ..Default::default() },
        names: Names::default(),
        host_aliases: Vec::new(),
        dns: None,
        fs_group: None,
        qos: Qos::BestEffort,
        init: Vec::new(),
        containers: Vec::new(),
        volumes: Vec::new(),
        pull_secrets: Default::default(),
        sandbox_hash: String::new(),
    }
}
