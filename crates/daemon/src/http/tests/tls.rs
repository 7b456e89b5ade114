use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
};

use super::bed::Answer;
use crate::{
    config::TcpConfig,
    fake::FakeNode,
    http::{Server, Tls, TlsError},
};

const TOKEN: &str = "a-token-of-some-length";

struct Bed {
    directory: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Bed {
    /// A directory with an issuer, a server's certificate and a token.
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let bed = Self { directory: tempfile::tempdir().unwrap(), issuer };
        let (certificate, key) = bed.certificate("node.example");
        bed.write("server.pem", &certificate);
        bed.write("server.key", &key);
        bed.write("ca.pem", &bed.issuer.pem());
        bed.write("token", &format!("{TOKEN}\n"));
        bed
    }

    fn certificate(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn config(&self, token: bool, clients: bool) -> TcpConfig {
        let path = |name: &str| Some(self.directory.path().join(name));
        TcpConfig {
            listen: Some("127.0.0.1:0".parse().unwrap()),
            cert_file: path("server.pem"),
            key_file: path("server.key"),
            token_file: path("token").filter(|_| token),
            client_ca_file: path("ca.pem").filter(|_| clients),
        }
    }

    async fn serve(&self, token: bool, clients: bool) -> (Server, Arc<Tls>, SocketAddr) {
        let tls = Arc::new(Tls::load(&self.config(token, clients)).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::new(FakeNode::new());
        server.serve_tls(listener, Arc::clone(&tls));
        (server, tls, address)
    }

    /// Asks for the pods; nothing if there is no connection to be had.
    async fn ask(&self, address: SocketAddr, token: &str, certificate: bool) -> Option<Answer> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.issuer.pem().as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let config = if certificate {
            let (certificate, key) = self.certificate("client");
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        } else {
            builder.with_no_client_auth()
        };
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("node.example").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, stream).await.ok()?;
        let token = match token {
            "" => String::new(),
            token => format!("authorization: Bearer {token}\r\n"),
        };
        let request =
            format!("GET /v1/pods HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{token}\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut text = String::new();
        // An answer that ends without a word of TLS is still an answer.
        drop(stream.read_to_string(&mut text).await);
        if text.is_empty() { None } else { Some(Answer::read(&mut text.as_bytes()).await) }
    }
}

#[tokio::test]
async fn nobody_gets_in_without_the_token() {
    let bed = Bed::new();
    let (_server, _, address) = bed.serve(true, false).await;
    for wrong in ["", "wrong", "a-token-of-some-lengtx", "a-token-of", &format!("{TOKEN}x")] {
        let answer = bed.ask(address, wrong, false).await.unwrap();
        assert_eq!(answer.status, 401, "{wrong}: {answer:?}");
        assert!(answer.head.contains("www-authenticate: Bearer"), "{answer:?}");
        assert!(answer.body.contains("\"unauthorized\""), "{answer:?}");
    }
    assert_eq!(bed.ask(address, TOKEN, false).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_clients_certificate_does_without_a_token() {
    let bed = Bed::new();
    let (_server, _, address) = bed.serve(true, true).await;
    assert_eq!(bed.ask(address, "", true).await.unwrap().status, 200);
    assert_eq!(bed.ask(address, "", false).await.unwrap().status, 401);
    assert_eq!(bed.ask(address, TOKEN, false).await.unwrap().status, 200);

    let (_server, _, address) = bed.serve(false, true).await;
    assert_eq!(bed.ask(address, "", true).await.unwrap().status, 200);
    assert!(bed.ask(address, TOKEN, false).await.is_none(), "there is no token");
    let stranger = Bed::new();
    assert!(stranger.ask(address, "", true).await.is_none(), "another issuer's");
}

#[tokio::test]
async fn nothing_is_served_in_the_clear() {
    let bed = Bed::new();
    let (_server, _, address) = bed.serve(true, false).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /v1/pods HTTP/1.1\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes).await);
    assert!(!String::from_utf8_lossy(&bytes).contains("HTTP"), "{bytes:?}");
    assert_eq!(bed.ask(address, TOKEN, false).await.unwrap().status, 200, "others are served");
}

#[tokio::test]
async fn certificates_and_token_are_read_again() {
    let bed = Bed::new();
    let (_server, tls, address) = bed.serve(true, false).await;
    bed.write("token", "another-token-of-some-length");
    assert_eq!(bed.ask(address, TOKEN, false).await.unwrap().status, 200, "not yet");
    tls.reload(&bed.config(true, false)).unwrap();
    assert_eq!(bed.ask(address, TOKEN, false).await.unwrap().status, 401);
    let (certificate, key) = bed.certificate("elsewhere.example");
    bed.write("server.pem", &certificate);
    bed.write("server.key", &key);
    tls.reload(&bed.config(true, false)).unwrap();
    let token = "another-token-of-some-length";
    assert!(bed.ask(address, token, false).await.is_none(), "the name is another");
    bed.write("server.pem", "nothing");
    assert!(tls.reload(&bed.config(true, false)).is_err());
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let bed = Bed::new();
    let mut told = Vec::new();
    let mut load = || {
        let error = Tls::load(&bed.config(true, true)).err().unwrap();
        let shown = crilet_core::ErrorChain(&error).to_string();
        told.push(shown.replace(bed.directory.path().to_str().unwrap(), "[DIR]"));
        error
    };
    bed.write("token", "short");
    load();
    let token = bed.write("token", TOKEN);
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(load(), TlsError::Exposed { mode: 0o644, .. }));
    bed.write("token", TOKEN);
    let key = bed.directory.path().join("server.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o604)).unwrap();
    load();
    let (certificate, key) = bed.certificate("x");
    bed.write("server.key", &certificate);
    load();
    bed.write("server.key", &key);
    load();
    bed.write("server.pem", "");
    load();
    fs::remove_file(bed.directory.path().join("server.pem")).unwrap();
    load();
    insta::assert_snapshot!(told.join("\n"));
}
