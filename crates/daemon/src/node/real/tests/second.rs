//! A second daemon: beside the first, and after it.

use super::*;

#[tokio::test]
async fn a_second_daemon_is_refused_whatever_its_manifests_until_the_first_has_ended() {
    let bed = Bed::start().await;
    bed.write("web.yaml", &web("sleep"));
    let first = bed.ready().await;
    let second = || Bed::try_node(&bed.directory, "others", &bed.fake, bed.relist);
    match second() {
        Err(StartError::Taken { path }) => assert_eq!(path, bed.directory.path().join("data")),
        other => panic!("{other:?}"),
    }
    assert_eq!(ids(&*bed.ready().await), ids(&first));
    bed.node.shutdown().await;
    second().unwrap().shutdown().await;
}

#[tokio::test]
async fn a_restart_of_the_daemon_changes_nothing() {
    let mut bed = Bed::start().await;
    bed.write("web.yaml", &web("sleep"));
    let before = bed.ready().await;
    let restarted = jiff::Timestamp::now();
    bed.restart().await;
    let after = bed.ready().await;
    assert_eq!((ids(&before), &before.sandbox), (ids(&after), &after.sandbox));
    assert!(after.created_at < restarted, "its age goes on: {}", after.created_at);
}
