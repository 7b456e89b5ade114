use std::{
    collections::BTreeMap,
    os::unix::fs::{MetadataExt, symlink},
};

use proptest::prelude::*;

use super::{
    files::{File, Payload},
    *,
};
use crate::{
    manifest::{ReadOptions, Text, read},
    model::Hidden,
};

fn payload(files: &[(&str, u32, &str)]) -> Payload {
    let files = files.iter().map(|(path, mode, content)| File {
        path: path.into(),
        mode: *mode,
        content: Hidden::new(content.as_bytes().to_vec()),
    });
    Payload { files: files.collect(), group: None }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What a container sees: files without what begins with `..`.
fn seen(directory: &Path) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    let mut paths: Vec<PathBuf> = names(directory)
        .into_iter()
        .filter(|name| !name.starts_with(".."))
        .map(|name| directory.join(name))
        .collect();
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(names(&path).into_iter().map(|name| path.join(name)));
        } else {
            let name = path.strip_prefix(directory).unwrap().display().to_string();
            seen.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    seen
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn files_are_replaced_together_and_old_ones_go() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let first = payload(&[("a", 0o600, "1"), ("deep/b", 0o644, "2")]);
    assert!(files::write(path, &first).unwrap());
    assert_eq!(mode(&path.join("a")), 0o600);
    let open = fs::File::open(path.join("a")).unwrap();
    let before = fs::read_link(path.join("..data")).unwrap();
    assert!(!files::write(path, &first).unwrap(), "nothing changed");
    assert_eq!(fs::read_link(path.join("..data")).unwrap(), before);

    let second = payload(&[("a", 0o600, "11"), ("c", 0o644, "3")]);
    assert!(files::write(path, &second).unwrap());
    let expected = [("a", "11"), ("c", "3")].map(|(name, text)| (name.into(), text.into()));
    assert_eq!(seen(path), BTreeMap::from(expected));
    assert_eq!(io::read_to_string(&open).unwrap(), "1", "an open file stays as it was");
    assert_eq!(names(path).len(), 4, "one version and its link: {:?}", names(path));
}

#[test]
fn a_mode_that_changes_is_a_change() {
    let directory = tempfile::tempdir().unwrap();
    files::write(directory.path(), &payload(&[("a", 0o644, "x")])).unwrap();
    assert!(files::write(directory.path(), &payload(&[("a", 0o400, "x")])).unwrap());
    assert_eq!(mode(&directory.path().join("a")), 0o400);
}

/// Where a run can be killed: what is there then.
#[derive(Debug, Clone)]
enum Killed {
    /// A version was begun.
    Half(String),
    /// The link was made and not yet renamed.
    Linked,
    /// The new version counts, its names do not show yet.
    Switched,
}

fn leave(path: &Path, killed: &Killed, next: &Payload) {
    match killed {
        Killed::Half(text) => {
            fs::create_dir(path.join("..1-0")).unwrap();
            fs::write(path.join("..1-0/a"), text).unwrap();
        }
        Killed::Linked => symlink("..1-0", path.join("..data_tmp")).unwrap(),
        Killed::Switched => {
            files::write(path, next).unwrap();
            for name in names(path).iter().filter(|name| !name.starts_with("..")) {
                fs::remove_file(path.join(name)).unwrap();
            }
            fs::create_dir_all(path.join("..0-0/old")).unwrap();
        }
    }
}

fn payloads() -> impl Strategy<Value = Payload> {
    let file = ("[ab](/[ab])?", prop_oneof![Just(0o400), Just(0o644)], "[xy]{0,3}");
    proptest::collection::vec(file, 0..4).prop_map(|files| {
        let mut kept: Vec<(String, u32, String)> = Vec::new();
        for (path, mode, text) in files {
            let clash = |other: &&(String, u32, String)| {
                Path::new(&other.0).starts_with(&path) || Path::new(&path).starts_with(&other.0)
            };
            if kept.iter().find(clash).is_none() {
                kept.push((path, mode, text));
            }
        }
        let borrowed: Vec<_> =
            kept.iter().map(|(path, mode, text)| (path.as_str(), *mode, text.as_str())).collect();
        payload(&borrowed)
    })
}

fn kills() -> impl Strategy<Value = Option<Killed>> {
    prop_oneof![
        Just(None),
        "[xy]{0,3}".prop_map(|text| Some(Killed::Half(text))),
        Just(Some(Killed::Linked)),
        Just(Some(Killed::Switched)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever was written and wherever a run was killed, the next one makes it right, leaves
    /// nothing else, and has nothing to do again.
    #[test]
    fn any_history_ends_in_the_last_payload(
        history in proptest::collection::vec((payloads(), kills()), 1..5),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        for (payload, killed) in &history {
            if let Some(killed) = killed {
                leave(path, killed, payload);
            }
            files::write(path, payload).unwrap();
            let expected: BTreeMap<_, _> = payload
                .files
                .iter()
                .map(|file| {
                    let text = String::from_utf8(file.content.reveal().clone()).unwrap();
                    (file.path.display().to_string(), text)
                })
                .collect();
            prop_assert_eq!(seen(path), expected);
            let hidden = names(path).into_iter().filter(|name| name.starts_with("..")).count();
            prop_assert_eq!(hidden, 2, "{:?}", names(path));
            prop_assert!(!files::write(path, payload).unwrap());
        }
    }
}

fn node() -> NodeFacts {
    NodeFacts {
        name: "box".to_owned(),
        cpu: 2000,
        memory: 1 << 30,
        storage: 1 << 30,
        cgroup_v2: false,
        hugepage_sizes: Vec::new(),
        least_oom_score_adj: 0,
    }
}

fn pod(volumes: &str, more: &str) -> Pod {
    let text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{k: v}}\n---\n\
         apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: d}}\n---\n\
         {{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {{{more} volumes: [{volumes}], \
         containers: [{{name: c, image: i, resources: {{limits: {{memory: 1Mi}}}}}}]}}}}"
    );
    let text = Text { file: "f.yaml".into(), content: text.into() };
    let manifests = read(&[text], &ReadOptions::default());
    manifests.unwrap_or_else(|findings| panic!("{findings}")).pods.remove(0)
}

#[test]
fn the_plan_says_what_is_where() {
    let roots = Roots::below(Path::new("/r"));
    let volumes = "{name: e, emptyDir: {}}, {name: t, emptyDir: {medium: Memory, sizeLimit: 4Mi}}, \
        {name: h, hostPath: {path: /x}}, {name: c, persistentVolumeClaim: {claimName: d}}, \
        {name: m, configMap: {name: m}}";
    let pod = pod(volumes, "securityContext: {fsGroup: 9},");
    let (steps, paths) = plan(&pod, &roots, &node());
    assert_eq!(paths["h"], Path::new("/x"));
    assert_eq!(paths["c"], Path::new("/r/volumes/default/d"));
    let own = Path::new("/r/pods").join(&pod.uid).join("volumes");
    assert_eq!(paths["e"], own.join("e"));
    // No more than the containers may use at all.
    let tmpfs = Step::Tmpfs { path: own.join("t"), size: Some(1 << 20), mode: 0o1777 };
    assert!(steps.contains(&tmpfs), "{steps:#?}");
    let owned: Vec<_> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Own { path, .. } => Some(path.file_name().unwrap().to_str().unwrap()),
            _ => None,
        })
        .collect();
    assert_eq!(owned, ["e", "t", "d"], "what is the host's stays the host's");
}

#[test]
fn volumes_on_disk_are_made_once_and_removed_without_the_claim() {
    let directory = tempfile::tempdir().unwrap();
    let roots = Roots::below(directory.path());
    let volumes = "{name: e, emptyDir: {}}, {name: c, persistentVolumeClaim: {claimName: d}}, \
        {name: m, configMap: {name: m}}";
    let pod = pod(volumes, "");
    let paths = materialise(&pod, &roots, &node()).unwrap();
    assert_eq!(mode(&paths["e"]), 0o777);
    assert_eq!(mode(&roots.pod(&pod.uid)), 0o700);
    // Databases insist on it.
    fs::set_permissions(&paths["c"], fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(paths["e"].join("kept"), "1").unwrap();
    fs::write(paths["c"].join("kept"), "2").unwrap();
    assert_eq!(materialise(&pod, &roots, &node()).unwrap(), paths);
    assert_eq!(fs::read_to_string(paths["e"].join("kept")).unwrap(), "1");
    assert_eq!(fs::read_to_string(paths["m"].join("k")).unwrap(), "v");
    assert_eq!(mode(&paths["c"]), 0o700, "what a pod does to its volume stays");
    assert_eq!(list(&roots).unwrap(), std::slice::from_ref(&pod.uid));

    remove(&roots, &pod.uid).unwrap();
    remove(&roots, &pod.uid).unwrap();
    assert_eq!(list(&roots).unwrap(), Vec::<String>::new());
    assert_eq!(fs::read_to_string(paths["c"].join("kept")).unwrap(), "2");
    remove_claim(&roots, "default", "d").unwrap();
    assert!(!paths["c"].exists());
}

#[test]
fn a_run_that_was_killed_at_any_step_is_finished_by_the_next() {
    let volumes = "{name: e, emptyDir: {}}, {name: c, persistentVolumeClaim: {claimName: d}}, \
        {name: m, configMap: {name: m}}";
    let pod = pod(volumes, "");
    let steps = plan(&pod, &Roots::default(), &node()).0.len();
    for done in 0..=steps {
        let directory = tempfile::tempdir().unwrap();
        let roots = Roots::below(directory.path());
        let (steps, paths) = plan(&pod, &roots, &node());
        steps.iter().take(done).try_for_each(act).unwrap();
        // In the middle of a step, too: a directory that has not got its mode yet.
        let volumes = roots.pod(&pod.uid).join("volumes");
        if done == 0 {
            own_directory(&volumes.join(".e")).unwrap();
        }
        assert_eq!(materialise(&pod, &roots, &node()).unwrap(), paths);
        assert_eq!(mode(&paths["e"]), 0o777);
        assert_eq!(names(&volumes), ["e", "m"], "after {done} steps");
        assert_eq!(fs::read_to_string(paths["m"].join("k")).unwrap(), "v");
    }
}

#[test]
fn a_full_directory_is_told_with_what_it_holds() {
    let directory = tempfile::tempdir().unwrap();
    let roots = Roots::below(directory.path());
    let pod = pod("{name: e, emptyDir: {sizeLimit: 8Ki}}, {name: f, emptyDir: {}}", "");
    let paths = materialise(&pod, &roots, &node()).unwrap();
    assert_eq!(over_limit(&pod, &roots).unwrap(), []);
    fs::write(paths["f"].join("large"), vec![1; 100_000]).unwrap();
    assert_eq!(over_limit(&pod, &roots).unwrap(), []);
    fs::create_dir(paths["e"].join("deep")).unwrap();
    fs::write(paths["e"].join("deep/large"), vec![1; 100_000]).unwrap();
    let over = over_limit(&pod, &roots).unwrap();
    assert!(matches!(over.as_slice(), [(name, 100_000..)] if name == "e"), "{over:?}");
}

#[test]
fn host_paths_are_what_their_type_says() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("file"), "").unwrap();
    let check = |name: &str, kind| host_path("v", &at(name), kind);
    check("file", HostPathType::File).unwrap();
    check("made/deep", HostPathType::DirectoryOrCreate).unwrap();
    check("made/file", HostPathType::FileOrCreate).unwrap();
    check("missing", HostPathType::Unchecked).unwrap();
    assert_eq!((mode(&at("made")), mode(&at("made/file"))), (0o755, 0o644));
    let error = check("file", HostPathType::Directory).unwrap_err();
    let path = at("file").display().to_string();
    assert_eq!(error.to_string(), format!("volume `v`: `{path}` is not a directory"));
    assert!(check("missing", HostPathType::Socket).is_err());
    assert!(check("no/file", HostPathType::FileOrCreate).is_err());
    assert!(!at("missing").exists());
}

/// Groups and mounts are root's to give; other users' runs of the tests see the refusals.
fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[test]
fn a_group_owns_a_volume_and_no_link_leads_it_out() {
    let directory = tempfile::tempdir().unwrap();
    let (volume, outside) = (directory.path().join("v"), directory.path().join("o"));
    fs::create_dir_all(volume.join("sub")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(volume.join("sub/file"), "").unwrap();
    fs::write(outside.join("file"), "").unwrap();
    symlink(&outside, volume.join("link")).unwrap();
    let before = mode(&outside.join("file"));
    // One's own group can be given by anybody.
    let gid = if is_root() { 2000 } else { nix::unistd::getegid().as_raw() };
    let group = FsGroup { gid, policy: crate::model::FsGroupPolicy::OnRootMismatch };
    own::own(&volume, group).unwrap();
    assert_eq!(fs::metadata(volume.join("sub/file")).unwrap().gid(), gid);
    assert_eq!(mode(&volume.join("sub/file")) & 0o660, 0o660);
    assert_eq!(mode(&volume.join("sub")) & 0o2770, 0o2770);
    assert_eq!(mode(&outside.join("file")), before);
    // Its root fits: nothing below is looked at again.
    fs::set_permissions(volume.join("sub/file"), fs::Permissions::from_mode(0o600)).unwrap();
    own::own(&volume, group).unwrap();
    assert_eq!(mode(&volume.join("sub/file")), 0o600);
}

/// Makes directories one in the other, as a container can: longer than any path.
fn nest(directory: &Path, depth: usize) {
    use nix::{fcntl, sys::stat};
    let mut open = fcntl::open(directory, OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..depth {
        stat::mkdirat(&open, "d", Mode::S_IRWXU).unwrap();
        open = fcntl::openat(&open, "d", OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    }
}

/// Does it where there is so little of the stack that a share for each level would be too much.
fn with_little_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(128 << 10).spawn(work).unwrap().join().unwrap()
}

#[test]
fn a_group_owns_what_is_nested_deep() {
    let directory = tempfile::tempdir().unwrap();
    let volume = directory.path().join("v");
    fs::create_dir(&volume).unwrap();
    nest(&volume, 500);
    let deepest = volume.join(vec!["d"; 500].join("/"));
    let gid = if is_root() { 2000 } else { nix::unistd::getegid().as_raw() };
    let group = FsGroup { gid, policy: crate::model::FsGroupPolicy::Always };
    with_little_stack(move || own::own(&volume, group)).unwrap();
    assert_eq!(fs::metadata(&deepest).unwrap().gid(), gid);
    assert_eq!(mode(&deepest) & 0o2770, 0o2770);
}

#[test]
fn what_is_nested_deep_goes_and_what_a_link_leads_to_stays() {
    let directory = tempfile::tempdir().unwrap();
    let roots = Roots::below(&directory.path().join("data"));
    let outside = directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "").unwrap();
    let volume = roots.volume("u", "v");
    for part in ["wide/a", "wide/b", ".crilet-removes-0/in/the/way"] {
        fs::create_dir_all(volume.join(part)).unwrap();
    }
    fs::write(volume.join(".crilet-removes-1"), "").unwrap();
    symlink(&outside, volume.join("wide/link")).unwrap();
    nest(&volume, 1500);
    nest(&volume.join("wide/b"), 200);
    with_little_stack(move || remove_volume(&roots, "u", "v")).unwrap();
    assert_eq!(fs::read_dir(volume.parent().unwrap()).unwrap().count(), 0);
    assert!(outside.join("file").exists());
}

#[test]
fn a_part_of_a_volume_cannot_be_outside_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let volume = directory.path().join("v");
    fs::create_dir(&volume).unwrap();
    symlink("/etc", volume.join("absolute")).unwrap();
    symlink("../..", volume.join("up")).unwrap();
    symlink("up", volume.join("twice")).unwrap();
    symlink("loop", volume.join("loop")).unwrap();
    let target = directory.path().join("pods/u/sub-paths/c/0");
    for part in ["absolute", "up", "twice", "up/new", "absolute/new", "loop", "../x"] {
        let error = bind(&volume, part, &target).unwrap_err();
        assert!(matches!(error, VolumeError::Escapes { .. }), "{part}: {error:?}");
    }
    assert!(!target.exists(), "nothing was bound");
    assert_eq!(names(directory.path()), ["v"]);
}

#[test]
fn a_last_word_is_read_up_to_its_limit() {
    let directory = tempfile::tempdir().unwrap();
    let roots = Roots::below(directory.path());
    let file = termination_file(&roots, "u", "c", 0).unwrap();
    assert_eq!((mode(&file), last_word(&file)), (0o666, None));
    fs::write(&file, "x".repeat(5000)).unwrap();
    assert_eq!(last_word(&file).unwrap().len(), 4096);
    assert_eq!(last_word(&directory.path().join("gone")), None);
    assert_eq!(termination_file(&roots, "u", "c", 0).unwrap(), file);
    assert_eq!(last_word(&file), None, "a start that is tried again begins anew");
    for attempt in 1..=3 {
        termination_file(&roots, "u", "c", attempt).unwrap();
    }
    assert_eq!(names(file.parent().unwrap()), ["2", "3"]);
}

#[test]
fn the_end_of_a_log_stands_in_for_a_last_word() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("0.log");
    let of = |text: &str| {
        fs::write(&log, text).unwrap();
        last_lines(&log)
    };
    let time = "2026-01-02T03:04:05.000000006Z";
    assert_eq!(last_lines(&log), None, "there is no log");
    assert_eq!(of(""), None);
    assert_eq!(of("no log\n"), None);
    let text =
        format!("{time} stdout F one\n{time} stderr P tw\n{time} stderr F o\n{time} stdout F \n");
    assert_eq!(of(&text).as_deref(), Some("one\ntwo"));
    let line = |number| format!("{time} stdout F {number}\n");
    let many: String = (0..200).map(line).collect();
    let last = of(&many).unwrap();
    assert_eq!((last.lines().count(), last.lines().next()), (80, Some("120")));
    let long: String = (0..2000).map(|_| format!("{time} stdout F {}\n", "x".repeat(99))).collect();
    assert_eq!(of(&long).unwrap().len(), 2047, "the last line's end is not shown");
}
