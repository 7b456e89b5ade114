//! TLS without asking who is there, as probes have it: the kubelet does not verify certificates
//! either (`pkg/probe/http`), since a pod's own certificate names no address.

use std::{io, net::IpAddr, sync::Arc};

use crilet_core::tls::AnyCertificate;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, crypto::ring, pki_types::ServerName},
};

/// Begins TLS on a connection.
pub(super) async fn connect(
    stream: TcpStream,
    host: Option<&str>,
    address: IpAddr,
) -> io::Result<TlsStream<TcpStream>> {
    let name = match host {
        Some(host) => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
        None => ServerName::IpAddress(address.into()),
    };
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}
