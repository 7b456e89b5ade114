//! The API over TLS, for clients with a certificate or a token.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use axum::{
    Router,
    extract::{Request, State},
    http::header,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use subtle::ConstantTimeEq;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, RootCertStore, ServerConfig,
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject},
        },
        server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
    },
};

use super::failure::Failure;
use crate::config::TcpConfig;

/// Shortest token, in bytes.
const SHORTEST_TOKEN: usize = 16;

/// Why the API cannot be served over TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// A file does not hold what it should.
    #[error("`{}` holds no usable {what}", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why it is not usable.
        #[source]
        cause: pem::Error,
    },
    /// The configuration names no such file.
    #[error("`{key}` is not given")]
    NotGiven {
        /// The key.
        key: &'static str,
    },
    /// Certificate and key do not fit, or cannot be used.
    #[error("use the certificate `{}`", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: rustls::Error,
    },
    /// The certificates of those who sign clients' cannot be used.
    #[error("use the certificates in `{}`", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: VerifierBuilderError,
    },
    /// A token that is easily guessed.
    #[error("the token in `{}` has fewer than {SHORTEST_TOKEN} characters", path.display())]
    ShortToken {
        /// The file.
        path: PathBuf,
    },
    /// Others can read or write the token or the key.
    #[error("`{}` can be read by others than its owner (mode {mode:o})", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// What a listener needs; read again at a reload.
pub(crate) struct Tls {
    material: RwLock<Material>,
}

#[derive(Clone)]
struct Material {
    server: Arc<ServerConfig>,
    token: Option<Arc<str>>,
}

impl Tls {
    /// Reads all files.
    pub(crate) fn load(config: &TcpConfig) -> Result<Self, TlsError> {
        Ok(Self { material: RwLock::new(Material::load(config)?) })
    }

    /// Reads all files again; an error leaves everything as it was.
    pub(crate) fn reload(&self, config: &TcpConfig) -> Result<(), TlsError> {
        let material = Material::load(config)?;
        *self.material.write().unwrap_or_else(PoisonError::into_inner) = material;
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.material().server)
    }

    fn material(&self) -> Material {
        self.material.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn accepts(&self, request: &Request) -> bool {
        let Some(token) = self.material().token else { return false };
        let given = request.headers().get(header::AUTHORIZATION);
        let given = given.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        given.is_some_and(|given| given.trim().as_bytes().ct_eq(token.as_bytes()).into())
    }
}

/// The router for clients without a certificate: every request brings the token.
pub(super) fn with_token(router: Router, tls: Arc<Tls>) -> Router {
    router.layer(from_fn_with_state(tls, demand_token))
}

async fn demand_token(State(tls): State<Arc<Tls>>, request: Request, next: Next) -> Response {
    if tls.accepts(&request) {
        return next.run(request).await;
    }
    Failure::unauthorized().into_response()
}

impl Material {
    fn load(config: &TcpConfig) -> Result<Self, TlsError> {
        let cert_file = given(config.cert_file.as_ref(), "api.tcp.certFile")?;
        let key_file = given(config.key_file.as_ref(), "api.tcp.keyFile")?;
        let token = config.token_file.as_deref().map(read_token).transpose()?;
        let chain = certificates(cert_file)?;
        refuse_exposed(key_file)?;
        let key = PrivateKeyDer::from_pem_slice(&read(key_file)?)
            .map_err(|cause| TlsError::NotPem { path: key_file.to_owned(), what: "key", cause })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let unusable = |cause| TlsError::Certificate { path: cert_file.to_owned(), cause };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match config.client_ca_file.as_deref() {
            Some(path) => {
                builder.with_client_cert_verifier(verifier(path, token.is_some(), provider)?)
            }
            None => builder.with_no_client_auth(),
        };
        let mut server = builder.with_single_cert(chain, key).map_err(unusable)?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { server: Arc::new(server), token })
    }
}

fn verifier(
    path: &Path,
    or_token: bool,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let unusable = |cause| TlsError::Certificate { path: path.to_owned(), cause };
        roots.add(certificate).map_err(unusable)?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if or_token { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(|cause| TlsError::ClientCa { path: path.to_owned(), cause })
}

fn given<'a>(file: Option<&'a PathBuf>, key: &'static str) -> Result<&'a Path, TlsError> {
    file.map(PathBuf::as_path).ok_or(TlsError::NotGiven { key })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|cause| TlsError::Unreadable { path: path.to_owned(), cause })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unusable = |cause| TlsError::NotPem { path: path.to_owned(), what: "certificate", cause };
    let bytes = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match chain.map_err(unusable)? {
        chain if chain.is_empty() => Err(unusable(pem::Error::NoItemsFound)),
        chain => Ok(chain),
    }
}

fn read_token(path: &Path) -> Result<Arc<str>, TlsError> {
    refuse_exposed(path)?;
    let text = String::from_utf8_lossy(&read(path)?).trim().to_owned();
    if text.len() < SHORTEST_TOKEN {
        return Err(TlsError::ShortToken { path: path.to_owned() });
    }
    Ok(text.into())
}

/// Whoever can read these files can become root.
fn refuse_exposed(path: &Path) -> Result<(), TlsError> {
    let unreadable = |cause| TlsError::Unreadable { path: path.to_owned(), cause };
    let mode = fs::metadata(path).map_err(unreadable)?.mode() & 0o7777;
    let exposed = mode & 0o027 != 0;
    if exposed { Err(TlsError::Exposed { path: path.to_owned(), mode }) } else { Ok(()) }
}
