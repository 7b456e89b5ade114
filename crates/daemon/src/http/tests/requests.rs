use std::fmt::Write;

use crilet_api::{
    ApplyRequest, ClientError, ErrorCode, ImageGcRequest, ManifestFile, ManifestSource, Method,
    OPERATIONS, PodRef, RestartRequest, StopRequest, client::EventFilter,
};

use super::bed::{Bed, web};
use crate::{NewEvent, fake::Call};

fn manifest(text: &str) -> ApplyRequest {
    let file = ManifestFile { name: "web.yaml".to_owned(), text: text.to_owned() };
    ApplyRequest { sources: vec![ManifestSource { files: vec![file] }], ..ApplyRequest::default() }
}

#[tokio::test]
async fn every_operation_has_its_handler() {
    let bed = Bed::with_pods();
    for operation in OPERATIONS.iter().filter(|operation| !operation.path.ends_with("/watch")) {
        let path = operation.path.replace("{namespace}", "default").replace("{name}", "web");
        let path = path.replace("{container}", "main");
        let method = match operation.method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        };
        let answer = bed.raw(&format!("{method} {path}"), "").await;
        assert!(![404, 405].contains(&answer.status) || path.contains("web"), "{path} {answer:?}");
        if operation.method == Method::Get {
            let other = bed.raw(&format!("PUT {path}"), "").await;
            assert_eq!(other.status, 405, "{path} {other:?}");
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_with_a_stable_code() {
    let bed = Bed::with_pods();
    let wrong = [
        ("GET /v2/pods", ""),
        ("PUT /v1/pods", ""),
        ("GET /v1/pods/default/wbe", ""),
        ("GET /v1/pods/default/%ff", ""),
        ("GET /v1/events?since=yesterday", ""),
        ("GET /v1/events?snice=1", ""),
        ("GET /v1/events?pod=web", ""),
        ("DELETE /v1/pods/default/web?graceSeconds=-1", ""),
        ("POST /v1/apply", ""),
        ("POST /v1/apply", "{"),
        ("POST /v1/apply", "{\"sources\": [{\"files\": []}]}"),
        ("POST /v1/apply", "{\"sources\": [], \"dryrun\": true}"),
        ("POST /v1/apply", "{\"sources\": [], \"prune\": true}"),
        ("POST /v1/pods/default/web/stop", "{\"graceSeconds\": \"5\"}"),
        ("POST /v1/pods/default/web/restart", "{\"container\": \"x\"}"),
    ];
    let mut told = String::new();
    for (head, body) in wrong {
        let answer = bed.raw(head, body).await;
        writeln!(told, "{head} {body}\n=> {} {}\n", answer.status, answer.body).unwrap();
    }
    insta::assert_snapshot!(told);
    assert_eq!(bed.node.calls(), []);

    let large = " ".repeat(33 * 1024 * 1024);
    let answer = bed.raw("POST /v1/apply", &large).await;
    assert_eq!((answer.status, answer.body.contains("\"too-large\"")), (413, true), "{answer:?}");
    let error = bed.client.apply(&manifest(&large)).await.unwrap_err();
    assert_eq!(error.to_string(), "more than 32 MiB", "{error:?}");
}

/// What a page in a browser can send without asking is refused.
#[tokio::test]
async fn a_body_that_does_not_say_it_is_json_is_refused() {
    use tokio::io::AsyncWriteExt;
    let bed = Bed::with_pods();
    let mut stream = tokio::net::UnixStream::connect(&bed.socket).await.unwrap();
    let request = "POST /v1/pods/default/web/stop HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                   content-type: text/plain\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = super::bed::Answer::read(&mut stream).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(bed.node.calls(), []);
}

#[tokio::test]
async fn requests_reach_the_node() {
    let bed = Bed::with_pods();
    let client = &bed.client;
    let request = manifest("metadata: {name: new}\n");
    assert_eq!(client.apply(&request).await.unwrap().pods[0].name, "new");
    let names: Vec<_> =
        client.pods().await.unwrap().items.iter().map(|pod| pod.name.clone()).collect();
    assert_eq!(names, ["db", "new", "web"]);
    let grace = StopRequest { grace_seconds: Some(3) };
    let before = client.pods().await.unwrap().revision;
    let accepted = client.stop(&web(), grace).await.unwrap();
    assert!(accepted.revision > before);
    client.start(&web()).await.unwrap();
    let main = RestartRequest { container: Some("main".to_owned()) };
    client.restart(&web(), &main).await.unwrap();
    client.delete(&web(), grace).await.unwrap();
    client.collect_images(ImageGcRequest { dry_run: true, all: false }).await.unwrap();
    assert_eq!(
        bed.node.calls(),
        [
            Call::Apply(request),
            Call::Stop(web(), grace),
            Call::Start(web()),
            Call::Restart(web(), main),
            Call::Delete(web(), grace),
            Call::CollectImages(ImageGcRequest { dry_run: true, all: false }),
        ]
    );
    let ClientError::Refused(error) = client.pod(&web()).await.unwrap_err() else { panic!() };
    assert_eq!(error.code, ErrorCode::NoSuchPod);
    assert_eq!(client.node().await.unwrap().name, "fake");
}

#[tokio::test]
async fn what_was_taken_is_carried_out_although_the_client_is_gone() {
    let bed = Bed::with_pods();
    let (reached, open) = bed.node.gate();
    let client = bed.client.clone();
    let asking = tokio::spawn(async move { client.start(&web()).await });
    reached.await.unwrap();
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    // Another request is answered meanwhile, so the connection's end has been seen.
    bed.client.pods().await.unwrap();
    open.send(()).expect("the node still works on it");
    while bed.node.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(bed.node.calls(), [Call::Start(web())]);
}

#[tokio::test]
async fn events_are_chosen_by_pod_and_revision() {
    let bed = Bed::start();
    for (reason, pod) in [("Pulled", "web"), ("Started", "web"), ("Started", "db")] {
        bed.node.record(reason, pod);
    }
    let all = bed.client.events(&EventFilter::default()).await.unwrap();
    assert_eq!((all.items.len(), all.items[2].revision), (3, all.revision));
    let since = Some(all.items[0].revision);
    let filter = EventFilter { since, pod: Some(web()) };
    let some = bed.client.events(&filter).await.unwrap().items;
    assert_eq!(some, [all.items[1].clone()]);
    let nobody = EventFilter { since: None, pod: Some(PodRef::new("default", "x/&?")) };
    assert_eq!(bed.client.events(&nobody).await.unwrap().items, []);
}

impl crate::fake::FakeNode {
    pub(super) fn record(&self, reason: &str, pod: &str) {
        use crate::Node;
        self.events().record(NewEvent {
            reason: reason.to_owned(),
            pod: Some(PodRef::new("default", pod)),
            message: format!("{reason} {pod}"),
            ..NewEvent::default()
        });
    }
}
