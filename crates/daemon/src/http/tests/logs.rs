use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crilet_log::LogError;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use super::bed::Bed;

/// Far longer than anything takes, even on a busy machine.
const BOUND: Duration = Duration::from_secs(60);
const LOGS: &str = "/v1/pods/default/web/logs";

fn put(out: &mut dyn Write, bytes: &[u8]) -> Result<(), LogError> {
    out.write_all(bytes).map_err(LogError::Write)
}

/// What was sent in chunks, put together.
fn whole(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        let (chunk, rest) = rest.split_at(size);
        text.push_str(chunk);
        body = rest.strip_prefix("\r\n").unwrap();
    }
    text
}

#[tokio::test]
async fn a_log_comes_in_chunks_as_it_is_written() {
    let bed = Bed::with_pods();
    bed.node.set_log(|out| {
        put(out, b"first\n")?;
        put(out, b"second\n")
    });
    let answer = bed.raw(&format!("GET {LOGS}?tail=10&timestamps=false"), "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let head = answer.head.to_ascii_lowercase();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert!(head.contains("content-type: text/plain; charset=utf-8"), "{head}");
    assert_eq!(whole(&answer.body), "first\nsecond\n");
    let answer = bed.raw(&format!("GET {LOGS}?format=json"), "").await;
    assert!(answer.head.contains("application/x-ndjson"), "{answer:?}");
}

#[tokio::test]
async fn what_is_wrong_is_told_before_the_first_byte() {
    let bed = Bed::with_pods();
    let refused = |path: String, status: u16, code: &'static str, words: &'static str| {
        let bed = &bed;
        async move {
            let answer = bed.raw(&format!("GET {path}"), "").await;
            assert_eq!(answer.status, status, "{answer:?}");
            let told: crilet_api::ApiError = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(serde_json::to_value(told.code).unwrap(), code);
            assert!(told.message.contains(words), "{told:?}");
        }
    };
    refused(LOGS.to_owned(), 404, "no-log", "no log yet").await;
    refused("/v1/pods/default/nobody/logs".to_owned(), 404, "no-such-pod", "nobody").await;
    let both = format!("{LOGS}?follow=true&previous=true");
    refused(both, 400, "bad-request", "`previous` logs have ended").await;
    refused(format!("{LOGS}?since=whenever"), 400, "bad-request", "`since`: expected a time").await;
    refused(format!("{LOGS}?tails=3"), 400, "bad-request", "unknown field `tails`").await;
    refused(format!("{LOGS}?format=xml"), 400, "bad-request", "unknown variant `xml`").await;
    bed.node.set_log(|_| Err(LogError::Missing { path: "/nowhere/0.log".into() }));
    refused(LOGS.to_owned(), 500, "internal", "no log at `/nowhere/0.log`").await;
}

#[tokio::test]
async fn what_goes_wrong_on_the_way_breaks_the_answer_off() {
    let bed = Bed::with_pods();
    let (taken, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    bed.node.set_log(move |out| {
        put(out, b"first\n")?;
        wait.lock().unwrap().recv().unwrap();
        Err(LogError::Read { path: "0.log".into(), cause: io::ErrorKind::InvalidData.into() })
    });
    let mut stream = UnixStream::connect(&bed.socket).await.unwrap();
    let request = format!("GET {LOGS} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"first\n\r\n") {
        assert_ne!(timeout(BOUND, stream.read_buf(&mut text)).await.unwrap().unwrap(), 0);
    }
    taken.send(()).unwrap();
    timeout(BOUND, stream.read_to_end(&mut text)).await.unwrap().unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(!text.ends_with("0\r\n\r\n"), "it looks whole: {text}");
}

#[tokio::test]
async fn who_stops_reading_costs_no_memory_and_who_goes_ends_the_reading() {
    let mut bed = Bed::with_pods();
    let (written, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, end) = (Arc::clone(&written), Arc::clone(&ended));
    bed.node.set_log(move |out| {
        let line = vec![b'x'; 64 * 1024];
        loop {
            if let Err(error) = put(out, &line) {
                end.fetch_add(1, Ordering::SeqCst);
                return Err(error);
            }
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let open = async || {
        let mut stream = UnixStream::connect(&bed.socket).await.unwrap();
        let request = format!("GET {LOGS}?follow=true HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut start = [0; 15];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
        stream
    };
    let (slow, gone) = (open().await, open().await);
    // Buffers of sockets and queues fill; then nothing more is read.
    let mut before = usize::MAX;
    let stands = async {
        while before != written.load(Ordering::SeqCst) {
            before = written.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    timeout(BOUND, stands).await.expect("the readers to be held up");
    assert!(before < 200, "{before} pieces were read that nobody took");
    let until_ended = async |count: usize| {
        while ended.load(Ordering::SeqCst) < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    drop(gone);
    timeout(BOUND, until_ended(1)).await.expect("the reader of who is gone to end");
    bed.close().await;
    timeout(BOUND, until_ended(2)).await.expect("the other reader to end with the daemon");
    drop(slow);
}
