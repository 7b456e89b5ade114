//! The embedded runtime: up, killed, up again, down.

use std::time::Duration;

use crilet_testkit::{
    Host, Images, Output, Place, Registry, RegistryOptions, Snapshot, wait_until,
};

/// Far longer than anything takes, even on a busy machine.
const BOUND: Duration = Duration::from_secs(120);
/// Every test names it so, for it is built once for all.
const IMAGE: &str = "crilet.test/busybox:1";
const STATE: &str = "/run/crilet/runtime";
const SITE: &str = "http://192.0.2.1:8080/";

/// A script that kills the process of a record, and waits until it is gone or nothing but its number is left.
pub(crate) fn killed(record: &str) -> String {
    format!(
        "pid=$(jq .pid {record}); kill -9 $pid; \
         while [ -e /proc/$pid/exe ] && [ -n \"$(readlink /proc/$pid/exe)\" ]; do sleep 0.05; done"
    )
}

/// A host on which crilet is run.
struct Crilet {
    host: Host,
}

impl Crilet {
    fn new() -> Self {
        let host = Host::start().unwrap();
        // The bridge plugin switches forwarding on for good, and the kernel has more routes then.
        host.shell("echo 1 >/proc/sys/net/ipv6/conf/all/forwarding").success().unwrap();
        Self { host }
    }

    /// Runs crilet; the status must be 0.
    fn run(&self, arguments: &[&str]) -> Output {
        let output = self.output(arguments);
        assert_eq!(output.status, 0, "crilet {arguments:?}: {output}");
        output
    }

    fn output(&self, arguments: &[&str]) -> Output {
        let crilet = self.host.command(env!("CARGO_BIN_EXE_crilet")).args(arguments);
        crilet.bound(BOUND * 2).output().unwrap()
    }

    /// Loads the small image and runs a pod of it that serves a page on port 8080.
    fn run_site(&self) {
        let archive = Images::archive("busybox", IMAGE).unwrap();
        self.run(&["image", "load", archive.to_str().unwrap()]);
        self.write_site(IMAGE);
        self.run(&["run", "/root/site"]);
        self.expect_site();
    }

    fn write_site(&self, image: &str) {
        let pod = "metadata: {name: site, namespace: default, uid: site-uid}\n\
                   log_directory: /root/site-logs\n\
                   port_mappings: [{container_port: 80, host_port: 8080}]\n";
        let script = "echo hello >/var/www/index.html; exec httpd -f -p 80 -h /var/www";
        let container = format!(
            "metadata: {{name: web}}\nimage: {{image: '{image}'}}\nlog_path: web.log\n\
             command: [sh, -c, '{script}']\n"
        );
        self.host.write("/root/site/pod.yaml", pod).unwrap();
        self.host.write("/root/site/web.yaml", container).unwrap();
    }

    fn expect_site(&self) {
        wait_until("the pod to answer", BOUND, || {
            let answer = self.host.http_get(Place::Outside, SITE).map_err(|e| format!("{e:#}"))?;
            if answer.body.contains("hello") { Ok(()) } else { Err(answer.body) }
        })
        .unwrap();
    }

    /// Kills the process of a record below the state directory.
    fn kill(&self, record: &str) {
        self.host.shell(&killed(&format!("{STATE}/{record}.json"))).success().unwrap();
    }

    fn status(&self, field: &str) -> String {
        let output = self.output(&["runtime", "status", "-o", "json"]);
        let status: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        status[field].to_string()
    }

    /// Waits until there are so many processes with these words: who was one too many may be on its way out.
    fn expect_processes(&self, pattern: &str, wanted: usize) {
        wait_until(pattern, BOUND, || {
            let list = self.host.command("ps").args(["ax", "-o", "args="]).success().unwrap();
            let count = list.lines().filter(|line| line.contains(pattern)).count();
            if count == wanted { Ok(()) } else { Err(list) }
        })
        .unwrap();
    }

    /// Waits until the runtime says so of itself.
    fn expect_status(&self, field: &str, wanted: &str) {
        wait_until(field, BOUND, || {
            let status = self.status(field);
            if status == wanted { Ok(()) } else { Err(status) }
        })
        .unwrap();
    }

    fn snapshot(&self) -> Snapshot {
        self.host.snapshot().unwrap()
    }

    fn expect_same_as(&self, before: &Snapshot) {
        self.host.await_same(before).unwrap();
    }
}

#[test]
fn up_is_idempotent_and_down_leaves_nothing_behind() {
    let crilet = Crilet::new();
    let before = crilet.snapshot();
    let first = crilet.run(&["runtime", "up"]);
    assert!(first.stderr.contains("is running at unix:///run/crilet/runtime/"), "{first}");
    assert_eq!(crilet.status("ready"), "true");
    let pid = crilet.status("pid");

    let second = crilet.run(&["runtime", "up"]);
    assert!(second.stderr.contains("is already running at"), "{second}");
    assert_eq!(crilet.status("pid"), pid);

    crilet.run_site();
    assert_eq!(crilet.status("pods"), "1");
    let down = crilet.run(&["runtime", "down"]);
    assert_eq!(down.stdout, "default/site\n");
    crilet.expect_same_as(&before);
    assert_eq!(crilet.status("ready"), "false");

    let again = crilet.run(&["runtime", "down"]);
    assert!(again.stderr.contains("not running"), "{again}");
    // Images are kept for the next time, unless they are to go.
    crilet.run(&["runtime", "up"]);
    assert!(crilet.run(&["image", "ls"]).stdout.contains("crilet.test/busybox"));
    crilet.run(&["runtime", "down", "--purge"]);
    crilet.expect_same_as(&before);
    crilet.host.shell("[ -z \"$(ls -A /var/lib/crilet)\" ]").success().unwrap();
}

#[test]
fn down_lets_containers_end_in_peace() {
    let crilet = Crilet::new();
    crilet.run(&["runtime", "up"]);
    let archive = Images::archive("busybox", IMAGE).unwrap();
    crilet.run(&["image", "load", archive.to_str().unwrap()]);
    crilet.write_site(IMAGE);
    let container = format!(
        "metadata: {{name: web}}\nimage: {{image: '{IMAGE}'}}\nlog_path: web.log\n\
         command: [sh, -c, 'trap \"echo farewell; exit 0\" TERM; echo up; while :; do sleep 0.1; done']\n"
    );
    crilet.host.write("/root/site/web.yaml", container).unwrap();
    crilet.run(&["run", "/root/site"]);
    let log = || crilet.host.read("/root/site-logs/web.log").unwrap_or_default();
    wait_until("the container to be up", BOUND, || {
        if log().contains("stdout F up") { Ok(()) } else { Err(log()) }
    })
    .unwrap();
    crilet.run(&["runtime", "down"]);
    assert!(log().contains("stdout F farewell"), "{}", log());
}

#[test]
fn a_killed_containerd_comes_back_and_its_pods_live_on() {
    let crilet = Crilet::new();
    crilet.run(&["runtime", "up"]);
    crilet.run_site();
    let pid = crilet.status("pid");
    crilet.kill("containerd");
    crilet.expect_site();
    wait_until("containerd to come back", BOUND, || {
        let (now, ready) = (crilet.status("pid"), crilet.status("ready"));
        if now != pid && ready == "true" { Ok(()) } else { Err(format!("{now}, ready {ready}")) }
    })
    .unwrap();
    assert_eq!(crilet.status("restarts"), "1");
    assert_eq!(crilet.status("pods"), "1");
    crilet.expect_site();
}

#[test]
fn a_killed_supervisor_is_replaced_and_there_are_never_two_containerds() {
    let crilet = Crilet::new();
    let before = crilet.snapshot();
    crilet.run(&["runtime", "up"]);
    crilet.run_site();
    crilet.kill("supervisor");
    crilet.expect_status("supervised", "false");
    crilet.expect_site();

    crilet.run(&["runtime", "up"]);
    assert_eq!(crilet.status("supervised"), "true");
    crilet.expect_processes("containerd --config", 1);
    assert_eq!(crilet.status("pods"), "1");
    crilet.expect_site();
    crilet.run(&["runtime", "down"]);
    crilet.expect_same_as(&before);
}

#[test]
fn down_clears_away_what_a_killed_runtime_left() {
    let crilet = Crilet::new();
    let before = crilet.snapshot();
    crilet.run(&["runtime", "up"]);
    crilet.run_site();
    crilet.kill("supervisor");
    crilet.kill("containerd");
    crilet.expect_processes("containerd-shim", 1);
    crilet.run(&["runtime", "down"]);
    crilet.expect_same_as(&before);
}

/// What has the same path in another mount namespace is another runtime's.
#[test]
fn down_ends_nothing_of_a_runtime_elsewhere() {
    let crilet = Crilet::new();
    crilet.run(&["runtime", "up"]);
    crilet.run_site();
    let program = env!("CARGO_BIN_EXE_crilet");
    let elsewhere = format!(
        "for place in /run /etc/cni /var/lib/cni /var/lib/crilet; do mount -t tmpfs none $place; done; \
         ip link set lo up; {program} runtime up; {program} runtime down --purge"
    );
    let script = format!("unshare --net --mount --propagation private sh -euc '{elsewhere}'");
    crilet.host.shell(&script).bound(3 * BOUND).success().unwrap();
    crilet.expect_processes("containerd-shim", 1);
    crilet.expect_site();
}

#[test]
fn several_ups_at_once_make_one_runtime() {
    let crilet = Crilet::new();
    let program = env!("CARGO_BIN_EXE_crilet");
    let script = format!("for i in 1 2 3 4; do {program} runtime up & done; wait");
    crilet.host.shell(&script).bound(3 * BOUND).success().unwrap();
    assert_eq!(crilet.status("ready"), "true");
    crilet.expect_processes("containerd --config", 1);
    crilet.expect_processes("runtime supervise", 1);
}

#[test]
fn mirrors_are_asked_and_changing_them_takes_effect() {
    let crilet = Crilet::new();
    let archive = Images::archive("busybox", IMAGE).unwrap();
    let registry = Registry::start(&crilet.host, RegistryOptions::default()).unwrap();
    registry.push(&archive, "library/busybox:1").unwrap();
    let good = format!("docker.io=http://{}", registry.address());

    crilet.run(&["runtime", "up", "--mirror", "docker.io=http://127.0.0.1:9"]);
    let pid = crilet.status("pid");
    let changed = crilet.run(&["runtime", "up", "--mirror", &good]);
    assert!(changed.stderr.contains(&format!("mirror {good} is asked now")), "{changed}");
    assert!(changed.stderr.contains("127.0.0.1:9 is not asked any more"), "{changed}");
    crilet.write_site("busybox:1");
    crilet.run(&["run", "/root/site"]);
    crilet.expect_site();
    // Mirrors are read at each pull, so containerd went on all the time.
    assert_eq!(crilet.status("pid"), pid);

    // Without the option they stay as they are.
    let plain = crilet.run(&["runtime", "up"]);
    assert!(!plain.stderr.contains("mirror "), "{plain}");
    assert_eq!(crilet.status("mirrors"), format!("[\"{good}\"]"));
    crilet.run(&["runtime", "up", "--no-mirrors"]);
    assert_eq!(crilet.status("mirrors"), "[]");
}

#[test]
fn a_containerd_of_the_host_is_not_touched() {
    let crilet = Crilet::new();
    let containerd = crilet.host.system_containerd().unwrap();
    let before = crilet.snapshot();
    let embedded = "unix:///run/crilet/runtime/containerd.sock";
    crilet.run(&["runtime", "up"]);
    crilet.run(&["version"]);
    crilet.run(&["-r", embedded, "version"]);
    crilet.run(&["runtime", "down"]);
    crilet.expect_same_as(&before);
    crilet.run(&["version"]);
    drop(containerd);
}

#[test]
fn what_keeps_containerd_from_starting_is_told() {
    let crilet = Crilet::new();
    let before = crilet.snapshot();
    let database = "/var/lib/crilet/runtime/containerd/io.containerd.metadata.v1.bolt";
    crilet.host.write(database, "in the way").unwrap();
    let output = crilet.output(&["runtime", "up"]);
    assert_eq!(output.status, 1, "{output}");
    assert!(output.stderr.contains("containerd runs without its CRI plugin"), "{output}");
    assert!(output.stderr.contains("not a directory"), "{output}");
    crilet.expect_processes("containerd", 0);
    crilet.run(&["runtime", "down", "--purge"]);
    crilet.expect_same_as(&before);
}

#[test]
fn the_log_is_shown() {
    let crilet = Crilet::new();
    let none = crilet.output(&["runtime", "logs"]);
    assert_eq!(none.status, 1, "{none}");
    assert!(none.stderr.contains("hint: `crilet runtime up`"), "{none}");
    crilet.run(&["runtime", "up"]);
    // containerd answers before it says so.
    wait_until("the log", BOUND, || {
        let log = crilet.run(&["runtime", "logs"]).stdout;
        if log.contains("containerd successfully booted") { Ok(()) } else { Err(log) }
    })
    .unwrap();
    assert_eq!(crilet.run(&["runtime", "logs", "--tail", "2"]).stdout.lines().count(), 2);
}
