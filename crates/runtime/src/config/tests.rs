use super::*;

fn facts(major: u32, minor: u32) -> HostFacts {
    HostFacts {
        version: Version { major, minor },
        runc: "/usr/sbin/runc".into(),
        plugin_directory: "/usr/lib/cni".into(),
        cgroups: Cgroups::V2,
        may_lower_oom_score: true,
        overlay: true,
        apparmor: true,
    }
}

/// Lines of `right` that `left` lacks, and the other way round.
fn difference(left: &HostFacts, right: &HostFacts) -> String {
    let layout = Layout::default();
    let (left, right) = (render(&layout, left, &[]), render(&layout, right, &[]));
    let gone = left.lines().filter(|line| !right.lines().any(|other| other == *line));
    let come = right.lines().filter(|line| !left.lines().any(|other| other == *line));
    let gone = gone.map(|line| format!("- {line}"));
    gone.chain(come.map(|line| format!("+ {line}"))).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_whole_configuration() {
    insta::assert_snapshot!(render(&Layout::default(), &facts(1, 6), &[]));
}

#[test]
fn cgroups_and_later_versions_change_nothing() {
    for version in [(1, 5), (1, 7), (2, 0), (2, 2)] {
        for cgroups in [Cgroups::V1, Cgroups::Hybrid, Cgroups::V2] {
            let other = HostFacts { cgroups, ..facts(version.0, version.1) };
            assert_eq!(difference(&facts(1, 6), &other), "", "{version:?} {cgroups}");
        }
    }
}

#[test]
fn without_the_right_to_lower_oom_scores_containers_are_not_asked_to() {
    let poor = HostFacts { may_lower_oom_score: false, ..facts(1, 6) };
    insta::assert_snapshot!(difference(&facts(1, 6), &poor), @r"
    - oom_score = -999
    - restrict_oom_score_adj = false
    + oom_score = 0
    + restrict_oom_score_adj = true
    ");
}

#[test]
fn where_layers_cannot_be_stacked_they_are_copied() {
    let plain = HostFacts { overlay: false, ..facts(1, 6) };
    insta::assert_snapshot!(difference(&facts(1, 6), &plain), @r#"
    - snapshotter = "overlayfs"
    +   "io.containerd.snapshotter.v1.overlayfs",
    + snapshotter = "native"
    "#);
}

#[test]
fn apparmor_is_left_out_where_it_does_not_work() {
    let without = HostFacts { apparmor: false, ..facts(1, 6) };
    insta::assert_snapshot!(difference(&facts(1, 6), &without), @r"
    - disable_apparmor = false
    + disable_apparmor = true
    ");
}

#[test]
fn an_old_containerd_has_its_mirrors_in_the_configuration() {
    let mirrors = ["docker.io=http://127.0.0.1:5000", "a.b=https://c", "docker.io=http://[::1]"];
    let mirrors: Vec<Mirror> = mirrors.iter().map(|text| text.parse().unwrap()).collect();
    insta::assert_snapshot!(registry_section(&Layout::default(), &facts(1, 4), &mirrors), @r#"
    [plugins."io.containerd.grpc.v1.cri".registry.mirrors."a.b"]
    endpoint = ["https://c"]

    [plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]
    endpoint = ["http://127.0.0.1:5000", "http://[::1]"]
    "#);
}

#[test]
fn paths_cannot_break_out_of_their_quotes() {
    assert_eq!(quoted(std::path::Path::new("/a\"b\\c")), r#""/a\"b\\c""#);
}

#[test]
fn versions_are_found_in_what_containerd_says() {
    let found = |text| Version::parse(text).map(|version| (version.major, version.minor));
    let debian = "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3";
    assert_eq!(found(debian), Some((1, 6)));
    assert_eq!(
        found("containerd github.com/containerd/containerd/v2 v2.1.4 75cb2b7"),
        Some((2, 1))
    );
    assert_eq!(found("containerd containerd.io 1.7.27 05044ec"), Some((1, 7)));
    assert_eq!(found("containerd"), None);
}
