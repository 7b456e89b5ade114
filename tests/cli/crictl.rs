//! `crilet crictl`, and crilet under the name `crictl`.

mod complete;
mod interrupt;
mod logs;
mod newer;

use std::{
    os::unix::fs::PermissionsExt,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use crilet_cri::{Code, fake::Fault};
use nix::sys::signal::Signal;

use crate::bed::{Bed, Crilet, Outcome, SetWhenDropped};

/// A call of crictl with a configuration that says nothing.
fn crictl(bed: &Bed, arguments: &str) -> Crilet {
    if !bed.path("crictl.yaml").exists() {
        bed.write("crictl.yaml", "");
    }
    let call = bed.crilet(format!("crictl {arguments}").trim());
    call.env("CRI_CONFIG_FILE", bed.path("crictl.yaml"))
}

fn ends_with(code: i32, outcome: Outcome) -> Outcome {
    assert_eq!(outcome.code(), Some(code), "{outcome}");
    outcome
}

/// Words for what differs between two runs, and for what no test can know.
fn shown(outcome: &Outcome) -> String {
    let mut text = outcome.to_string();
    for (pattern, words) in [
        (r"time=\S+ level", "time=[TIME] level"),
        (r"CREATED +", "CREATED   "),
        (r"(Less than a second|1 second|\d+ seconds) ago +", "[AGE]   "),
        (r"(Less than a second|1 second|\d+ seconds) ago", "[AGE]"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S* \S+ \S+", "[TIME]"),
        (r#""?\d{4}-\d\d-\d\dT[0-9:.]+(Z|[-+][0-9:]+)"?"#, "[TIME]"),
        (r#"(At: |At": )"\d+""#, r#"${1}"[NANOSECONDS]""#),
        (r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d", "[TIME]"),
    ] {
        text = regex(pattern).replace_all(&text, words).into_owned();
    }
    text
}

fn regex(pattern: &str) -> regex::Regex {
    regex::Regex::new(pattern).unwrap()
}

/// A pod `web` with a container that runs, made with crictl's own commands.
fn one_pod() -> (Bed, String, String) {
    one_pod_in(Bed::with_app())
}

fn one_pod_in(bed: Bed) -> (Bed, String, String) {
    let labels = "{io.kubernetes.pod.name: web, io.kubernetes.pod.namespace: default, app: blog}";
    bed.write(
        "pod.yaml",
        &format!("metadata: {{name: web, namespace: default, uid: u}}\nlabels: {labels}\n"),
    );
    bed.write(
        "main.yaml",
        &format!(
            "metadata: {{name: main}}\nimage: {{image: \"app:1\"}}\nlabels: {labels}\n\
             annotations: {{note: \"<b> & c\"}}\n"
        ),
    );
    let pod = ends_with(0, crictl(&bed, "runp pod.yaml").run()).stdout.trim().to_owned();
    let created = crictl(&bed, &format!("create {pod} main.yaml pod.yaml")).run();
    let container = ends_with(0, created).stdout.trim().to_owned();
    let started = ends_with(0, crictl(&bed, &format!("start {container}")).run());
    assert_eq!(started.stdout.trim(), container);
    (bed, pod, container)
}

#[test]
fn help_shows_every_command_and_option() {
    let bed = Bed::with_app();
    let help = ends_with(0, crictl(&bed, "--help").run());
    insta::assert_snapshot!("help", help);
    let listed = help.stdout.split("COMMANDS:\n").nth(1).unwrap();
    let names = listed.lines().take_while(|line| !line.is_empty());
    let names: Vec<_> = names.map(|line| line.trim().split([',', ' ']).next().unwrap()).collect();
    assert_eq!(names.len(), 35, "{names:?}");
    for name in names.into_iter().filter(|name| *name != "help") {
        let by_flag = ends_with(0, crictl(&bed, &format!("{name} --help")).run());
        insta::assert_snapshot!(format!("help_{name}"), by_flag.stdout);
        let by_command = ends_with(0, crictl(&bed, &format!("help {name}")).run());
        assert_eq!(by_command.stdout, by_flag.stdout);
        assert_eq!(by_flag.stderr, "", "{by_flag}");
    }
}

#[test]
fn help_is_a_command_that_has_help() {
    let bed = Bed::with_app();
    let outcomes = [
        (0, "help help"),
        (0, "ps h help"),
        (1, "help --nope"),
        (1, "ps help --nope"),
        (3, "help help ps"),
        (3, "ps help ps"),
    ]
    .map(|(code, arguments)| shown(&ends_with(code, crictl(&bed, arguments).run())));
    insta::assert_snapshot!("help_help", outcomes.join("\n"));
    let told = |arguments: &str| ends_with(0, crictl(&bed, arguments).run()).stdout;
    assert_eq!(told("help -h ps"), told("ps --help"));
    assert_eq!(told("help --help"), told("--help"));
}

#[test]
fn tables_and_ids() {
    let (bed, pod, container) = one_pod();
    for (name, arguments) in [
        ("ps", "ps"),
        ("ps_whole", "ps -a --no-trunc"),
        ("ps_verbose", "ps -v"),
        ("pods", "pods"),
        ("pods_verbose", "pods --verbose"),
        ("images", "images --digests --pinned"),
        ("images_verbose", "images -v"),
        ("version", "version"),
        ("inspect_table", &format!("inspect -o table {container}")),
        ("inspectp_table", &format!("inspectp -q -o table {pod}")),
        ("inspecti_table", "inspecti -o table app:1"),
        ("config_list", "config --list"),
    ] {
        let outcome = ends_with(0, crictl(&bed, arguments).run());
        insta::assert_snapshot!(name, shown(&outcome));
    }
    let quiet = |arguments: &str| ends_with(0, crictl(&bed, arguments).run()).stdout;
    assert_eq!(quiet("ps -q"), format!("{container}\n"));
    assert_eq!(quiet("pods -q --label app=blog"), format!("{pod}\n"));
    assert_eq!(quiet("ps -aq --name ^ma --namespace def --image app:1"), format!("{container}\n"));
    assert_eq!(quiet("ps -q --name other"), "");
    assert_eq!(quiet("ps -q --label app=shop"), "");
    assert_eq!(quiet("ps -q -s exited"), "");
    assert_eq!(quiet("ps -q -s exited --latest"), format!("{container}\n"));
}

#[test]
fn json_yaml_and_templates() {
    let (bed, pod, container) = one_pod();
    for (name, arguments) in [
        ("ps_json", "ps -o json"),
        ("pods_yaml", "pods -o yaml"),
        ("images_json", "images -o json"),
        ("inspect_json", &format!("inspect {container}")),
        ("inspectp_yaml", &format!("inspectp -q --output=yaml {pod}")),
        ("inspecti_two", "inspecti -q app:1 app:1"),
        ("info", "info -q"),
        ("imagefsinfo", "imagefsinfo"),
    ] {
        let outcome = ends_with(0, crictl(&bed, arguments).run());
        insta::assert_snapshot!(name, shown(&outcome));
    }
    let filled = |template: &str| {
        crictl(&bed, &format!("inspect -o go-template --template {template} {container}")).run()
    };
    let id = ends_with(0, filled("{{.status.id}}"));
    assert_eq!(id.stdout, format!("{container}\n"));
    let missing = ends_with(1, filled("{{.status.nope}}"));
    assert!(missing.stderr.contains("map has no entry for key"), "{missing}");
    let broken = ends_with(1, crictl(&bed, "events -o go-template --template={{").run());
    assert!(broken.stderr.contains("failed to parse go-template"), "{broken}");
    let pod_schema = ends_with(0, crictl(&bed, "runp jsonschema").run()).stdout;
    let container_schema = ends_with(0, crictl(&bed, "create js -c").run()).stdout;
    for (schema, name) in [(pod_schema, "PodSandboxConfig"), (container_schema, "ContainerConfig")]
    {
        let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
        assert_eq!(schema["$ref"], format!("#/$defs/{name}"));
        assert!(schema["$defs"][name]["properties"]["metadata"].is_object(), "{schema}");
    }
}

/// What goes wrong has a status and words on stderr; help that nobody asked for is on stdout.
#[test]
fn what_goes_wrong_is_told_as_crictl_tells_it() {
    let (bed, _, container) = one_pod();
    let cases = [
        (3, "nope"),
        (3, "help nope"),
        (1, "ps --state up"),
        (1, "ps --label a"),
        (1, "ps -o wide"),
        (1, "inspect nope"),
        (1, "inspecti nope"),
        (1, "start"),
        (1, "stop"),
        (1, "stop --all x"),
        (1, "runp nope.yaml"),
        (1, "pull"),
        (1, "pull --creds a:b --auth c x"),
        (1, "inspect --label x"),
        (1, "inspectp --label x"),
        (1, "exec --label x true"),
        (1, "create x nope.yaml nope.yaml"),
        (1, "create x main.yaml nope.yaml"),
        (1, "run main.yaml nope.yaml"),
        (1, "port-forward --transport tcp x 80"),
        (1, "exec --tls-cert nope.pem --tls-key nope.key x true"),
        (1, "-r /nonexistent.sock images"),
        (1, "run --no-pull --with-pull a b"),
        (1, "events --output=ini"),
        (1, "events --template={{.x}}"),
        (1, "update x --memory y"),
        (1, "logs"),
        (1, "exec -t x y"),
        (1, "attach"),
        (1, "checkpoint x"),
        (1, "completion tcsh"),
        (1, "config --get nope"),
        (1, "config --set debug=maybe"),
    ];
    let outcomes = cases.map(|(code, arguments)| {
        let outcome = ends_with(code, crictl(&bed, arguments).run());
        assert_eq!(outcome.stdout, "", "{outcome}");
        shown(&outcome)
    });
    insta::assert_snapshot!("wrong", outcomes.join("\n"));
    for (arguments, error) in [
        ("--nope", "flag provided but not defined: -nope"),
        ("ps -x", "flag provided but not defined: -x"),
        ("ps --state", "flag needs an argument: -state"),
        ("ps -n 99999999999999999999", "for flag -n: value out of range"),
        ("--timeout=3 ps", "invalid value \\\"3\\\" for flag -timeout: parse error"),
        ("ps -o json --output yaml", "Cannot use two forms of the same flag: o output"),
    ] {
        let outcome = ends_with(1, crictl(&bed, arguments).run());
        assert!(outcome.stdout.starts_with("Incorrect Usage: "), "{outcome}");
        assert!(outcome.stdout.contains("\nUSAGE:\n   crictl"), "{outcome}");
        assert!(outcome.stderr.contains(error), "{outcome}");
    }
    // Without arguments there is help, and no failure.
    for name in
        ["rm", "rmi", "rmp", "stopp", "create", "run", "runp", "exec", "update-runtime-config"]
    {
        let outcome = ends_with(0, crictl(&bed, name).run());
        assert!(outcome.stdout.contains(&format!("crictl {name} - ")), "{outcome}");
        assert_eq!(outcome.stderr, "", "{outcome}");
    }
    let running = ends_with(1, crictl(&bed, &format!("rm {container}")).run());
    assert!(running.stderr.contains("is running, please stop it first"), "{running}");
}

#[test]
fn what_was_made_is_removed() {
    let (bed, pod, container) = one_pod();
    let stopped = ends_with(0, crictl(&bed, "stop -a").run());
    assert_eq!(stopped.stdout, format!("{container}\n"));
    let removed = ends_with(0, crictl(&bed, "rm -af").run());
    assert_eq!(removed.stdout, format!("{container}\n"));
    let removed = ends_with(0, crictl(&bed, "rmp -fa").run());
    assert_eq!(removed.stdout, format!("Stopped sandbox {pod}\nRemoved sandbox {pod}\n"));
    let removed = ends_with(0, crictl(&bed, "rmi app:1").run());
    assert!(removed.stdout.starts_with("Deleted: "), "{removed}");
    crictl(&bed, "rmi -a").run();
    for (command, kind) in [("rm", "containers"), ("rmp", "pods"), ("rmi", "images")] {
        let outcome = ends_with(0, crictl(&bed, &format!("{command} -a")).run());
        assert_eq!(outcome.stdout, "", "{outcome}");
        assert!(outcome.stderr.contains(&format!("No {kind} to remove")), "{outcome}");
    }
    assert_eq!(bed.fake.counts(), (0, 0));
}

#[test]
fn run_pulls_unless_it_is_told_not_to() {
    let bed = Bed::new(crilet_cri::fake::Fake::builder().registry_image("app:1"));
    bed.write("pod.json", r#"{"metadata": {"name": "p", "namespace": "n"}, "nope": 1}"#);
    bed.write("main.json", r#"{"metadata": {"name": "m"}, "image": {"image": "app:1"}}"#);
    let without = ends_with(1, crictl(&bed, "run --no-pull main.json pod.json").run());
    assert!(without.stderr.contains("running container: creating container failed"), "{without}");
    let outcome = ends_with(0, crictl(&bed, "run main.json pod.json").run());
    assert_eq!(outcome.stdout.trim().len(), 64, "{outcome}");
    // What crictl drops without a word is told, and changes nothing else.
    assert!(outcome.stderr.contains("level=warning"), "{outcome}");
    assert!(outcome.stderr.contains("pod.json") && outcome.stderr.contains("nope"), "{outcome}");
    bed.write("crictl.yaml", "disable-pull-on-run: true\n");
    bed.fake.clear_calls();
    ends_with(0, crictl(&bed, "run main.json pod.json").run());
    assert_eq!(bed.count("PullImage"), 0);
    let pulled = ends_with(0, crictl(&bed, "pull --annotation a=b app:1").run());
    assert!(pulled.stdout.starts_with("Image is up to date for "), "{pulled}");
    bed.fake.fault("PullImage", Fault::fail(Code::Unknown, "no such thing"));
    let failed = ends_with(1, crictl(&bed, "pull app:1").run());
    assert!(failed.stderr.contains("pulling image: no such thing"), "{failed}");
}

#[test]
fn the_configuration_is_edited_in_place() {
    let bed = Bed::with_app();
    bed.write(
        "crictl.yaml",
        "\nruntime-endpoint: \"foo\"\nimage-endpoint: \"bar\" # an inline comment\ntimeout: 5\n\n\
         # comment below a newline\ndebug: true\n",
    );
    let settings = "runtime-endpoint=bar,image-endpoint=baz,timeout=10,debug=false";
    ends_with(0, crictl(&bed, &format!("config --set {settings}")).run());
    let text = std::fs::read_to_string(bed.path("crictl.yaml")).unwrap();
    insta::assert_snapshot!("edited", text);
    assert_eq!(ends_with(0, crictl(&bed, "config --get timeout").run()).stdout, "10\n");
    ends_with(0, crictl(&bed, "config debug true").run());
    assert_eq!(ends_with(0, crictl(&bed, "config --get debug").run()).stdout, "true\n");
    bed.write("crictl.yaml", "nope: 1\n");
    let broken = ends_with(1, crictl(&bed, "ps").run());
    assert!(broken.stderr.contains("Config option 'nope' is not valid"), "{broken}");
    let missing = crictl(&bed, "ps").env("CRI_CONFIG_FILE", bed.path("missing.yaml")).run();
    let missing = ends_with(1, missing);
    assert!(
        missing.stderr.contains("there is no file \\\"") && missing.stderr.contains("no such file"),
        "{missing}"
    );
}

#[test]
fn crilet_is_crictl_by_its_name() {
    let (bed, _, container) = one_pod();
    let directory = bed.path("bin");
    std::fs::create_dir(&directory).unwrap();
    let link = format!("--link {}", directory.display());
    for _ in 0..2 {
        ends_with(0, bed.crilet(&format!("crictl {link}")).run());
    }
    let program = directory.join("crictl");
    assert!(program.metadata().unwrap().permissions().mode() & 0o111 != 0);
    #[expect(clippy::disallowed_methods, reason = "the binary is run as a shell would run it")]
    let output = Command::new(&program)
        .args(["ps", "-q"])
        .env_clear()
        .env("CONTAINER_RUNTIME_ENDPOINT", bed.path("cri.sock"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{container}\n"));
    // Sockets that crilet is told in front of the word are crictl's.
    let socket = bed.path("cri.sock").display().to_string();
    let call =
        bed.crilet(&format!("-r {socket} crictl ps -q")).without("CONTAINER_RUNTIME_ENDPOINT");
    let outcome = ends_with(0, call.env("CRI_CONFIG_FILE", bed.path("crictl.yaml")).run());
    assert_eq!(outcome.stdout, format!("{container}\n"));
    let nobody = crictl(&bed, "--runtime-endpoint /nonexistent.sock ps").run();
    let nobody = ends_with(1, nobody);
    assert!(nobody.stderr.contains("validate CRI v1 runtime API"), "{nobody}");
    assert!(nobody.stderr.contains("no such file or directory"), "{nobody}");
    // In Go's words, whatever the C library's are.
    std::os::unix::fs::symlink("loop.sock", bed.path("loop.sock")).unwrap();
    let round = format!("--runtime-endpoint {} ps", bed.path("loop.sock").display());
    let round = ends_with(1, crictl(&bed, &round).run());
    assert!(round.stderr.contains("connect: too many levels of symbolic links"), "{round}");
    let empty = crictl(&bed, "ps").env("CONTAINER_RUNTIME_ENDPOINT", "").run();
    assert!(ends_with(1, empty).stderr.contains("--runtime-endpoint is not set"));
}

#[test]
fn events_come_as_they_happen_until_an_interrupt() {
    let builder = crilet_cri::fake::Fake::builder().image("app:1");
    let bed = Bed::new(builder.with_method("GetContainerEvents").with_method("RuntimeConfig"));
    bed.write("pod.yaml", "metadata: {name: web, namespace: default}\n");
    let driver = ends_with(0, crictl(&bed, "runtime-config").run());
    assert!(driver.stdout.starts_with("cgroup driver:   "), "{driver}");
    let template = "--template={{.containerEventType}};{{.podSandboxStatus.metadata.name}}";
    for (arguments, words) in [
        ("events", "\"containerEventType\": \"CONTAINER_STARTED_EVENT\""),
        ("event -o yaml", "containerEventType: CONTAINER_STARTED_EVENT"),
        (&format!("events -o go-template {template}"), "CONTAINER_STARTED_EVENT;web"),
    ] {
        let mut events = crictl(&bed, arguments).start();
        let seen = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Nothing tells when it listens.
            scope.spawn(|| {
                while !seen.load(Ordering::Relaxed) {
                    ends_with(0, crictl(&bed, "runp pod.yaml").run());
                }
            });
            let _told = SetWhenDropped(&seen);
            events.read_stdout_until(words);
        });
        events.signal(Signal::SIGINT);
        let outcome = ends_with(1, events.wait());
        assert!(outcome.stderr.contains("interrupted: context canceled"), "{outcome}");
    }
    let wrong = ends_with(1, crictl(&bed, "events -o go-template --template={{.x").run());
    assert!(wrong.stderr.contains("failed to parse go-template"), "{wrong}");
}
