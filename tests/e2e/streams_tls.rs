//! Streams behind TLS, as a containerd 1.6 with `enable_tls_streaming` serves them.

use std::time::Duration;

use crilet_testkit::{Host, SystemContainerd, wait_until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::{
    streams::await_listener,
    support::{assert_contains, crilet, crilet_ends_with, ends_with},
};

/// Far longer than anything takes, even on a busy machine.
const BOUND: Duration = Duration::from_secs(120);
/// A name that the certificate is for beside the address.
const NAME: &str = "streams.test";

/// Somebody who signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for these names and its key.
    fn sign(&self, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// A host whose containerd has its streams behind TLS; files for clients are in `/root`.
fn host_with_tls() -> (Host, SystemContainerd) {
    let host = Host::start().unwrap();
    let (authority, other) = (Authority::new("one"), Authority::new("other"));
    let (certificate, key) = authority.sign(&[NAME, "127.0.0.1"]);
    host.write("/etc/containerd/streams.crt", certificate).unwrap();
    host.write("/etc/containerd/streams.key", key).unwrap();
    let (certificate, key) = authority.sign(&["client"]);
    host.write("/root/client.crt", certificate).unwrap();
    host.write("/root/client.key", key).unwrap();
    host.write("/root/ca.pem", authority.0.pem()).unwrap();
    host.write("/root/other.pem", other.0.pem()).unwrap();
    let containerd = host
        .system_containerd_configured(
            r#"  enable_tls_streaming = true
  [plugins."io.containerd.grpc.v1.cri".x509_key_pair_streaming]
    tls_cert_file = "/etc/containerd/streams.crt"
    tls_key_file = "/etc/containerd/streams.key"
"#,
        )
        .unwrap();
    host.write(
        "/root/pod/pod.yaml",
        "metadata: {name: one, namespace: default, uid: one-uid}\nlog_directory: /root/pod/log\n",
    )
    .unwrap();
    let script = "mkdir -p /www; head -c 300000 /dev/urandom >/www/page; httpd -p 8000 -h /www; \
                  read -r line; echo got $line; exit 9";
    let container = format!(
        "metadata: {{name: main}}\nimage: {{image: 'crilet.test/busybox:1'}}\nlog_path: main.log\n\
         stdin: true\ncommand: [sh, -c, '{script}']\n"
    );
    host.write("/root/pod/main.yaml", container).unwrap();
    crilet_ends_with(0, &host, &["run", "/root/pod"]);
    (host, containerd)
}

#[test]
fn streams_behind_tls() {
    let (host, _containerd) = host_with_tls();
    commands(&host);
    refused(&host);
    as_crictl(&host);
    ports(&host);
    attached(&host);
    crilet_ends_with(0, &host, &["rm", "--grace", "0", "one"]);
}

fn commands(host: &Host) {
    for transport in ["spdy", "websocket"] {
        let options = ["exec", "one", "--tls-ca", "/root/ca.pem", "--transport", transport, "--"];
        let command = ["sh", "-c", "echo out; echo err >&2; exit 7"];
        let said = crilet_ends_with(7, host, &[&options[..], &command].concat());
        assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("out\n", "err\n"), "{transport}");
    }
    let client = ["--tls-cert", "/root/client.crt", "--tls-key", "/root/client.key"];
    for options in [
        &["--tls-insecure-skip-verify"][..],
        &["--tls-ca", "/root/ca.pem", "--tls-server-name", NAME],
        &[&["--tls-ca", "/root/ca.pem"][..], &client].concat(),
    ] {
        crilet_ends_with(0, host, &[&["exec"], options, &["one", "true"]].concat());
    }
    // The end of input is told through TLS, too, and nothing is lost before it.
    let text = format!(
        "head -c 5000000 /dev/urandom >/root/sent\n\
         {} exec -i --tls-ca /root/ca.pem one cat </root/sent >/root/back && \
         cmp /root/sent /root/back && echo same",
        env!("CARGO_BIN_EXE_crilet")
    );
    let same = host.shell(&text).bound(5 * BOUND).success().unwrap();
    assert_eq!(same, "same\n");
}

/// Whom nobody trusts is told as such, with what can be done, and runs nothing.
fn refused(host: &Host) {
    for (options, status, why) in [
        (&["--tls-ca", "/root/other.pem"][..], 1, "invalid peer certificate: UnknownIssuer"),
        (
            &["--tls-ca", "/root/ca.pem", "--tls-server-name", "other.test"],
            1,
            "certificate not valid for name \"other.test\"",
        ),
        (&["--tls-ca", "/root/none.pem"], 1, "use `/root/none.pem` for TLS"),
        (&["--tls-ca", "/root/client.key"], 1, "use `/root/client.key` for TLS"),
        (&["--tls-cert", "/root/client.crt"], 64, "--tls-key <FILE>"),
        (&[], 1, "certificate"),
    ] {
        let command = ["one", "touch", "/ran"];
        let said = crilet_ends_with(status, host, &[&["exec"], options, &command].concat());
        assert_contains(&said.stderr, why);
        if why.contains("certificate") && options.len() != 2 || why.contains("UnknownIssuer") {
            assert_contains(&said.stderr, "--tls-ca names who signed the runtime's certificate");
        }
    }
    let ran = ["exec", "--tls-ca", "/root/ca.pem", "one", "ls", "/ran"];
    crilet_ends_with(1, host, &ran);
}

/// crictl takes any certificate unless it is given files, of which two must be there.
fn as_crictl(host: &Host) {
    let listed = crilet_ends_with(0, host, &["crictl", "ps", "-q"]).stdout;
    let id = listed.trim();
    for transport in ["spdy", "websocket"] {
        let said = crilet_ends_with(0, host, &["crictl", "exec", "-r", transport, id, "echo", "x"]);
        assert_eq!(said.stdout, "x\n");
    }
    let files = |ca: &'static str| {
        ["--tls-ca", ca, "--tls-cert", "/root/client.crt", "--tls-key", "/root/client.key"]
    };
    let exec =
        |options: &[&str]| crilet(host, &[&["crictl", "exec"], options, &[id, "true"]].concat());
    // crictl's own default is the name `localhost`.
    let named = ["--tls-sni", NAME];
    ends_with(0, exec(&[&files("/root/ca.pem")[..], &named].concat()));
    let wrong = ends_with(1, exec(&[&files("/root/other.pem")[..], &named].concat()));
    assert_contains(&wrong.stderr, "UnknownIssuer");
    let unnamed = ends_with(1, exec(&files("/root/ca.pem")));
    assert_contains(&unnamed.stderr, "localhost");
}

fn ports(host: &Host) {
    await_listener(host, &["--tls-ca", "/root/ca.pem"], 8000);
    let page = ["exec", "--tls-ca", "/root/ca.pem", "one", "sha256sum", "/www/page"];
    let page = crilet_ends_with(0, host, &page).stdout;
    let page = page.split_whitespace().next().unwrap();
    for (transport, port) in [("spdy", "8001"), ("websocket", "8002")] {
        let ports = format!("{port}:8000");
        let options = ["--transport", transport, "--tls-ca", "/root/ca.pem"];
        let line = [&["port-forward", "one"], &options[..], &[&ports]].concat();
        let running = crilet(host, &line).spawn().unwrap();
        wait_until("a port", BOUND, || {
            let log = running.log();
            if log.contains("Forwarding") { Ok(()) } else { Err(log) }
        })
        .unwrap();
        let get = format!("curl -sS http://127.0.0.1:{port}/page | sha256sum");
        let sum = host.shell(&get).success().unwrap();
        assert!(sum.starts_with(page), "{transport}: {sum}{}", running.log());
        // Told once, before anybody can connect.
        let options = ["--transport", transport, "--tls-ca", "/root/other.pem"];
        let line = [&["port-forward", "one"], &options[..], &["8003:8000"]].concat();
        let refused = crilet_ends_with(1, host, &line);
        assert_eq!(refused.stdout, "", "{refused}");
        assert_eq!(refused.stderr.matches("UnknownIssuer").count(), 1, "{refused}");
        assert_contains(
            &refused.stderr,
            "hint: --tls-ca names who signed the runtime's certificate",
        );
    }
}

fn attached(host: &Host) {
    let attach = ["attach", "--tls-ca", "/root/ca.pem", "one"];
    // containerd may end the streams with the input, before the process has ended.
    let said = crilet(host, &attach).input("word\n").output().unwrap();
    assert!(matches!(said.status, 0 | 9), "{said}");
    wait_until("what was said", BOUND, || {
        let log = host.shell("cat /root/pod/log/main.log").success().unwrap();
        if log.contains("got word") { Ok(()) } else { Err(log) }
    })
    .unwrap();
}
