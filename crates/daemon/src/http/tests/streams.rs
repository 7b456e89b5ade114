use std::{sync::Arc, time::Duration};

use crilet_api::{Client, ClientError, Phase, PodEvent, client::EventFilter, client::PodWatch};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::Barrier,
    time::timeout,
};

use super::bed::{Bed, web};
use crate::fake::FakeNode;

/// Far longer than anything takes, even on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

async fn next(watch: &mut PodWatch) -> Option<PodEvent> {
    timeout(BOUND, watch.next()).await.expect("an event in time").unwrap()
}

#[tokio::test]
async fn a_watch_begins_with_all_pods_and_goes_on_with_changes() {
    let bed = Bed::with_pods();
    let mut watch = bed.client.watch_pods().await.unwrap();
    let Some(PodEvent::Snapshot(list)) = next(&mut watch).await else { panic!("no snapshot") };
    assert_eq!(list, bed.client.pods().await.unwrap());
    bed.node.edit(&web(), |pod| pod.phase = Phase::Failed);
    let Some(PodEvent::Changed(pod)) = next(&mut watch).await else { panic!("no change") };
    assert_eq!((pod.name.as_str(), pod.phase), ("web", Phase::Failed));
    assert!(pod.revision > list.revision);
    bed.node.remove(&web());
    assert_eq!(next(&mut watch).await, Some(PodEvent::Gone(web())));
    // A revision without a change tells nothing.
    bed.node.edit(&web(), |_| panic!("gone"));
    bed.node.put(FakeNode::pod_named("other", "new"));
    let Some(PodEvent::Changed(pod)) = next(&mut watch).await else { panic!("no change") };
    assert_eq!(pod.full_name(), "other/new");
}

#[tokio::test]
async fn a_watch_ends_with_the_daemon_and_can_begin_again_with_the_next() {
    let mut bed = Bed::with_pods();
    let mut watch = bed.client.watch_pods().await.unwrap();
    let mut events = bed.client.watch_events(&EventFilter::default()).await.unwrap();
    assert!(next(&mut watch).await.is_some());
    bed.close().await;
    assert_eq!(next(&mut watch).await, None);
    assert_eq!(timeout(BOUND, events.next()).await.unwrap().unwrap(), None);
    assert!(bed.client.watch_pods().await.unwrap_err().is_absent());
    assert!(!bed.socket.exists(), "the socket goes with the daemon");
    bed.serve();
    let mut watch = bed.client.watch_pods().await.unwrap();
    assert!(
        matches!(next(&mut watch).await, Some(PodEvent::Snapshot(list)) if list.items.len() == 2)
    );
}

/// Opens a watch and reads its head alone.
async fn slow_reader(bed: &Bed, path: &str) -> UnixStream {
    let mut stream = UnixStream::connect(&bed.socket).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut start = [0; 15];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    stream
}

#[tokio::test]
async fn a_slow_reader_holds_nobody_up_and_gets_the_latest() {
    let bed = Bed::with_pods();
    let mut slow = Vec::new();
    for _ in 0..20 {
        slow.push(slow_reader(&bed, "/v1/pods/watch").await);
    }
    let large = "x".repeat(10_000);
    for number in 0..2000 {
        bed.node.edit(&web(), |pod| pod.message = Some(format!("{number} {large}")));
        if number % 100 == 0 {
            let seen = timeout(BOUND, bed.client.pod(&web())).await.expect("an answer").unwrap();
            assert!(seen.message.unwrap().starts_with(&format!("{number} ")));
        }
    }
    let mut text = Vec::new();
    let end = b"\"message\":\"1999 ";
    while !text.windows(end.len()).any(|window| window == end) {
        let mut chunk = vec![0; 65_536];
        let read = timeout(BOUND, slow[7].read(&mut chunk)).await.expect("more").unwrap();
        assert!(read > 0, "ended early");
        text.extend_from_slice(&chunk[..read]);
    }
    assert!(text.len() < 10_000_000, "{} bytes for 2000 edits of 10 kB", text.len());
}

#[tokio::test]
async fn many_clients_see_the_same() {
    let bed = Bed::with_pods();
    // They all watch before there is something to see, or find it gone at once and wait for ever.
    let all = Arc::new(Barrier::new(51));
    let clients = (0..50).map(|_| {
        let (client, all) = (Client::new(&bed.socket), Arc::clone(&all));
        tokio::spawn(async move {
            let mut watch = client.watch_pods().await?;
            assert!(matches!(watch.next().await?, Some(PodEvent::Snapshot(_))));
            all.wait().await;
            while let Some(event) = watch.next().await? {
                if matches!(event, PodEvent::Gone(pod) if pod == web()) {
                    return Ok::<_, ClientError>(true);
                }
            }
            Ok(false)
        })
    });
    let clients: Vec<_> = clients.collect();
    timeout(BOUND, all.wait()).await.expect("all to watch");
    bed.node.edit(&web(), |pod| pod.phase = Phase::Stopped);
    bed.node.remove(&web());
    for client in clients {
        assert!(timeout(BOUND, client).await.expect("in time").unwrap().unwrap());
    }
}

#[tokio::test]
async fn events_go_on_where_a_client_was() {
    let bed = Bed::start();
    bed.node.record("Pulled", "web");
    let first = bed.client.events(&EventFilter::default()).await.unwrap().revision;
    bed.node.record("Created", "db");
    bed.node.record("Created", "web");
    let filter = EventFilter { since: Some(first), pod: Some(web()) };
    let mut watch = bed.client.watch_events(&filter).await.unwrap();
    bed.node.record("Started", "web");
    for reason in ["Created", "Started"] {
        let event = timeout(BOUND, watch.next()).await.unwrap().unwrap().unwrap();
        assert_eq!((event.reason.as_str(), event.pod.as_str()), (reason, "web"));
    }
    // As a browser does it when it connects again.
    let mut stream = UnixStream::connect(&bed.socket).await.unwrap();
    let request =
        format!("GET /v1/events/watch HTTP/1.1\r\nhost: x\r\nlast-event-id: {}\r\n\r\n", first + 2);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.contains("\n\n") {
        let mut chunk = [0; 4096];
        let read = timeout(BOUND, stream.read(&mut chunk)).await.unwrap().unwrap();
        text += std::str::from_utf8(&chunk[..read]).unwrap();
    }
    assert!(text.contains("\"Started\"") && !text.contains("\"Created\""), "{text}");
}

#[tokio::test]
async fn a_watcher_of_events_that_fell_behind_goes_on_with_what_is_remembered() {
    let bed = Bed::start();
    let mut watch = bed.client.watch_events(&EventFilter::default()).await.unwrap();
    for number in 0..1500 {
        bed.node.record(&format!("Reason{number}"), "web");
    }
    let mut seen = 0;
    while seen < 1500 {
        let event = timeout(BOUND, watch.next()).await.expect("an event").unwrap().unwrap();
        assert_eq!(event.reason, format!("Reason{seen}"), "none is missed or told twice");
        seen += 1;
    }
}
