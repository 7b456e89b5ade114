use std::{path::PathBuf, sync::Arc};

use crilet_api::{Client, PodRef};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::{
    fake::FakeNode,
    http::{Server, Socket},
};

/// A node behind its API.
pub(super) struct Bed {
    pub(super) node: Arc<FakeNode>,
    pub(super) client: Client,
    pub(super) socket: PathBuf,
    server: Option<Server>,
    directory: TempDir,
}

impl Bed {
    pub(super) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("api.sock");
        let node = FakeNode::new();
        let client = Client::new(&socket);
        let mut bed = Self { node, client, socket, server: None, directory };
        bed.serve();
        bed
    }

    /// A node with the pods `default/web` and `default/db`.
    pub(super) fn with_pods() -> Self {
        let bed = Self::start();
        for name in ["web", "db"] {
            bed.node.put(FakeNode::pod_named("default", name));
        }
        bed
    }

    pub(super) fn serve(&mut self) {
        let server = Server::new(Arc::<FakeNode>::clone(&self.node));
        server.serve_socket(Socket::bind(&self.socket, None).unwrap());
        self.server = Some(server);
    }

    pub(super) async fn close(&mut self) {
        self.server.take().unwrap().close().await;
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Sends a request as it stands and reads the answer: status, head and body.
    pub(super) async fn raw(&self, head: &str, body: &str) -> Answer {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        let length = body.len();
        let request = format!(
            "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\
             content-type: application/json\r\n\r\n{body}"
        );
        // What is refused from its head on need not be taken.
        drop(stream.write_all(request.as_bytes()).await);
        Answer::read(&mut stream).await
    }
}

pub(super) fn web() -> PodRef {
    PodRef::new("default", "web")
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> Self {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }
}
