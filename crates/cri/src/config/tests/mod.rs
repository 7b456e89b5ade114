mod round_trip;

use std::{fmt::Write as _, fs};

use super::*;

const BLOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/blog");
const POD: &str = "metadata: {name: web, namespace: default}\nhostname: web\nlog_directory: /log\n";

/// Reads standard input as `-`.
fn read_text(source: &str) -> Result<PodFiles, Findings> {
    pod_files::read(&["-".into()], &mut source.as_bytes())
}

fn container(name: &str) -> String {
    format!("metadata: {{name: {name}}}\nimage: {{image: busybox}}\n")
}

/// A directory with these files; findings name the files relative to it.
struct Directory(tempfile::TempDir);

impl Directory {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(directory.path().join(name), content).unwrap();
        }
        Self(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, names: &[&str]) -> Result<PodFiles, String> {
        let paths: Vec<PathBuf> = names.iter().map(|name| self.path(name)).collect();
        pod_files::read(&paths, &mut io::empty()).map_err(|findings| self.strip(&findings))
    }

    fn strip(&self, findings: &Findings) -> String {
        let root = self.0.path().to_str().unwrap();
        findings.to_string().replace(&format!("{root}/"), "").replace(root, ".")
    }
}

fn names(files: &PodFiles) -> Vec<&str> {
    let metadata = files.containers.iter().map(|file| file.config.metadata.as_ref());
    metadata.map(|metadata| metadata.unwrap().name.as_str()).collect()
}

#[test]
fn broken_files() {
    let mut rendered = String::new();
    for case in include_str!("broken.txt").split("===== ").skip(1) {
        let (title, source) = case.split_once('\n').unwrap();
        let found = read_text(source).unwrap_err().to_string().replace("<stdin>", "pod.yaml");
        writeln!(rendered, "===== {title}\n{source}-----\n{found}\n").unwrap();
    }
    insta::assert_snapshot!(rendered);
}

#[test]
fn the_blog_lacks_an_address() {
    let found = read(&[BLOG.into()]).unwrap_err().to_string().replace(BLOG, "blog");
    assert_eq!(
        found,
        "blog/pod-config.json:18:24: port_mappings[0].host_ip: \"public_ip\" is not an IP address\
         \n  hint: leave it out for all addresses of the host"
    );
}

#[test]
fn the_blog_with_an_address() {
    let directory = Directory::new(&[]);
    for name in ["container-mysql.json", "container-wordpress.json", "pod-config.json"] {
        let content = fs::read_to_string(Path::new(BLOG).join(name)).unwrap();
        fs::write(directory.path(name), content.replace("public_ip", "127.0.0.1")).unwrap();
    }
    let files = directory.read(&[""]).unwrap();
    let pod = &files.pod.config;
    assert_eq!(pod.metadata.as_ref().unwrap().uid, "cdgbvafsbdvafbvfb");
    assert_eq!(pod.port_mappings[0].host_port, 80);
    assert_eq!(names(&files), ["mysql", "wordpress"]);
    let mysql = &files.containers[0].config;
    assert_eq!(mysql.envs[0].key, "MYSQL_DATABASE");
    assert_eq!(mysql.envs[0].value, b"wordpress", "plain text, not base64");
    assert_eq!(files.containers[1].file(), directory.path("container-wordpress.json"));
}

#[test]
fn spellings_of_one_pod() {
    let snake = "metadata: {name: web, namespace: default, attempt: 2}
hostname: '12'
labels: {a: '1', b: 'true', c: '', d: 0x1F}
port_mappings: [{host_port: 80, container_port: 8080, protocol: 1, host_ip: 127.0.0.1}]
linux: {resources: {memory_limit_in_bytes: 1000, cpu_quota: -1}}
";
    let camel = r#"{
	"metadata": {"name": "web", "namespace": "default", "attempt": 0x2}, # comment
	"hostname": 12,
	"labels": {"a": 1, "b": true, "c": null, "d": 0x1F},
	"portMappings": [
		{"hostPort": 80, "containerPort": 0o17620, "protocol": "UDP", "hostIp": "127.0.0.1",},
	],
	"dnsConfig": null,
	"linux": {"resources": {"memoryLimitInBytes": "1000", "cpuQuota": "-1"}},
}"#;
    let mixed = snake.replace("metadata", "METADATA").replace("port_mappings", "Port_Mappings");
    let pod = read_text(snake).unwrap().pod.config;
    assert_eq!(pod.port_mappings[0].container_port, 8080);
    assert_eq!(pod.labels["d"], "0x1F");
    assert_eq!(read_text(camel).unwrap().pod.config, pod);
    assert_eq!(read_text(&mixed).unwrap().pod.config, pod);
}

#[test]
fn a_pod_from_files_in_any_order() {
    let (first, second) = (container("first"), container("second"));
    let directory = Directory::new(&[
        ("2-pod.yml", POD),
        ("1-second.json", &second),
        ("3-first.yaml", &first),
        (".hidden.yaml", "{"),
        ("README.md", "{"),
    ]);
    fs::create_dir(directory.path("data.json")).unwrap();
    assert_eq!(names(&directory.read(&[""]).unwrap()), ["second", "first"]);
    let given = directory.read(&["3-first.yaml", "2-pod.yml", "1-second.json"]).unwrap();
    assert_eq!(names(&given), ["first", "second"]);
    assert_eq!(given.pod.file(), directory.path("2-pod.yml"));
    assert_eq!(names(&directory.read(&["2-pod.yml"]).unwrap()), [""; 0]);
}

#[test]
fn standard_input_holds_several_documents() {
    let stream = format!("{}---\n---\n{POD}---\n{}", container("a"), container("b"));
    let files = read_text(&stream).unwrap();
    assert_eq!(names(&files), ["a", "b"]);
    assert_eq!(files.pod.file(), Path::new("<stdin>"));
    let found = files.pod.finding("hostname", "taken").to_string();
    assert_eq!(found, "<stdin>:6:11: hostname: taken");
    let found = files.pod.finding("annotations[\"crilet.dev/x\"]", "missing").to_string();
    assert_eq!(found, "<stdin>:5:1: annotations[\"crilet.dev/x\"]: missing");
}

#[test]
fn files_that_make_no_pod() {
    let one = container("one");
    let directory = Directory::new(&[
        ("a.yaml", POD),
        ("b.yaml", POD),
        ("one.yaml", &one),
        ("two.yaml", &one),
        ("bad.yaml", "{"),
    ]);
    fs::create_dir(directory.path("empty")).unwrap();
    let pod_hint = "\n  hint: one file must describe the pod: metadata with name and namespace, port_mappings, ...";
    for (names, expected) in [
        (
            &["a.yaml", "b.yaml"][..],
            "b.yaml:1:1: a second pod config\n  hint: the first is a.yaml; a pod is described once",
        ),
        (
            &["one.yaml", "a.yaml", "two.yaml"],
            "two.yaml:1:18: metadata.name: a second container `one`\n  hint: the first is in one.yaml",
        ),
        (&["one.yaml"], &format!("one.yaml: no pod config here{pod_hint}")),
        (&[], &format!("no files given{pod_hint}")),
        (&["one.yaml", "bad.yaml"], "bad.yaml:1:1: `{` is never closed\n  1 | {\n    | ^"),
        (&["nowhere.yaml", "a.yaml"], "nowhere.yaml: no such file"),
        (&["empty"], "empty: no *.json, *.yaml or *.yml file in this directory"),
    ] {
        assert_eq!(directory.read(names).unwrap_err(), expected, "{names:?}");
    }
    let found = directory.read(&["one.yaml", "two.yaml"]).unwrap_err();
    assert!(found.starts_with("no pod config among one.yaml, "), "{found}");
}

#[test]
fn findings_of_all_files_come_together() {
    let directory = Directory::new(&[
        ("a.yaml", "metadata: {name: a, namespace: b}\nhostnam: x\nlog_directory: x\n"),
        ("b.yaml", "metadata: {name: a}\nimage: {image: b}\ncommand: x\n"),
        ("c.yaml", "}"),
    ]);
    let found = directory.read(&[""]).unwrap_err();
    let places: Vec<&str> = found.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(
        places,
        [
            "a.yaml:2:1: hostnam: unknown field",
            "a.yaml:3:16: log_directory: \"x\" is not an absolute path",
            "b.yaml:3:10: command: expected a list, found `x`",
            "c.yaml:1:1: this bracket closes nothing",
        ]
    );
}

#[test]
fn lenient_reading_warns_where_crictl_is_silent() {
    let source = "metadata: {name: a, namespace: b}\nhostnme: c\nhostname: d\nfoo: 1\n\
        port_mappings: [{container_port: 1, host_ip: public_ip}]\nhostname: e\n";
    let directory = Directory::new(&[("pod.yaml", source), ("container.yaml", &container("a"))]);
    let (pod, warnings) = read_pod(&directory.path("pod.yaml"), Strictness::Lenient).unwrap();
    assert_eq!(pod.config.hostname, "e");
    assert!(warnings.iter().all(|finding| finding.severity == Severity::Warning));
    assert_eq!(
        directory.strip(&Findings(warnings)),
        "pod.yaml:2:1: hostnme: unknown field\n  hint: did you mean `hostname`?\n\
         pod.yaml:4:1: foo: unknown field\n  hint: known here: `metadata`, `hostname`, \
         `log_directory`, `dns_config`, `port_mappings`, `labels`, `annotations`, `linux`, `windows`\n\
         pod.yaml:5:46: port_mappings[0].host_ip: \"public_ip\" is not an IP address\n  \
         hint: leave it out for all addresses of the host\n\
         pod.yaml:6:1: key `hostname` is already given in line 3"
    );
    let strict = read_pod(&directory.path("pod.yaml"), Strictness::Strict).unwrap_err();
    assert_eq!(strict.0.len(), 4);

    let swapped = read_container(&directory.path("pod.yaml"), Strictness::Lenient).unwrap_err();
    assert_eq!(
        directory.strip(&swapped),
        "pod.yaml:1:1: a pod config, expected a container config"
    );
    let (read, warnings) =
        read_container(&directory.path("container.yaml"), Strictness::Lenient).unwrap();
    assert_eq!(read.config.image.unwrap().image, "busybox");
    assert_eq!(warnings, []);
}

/// What YAML 1.1 means by it, as crictl has it.
#[test]
fn lenient_reading_takes_booleans_and_numbers_of_yaml_1_1() {
    let attempt = |text: &str| format!("metadata: {{name: a, namespace: b, attempt: {text}}}\n");
    for (text, expected) in [
        ("010", 8),
        ("-0", 0),
        ("+7", 7),
        ("0b101", 5),
        ("1_000", 1000),
        ("1.0", 1),
        ("08", 8),
        ("0x1_0", 16),
    ] {
        let directory = Directory::new(&[("pod.yaml", &attempt(text))]);
        let (pod, warnings) = read_pod(&directory.path("pod.yaml"), Strictness::Lenient).unwrap();
        assert_eq!(pod.config.metadata.unwrap().attempt, expected, "{text}");
        assert_eq!(warnings.len(), usize::from(text != "-0"), "{text}");
        let strict = read_pod(&directory.path("pod.yaml"), Strictness::Strict);
        assert_eq!(strict.is_err(), text != "-0", "{text}");
    }
    for (text, expected) in
        [("yes", true), ("On", true), ("True", true), ("off", false), ("N", false)]
    {
        let source = format!("{}stdin: {text}\n", container("a"));
        let directory = Directory::new(&[("main.yaml", &source)]);
        let (main, warnings) =
            read_container(&directory.path("main.yaml"), Strictness::Lenient).unwrap();
        assert_eq!((main.config.stdin, warnings.len()), (expected, 1), "{text}");
    }
}

#[test]
fn lenient_reading_takes_the_first_of_several_documents() {
    let source = "metadata: {name: a, namespace: b}\n---\nx: y\n";
    let directory = Directory::new(&[("pod.yaml", source)]);
    let (pod, warnings) = read_pod(&directory.path("pod.yaml"), Strictness::Lenient).unwrap();
    assert_eq!(pod.config.metadata.unwrap().name, "a");
    let expected = "pod.yaml: 2 documents, expected one pod config\n  hint: the first one is read";
    assert_eq!(directory.strip(&Findings(warnings)), expected);
    let strict = read_pod(&directory.path("pod.yaml"), Strictness::Strict).unwrap_err();
    assert_eq!(directory.strip(&strict), "pod.yaml: 2 documents, expected one pod config");
}

#[test]
fn lenient_reading_refuses_what_crictl_refuses() {
    for (source, expected) in [
        ("hostname: a\nmetdata: {name: a}\n", "metadata: missing"),
        ("hostname: a\nmetadata: {name: a, namespace: ''}\n", "metadata.namespace: empty"),
        ("hostname: a\nmetadata: {name: a, namspace: b}\n", "metadata.namespace: missing"),
        ("metadata: {name: a, namespace: b, attempt: x}\n", "found `x`"),
        ("metadata: {name: a, namespace: b, attempt: 1.5}\n", "found `1.5`"),
        ("metadata: {name: a, namespace: b, attempt: '010'}\n", "found \"010\""),
        ("metadata: {name: a, namespace: b, attempt: -010}\n", "found `-010`"),
    ] {
        let directory = Directory::new(&[("pod.yaml", source)]);
        let found = read_pod(&directory.path("pod.yaml"), Strictness::Lenient).unwrap_err();
        assert!(found.to_string().contains(expected), "{source}: {found}");
    }
}

#[test]
fn a_document_of_no_clear_kind_is_read_as_the_kind_asked_for() {
    let directory = Directory::new(&[("pod.yaml", "metadata: {name: a}\n")]);
    let found = read_pod(&directory.path("pod.yaml"), Strictness::Strict).unwrap_err();
    assert_eq!(directory.strip(&found), "pod.yaml:1:11: metadata.namespace: missing");
}

#[test]
fn a_uid_is_made_up_only_where_there_is_none() {
    let mut given =
        read_text(&POD.replace("name: web,", "name: web, uid: mine,")).unwrap().pod.config;
    assert!(!fill_uid(&mut given).unwrap());
    assert_eq!(given.metadata.unwrap().uid, "mine");

    let mut pods = [read_text(POD).unwrap().pod.config, read_text(POD).unwrap().pod.config];
    assert_eq!(pods[0], pods[1]);
    assert!(fill_uid(&mut pods[0]).unwrap() && fill_uid(&mut pods[1]).unwrap());
    let uid = pods[0].metadata.as_ref().unwrap().uid.clone();
    assert_eq!(uid.len(), 36, "{uid}");
    assert_ne!(pods[0], pods[1]);
}

#[test]
fn logs_stay_in_their_directory() {
    for (path, fine) in [
        ("x.log", true),
        ("a/b.log", true),
        ("./a/../x.log", true),
        ("a..b", true),
        ("/x.log", false),
        ("../x.log", false),
        ("a/../../log/x.log", false),
        ("a/", false),
        (".", false),
        ("a/..", false),
    ] {
        let source = format!("{POD}---\n{}log_path: {path}\n", container("a"));
        assert_eq!(read_text(&source).is_ok(), fine, "{path}");
    }
}
