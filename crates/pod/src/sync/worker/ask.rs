//! Asking a container, or telling it something: the handlers of probes and hooks.

use std::{
    borrow::Cow,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crilet_cri::{Client, CriError};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{
    Request, Response, Uri,
    body::{Bytes, Incoming},
    header::HOST,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::tls;
use crate::{
    model::{EnvValue, Handler, HttpGet, Pod, Scheme},
    render::expand,
};

/// The most characters of a program's output that are repeated.
const SHOWN: usize = 200;

/// A container that can be asked.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) client: Client,
    pub(super) container: String,
    /// The pod's first address; nothing on the host's network, where it is the host itself.
    pub(super) address: Option<IpAddr>,
}

/// What a container answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Success,
    /// Why it is none.
    Failure(String),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Runtime(#[from] CriError),
    #[error("the pod has no address")]
    NoAddress,
    #[error("find the address of `{host}`")]
    Lookup {
        host: String,
        #[source]
        cause: io::Error,
    },
    #[error("make a request")]
    Request(#[from] hyper::http::Error),
}

impl Asker {
    /// Asks once. `timeout` is for the runtime's own use; the caller bounds the whole.
    pub(super) async fn ask(
        &self,
        handler: &Handler,
        timeout: Duration,
    ) -> Result<Answer, AskError> {
        match handler {
            Handler::Exec(command) => self.exec(command, timeout).await,
            Handler::Tcp { host, port } => {
                let address = self.resolve(host.as_deref(), *port).await?;
                Ok(match TcpStream::connect(address).await {
                    Ok(_) => Answer::Success,
                    Err(error) => Answer::Failure(format!("connect to {address}: {error}")),
                })
            }
            Handler::Http(get) => self.http(get).await,
            Handler::Grpc { port, service } => self.grpc(*port, service).await,
        }
    }

    async fn exec(&self, command: &[String], timeout: Duration) -> Result<Answer, AskError> {
        let answer = self.client.exec_sync(&self.container, command.to_vec(), timeout).await;
        match answer {
            Ok(answer) if answer.exit_code == 0 => Ok(Answer::Success),
            Ok(answer) => {
                let output = [answer.stdout, answer.stderr].concat();
                Ok(Answer::Failure(ended(answer.exit_code, &output)))
            }
            Err(error) if error.is_deadline() => {
                Ok(Answer::Failure("the command took too long".to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn http(&self, get: &HttpGet) -> Result<Answer, AskError> {
        let address = self.resolve(get.host.as_deref(), get.port).await?;
        let request = request(get, address)?;
        let answer = match (TcpStream::connect(address).await, get.scheme) {
            (Err(error), _) => Err(format!("connect to {address}: {error}")),
            (Ok(stream), Scheme::Http) => exchange(stream, request).await,
            (Ok(stream), Scheme::Https) => {
                match tls::connect(stream, get.host.as_deref(), address.ip()).await {
                    Ok(stream) => exchange(stream, request).await,
                    Err(error) => Err(format!("TLS with {address}: {error}")),
                }
            }
        };
        Ok(match answer {
            Ok(response) if (200..400).contains(&response.status().as_u16()) => Answer::Success,
            Ok(response) => Answer::Failure(format!("HTTP status {}", response.status())),
            Err(message) => Answer::Failure(message),
        })
    }

    /// The gRPC health checking protocol, `grpc.health.v1.Health/Check`.
    async fn grpc(&self, port: u16, service: &str) -> Result<Answer, AskError> {
        let address = self.resolve(None, port).await?;
        let answer = match TcpStream::connect(address).await {
            Ok(stream) => check_health(stream, address, service).await,
            Err(error) => Err(format!("connect to {address}: {error}")),
        };
        Ok(match answer {
            Ok(SERVING) => Answer::Success,
            Ok(status) => Answer::Failure(format!("gRPC health status {status}, not serving")),
            Err(message) => Answer::Failure(message),
        })
    }

    async fn resolve(&self, host: Option<&str>, port: u16) -> Result<SocketAddr, AskError> {
        let Some(host) = host else {
            let address = self.address.ok_or(AskError::NoAddress)?;
            return Ok(SocketAddr::new(address, port));
        };
        if let Ok(address) = host.parse() {
            return Ok(SocketAddr::new(address, port));
        }
        let failed = |cause| AskError::Lookup { host: host.to_owned(), cause };
        let mut found = tokio::net::lookup_host((host, port)).await.map_err(failed)?;
        found.next().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
    }
}

fn request(get: &HttpGet, address: SocketAddr) -> Result<Request<Empty<Bytes>>, AskError> {
    let mut request = Request::builder().uri(get.path.as_str());
    let named = |name: &str| get.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    if !named(HOST.as_str()) {
        let host = get.host.clone().unwrap_or_else(|| address.ip().to_string());
        let host = if address.is_ipv6() && get.host.is_none() { format!("[{host}]") } else { host };
        request = request.header(HOST, format!("{host}:{}", address.port()));
    }
    if !named("user-agent") {
        request = request.header("user-agent", concat!("crilet-probe/", env!("CARGO_PKG_VERSION")));
    }
    for (name, value) in &get.headers {
        request = request.header(name, value);
    }
    Ok(request.body(Empty::new())?)
}

async fn exchange<S>(
    stream: S,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let words = |error: hyper::Error| format!("HTTP: {}", crilet_core::ErrorChain(&error));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(words)?;
    let driver = AbortOnDrop(tokio::spawn(connection));
    let response = sender.send_request(request).await.map_err(words);
    drop(driver);
    response
}

/// A connection that is driven as long as somebody waits for its answer.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: i32 = 1;

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

async fn check_health(
    stream: TcpStream,
    address: SocketAddr,
    service: &str,
) -> Result<i32, String> {
    let words = |error: hyper::Error| format!("gRPC: {}", crilet_core::ErrorChain(&error));
    let message = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut frame = vec![0];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&message);
    let uri = Uri::builder()
        .scheme("http")
        .authority(address.to_string())
        .path_and_query("/grpc.health.v1.Health/Check")
        .build()
        .map_err(|error| error.to_string())?;
    let request = Request::post(uri)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from(frame)))
        .map_err(|error| error.to_string())?;
    let io = TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.map_err(words)?;
    let _driver = AbortOnDrop(tokio::spawn(connection));
    let response = sender.send_request(request).await.map_err(words)?;
    let status = |headers: &hyper::HeaderMap| {
        let code = headers.get("grpc-status")?.to_str().ok()?.to_owned();
        let message = headers.get("grpc-message").and_then(|message| message.to_str().ok());
        (code != "0").then(|| format!("gRPC status {code}: {}", message.unwrap_or_default()))
    };
    if let Some(refused) = status(response.headers()) {
        return Err(refused);
    }
    let collected = response.into_body().collect().await.map_err(words)?;
    if let Some(refused) = collected.trailers().and_then(status) {
        return Err(refused);
    }
    let body = collected.to_bytes();
    let message = body.get(5..).ok_or("gRPC: an answer without a message")?;
    HealthCheckResponse::decode(message)
        .map(|response| response.status)
        .map_err(|error| format!("gRPC: {error}"))
}

/// A handler with the `$(VAR)` of its command expanded from what a manifest alone tells.
pub(super) fn expanded(pod: &Pod, container: &str, handler: &Handler) -> Handler {
    let Handler::Exec(command) = handler else { return handler.clone() };
    let Some(container) = pod.container(container).filter(|container| container.expand) else {
        return handler.clone();
    };
    let mut known: Vec<(&str, String)> = Vec::new();
    for variable in &container.env {
        let value = match &variable.value {
            EnvValue::Text(text) => expand(text, |name| look_up(&known, name)),
            EnvValue::Exact(text) => text.clone(),
            EnvValue::Secret(text) => text.reveal().clone(),
            EnvValue::Late(_) => continue,
        };
        known.push((&variable.name, value));
    }
    let words = command.iter().map(|word| expand(word, |name| look_up(&known, name)));
    Handler::Exec(words.collect())
}

/// How a command ended that said no, with the beginning of what it wrote.
fn ended(code: i32, output: &[u8]) -> String {
    let output = String::from_utf8_lossy(output);
    let shown: String = output.trim().chars().take(SHOWN).collect();
    if shown.is_empty() { format!("status {code}") } else { format!("status {code}: {shown}") }
}

/// The last variable of a name counts.
fn look_up<'a>(known: &[(&str, String)], name: &str) -> Option<Cow<'a, str>> {
    let found = known.iter().rev().find(|(known, _)| *known == name);
    found.map(|(_, value)| Cow::Owned(value.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_wrote_nothing_has_nothing_behind_its_status() {
        assert_eq!(ended(1, b" \n"), "status 1");
        assert_eq!(ended(2, b"no such table\n"), "status 2: no such table");
        assert_eq!(ended(3, "\u{e4}".repeat(300).as_bytes()).chars().count(), 10 + SHOWN);
    }
}
