//! The daemon is killed at each named step of a pod's start and of its end. Another one finishes
//! what was begun: nothing is missing, nothing is there twice, nothing is left.

use crilet_testkit::wait_until;

use super::{BOUND, IMAGE, Node, PODS, serve};

/// The steps of a start, in their order.
const START: [&str; 7] = [
    "volumes-made",
    "sandbox-created",
    "image-present",
    "files-written",
    "container-created",
    "container-started",
    "hook-run",
];

/// The steps of an end.
const END: [&str; 5] = [
    "containers-stopped",
    "sandbox-stopped",
    "sandbox-files-removed",
    "sandbox-removed",
    "volumes-removed",
];

/// Two containers; the one with the port has a hook after its start.
fn manifest() -> String {
    let container = |name: &str, command: &str, more: &str| {
        format!(
            "  - name: {name}\n    image: {IMAGE}\n    imagePullPolicy: IfNotPresent\n    \
             command: [sh, -c, 'trap \"exit 0\" TERM; {command} & wait $!']\n{more}"
        )
    };
    let hook = "    lifecycle: {postStart: {exec: {command: ['true']}}}\n    \
                ports: [{containerPort: 80, hostPort: 8080}]\n    \
                volumeMounts: [{name: www, mountPath: /www}]\n";
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: site}}\nspec:\n  \
         volumes: [{{name: www, emptyDir: {{}}}}]\n  containers:\n{}{}",
        container("web", "echo stands > /www/index.html; httpd -f -p 80 -h /www", hook),
        container("idle", "sleep 1000", ""),
    )
}

impl Node {
    /// A daemon in the place of the last one.
    fn replace_daemon(&mut self, step: Option<&str>) {
        self.daemon.kill().unwrap();
        self.daemon = serve(&self.host, step);
    }

    /// The daemon came to the step, and no further.
    fn expect_killed(&mut self, step: &str) {
        let status = self.daemon.expect_end(BOUND).unwrap_or_else(|e| panic!("{step}: {e:#}"));
        assert_eq!(status, 137, "{step}: {}", self.daemon.log());
    }

    /// What the runtime has, as `name state` of each pod and container.
    fn listed(&self) -> Vec<String> {
        let listed = super::crilet(&self.host, &["ps", "--all", "-o", "json"]);
        let pods: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let line = |one: &serde_json::Value| {
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            format!("{} {}", text("name"), text("state"))
        };
        let mut lines = Vec::new();
        for pod in pods.as_array().unwrap() {
            lines.push(line(pod));
            lines.extend(pod["containers"].as_array().unwrap().iter().map(line));
        }
        lines.sort();
        lines
    }
}

#[test]
fn killed_at_any_step_a_start_and_an_end_are_finished_by_the_next_daemon() {
    let mut node = Node::start();
    for (index, start) in START.into_iter().enumerate() {
        node.replace_daemon(Some(start));
        node.host.write(format!("{PODS}/site.yaml"), manifest()).unwrap();
        node.expect_killed(start);
        node.replace_daemon(None);
        node.until(start, ".conditions[]|select(.type==\"Ready\").status==\"True\"");
        node.expect_page("stands");
        // A start that is under way when its caller goes is ended by containerd; that one stays as
        // a container that has ended.
        let all: Vec<_> =
            node.listed().into_iter().filter(|line| !line.ends_with(" exited")).collect();
        assert_eq!(all, ["idle running", "site ready", "web running"], "killed at {start}");

        let end = END[index % END.len()];
        node.replace_daemon(Some(end));
        node.sh(&format!("rm {PODS}/site.yaml"));
        node.expect_killed(end);
        node.replace_daemon(None);
        node.expect_gone();
    }
    // Its files go last.
    wait_until("the end of the pod's files", BOUND, || {
        let left = node.sh("find /var/lib/crilet/pods /run/crilet/pods -mindepth 1");
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .unwrap();
    node.end();
}
