//! A hundred pods at once.

use crilet_testkit::wait_until;

use super::{BOUND, IMAGE, Node, crilet};

const PODS: usize = 100;

fn manifests(text: &str) -> String {
    let one = |number: usize| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: many-{number}}}\nspec:\n  \
             terminationGracePeriodSeconds: 1\n  containers:\n  - name: main\n    image: {IMAGE}\n    \
             imagePullPolicy: IfNotPresent\n    env: [{{name: TEXT, value: {text}}}]\n    \
             command: [sh, -c, 'trap \"exit 0\" TERM; echo $TEXT; sleep 1000 & wait $!']\n---\n"
        )
    };
    (0..PODS).map(one).collect()
}

impl Node {
    fn apply(&self, text: &str) {
        let apply = self.host.command(env!("CARGO_BIN_EXE_crilet"));
        let apply = apply.args(["apply", "-f", "-", "--wait", "--timeout", "12m", "--set", "many"]);
        let applied = apply.input(manifests(text)).bound(BOUND * 8).output().unwrap();
        assert_eq!(applied.status, 0, "{applied}\n{}", self.daemon.log());
    }
}

#[test]
fn a_hundred_pods_are_applied_edited_and_deleted() {
    let node = Node::start();
    for text in ["first", "second"] {
        node.apply(text);
        let ready = node.sh(&format!(
            "{} get pods -o json | jq '[.items[]|select(.conditions[]|.type==\"Ready\" and .status==\"True\")]|length'",
            env!("CARGO_BIN_EXE_crilet")
        ));
        assert_eq!(ready.trim(), PODS.to_string());
        let listed = crilet(&node.host, &["ps", "-q"]);
        assert_eq!(listed.lines().count(), PODS, "one sandbox each");
        // What a container says first is in its log a moment after it has started.
        wait_until("the words of all pods", BOUND, || {
            let said = node.sh(&format!("cat /var/log/pods/*/main/*.log | grep -c {text} || true"));
            if said.trim() == PODS.to_string() { Ok(()) } else { Err(said) }
        })
        .unwrap();
    }
    let delete = node.host.command(env!("CARGO_BIN_EXE_crilet"));
    let delete = delete.args(["delete", "-f", "-", "--timeout", "12m"]).input(manifests("second"));
    let deleted = delete.bound(BOUND * 8).output().unwrap();
    assert_eq!(deleted.status, 0, "{deleted}\n{}", node.daemon.log());
    node.expect_gone();
    node.end();
}
