//! One request over a connection of its own.

use std::{path::Path, time::Duration};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, StatusCode, body::Bytes, body::Incoming, header};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, time::timeout};

use super::{ClientError, EventFilter};
use crate::{
    ApiError, Method, OperationId, PodRef,
    operations::{Operation, escape},
};

/// Longest answer that is read, in bytes: thousands of pods.
const LONGEST_ANSWER: usize = 64 * 1024 * 1024;

/// How long a connection may take until the head of the answer of a stream is there.
const STREAM_LIMIT: Duration = Duration::from_secs(30);

/// A request that is still to be made.
pub(super) struct Call {
    operation: &'static Operation,
    target: String,
    body: Option<Result<Vec<u8>, serde_json::Error>>,
}

/// The body of an answer that comes piece by piece.
pub(super) struct Stream {
    pub(super) socket: std::path::PathBuf,
    pub(super) body: Incoming,
}

impl Call {
    pub(super) fn new(id: OperationId) -> Self {
        let operation = id.operation();
        Self { operation, target: operation.path.to_owned(), body: None }
    }

    pub(super) fn on(id: OperationId, pod: &PodRef) -> Self {
        let operation = id.operation();
        let target = operation.path_with(&[&pod.namespace, &pod.name]);
        Self { operation, target, body: None }
    }

    pub(super) fn query(mut self, name: &str, value: Option<String>) -> Self {
        let Some(value) = value else { return self };
        self.target.push(if self.target.contains('?') { '&' } else { '?' });
        self.target.push_str(name);
        self.target.push('=');
        self.target.push_str(&escape(&value));
        self
    }

    pub(super) fn filter(self, filter: &EventFilter) -> Self {
        self.query("since", filter.since.map(|revision| revision.to_string()))
            .query("pod", filter.pod.as_ref().map(ToString::to_string))
    }

    pub(super) fn body(mut self, body: &impl Serialize) -> Self {
        self.body = Some(serde_json::to_vec(body));
        self
    }

    fn request(&self, socket: &Path) -> Result<Request<Full<Bytes>>, ClientError> {
        let method = match self.operation.method {
            Method::Get => hyper::Method::GET,
            Method::Post => hyper::Method::POST,
            Method::Delete => hyper::Method::DELETE,
        };
        let invalid = |reason: String| ClientError::Foreign { socket: socket.to_owned(), reason };
        let mut request =
            Request::builder().method(method).uri(&self.target).header(header::HOST, "crilet");
        let mut body = Bytes::new();
        if let Some(written) = &self.body {
            request = request.header(header::CONTENT_TYPE, "application/json");
            body = match written {
                Ok(bytes) => Bytes::copy_from_slice(bytes),
                Err(error) => return Err(invalid(error.to_string())),
            };
        }
        request.body(Full::new(body)).map_err(|error| invalid(error.to_string()))
    }
}

/// Makes a request and reads the JSON of its answer.
pub(super) async fn json<T: DeserializeOwned>(
    socket: &Path,
    call: &Call,
    limit: Duration,
) -> Result<T, ClientError> {
    let answered = timeout(limit, async {
        let response = send(socket, call).await?;
        read(socket, response).await
    });
    let silent = |_| ClientError::Silent { socket: socket.to_owned(), limit };
    let body = answered.await.map_err(silent)??;
    serde_json::from_slice(&body).map_err(|error| ClientError::Foreign {
        socket: socket.to_owned(),
        reason: format!("the answer cannot be read: {error}"),
    })
}

/// Makes a request whose answer comes piece by piece.
pub(super) async fn open(socket: &Path, call: &Call) -> Result<Stream, ClientError> {
    let silent = |_| ClientError::Silent { socket: socket.to_owned(), limit: STREAM_LIMIT };
    let response = timeout(STREAM_LIMIT, send(socket, call)).await.map_err(silent)??;
    Ok(Stream { socket: socket.to_owned(), body: response.into_body() })
}

/// Sends a request and waits for the head of a successful answer.
async fn send(socket: &Path, call: &Call) -> Result<Response<Incoming>, ClientError> {
    let unreachable = |cause| ClientError::Unreachable { socket: socket.to_owned(), cause };
    let lost = |cause| ClientError::Lost { socket: socket.to_owned(), cause };
    let request = call.request(socket)?;
    let stream = UnixStream::connect(socket).await.map_err(unreachable)?;
    let connected = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = connected.map_err(lost)?;
    // Ends with the answer's body; an error in it reaches whoever reads that.
    tokio::spawn(async move { drop(connection.await) });
    let response = sender.send_request(request).await.map_err(lost)?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let body = read(socket, response).await?;
    Err(refusal(socket, status, &body))
}

/// What a daemon says when it refuses; something else says something else.
fn refusal(socket: &Path, status: StatusCode, body: &[u8]) -> ClientError {
    serde_json::from_slice::<ApiError>(body).map_or_else(
        |_| ClientError::Foreign {
            socket: socket.to_owned(),
            reason: format!("it answered with status {}", status.as_u16()),
        },
        ClientError::Refused,
    )
}

async fn read(socket: &Path, response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let collected = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|error| {
        match error.downcast::<hyper::Error>() {
            Ok(cause) => ClientError::Lost { socket: socket.to_owned(), cause: *cause },
            Err(error) => {
                ClientError::Foreign { socket: socket.to_owned(), reason: error.to_string() }
            }
        }
    })
}
