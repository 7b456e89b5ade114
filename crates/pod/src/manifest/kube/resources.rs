//! What containers ask for and may use.

use std::collections::BTreeMap;

use crilet_core::similar;
use k8s_openapi::{
    api::core::v1::{PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity as Text,
};

use crate::{
    manifest::{
        check::Check,
        report::{entry, join},
    },
    model::{Container, Qos, Resources},
};

/// What a huge page's size is written with behind `hugepages-`.
pub(super) const HUGEPAGES: &str = "hugepages-";

type Map = BTreeMap<String, Text>;

/// Reads `resources` of the container at `path`; a missing request is the limit.
pub(super) fn read(
    check: &mut Check<'_>,
    path: &str,
    requirements: Option<&ResourceRequirements>,
) -> Resources {
    let Some(requirements) = requirements else { return Resources::default() };
    let path = join(path, "resources");
    let limits = amounts(check, &join(&path, "limits"), requirements.limits.as_ref());
    let requests = amounts(check, &join(&path, "requests"), requirements.requests.as_ref());
    for (name, requested) in &requests {
        let path = entry(&join(&path, "requests"), name);
        if limits.get(name).is_some_and(|limit| limit < requested) {
            check.wrong(&path, "more than the limit");
        } else if name.starts_with(HUGEPAGES) && limits.get(name) != Some(requested) {
            check.wrong(&path, "huge pages are requested by their limit");
        }
    }
    let limit = |name: &str| limits.get(name).copied();
    let request = |name: &str| requests.get(name).copied().or_else(|| limit(name));
    let pages = limits.iter().filter_map(|(name, limit)| {
        let size = crate::manifest::quantity::Quantity::parse(name.strip_prefix(HUGEPAGES)?);
        Some((size.ok()?.scaled(1)?, *limit))
    });
    Resources {
        cpu_request: request("cpu"),
        cpu_limit: limit("cpu"),
        memory_request: request("memory"),
        memory_limit: limit("memory"),
        hugepage_limits: pages.collect(),
    }
}

/// Thousandths of a CPU, or bytes, by name of the resource.
fn amounts(check: &mut Check<'_>, path: &str, map: Option<&Map>) -> BTreeMap<String, u64> {
    let mut amounts = BTreeMap::new();
    for (name, quantity) in map.into_iter().flatten() {
        let path = entry(path, name);
        let factor = if name == "cpu" { 1000 } else { 1 };
        match name.as_str() {
            "cpu" | "memory" => {}
            "ephemeral-storage" => {
                check.warn(&path, "ignored: the disk that a container fills is not limited");
                continue;
            }
            page if page.starts_with(HUGEPAGES) => {
                let size = page.strip_prefix(HUGEPAGES).unwrap_or_default();
                if check.quantity(&path, size, 1).is_none() {
                    continue;
                }
            }
            _ => {
                unknown(check, &path, name);
                continue;
            }
        }
        if let Some(amount) = check.quantity(&path, &quantity.0, factor) {
            amounts.insert(name.clone(), amount);
        }
    }
    amounts
}

fn unknown(check: &mut Check<'_>, path: &str, name: &str) {
    let known = ["cpu", "memory", "ephemeral-storage"];
    let hint = match similar(name, known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "known here: `cpu`, `memory`, `hugepages-SIZE`".to_owned(),
    };
    check.wrong_key(path, format!("{name:?} is no resource of this machine"), &hint);
}

/// The resources of a container by name, without complaints: they are made elsewhere.
pub(super) fn of_container(spec: &PodSpec, name: &str) -> Option<Amounts> {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let container = containers.into_iter().find(|container| container.name == name)?;
    let map = |map: Option<&Map>| {
        let read = |(name, quantity): (&String, &Text)| {
            let factor = if name == "cpu" { 1000 } else { 1 };
            let amount = crate::manifest::quantity::Quantity::parse(&quantity.0).ok()?;
            Some((name.clone(), amount.scaled(factor)?))
        };
        map.into_iter().flatten().filter_map(read).collect()
    };
    let requirements = container.resources.as_ref();
    Some(Amounts {
        limits: map(requirements.and_then(|requirements| requirements.limits.as_ref())),
        requests: map(requirements.and_then(|requirements| requirements.requests.as_ref())),
    })
}

/// Thousandths of a CPU, or bytes, by name of the resource.
pub(super) struct Amounts {
    pub(super) limits: BTreeMap<String, u64>,
    pub(super) requests: BTreeMap<String, u64>,
}

/// The class of a pod (`pkg/apis/core/v1/helper/qos`, `ComputePodQOS`).
pub(super) fn qos<'a>(containers: impl Iterator<Item = &'a Container> + Clone) -> Qos {
    let given = |amount: Option<u64>| amount.is_some_and(|amount| amount > 0);
    let says = |resources: &Resources| {
        given(resources.cpu_request)
            || given(resources.cpu_limit)
            || given(resources.memory_request)
            || given(resources.memory_limit)
    };
    let guaranteed = |resources: &Resources| {
        given(resources.cpu_limit)
            && given(resources.memory_limit)
            && resources.cpu_request == resources.cpu_limit
            && resources.memory_request == resources.memory_limit
    };
    if !containers.clone().any(|container| says(&container.resources)) {
        Qos::BestEffort
    } else if containers.clone().all(|container| guaranteed(&container.resources)) {
        Qos::Guaranteed
    } else {
        Qos::Burstable
    }
}
