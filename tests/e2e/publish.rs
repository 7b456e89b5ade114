//! Host ports of pods that run, on the embedded runtime and on a containerd with plugins of others.

use std::time::Duration;

use crilet_cri::fake::Fake;
use crilet_testkit::{Host, Place, SystemContainerd, wait_until};

use crate::{
    runtime::killed,
    support::{assert_contains, busybox, crilet, crilet_ends_with},
};

const IMAGE: &str = "crilet.test/busybox:1";
/// Far longer than anything takes, even on a busy machine.
const BOUND: Duration = Duration::from_secs(120);

/// Brings up the pod `site` with a web server on port 80, and with `ports` in its file.
fn run_site(host: &Host, ports: &str) {
    crilet_ends_with(0, host, &["image", "load", busybox().to_str().unwrap()]);
    let pod = format!(
        "metadata: {{name: site, namespace: default, uid: site-uid}}\n\
         log_directory: /root/site-logs\nport_mappings: [{ports}]\n"
    );
    host.write("/root/site/pod.yaml", pod).unwrap();
    let container = format!(
        "metadata: {{name: web}}\nimage: {{image: '{IMAGE}'}}\nlog_path: web.log\n\
         command: [sh, -c, 'echo hello >/var/www/index.html; exec httpd -f -p 80 -h /var/www']\n"
    );
    host.write("/root/site/web.yaml", container).unwrap();
    crilet_ends_with(0, host, &["run", "/root/site"]);
}

fn expect_answer(host: &Host, port: u16) {
    let url = format!("http://192.0.2.1:{port}/");
    wait_until("the pod to answer", BOUND, || {
        let answer = host.http_get(Place::Outside, &url).map_err(|error| format!("{error:#}"))?;
        if answer.body.contains("hello") { Ok(()) } else { Err(answer.body) }
    })
    .unwrap();
}

fn rules(host: &Host) -> String {
    host.shell("iptables-save -t nat | grep -e '-A CNI-HOSTPORT-DNAT' -e '-j DNAT' || true")
        .success()
        .unwrap()
}

fn ports(host: &Host) -> String {
    let pods = crilet_ends_with(0, host, &["ps", "-o", "json"]).stdout;
    let pods: serde_json::Value = serde_json::from_str(&pods).unwrap();
    let ports = pods[0]["details"]["ports"].as_array().cloned().unwrap_or_default();
    let ports = ports.iter().map(|port| format!("{}/{}", port["host_port"], port["protocol"]));
    ports.collect::<Vec<_>>().join(" ").replace('"', "")
}

#[test]
fn a_port_is_published_on_a_pod_that_runs_and_goes_with_it() {
    let host = Host::start().unwrap();
    crilet_ends_with(0, &host, &["runtime", "up"]);
    run_site(&host, "{container_port: 80, host_port: 8080}");
    expect_answer(&host, 8080);
    let said = crilet_ends_with(0, &host, &["publish", "site", "9090:80", "5353:53/udp"]);
    assert_eq!(said.stdout, "9090->80/tcp\n5353->53/udp\n");
    expect_answer(&host, 9090);
    assert_eq!(ports(&host), "8080/tcp 9090/tcp 5353/udp");

    for taken in ["9090:80", "8080:80"] {
        let said = crilet_ends_with(1, &host, &["publish", "site", taken]);
        assert_contains(&said.stderr, "is published already");
    }
    // What is published is taken for other pods, with its owner's name.
    let other = "metadata: {name: other, namespace: default, uid: other-uid}\n\
                 log_directory: /root/other-logs\nport_mappings: [{container_port: 81, host_port: 9090}]\n";
    host.write("/root/other/pod.yaml", other).unwrap();
    host.copy_files(&host.path("/root/site"), "/root/copy").unwrap();
    host.shell("cp /root/site/web.yaml /root/other/").success().unwrap();
    let said = crilet_ends_with(1, &host, &["run", "/root/other"]);
    assert_contains(&said.stderr, "host port 9090/tcp is taken: pod default/site (id ");

    // The runtime's restart changes nothing.
    host.shell(&killed("/run/crilet/runtime/containerd.json")).success().unwrap();
    crilet_ends_with(0, &host, &["runtime", "up"]);
    expect_answer(&host, 9090);
    assert_eq!(ports(&host), "8080/tcp 9090/tcp 5353/udp");

    assert_eq!(
        crilet_ends_with(0, &host, &["unpublish", "site", "5353/udp"]).stdout,
        "5353->53/udp\n"
    );
    let said = crilet_ends_with(1, &host, &["unpublish", "site", "8080"]);
    assert_contains(
        &said.stderr,
        "8080 is not published by `crilet publish` (published are 9090->80/tcp)",
    );
    expect_answer(&host, 8080);
    expect_answer(&host, 9090);
    for gone in ["9090->80/tcp\n", ""] {
        let said = crilet_ends_with(0, &host, &["unpublish", "site", "--all"]);
        assert_eq!(said.stdout, gone, "what is so already is done");
    }
    crilet_ends_with(0, &host, &["publish", "site", "9090:80"]);

    crilet_ends_with(0, &host, &["rm", "site"]);
    assert_eq!(rules(&host), "", "the published port went with the pod");
    assert_eq!(host.shell("ls /run/crilet/published || true").success().unwrap(), "");
    crilet_ends_with(0, &host, &["runtime", "down"]);
}

#[test]
fn pods_with_plugins_of_others_get_ports_too() {
    let host = Host::start().unwrap();
    crilet_ends_with(0, &host, &["runtime", "up", "--cni-plugins", "/usr/lib/cni"]);
    let config = host.read("/var/lib/crilet/runtime/config.toml").unwrap();
    assert_contains(&config, "bin_dir = \"/usr/lib/cni\"");
    run_site(&host, "");
    crilet_ends_with(0, &host, &["publish", "site", "9090:80", "--host-ip", "192.0.2.1"]);
    expect_answer(&host, 9090);
    let shown = crilet_ends_with(0, &host, &["ps"]).stdout;
    assert_contains(&shown, "192.0.2.1:9090->80");
    // The reference's portmap takes nothing away for a pod that had no ports when it came; the
    // next that crilet does finds what is left.
    crilet_ends_with(0, &host, &["rm", "site"]);
    run_site(&host, "");
    crilet_ends_with(0, &host, &["publish", "site", "9090:80"]);
    expect_answer(&host, 9090);
    assert_eq!(rules(&host).lines().count(), 2, "{}", rules(&host));
    assert_eq!(
        crilet_ends_with(0, &host, &["unpublish", "site", "--all"]).stdout,
        "9090->80/tcp\n"
    );
    assert_eq!(rules(&host), "");
    // The choice is remembered, and may be changed while a pod runs.
    let again = crilet_ends_with(0, &host, &["runtime", "up", "--cni-plugins", "own"]);
    assert_contains(&again.stderr, "pods get crilet's own network plugins now");
    crilet_ends_with(0, &host, &["rm", "site"]);
    crilet_ends_with(0, &host, &["runtime", "down"]);
}

#[test]
fn the_plugins_serve_a_containerd_of_the_host() {
    let host = Host::start().unwrap();
    let installed = crilet_ends_with(0, &host, &["cni", "install", "/opt/cni/bin"]);
    assert_contains(&installed.stdout, "bridge\n");
    let _containerd: SystemContainerd = host.system_containerd_with("/opt/cni/bin").unwrap();
    run_site(&host, "{container_port: 80, host_port: 8080}");
    expect_answer(&host, 8080);
    crilet_ends_with(0, &host, &["publish", "site", "9090:80"]);
    expect_answer(&host, 9090);
    let raw = host.shell("iptables-save -t raw").success().unwrap();
    assert_contains(&raw, "CRILET-LOCALNET");
    crilet_ends_with(0, &host, &["rm", "site"]);
    assert_eq!(rules(&host), "");
    let gone = crilet_ends_with(0, &host, &["cni", "uninstall", "/opt/cni/bin"]);
    assert_eq!(gone.stdout, installed.stdout);
}

#[test]
fn a_missing_plugin_program_is_told_with_what_to_do() {
    let host = Host::start().unwrap();
    host.shell("cp \"$PROGRAM\" /opt/crilet")
        .env("PROGRAM", env!("CARGO_BIN_EXE_crilet"))
        .success()
        .unwrap();
    let said = host.command("/opt/crilet").args(["cni", "install", "/opt/x"]).output().unwrap();
    assert_eq!(said.status, 1, "{said}");
    assert_contains(&said.stderr, "program `crilet-cni` is not at `/opt/crilet-cni`");
    assert_contains(&said.stderr, "hint: install it beside `crilet`");
    let said = crilet(&host, &["runtime", "up", "--cni-plugins", "/opt"]).output().unwrap();
    assert_contains(&said.stderr, "network plugin `bridge` is not in `/opt`");
    let said = crilet(&host, &["runtime", "up", "--cni-plugins", "opt"]).output().unwrap();
    assert_eq!(said.status, 64, "{said}");
}

/// CRI-O is not in Debian; the fake runtime answers as it does. What CNI has made is real: bridge
/// and lease by crilet's plugins, no portmap in the list, as CRI-O maps ports itself.
#[test]
fn pods_of_crio_get_ports_too() {
    let host = Host::start().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let fake = Fake::builder().crio().image("app:1");
    let fake = fake.start(&directory.path().join("cri.sock")).unwrap();
    let socket = fake.endpoint().to_string();
    host.write(
        "/root/pod/pod.yaml",
        "metadata: {name: site, namespace: default, uid: site-uid}\nlog_directory: /root/log\n",
    )
    .unwrap();
    let container = "metadata: {name: web}\nimage: {image: 'app:1'}\nlog_path: web.log\n";
    host.write("/root/pod/web.yaml", container).unwrap();
    let run = |arguments: &[&str]| {
        let arguments = [&["-r", &socket, "--image-endpoint", &socket], arguments].concat();
        crilet(&host, &arguments).output().unwrap()
    };
    let id = run(&["run", "/root/pod"]).stdout.lines().last().unwrap_or_default().to_owned();
    let pods: serde_json::Value = serde_json::from_str(&run(&["ps", "-o", "json"]).stdout).unwrap();
    let sandbox = pods[0]["id"].as_str().unwrap_or(&id).to_owned();
    let ip = pods[0]["details"]["ips"][0].as_str().unwrap().to_owned();

    let none = run(&["publish", "site", "9090:80"]);
    assert_eq!(none.status, 1, "{none}");
    assert_contains(&none.stderr, "pod has no CNI network: nothing about ");
    // What ocicni's libcni keeps about the attachment.
    let result = serde_json::json!({
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "eth0", "sandbox": "/run/netns/x"}],
        "ips": [{"interface": 0, "address": format!("{ip}/16")}],
    });
    let cached = serde_json::json!({
        "kind": "cniCacheV1", "containerId": sandbox, "networkName": "crio", "ifName": "eth0",
        "result": result,
    });
    let path = format!("/var/lib/cni/results/crio-{sandbox}-eth0");
    host.write(&path, cached.to_string()).unwrap();
    let said = run(&["publish", "site", "9090:80"]);
    assert_eq!((said.status, said.stdout.as_str()), (0, "9090->80/tcp\n"), "{said}");
    assert_contains(&rules(&host), &format!("--to-destination {ip}:80"));
    assert_contains(&run(&["ps"]).stdout, "9090->80");

    // CRI-O calls the bridge plugin alone, perhaps with the namespace gone.
    let config = serde_json::json!({
        "cniVersion": "1.0.0", "name": "crio", "type": "bridge", "ipam": {"type": "host-local",
            "ranges": [[{"subnet": "10.85.0.0/16"}]]},
    });
    let bridge = host.command(env!("CARGO_BIN_EXE_crilet-cni")).arg("bridge");
    let bridge = bridge.env("CNI_COMMAND", "DEL").env("CNI_CONTAINERID", &sandbox);
    let bridge = bridge.env("CNI_IFNAME", "eth0").env("CNI_PATH", "/opt");
    bridge.input(config.to_string()).success().unwrap();
    assert_eq!(rules(&host), "");
    assert_eq!(host.shell("ls /run/crilet/published").success().unwrap(), "");
}
