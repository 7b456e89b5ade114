use crilet_cri::v1;

use super::{facts::Info, words};

fn info(text: &str) -> Info {
    Info::read(&[("info".to_owned(), text.to_owned())].into())
}

#[test]
fn exit_codes_are_told_in_words() {
    let told = [
        (0, "Completed", "", "ended well, exit code 0"),
        (1, "Error", "", "failed, exit code 1"),
        (3, "Error", " no disk\n", "failed, exit code 3: no disk"),
        (126, "Error", "", "its command cannot be run, exit code 126"),
        (127, "Error", "", "its command was not found, exit code 127"),
        (
            128,
            "StartError",
            "no such file",
            "it could not be started, exit code 128, StartError: no such file",
        ),
        (137, "OOMKilled", "", "killed: it used more memory than it may, exit code 137, OOMKilled"),
        (137, "Error", "", "killed (SIGKILL), exit code 137"),
        (139, "Error", "", "crashed (SIGSEGV), exit code 139"),
        (143, "Error", "", "told to end (SIGTERM), exit code 143"),
        (130, "Error", "", "ended by SIGINT, exit code 130"),
        (255, "Unknown", "", "failed, exit code 255, Unknown"),
        (-1, "", "", "failed, exit code -1"),
    ];
    for (code, reason, message, words) in told {
        assert_eq!(words::ended(code, reason, message), words);
    }
}

#[test]
fn a_command_can_be_given_to_a_shell() {
    let words = ["sh", "-c", "echo 'a b'", ""].map(str::to_owned);
    assert_eq!(words::command(&words), r"sh -c 'echo '\''a b'\''' ''");
}

#[test]
fn limits_are_those_of_the_status_or_else_of_the_spec() {
    let spec = r#"{"pid": 7, "runtimeSpec": {"linux": {"cgroupsPath": "pod.slice:crio:abc", "resources": {
        "memory": {"limit": 536870912}, "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0-1"},
        "pids": {"limit": 100}}}}}"#;
    let of_spec = info(spec).limits(&v1::ContainerStatus::default()).text();
    let all = "512Mi memory, 500m processors, processors 0-1 only, 100 processes, weight 512";
    assert_eq!(of_spec, all);
    let linux = v1::LinuxContainerResources {
        cpu_quota: 200_000,
        cpu_period: 100_000,
        ..Default::default()
    };
    let resources = Some(v1::ContainerResources { linux: Some(linux), windows: None });
    let status = v1::ContainerStatus { resources, ..Default::default() };
    assert_eq!(info(spec).limits(&status).text(), "2 processors, 100 processes");
    // What a runtime leaves out, says as null, or says without limit, is no limit.
    for text in [
        "",
        "{}",
        r#"{"runtimeSpec": {"linux": {"resources": {"memory": null, "cpu": {"quota": -1, "period": 100000}, "pids": {"limit": -1}}}}}"#,
    ] {
        assert_eq!(info(text).limits(&v1::ContainerStatus::default()).text(), "none", "{text}");
    }
    assert_eq!(info(spec).cgroup().unwrap(), "pod.slice/crio-abc.scope");
}
