//! `crilet serve` on real parts: a pod stays up whatever dies.

mod api;
mod blog;
mod many;
mod reboot;
mod steps;

use std::time::Duration;

use crilet_testkit::{Host, Images, Place, Service, Snapshot, wait_until};

/// Far longer than anything takes, even on a busy machine.
const BOUND: Duration = Duration::from_secs(120);
const IMAGE: &str = "crilet.test/busybox:1";
const SITE: &str = "http://192.0.2.1:8080/";
const PODS: &str = "/root/pods";
const CONFIG: &str = "/root/config.yaml";

struct Node {
    host: Host,
    /// The host before anything was done to it.
    before: Snapshot,
    daemon: Service,
}

fn manifest(text: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: site}}
spec:
  terminationGracePeriodSeconds: 3
  volumes:
  - {{name: page, configMap: {{name: page}}}}
  - {{name: www, emptyDir: {{}}}}
  initContainers:
  - name: fill
    image: {IMAGE}
    command: [sh, -c, 'cp /page/index.html /www/']
    volumeMounts: [{{name: page, mountPath: /page}}, {{name: www, mountPath: /www}}]
  containers:
  - name: web
    image: {IMAGE}
    imagePullPolicy: IfNotPresent
    command: [sh, -c, 'trap \"exit 0\" TERM; httpd -f -p 80 -h /www & wait $!']
    ports: [{{containerPort: 80, hostPort: 8080}}]
    readinessProbe: {{httpGet: {{port: 80, path: /}}, periodSeconds: 1}}
    volumeMounts: [{{name: www, mountPath: /www}}]
  - name: chatty
    image: {IMAGE}
    imagePullPolicy: IfNotPresent
    command: [sh, -c, 'trap \"exit 0\" TERM; while true; do seq 1000; sleep 1 & wait $!; done']
  - name: clock
    image: {IMAGE}
    imagePullPolicy: IfNotPresent
    command: [sh, -c, 'trap \"exit 0\" TERM; while true; do date; sleep 1 & wait $!; done']
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: page}}
data: {{index.html: {text}}}
"
    )
}

impl Node {
    fn start() -> Self {
        let host = Host::start().unwrap();
        host.shell("echo 1 >/proc/sys/net/ipv6/conf/all/forwarding").success().unwrap();
        let before = host.snapshot().unwrap();
        crilet(&host, &["runtime", "up"]);
        let archive = Images::archive("busybox", IMAGE).unwrap();
        crilet(&host, &["image", "load", archive.to_str().unwrap()]);
        host.shell(&format!("mkdir -p {PODS}")).success().unwrap();
        host.write(CONFIG, "logs: {maxSize: 64k, maxFiles: 3}\n").unwrap();
        let daemon = serve(&host, None);
        wait_until("the daemon's socket", BOUND, || {
            let there = host.shell("test -S /run/crilet/crilet.sock").output();
            let there = there.map_err(|error| format!("{error:#}"))?;
            if there.status == 0 { Ok(()) } else { Err(daemon.log()) }
        })
        .unwrap();
        Self { host, before, daemon }
    }

    fn write(&self, text: &str) {
        self.host.write(format!("{PODS}/.site.yaml"), manifest(text)).unwrap();
        let rename = format!("chmod 644 {PODS}/.site.yaml; mv {PODS}/.site.yaml {PODS}/site.yaml");
        self.host.shell(&rename).success().unwrap();
    }

    fn expect_page(&self, text: &str) {
        let answered = wait_until("the pod to answer", BOUND, || {
            let answer = self.host.http_get(Place::Outside, SITE).map_err(|e| format!("{e:#}"))?;
            if answer.body.contains(text) { Ok(()) } else { Err(answer.body) }
        });
        if let Err(error) = answered {
            let pods = crilet(&self.host, &["get", "pods", "-o", "yaml"]);
            panic!("{error:#}\n{pods}\n{}", self.daemon.log());
        }
    }

    /// Waits until the pod is as a filter of jq says, and gives its JSON.
    fn until(&self, what: &str, filter: &str) -> serde_json::Value {
        let seen = wait_until(what, BOUND, || {
            let get = self.host.command(env!("CARGO_BIN_EXE_crilet"));
            let get = get.args(["get", "site", "-o", "json"]).output();
            let got = get.map_err(|error| format!("{error:#}"))?;
            if got.status != 0 {
                return Err(got.stderr);
            }
            let json = got.stdout;
            let found = self.host.command("jq").args(["-e", filter]).input(json.clone()).output();
            if found.is_ok_and(|output| output.status == 0) { Ok(json) } else { Err(json) }
        });
        match seen {
            Ok(json) => serde_json::from_str(&json).unwrap(),
            Err(error) => panic!("{error:#}\n{}", self.daemon.log()),
        }
    }

    /// Waits until the runtime has nothing left.
    fn expect_gone(&self) {
        let gone = wait_until("the pods to go", BOUND, || {
            let left = crilet(&self.host, &["ps", "--all", "-q"]);
            if left.trim().is_empty() { Ok(()) } else { Err(left) }
        });
        gone.unwrap_or_else(|error| panic!("{error:#}\n{}", self.daemon.log()));
    }

    /// Takes all down, and compares the host with what it was before.
    fn end(mut self) {
        self.daemon.kill().unwrap();
        crilet(&self.host, &["runtime", "down"]);
        // Logs are kept, and a daemon that was killed leaves its socket.
        self.sh("rm -rf /var/log/pods/* /run/crilet/crilet.sock* /run/crilet/logs.lock");
        let empty = "rmdir --ignore-fail-on-non-empty /var/log/pods /run/crilet /run/crilet/pods";
        self.sh(&format!("{empty} || true"));
        self.host.await_same(&self.before).unwrap();
        self.host.stop().unwrap();
    }

    fn sh(&self, script: &str) -> String {
        self.host.shell(script).success().unwrap()
    }

    /// No name twice, nothing of another pod; what is missing may still come.
    fn expect_no_duplicates(&self) {
        wait_until("all containers", BOUND, || {
            let (running, listed) = self.running();
            let is_good = |name: &String| ["chatty", "clock", "web"].contains(&name.as_str());
            let once = running.windows(2).all(|pair| pair[0] != pair[1]);
            assert!(once && running.iter().all(is_good), "{running:?}: {listed}");
            if running.len() == 3 { Ok(()) } else { Err(listed) }
        })
        .unwrap();
    }

    /// Names of containers that run, in order, and all that is said of them.
    fn running(&self) -> (Vec<String>, String) {
        let listed = crilet(&self.host, &["ps", "--all", "-o", "json"]);
        let pods: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let running = |pod: &serde_json::Value| {
            let containers = pod["containers"].as_array().unwrap().clone();
            let running = containers.into_iter().filter(|one| one["state"] == "running");
            running.map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let mut all: Vec<String> = pods.as_array().unwrap().iter().flat_map(running).collect();
        all.sort();
        (all, listed)
    }
}

fn crilet(host: &Host, arguments: &[&str]) -> String {
    let crilet = host.command(env!("CARGO_BIN_EXE_crilet")).args(arguments).bound(BOUND * 2);
    crilet.success().unwrap()
}

/// A daemon; one with a step does not come beyond that.
fn serve(host: &Host, step: Option<&str>) -> Service {
    let arguments = ["serve", "--config", CONFIG, "--pods-dir", PODS];
    let crilet = host.command(env!("CARGO_BIN_EXE_crilet")).args(arguments);
    step.into_iter()
        .fold(crilet, |crilet, step| crilet.env("CRILET_FAILPOINT", step))
        .spawn()
        .unwrap()
}

#[test]
fn a_pod_stays_up_whatever_dies_and_goes_without_a_trace() {
    let mut node = Node::start();
    node.write("first");
    node.expect_page("first");
    let pod = node.until("readiness", ".conditions[]|select(.type==\"Ready\").status==\"True\"");
    node.expect_no_duplicates();

    // A follower goes on over the end of its container.
    let follow = ["logs", "-f", "site/web", "site/clock"];
    let mut follower =
        node.host.command(env!("CARGO_BIN_EXE_crilet")).args(follow).spawn().unwrap();

    wait_until("the follower to follow", BOUND, || {
        let log = follower.log();
        if log.contains("clock | ") { Ok(()) } else { Err(log) }
    })
    .unwrap();

    // A container.
    let pid =
        pod["containers"].as_array().unwrap().iter().find(|c| c["name"] == "web").unwrap()["pid"]
            .to_string();
    node.sh(&format!("kill -9 {pid}"));
    node.until("the restart", ".containers[]|select(.name==\"web\")|.restarts==1 and .ready");
    node.expect_page("first");
    wait_until("the follower to tell of the restart", BOUND, || {
        let log = follower.log();
        if log.contains("site/web was restarted after exit code 137") { Ok(()) } else { Err(log) }
    })
    .unwrap();
    follower.expect_running().unwrap();
    follower.kill().unwrap();

    // The pause process.
    let listed = crilet(&node.host, &["ps", "-o", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    node.sh(&format!("kill -9 {}", listed[0]["details"]["pid"]));
    node.until("another sandbox", ".sandbox.attempt==1 and .sandbox.ready");
    node.expect_page("first");
    node.expect_no_duplicates();

    // The daemon, and the runtime with it.
    node.daemon.kill().unwrap();
    node.expect_page("first");
    node.sh("kill -9 $(jq .pid /run/crilet/runtime/containerd.json)");
    node.daemon = serve(&node.host, None);
    node.until("the same pod", ".sandbox.attempt==1 and .sandbox.ready");
    node.expect_page("first");
    node.expect_no_duplicates();

    // An edit of the page is brought up to date in place; one of the pod makes it anew.
    let edited = manifest("first").replace("while true", "while sleep 0");
    node.host.write(format!("{PODS}/site.yaml"), edited).unwrap();
    node.until("the edit", ".containers[]|select(.name==\"clock\")|.restarts>=1 and .ready");

    // Logs have been rotated meanwhile, and each number stands where it should.
    wait_until("rotated logs", BOUND, || {
        let rotated = node.sh("ls /var/log/pods/*/chatty/ | grep -c '\\.log\\.' || true");
        if rotated.trim() == "0" { Err(rotated) } else { Ok(()) }
    })
    .unwrap();
    let lines = crilet(&node.host, &["logs", "site/chatty", "--tail", "3000"]);
    let numbers: Vec<u32> = lines.lines().map(|line| line.parse().unwrap()).collect();
    let follows = |pair: &[u32]| pair[1] == pair[0] % 1000 + 1;
    assert!(numbers.windows(2).all(follows), "lines are missing or doubled");

    // What the former container wrote is there, too, and older.
    let times = |options: &[&str]| {
        let text = crilet(&node.host, &[&["logs", "site/clock", "-o", "cri"], options].concat());
        let times = text.lines().map(|line| line.split(' ').next().unwrap().to_owned());
        times.collect::<Vec<_>>()
    };
    wait_until("lines of both containers", BOUND, || {
        let (former, current) = (times(&["--previous"]), times(&[]));
        match (former.last(), current.first()) {
            (Some(former), Some(current)) if former < current => Ok(()),
            _ => Err(format!("{former:?} {current:?}")),
        }
    })
    .unwrap();

    node.sh(&format!("rm {PODS}/site.yaml"));
    node.expect_gone();
    // The runtime knows it no more, but its logs are read.
    let lines = crilet(&node.host, &["logs", "site/chatty", "--tail", "3000"]);
    let numbers: Vec<u32> = lines.lines().map(|line| line.parse().unwrap()).collect();
    assert!(!numbers.is_empty() && numbers.windows(2).all(follows), "lines are missing: {lines}");
    node.end();
}
