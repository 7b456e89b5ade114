//! crilet as crictl on a real containerd 1.6: what the public suite of crictl does, and what scripts do
//! besides.

use std::time::Duration;

use crilet_testkit::{Host, Output, Registry, RegistryOptions, wait_until};

use crate::{
    streams::expect_size,
    support::{
        assert_contains, crilet, crilet_ends_with, ends_with, host_with_containerd, push_busybox,
    },
};

/// Far longer than anything takes, even on a busy machine.
const BOUND: Duration = Duration::from_secs(120);
const IMAGE: &str = "127.0.0.1:5000/library/busybox:1";
const ENDPOINT: &str = "--runtime-endpoint=unix:///run/containerd/containerd.sock";

/// What crictl said; the status must be `status`.
fn crictl(status: i32, host: &Host, arguments: &[&str]) -> Output {
    crilet_ends_with(status, host, &[&["crictl", ENDPOINT], arguments].concat())
}

/// What crictl wrote; it must succeed and say nothing else.
fn quietly(host: &Host, arguments: &[&str]) -> String {
    let output = crictl(0, host, arguments);
    assert_eq!(output.stderr, "", "{output}");
    output.stdout.clone()
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A pod with a container that runs a script; gives the ids of both.
fn pod_with(host: &Host, script: &str) -> (String, String) {
    let pod = r#"{"metadata": {"name": "sb", "uid": "uid", "namespace": "ns"}, "log_directory": "/root/log", "linux": {"cgroup_parent": "/crictl"}}"#;
    host.write("/root/pod.json", pod).unwrap();
    let container = serde_json::json!({
        "metadata": {"name": "ctr"},
        "image": {"image": "crilet.test/busybox:1"},
        "command": ["sh", "-c", script],
        "log_path": "ctr.log",
        "stdin": true,
    });
    host.write("/root/ctr.json", container.to_string()).unwrap();
    let ran = crictl(0, host, &["run", "--no-pull", "/root/ctr.json", "/root/pod.json"]);
    let container = ran.stdout.trim().to_owned();
    let pod = quietly(host, &["pods", "--name", "sb", "-q"]).trim().to_owned();
    (pod, container)
}

/// The specs of kubernetes-sigs/cri-tools, test/e2e, with an image of a registry on the host.
#[test]
fn the_public_suite() {
    let (host, _containerd) = host_with_containerd();
    let host = &host;
    let registry = Registry::start(host, RegistryOptions::default()).unwrap();
    push_busybox(&registry);
    assert_contains(&quietly(host, &["version"]), "RuntimeName:  containerd");
    let info = json(&quietly(host, &["info"]));
    assert_eq!(info["status"]["conditions"][1]["type"], "NetworkReady");
    assert!(info["config"].is_object(), "{info}");
    for help in ["rm", "rmi", "rmp"] {
        assert_contains(&quietly(host, &[help]), &format!("crictl {help}"));
    }
    pulls(host);
    nothing_is_meant_by_an_empty_word(host);
    one_service_is_enough(host);
    inspections(host);
    for (command, kind) in [("rm", "containers"), ("rmp", "pods")] {
        let output = crictl(0, host, &[command, "-a"]);
        assert_eq!(output.stdout, "");
        assert_contains(&output.stderr, &format!("No {kind} to remove"));
    }
    crictl(0, host, &["rmi", "-a"]);
    assert_contains(&crictl(0, host, &["rmi", "-a"]).stderr, "No images to remove");
    // containerd 1.6 has neither.
    for (command, method) in
        [("metricdescs", "ListMetricDescriptors"), ("events", "GetContainerEvents")]
    {
        let output = crictl(1, host, &[command]);
        assert_contains(&output.stderr, "code = Unimplemented");
        assert_contains(&output.stderr, method);
    }
}

fn pulls(host: &Host) {
    assert_contains(&quietly(host, &["pull", IMAGE]), "Image is up to date for sha256:");
    let digest = quietly(host, &["images", "--filter", "reference=library/busybox", "-o", "json"]);
    let digest = json(&digest)["images"][0]["repoDigests"][0].as_str().unwrap().to_owned();
    assert_contains(&quietly(host, &["pull", &digest]), "Image is up to date for");
    let wrong = crictl(1, host, &["pull", "localhost/wrong"]);
    assert_eq!(wrong.stdout, "");
    assert_contains(&wrong.stderr, "pulling image");
    let single = json(&quietly(host, &["inspecti", IMAGE]));
    assert!(single["info"].is_object() && single["status"].is_object(), "{single}");
    let several = json(&quietly(host, &["inspecti", IMAGE, "crilet.test/busybox:1"]));
    assert_eq!(several.as_array().unwrap().len(), 2);
    let ids = quietly(host, &["images", "--filter", "reference=127.0.0.1", "-q"]);
    assert_eq!(ids.lines().count(), 1, "{ids}");
}

/// containerd takes an empty word for the beginning of any id, of images even where it asks for one.
fn nothing_is_meant_by_an_empty_word(host: &Host) {
    let before = quietly(host, &["images", "-q"]);
    for (command, error) in [
        ("rmi", "error of removing image \\\"\\\": ImageID cannot be empty"),
        ("start", "starting the container \\\"\\\": ID cannot be empty"),
        ("stop", "stopping the container \\\"\\\": ID cannot be empty"),
        ("stopp", "stopping the pod sandbox \\\"\\\": ID cannot be empty"),
        ("update", "updating container resources for \\\"\\\": ID cannot be empty"),
    ] {
        let refused = crictl(1, host, &[command, ""]);
        assert_eq!(refused.stdout, "", "{refused}");
        assert_contains(&refused.stderr, error);
    }
    assert_contains(&quietly(host, &["runp", ""]), "crictl runp - ");
    assert_eq!(quietly(host, &["images", "-q"]), before);
    for verb in ["inspect", "images"] {
        crilet_ends_with(4, host, &[verb, ""]);
    }
}

/// A command speaks to the services that it needs; the socket of the other may be one of nobody's.
fn one_service_is_enough(host: &Host) {
    let nobody = "/run/nobody.sock";
    let (no_images, no_runtime) = (["--image-endpoint", nobody], ["--runtime-endpoint", nobody]);
    for command in ["version", "pods", "info"] {
        quietly(host, &[&no_images[..], &[command]].concat());
    }
    let refused = crictl(1, host, &[&no_images[..], &["ps"]].concat());
    assert_contains(&refused.stderr, "validate CRI v1 image API for endpoint");
    let socket = ENDPOINT.trim_start_matches("--runtime-endpoint=");
    let images = [&["crictl"], &no_runtime[..], &["--image-endpoint", socket, "images", "-q"]];
    let images = crilet_ends_with(0, host, &images.concat());
    assert_eq!(images.stdout, quietly(host, &["images", "-q"]));
    let refused = crilet_ends_with(1, host, &[&["crictl"], &no_runtime[..], &["images"]].concat());
    assert_contains(&refused.stderr, "validate CRI v1 image API for endpoint");
}

fn inspections(host: &Host) {
    let pod = r#"{ "metadata": { "name": "sb", "uid": "uid", "namespace": "ns" }}"#;
    host.write("/root/sandbox", pod).unwrap();
    let container = format!(
        r#"{{ "metadata": {{ "name": "ctr" }}, "image": {{ "image": "{IMAGE}" }}, "command": ["true"] }}"#
    );
    host.write("/root/container", container).unwrap();
    crictl(0, host, &["run", "/root/container", "/root/sandbox"]);
    let sandbox = quietly(host, &["pods", "--name", "sb", "-q"]).trim().to_owned();
    wait_until("the end of the container", BOUND, || {
        let ended = quietly(host, &["ps", "-s", "exited", "-q"]);
        if ended.is_empty() { Err("it still runs".to_owned()) } else { Ok(()) }
    })
    .unwrap();
    for arguments in [&["inspect", "-a"][..], &["inspect", "-a", "--image", IMAGE]] {
        let single = json(&quietly(host, arguments));
        assert!(single["info"].is_object() && single["status"].is_object(), "{single}");
    }
    for arguments in [&["inspect"][..], &["inspect", "-a", "--image", "wrong"]] {
        assert_contains(&crictl(0, host, arguments).stderr, "nothing found per filter");
    }
    let single = json(&quietly(host, &["inspectp", &sandbox]));
    assert_eq!(single["status"]["state"], "SANDBOX_READY");
    assert!(single["info"].is_object(), "{single}");
    let several = json(&quietly(host, &["inspectp", &sandbox, &sandbox]));
    assert_eq!(several.as_array().unwrap().len(), 2);
    crictl(0, host, &["rmp", "-f", &sandbox]);
}

#[test]
fn commands_logs_and_ports() {
    let (host, _containerd) = host_with_containerd();
    let host = &host;
    let script = "echo out; echo err >&2; until [ -e /go ]; do sleep 0.1; done; \
                  for n in 1 2 3; do echo line $n; done; \
                  echo up >/var/www/index.html; httpd -p 8080 -h /var/www; \
                  while read -r line; do echo got $line; \
                  if [ $line = end ]; then until [ -e /heard ]; do sleep 0.1; done; exit 4; fi; done; sleep 1000";
    let (pod, container) = pod_with(host, script);
    // Both streams come in an order of their own: the rest is written when this is there.
    logged(host, &container, "out\n", "err\n");
    quietly(host, &["exec", &container, "touch", "/go"]);
    logged(host, &container, "out\nline 1\nline 2\nline 3\n", "err\n");
    commands(host, &container);
    logs(host, &container);
    measures(host, &pod, &container);
    ports(host, &pod);
    attached(host, &container);
    quietly(host, &["rm", &container]);
    let left = host.shell("ls /root/log").success().unwrap();
    assert_eq!(left, "", "the log goes with its container");
    assert_contains(&quietly(host, &["rmp", "-f", &pod]), "Removed sandbox");
}

fn commands(host: &Host, container: &str) {
    for transport in ["spdy", "websocket"] {
        let exec = ["exec", "-r", transport, container, "sh", "-c", "echo o; echo e >&2; exit 3"];
        let output = crictl(1, host, &exec);
        assert_eq!(output.stdout, "o\n");
        assert!(output.stderr.starts_with("e\n"), "{output}");
        assert_contains(&output.stderr, "command terminated with exit code 3");
    }
    let sync = ["exec", "--sync", container, "sh", "-c", "echo o; echo e >&2"];
    assert_eq!(quietly(host, &sync), "o\n\ne\n\n");
    let failed = crictl(1, host, &["exec", "-s", container, "sh", "-c", "echo e >&2; exit 3"]);
    assert_contains(&failed.stderr, "exited with 3: e");
    let titled = quietly(host, &["exec", "--name", "^ctr$", "echo", "hi"]);
    assert_eq!(titled, format!("{container}:\nhi\n"));
    assert_eq!(quietly(host, &["exec", "-x", "--latest", "echo", "hi"]), "hi\n");
    let ignored = crictl(0, host, &["exec", "-e", "-q", container, "false"]);
    assert_eq!(ignored.stderr, "", "{ignored}");
    let input = crilet(host, &["crictl", ENDPOINT, "exec", "-i", container, "cat"]).input("a\nb\n");
    assert_eq!(ends_with(0, input).stdout, "a\nb\n");
    let command = ["crictl", ENDPOINT, "exec", "-it", container, "sh"];
    let mut terminal = crilet(host, &command).on_terminal(24, 80).unwrap();
    terminal.expect("# ").unwrap();
    expect_size(&mut terminal, "24 80");
    terminal.press("exit 0\r").unwrap();
    assert_eq!(terminal.end().unwrap(), 0, "{}", terminal.screen());
}

/// Waits until a log holds this and nothing else.
fn logged(host: &Host, container: &str, stdout: &str, stderr: &str) {
    wait_until("the log", BOUND, || {
        let output = crictl(0, host, &["logs", container]);
        let is_there = output.stdout == stdout && output.stderr == stderr;
        if is_there { Ok(()) } else { Err(output.to_string()) }
    })
    .unwrap();
}

fn logs(host: &Host, container: &str) {
    assert_eq!(quietly(host, &["logs", "--tail", "2", container]), "line 2\nline 3\n");
    assert_eq!(quietly(host, &["logs", "--tail=1", "--limit-bytes", "4", container]), "line");
    assert_eq!(quietly(host, &["logs", "-s", "stdout", "--since", "1h", container]).len(), 25);
    assert_eq!(crictl(0, host, &["logs", "-s", "stderr", container]).stdout, "");
    let stamped = quietly(host, &["logs", "-t", "--tail", "1", container]);
    let (time, text) = stamped.split_once(' ').unwrap();
    assert!(time.starts_with("20") && time.contains('T'), "{stamped}");
    assert_eq!(text, "line 3\n");
    assert_contains(&crictl(1, host, &["logs", "-p", container]).stderr, "previous terminated");
    assert_contains(&crictl(0, host, &["logs", "-r", "--tail", "0", container]).stderr, "reopened");
}

fn measures(host: &Host, pod: &str, container: &str) {
    let stats = json(&quietly(host, &["stats", "-o", "json", container]));
    assert_eq!(stats["stats"][0]["attributes"]["id"], container);
    let table = quietly(host, &["stats"]);
    assert!(table.starts_with("\x1b[2J\x1b[HCONTAINER"), "{table:?}");
    assert_contains(&table, container.get(..13).unwrap());
    let table = quietly(host, &["statsp", "--id", pod]);
    assert_contains(&table, "POD ID");
    assert_eq!(quietly(host, &["update", "--cpu-share", "512", container]).trim(), container);
    let status = json(&quietly(host, &["inspect", container]));
    assert_eq!(status["info"]["runtimeSpec"]["linux"]["resources"]["cpu"]["shares"], 512);
    assert_contains(&quietly(host, &["imagefsinfo", "-o", "table"]), "Image Filesystem");
}

fn ports(host: &Host, pod: &str) {
    let command = ["crictl", ENDPOINT, "port-forward", pod, "18080:8080"];
    let mut forwarding = crilet(host, &command).spawn().unwrap();
    let answer = wait_until("an answer through the port", BOUND, || {
        forwarding.expect_running().map_err(|error| error.to_string())?;
        let get = host.shell("curl -sS http://127.0.0.1:18080/index.html");
        get.success().map_err(|error| error.to_string())
    });
    assert_eq!(answer.unwrap(), "up\n");
    wait_until("its words", BOUND, || {
        let log = forwarding.log();
        let told = log.contains("Forwarding from 127.0.0.1:18080 -> 8080");
        if told { Ok(()) } else { Err(log) }
    })
    .unwrap();
    forwarding.kill().unwrap();
}

fn attached(host: &Host, container: &str) {
    // As in the tests of crilet's own attach: containerd ends the output when the input ends.
    let program = format!("{} crictl {ENDPOINT}", env!("CARGO_BIN_EXE_crilet"));
    let exec = format!("{program} exec {container}");
    let text = format!(
        "touch /root/said\n\
         {{ until grep -q got /root/said; do echo hello; sleep 0.1; done; echo end; \
         until grep -q 'got end' /root/said; do sleep 0.1; done; {exec} touch /heard; }} | \
         {program} attach -i {container} >/root/said && tail -n 1 /root/said"
    );
    assert_eq!(host.shell(&text).bound(BOUND).success().unwrap(), "got end\n");
    wait_until("the end of the container", BOUND, || {
        let ended = json(&quietly(host, &["inspect", container]));
        if ended["status"]["exitCode"] == 4 { Ok(()) } else { Err(ended.to_string()) }
    })
    .unwrap();
    let followed = crictl(0, host, &["logs", "-f", container]);
    assert!(followed.stdout.ends_with("got end\n"), "{followed}");
    assert_contains(&followed.stdout, "line 3\ngot hello\n");
}
