//! WebSockets into pods, over the fake node's commands in memory.

use bytes::Bytes;
use crilet_stream::status;
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, UnixStream},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::bed::Bed;
use crate::fake::FakeNode;

type Client = WebSocketStream<UnixStream>;

const EXEC: &str = "/v1/pods/default/web/containers/main/exec";

/// A node whose pod `default/web` has a container that the runtime knows.
fn bed() -> Bed {
    let bed = Bed::with_pods();
    let mut pod = FakeNode::pod_named("default", "web");
    pod.containers[0].id = Some("c".repeat(64));
    bed.node.put(pod);
    bed
}

async fn open(bed: &Bed, path: &str, protocol: &str) -> Client {
    let stream = UnixStream::connect(&bed.socket).await.unwrap();
    let mut request = format!("ws://x{path}").into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", protocol.parse().unwrap());
    let (client, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let last = protocol.rsplit(' ').next().unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], last);
    client
}

fn message(channel: u8, data: &[u8]) -> Message {
    Message::Binary([&[channel], data].concat().into())
}

/// All that comes on each of the first five channels and on 255.
async fn drain(client: &mut Client) -> Vec<(u8, Bytes)> {
    let mut messages: Vec<(u8, Bytes)> = Vec::new();
    while let Some(Ok(Message::Binary(mut data))) = client.next().await {
        let rest = data.split_off(1);
        messages.push((data[0], rest));
    }
    messages
}

fn on(messages: &[(u8, Bytes)], channel: u8) -> Vec<u8> {
    messages.iter().filter(|(of, _)| *of == channel).flat_map(|(_, data)| data.to_vec()).collect()
}

#[tokio::test]
async fn a_command_reads_writes_and_ends_with_its_code() {
    let bed = bed();
    let path = format!("{EXEC}?command=echo&command=7&stdin=true&tty=true&stderr=false");
    let mut client = open(&bed, &path, "v4.channel.k8s.io").await;
    // v4 has no end of input; the client can only leave.
    client.send(message(0, b"hello")).await.unwrap();
    let first = client.next().await.unwrap().unwrap();
    let second = client.next().await.unwrap().unwrap();
    assert_eq!((first, second), (message(1, b""), message(1, b"hello")));
    drop(client);
    let path = format!("{EXEC}?command=echo&command=7&stdin=true");
    let mut client = open(&bed, &path, "other, v5.channel.k8s.io").await;
    client.send(message(0, b"a")).await.unwrap();
    client.send(message(0, b"b")).await.unwrap();
    client.send(message(255, &[0])).await.unwrap();
    let said = drain(&mut client).await;
    assert_eq!(on(&said, 1), b"ab");
    assert_eq!(status::read(&on(&said, 3)).unwrap(), 7);
}

#[tokio::test]
async fn ports_carry_bytes_and_end_one_side_at_a_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        stream.write_all(&[b"got ".as_slice(), &all].concat()).await.unwrap();
    });
    let bed = bed();
    // Taken, so that nobody else listens there meanwhile.
    let silent = TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let unused = silent.local_addr().unwrap().port();
    let path = format!("/v1/pods/default/web/portforward?port={port}&port={unused}");
    let mut client = open(&bed, &path, "v5.channel.k8s.io").await;
    client.send(message(0, b"all")).await.unwrap();
    client.send(message(255, &[0])).await.unwrap();
    let said = drain(&mut client).await;
    assert_eq!(on(&said, 0), [port.to_le_bytes().as_slice(), b"got all"].concat());
    assert_eq!(on(&said, 1), port.to_le_bytes());
    assert_eq!(on(&said, 2), unused.to_le_bytes());
    assert!(String::from_utf8_lossy(&on(&said, 3)).contains("refused"), "{said:?}");
    assert_eq!(on(&said, 255), [0]);
    serve.await.unwrap();
}

#[tokio::test]
async fn streams_end_with_the_daemon() {
    let mut bed = bed();
    let path = "/v1/pods/default/web/containers/main/attach?stdin=true";
    let mut client = open(&bed, path, "v5.channel.k8s.io").await;
    assert_eq!(client.next().await.unwrap().unwrap(), message(1, b""));
    bed.close().await;
    assert!(on(&drain(&mut client).await, 3).is_empty());
}

/// What cannot be had is told as every other error, before the protocol is changed.
#[tokio::test]
async fn refusals_are_answers() {
    let bed = bed();
    let upgrade = "HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nx: ";
    let v5 = "HTTP/1.1\r\nsec-websocket-protocol: v5.channel.k8s.io\r\n";
    let ask = async |path: &str, more: &str| {
        let head = format!("GET {path} {v5}{more}{}", upgrade.trim_start_matches("HTTP/1.1\r\n"));
        let answer = bed.raw(&head, "").await;
        (answer.status, answer.body)
    };
    let told = |(status, body): (u16, String), wanted: u16, part: &str| {
        assert!(status == wanted && body.contains(part), "{status} {body}, not {wanted} {part}");
    };
    told(ask(EXEC, "").await, 400, "no `command`");
    told(ask(&format!("{EXEC}?command=x"), "origin: http://evil\r\n").await, 400, "browser");
    told(ask(&format!("{EXEC}?command=x&tty=yes"), "").await, 400, "it takes true or false");
    told(ask(&format!("{EXEC}?command=x&user=1"), "").await, 400, "no parameter `user`");
    let other = EXEC.replace("containers/main", "containers/none");
    told(ask(&format!("{other}?command=x"), "").await, 404, "no-such-container");
    told(ask("/v1/pods/default/none/portforward?port=1", "").await, 404, "no-such-pod");
    told(ask("/v1/pods/default/web/portforward?port=0", "").await, 400, "no port between");
    told(ask("/v1/pods/default/web/portforward", "").await, 400, "no `port`");
    let plain = bed.raw(&format!("GET {EXEC}?command=x"), "").await;
    assert_eq!(plain.status, 400, "{plain:?}");
}
