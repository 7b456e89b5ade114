//! The layers of the workspace, read from `cargo metadata`: who may use whom.
//!
//! An arrow that is not in [`LAYERS`] is a decision, and a decision is made in this file.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Every crate of the workspace with the workspace crates it may build upon.
const LAYERS: [(&str, &[&str]); 13] = [
    ("crilet-core", &[]),
    ("crilet-cri", &["crilet-core"]),
    ("crilet-cni", &["crilet-core"]),
    ("crilet-crictl", &["crilet-core", "crilet-cri"]),
    ("crilet-runtime", &["crilet-core", "crilet-cri", "crilet-cni"]),
    ("crilet-pod", &["crilet-core", "crilet-cri"]),
    ("crilet-api", &["crilet-core"]),
    ("crilet-log", &["crilet-core", "crilet-cri"]),
    ("crilet-network", &["crilet-core", "crilet-cri", "crilet-cni"]),
    ("crilet-stream", &["crilet-core", "crilet-cri"]),
    (
        "crilet-daemon",
        &[
            "crilet-core",
            "crilet-cri",
            "crilet-runtime",
            "crilet-pod",
            "crilet-log",
            "crilet-stream",
            "crilet-api",
        ],
    ),
    (
        "crilet",
        &[
            "crilet-core",
            "crilet-cri",
            "crilet-crictl",
            "crilet-cni",
            "crilet-runtime",
            "crilet-pod",
            "crilet-log",
            "crilet-network",
            "crilet-stream",
            "crilet-api",
            "crilet-daemon",
        ],
    ),
    ("crilet-testkit", &["crilet-core", "crilet-runtime"]),
];

/// Tests may use this besides the layers below them.
const FOR_TESTS: [&str; 1] = ["crilet-testkit"];

/// Crates from outside that only some of ours may name, in any kind of dependency.
const KEPT_WITHIN: [(&str, &[&str]); 9] = [
    ("tonic", &["crilet-cri", "crilet-runtime"]),
    ("tonic-prost", &["crilet-cri", "crilet-runtime"]),
    ("clap", &["crilet"]),
    ("rtnetlink", &["crilet-cni"]),
    ("iptables", &["crilet-cni"]),
    ("anyhow", &["crilet", "crilet-testkit"]),
    ("axum", &["crilet-daemon"]),
    ("k8s-openapi", &["crilet-pod"]),
    // The daemon serves WebSocket through axum; its tests, and those of the whole, are clients.
    ("tokio-tungstenite", &["crilet-stream", "crilet-daemon", "crilet"]),
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .no_deps()
        .other_options(["--locked".to_owned()])
        .exec()
        .expect("cargo metadata")
}

/// The workspace's own crates that `package` uses, in the given kind of dependency.
fn uses(package: &Package, names: &BTreeSet<&str>, kind: DependencyKind) -> BTreeSet<String> {
    let of_kind = package.dependencies.iter().filter(|dependency| dependency.kind == kind);
    of_kind.map(|dependency| dependency.name.clone()).filter(|n| names.contains(&**n)).collect()
}

#[test]
fn every_crate_has_its_place_in_the_layers() {
    let metadata = metadata();
    let found: BTreeSet<&str> =
        metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect();
    let placed: BTreeSet<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
    assert_eq!(found, placed);
}

#[test]
fn arrows_between_crates_point_down() {
    let metadata = metadata();
    let layers = BTreeMap::from(LAYERS);
    let names: BTreeSet<&str> = layers.keys().copied().collect();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let allowed = layers.get(package.name.as_str()).copied().unwrap_or_default();
        for kind in [DependencyKind::Normal, DependencyKind::Build, DependencyKind::Development] {
            for name in uses(package, &names, kind) {
                let in_tests = kind == DependencyKind::Development
                    && (FOR_TESTS.contains(&&*name) || name == package.name.as_str());
                if !allowed.contains(&&*name) && !in_tests {
                    wrong.push(format!("{} -> {name} ({kind})", package.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "dependencies against the layers: {wrong:#?}");
}

#[test]
fn outside_crates_stay_within_their_layer() {
    let metadata = metadata();
    let kept = BTreeMap::from(KEPT_WITHIN);
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            let Some(owners) = kept.get(dependency.name.as_str()) else { continue };
            if !owners.contains(&package.name.as_str()) {
                wrong.push(format!("{} -> {}", package.name, dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "crates used outside of their layer: {wrong:#?}");
}

/// The test kit and the fake runtime must never be part of what is shipped.
#[test]
fn test_code_is_a_development_dependency_only() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            let for_tests = dependency.name == "crilet-testkit"
                || dependency.features.iter().any(|f| f == "fake");
            assert!(
                !for_tests || dependency.kind == DependencyKind::Development,
                "{} ships {} with features {:?}",
                package.name,
                dependency.name,
                dependency.features
            );
        }
    }
}
