//! The article's pod, kept: its own files in the directory of pods, its database killed.

use crilet_testkit::wait_until;

use super::{BOUND, Node, PODS, crilet};
use crate::blog;

#[test]
fn the_articles_pod_answers_again_after_its_database_was_killed() {
    let mut node = Node::start();
    let hub = blog::hub(&node.host);
    // The mirror is the runtime's business; it is told of it when it comes up.
    node.daemon.kill().unwrap();
    crilet(&node.host, &["runtime", "down"]);
    crilet(
        &node.host,
        &["runtime", "up", "--mirror", &format!("docker.io=http://{}", hub.address())],
    );
    blog::write_files(&node.host);
    node.sh(&format!("cp -r /root/blog {PODS}/blog && rm -rf {PODS}/blog/log"));
    node.daemon = super::serve(&node.host, None);
    blog::installation_page(&node.host, crilet_testkit::Place::Outside);

    let pid = node.sh("pgrep -x mariadbd || pgrep -x mysqld");
    node.sh(&format!("kill -9 {}", pid.trim()));
    wait_until("another database", BOUND, || {
        let now = node.sh("pgrep -x mariadbd || pgrep -x mysqld || true");
        if now.trim().is_empty() || now == pid { Err(now) } else { Ok(()) }
    })
    .unwrap();
    blog::installation_page(&node.host, crilet_testkit::Place::Outside);

    node.sh(&format!("rm -r {PODS}/blog"));
    node.expect_gone();
    drop(hub);
    node.daemon.kill().unwrap();
    crilet(&node.host, &["runtime", "down"]);
    node.host.stop().unwrap();
}
