//! TLS towards a runtime whose streams are behind it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crilet_core::tls::AnyCertificate;
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName,
        pem::{self, PemObject},
    },
};

use crate::StreamError;

/// Where distributions keep the certificate authorities that they trust.
const AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What a connection over TLS is made with; nothing of it is read before there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of who may have signed the server's, PEM; by default those that the machine trusts.
    pub ca: Option<PathBuf>,
    /// The client's certificate and those between it and the authority, PEM.
    pub certificate: Option<PathBuf>,
    /// The key of the client's certificate, PEM.
    pub key: Option<PathBuf>,
    /// Whom the server's certificate is for; by default the host of its address.
    pub server_name: Option<String>,
    /// Takes any certificate. Only where nobody else could answer.
    pub insecure_skip_verify: bool,
}

impl TlsFiles {
    /// The configuration that the files make.
    pub(crate) fn load(&self) -> Result<ClientConfig, StreamError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(|cause| {
            StreamError::Certificate { path: self.certificate.clone().unwrap_or_default(), cause }
        })?;
        let builder = if self.insecure_skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        match (&self.certificate, &self.key) {
            (None, None) => Ok(builder.with_no_client_auth()),
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate)?;
                let own = PrivateKeyDer::from_pem_file(key)
                    .map_err(|cause| StreamError::TlsFile { path: key.clone(), cause })?;
                builder
                    .with_client_auth_cert(chain, own)
                    .map_err(|cause| StreamError::Certificate { path: certificate.clone(), cause })
            }
            _ => Err(StreamError::HalfCertificate),
        }
    }

    /// Whom the certificate must be for.
    pub(crate) fn name(&self, host: &str) -> Result<ServerName<'static>, StreamError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned())
            .map_err(|_| StreamError::ServerName { name: name.to_owned() })
    }

    fn roots(&self) -> Result<RootCertStore, StreamError> {
        let known = || AUTHORITIES.iter().map(PathBuf::from).find(|path| path.exists());
        let path = self.ca.clone().or_else(known).ok_or(StreamError::NoAuthorities)?;
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(certificates(&path)?);
        if added == 0 {
            return Err(StreamError::TlsFile { path, cause: pem::Error::NoItemsFound });
        }
        Ok(roots)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, StreamError> {
    let failed = |cause| StreamError::TlsFile { path: path.to_owned(), cause };
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(failed)?.collect();
    let certificates = read.map_err(failed)?;
    if certificates.is_empty() { Err(failed(pem::Error::NoItemsFound)) } else { Ok(certificates) }
}
