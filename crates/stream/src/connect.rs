//! Connections to the runtime's streaming server, up to where HTTP has handed them over.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{StreamError, TlsFiles, address::Address};

/// How long a server may take to let us in.
const CONNECT: Duration = Duration::from_secs(10);
/// How much of a refusal's text is told, in bytes.
const REFUSAL: usize = 4096;

/// Whatever bytes go over.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection of any kind.
pub(crate) type Socket = Box<dyn Duplex>;

/// Connects, over TLS where the address says so.
pub(crate) async fn dial(address: &Address, tls: &TlsFiles) -> Result<Socket, StreamError> {
    let connecting = async {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    let stream = within(address, connecting).await?;
    if !address.tls {
        return Ok(Box::new(stream));
    }
    let connector = TlsConnector::from(Arc::new(tls.load()?));
    let name = tls.name(&address.host)?;
    Ok(Box::new(within(address, connector.connect(name, stream)).await?))
}

async fn within<T>(
    address: &Address,
    connecting: impl Future<Output = io::Result<T>>,
) -> Result<T, StreamError> {
    let outcome = tokio::time::timeout(CONNECT, connecting).await;
    let outcome = outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    outcome.map_err(|cause| StreamError::Connect { address: address.authority(), cause })
}

/// Has the server speak SPDY/3.1 from now on, and gives the version of the streams' protocol that it
/// took; an empty one if it named none.
pub(crate) async fn upgrade_to_spdy(
    socket: Socket,
    address: &Address,
    versions: &[&str],
) -> Result<(Socket, String), StreamError> {
    let failed =
        |cause: hyper::Error| StreamError::Protocol { transport: "SPDY/3.1", cause: cause.into() };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(failed)?;
    // Its errors come out of the request, too.
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(&address.target)
        .header(header::HOST, address.authority())
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "SPDY/3.1");
    for version in versions {
        request = request.header("X-Stream-Protocol-Version", *version);
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|cause| StreamError::Protocol { transport: "SPDY/3.1", cause: cause.into() })?;
    let response = tokio::time::timeout(CONNECT, sender.send_request(request)).await;
    let response = response
        .map_err(|_| StreamError::Silent { seconds: CONNECT.as_secs() })?
        .map_err(failed)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refusal(response).await);
    }
    let version = response.headers().get("X-Stream-Protocol-Version");
    let version = version.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let upgraded = hyper::upgrade::on(response).await.map_err(failed)?;
    Ok((Box::new(TokioIo::new(upgraded)), version))
}

async fn refusal(response: Response<Incoming>) -> StreamError {
    let status = response.status();
    let body = Limited::new(response.into_body(), REFUSAL).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    StreamError::Refused { transport: "SPDY/3.1", message: told(status, &body) }
}

/// An HTTP answer as one line.
pub(crate) fn told(status: StatusCode, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    match text.trim() {
        "" => status.to_string(),
        text => format!("{status}: {text}"),
    }
}
