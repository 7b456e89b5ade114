//! The daemon's API on a real runtime: logs over their rotations, WebSockets into pods.

use crilet_stream::status;
use crilet_testkit::wait_until;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{net::UnixStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use super::{BOUND, Node, PODS};

const POD: &str = "/v1/pods/default/site";
const CURL: &str = "curl --silent --show-error --unix-socket /run/crilet/crilet.sock --no-buffer";

type Client = WebSocketStream<UnixStream>;

#[test]
fn logs_and_ways_into_pods_by_the_api() {
    let node = Node::start();
    node.write("page");
    node.until("readiness", ".conditions[]|select(.type==\"Ready\").status==\"True\"");
    logs_over_rotations(&node);
    former_logs(&node);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        a_command(&node).await;
        a_terminal(&node).await;
        joined(&node).await;
        a_port(&node).await;
    });
    node.sh(&format!("rm {PODS}/site.yaml"));
    node.expect_gone();
    node.end();
}

fn get(node: &Node, path: &str) -> String {
    node.sh(&format!("{CURL} --fail 'http://crilet{path}'"))
}

/// Numbers from 1 to 1000, again and again; nothing is missing and nothing is there twice.
fn assert_whole(lines: &str) {
    let numbers: Vec<u32> = lines.lines().filter_map(|line| line.parse().ok()).collect();
    let follows = |pair: &[u32]| pair[1] == pair[0] % 1000 + 1;
    let wrong = numbers.windows(2).find(|pair| !follows(pair));
    assert!(numbers.len() > 1000 && wrong.is_none(), "{} lines, {wrong:?}", numbers.len());
}

/// Which file is the live one.
fn live(node: &Node) -> String {
    node.sh("stat --format %i /var/log/pods/*/chatty/0.log || true").trim().to_owned()
}

fn logs_over_rotations(node: &Node) {
    let follow = format!("{CURL} 'http://crilet{POD}/logs?container=chatty&follow=true&tail=0'");
    let mut follower = node.host.shell(&follow).spawn().unwrap();
    // The live file is another one after each rotation.
    let mut files = vec![live(node)];
    wait_until("three rotations under the follower", BOUND, || {
        let now = live(node);
        if !now.is_empty() && files.last() != Some(&now) {
            files.push(now);
        }
        if files.len() > 3 { Ok(()) } else { Err(format!("{files:?}")) }
    })
    .unwrap();
    wait_until("what was written since", BOUND, || {
        let lines = follower.log().lines().count();
        if lines > 3000 { Ok(()) } else { Err(format!("{lines} lines")) }
    })
    .unwrap();
    follower.kill().unwrap();
    let followed = follower.log();
    let whole = followed.rsplit_once('\n').map_or("", |(whole, _)| whole);
    assert_whole(whole);

    assert_whole(&get(node, &format!("{POD}/logs?container=chatty&format=raw&tail=2500")));
    let stamped = get(node, &format!("{POD}/logs?container=clock&tail=1&timestamps=true"));
    assert!(stamped.starts_with("20") && stamped.contains("Z "), "{stamped}");
    let later = get(node, &format!("{POD}/logs?container=chatty&since=2100-01-01"));
    assert_eq!(later, "", "nothing is from then");
    let both = get(node, &format!("{POD}/logs?tail=1"));
    assert!(both.contains("chatty | ") && both.contains("clock  | "), "{both}");
}

fn former_logs(node: &Node) {
    let refused = node.sh(&format!(
        "{CURL} --write-out ' %{{http_code}}' 'http://crilet{POD}/logs?container=clock&previous=true'"
    ));
    assert!(refused.contains("\"no-log\"") && refused.ends_with(" 404"), "{refused}");
    let pid = "jq -r '.containers[]|select(.name==\"clock\").pid'";
    node.sh(&format!("kill -9 $({CURL} http://crilet{POD} | {pid})"));
    node.until("the restart", ".containers[]|select(.name==\"clock\")|.restarts==1 and .ready");
    let former = get(node, &format!("{POD}/logs?container=clock&previous=true&format=cri"));
    wait_until("the first line of the next one", BOUND, || {
        let next = get(node, &format!("{POD}/logs?container=clock&format=cri"));
        let last = former.lines().last().unwrap_or_default();
        if next.as_str() > last && !last.is_empty() { Ok(()) } else { Err(next) }
    })
    .unwrap();
}

async fn open(node: &Node, path: &str) -> Client {
    let socket = node.host.path("/run/crilet/crilet.sock");
    let stream = UnixStream::connect(socket).await.unwrap();
    let mut request = format!("ws://crilet{POD}{path}").into_client_request().unwrap();
    let protocol = "v5.channel.k8s.io".parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    let opened = timeout(BOUND, tokio_tungstenite::client_async(request, stream)).await;
    opened.expect("an answer in time").unwrap().0
}

async fn send(client: &mut Client, channel: u8, data: &[u8]) {
    client.send(Message::Binary([&[channel], data].concat().into())).await.unwrap();
}

/// What comes on each channel, by its number, until the end or until `enough` says so.
async fn hear(client: &mut Client, enough: impl Fn(&[Vec<u8>]) -> bool) -> Vec<Vec<u8>> {
    let mut channels = vec![Vec::new(); 256];
    let mut listen = async || {
        while let Some(Ok(Message::Binary(data))) = client.next().await {
            channels[usize::from(data[0])].extend_from_slice(&data[1..]);
            if enough(&channels) {
                return;
            }
        }
    };
    let heard = timeout(BOUND, listen()).await;
    assert!(heard.is_ok(), "heard too little: {:?}", text(&channels[1]));
    channels
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn a_command(node: &Node) {
    let script = "read%20line;echo%20got%20$line;cat;echo%20err%20%3E%262;exit%207";
    let path = format!("/containers/web/exec?command=sh&command=-c&command={script}&stdin=true");
    let mut client = open(node, &path).await;
    send(&mut client, 0, b"hello\n").await;
    send(&mut client, 0, b"to the end").await;
    send(&mut client, 255, &[0]).await;
    let said = hear(&mut client, |_| false).await;
    assert_eq!(text(&said[1]), "got hello\nto the end");
    assert_eq!(text(&said[2]), "err\n");
    assert_eq!(status::read(&said[3]).unwrap(), 7);
}

async fn a_terminal(node: &Node) {
    let script = "until%20%5B%20%22$(stty%20size)%22%20=%20%2233%2077%22%20%5D;do%20sleep%200.1;done;stty%20size";
    let path = format!(
        "/containers/web/exec?command=sh&command=-c&command={script}&stdin=true&tty=true&stderr=false"
    );
    let mut client = open(node, &path).await;
    send(&mut client, 4, br#"{"Width":77,"Height":33}"#).await;
    let said = hear(&mut client, |_| false).await;
    assert!(text(&said[1]).contains("33 77"), "{:?}", text(&said[1]));
    assert_eq!(status::read(&said[3]).unwrap(), 0);
}

async fn joined(node: &Node) {
    let mut client = open(node, "/containers/chatty/attach").await;
    let said = hear(&mut client, |channels| text(&channels[1]).contains("\n1000\n")).await;
    assert!(said[2].is_empty(), "{:?}", text(&said[2]));
}

async fn a_port(node: &Node) {
    let mut client = open(node, "/portforward?port=80").await;
    send(&mut client, 0, b"GET / HTTP/1.0\r\n\r\n").await;
    let said = hear(&mut client, |channels| text(&channels[0]).contains("page")).await;
    assert_eq!(said[0][..2], 80_u16.to_le_bytes());
    assert!(text(&said[0]).contains("200 OK"), "{:?}", text(&said[0]));
}
