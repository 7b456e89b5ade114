//! Images that cannot be had, and the credentials of their registries.

use crilet_cri::{
    Code,
    fake::{Fake, Fault},
};

use crate::bed::{Bed, Crilet};

/// The base64 of `me:secret`.
const SECRET: &str = "bWU6c2VjcmV0";

/// A pod whose image only `me` with the password `secret` can pull.
fn private() -> Bed {
    let bed = Bed::new(Fake::builder().private_image("registry.example/app:1", "me", "secret"));
    bed.pod_in("default", "web", "");
    bed.container("web", "main", "registry.example/app:1");
    bed
}

fn comes_up(bed: &Bed, crilet: Crilet) {
    let outcome = crilet.run();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert_eq!(bed.fake.counts(), (1, 1));
    assert!(!outcome.stderr.contains("secret"), "{outcome}");
}

#[test]
fn images_that_are_nowhere_are_all_told_and_nothing_is_made() {
    let bed = Bed::with_app();
    bed.pod("web", "");
    bed.container("web", "one", "registry.example/one:2");
    bed.container("web", "two", "two");
    insta::assert_snapshot!(bed.crilet("run web").run());
    assert_eq!(bed.count("RunPodSandbox"), 0);
    bed.assert_clean();
}

#[test]
fn a_registry_that_refuses_is_told_with_what_to_do() {
    let bed = private();
    insta::assert_snapshot!("refused_without", bed.crilet("run web").run());
    insta::assert_snapshot!("refused_with", bed.crilet("run web --creds me:wrong").run());
    bed.assert_clean();
}

#[test]
fn credentials_are_taken_from_flags_and_their_variables() {
    for arguments in ["--creds me:secret", "--auth bWU6c2VjcmV0"] {
        let bed = private();
        comes_up(&bed, bed.crilet(&format!("run web {arguments}")));
    }
    let bed = private();
    comes_up(&bed, bed.crilet("run web").env("CRICTL_CREDS", "me:secret"));
    let bed = private();
    comes_up(&bed, bed.crilet("run web").env("CRICTL_AUTH", SECRET));
}

#[test]
fn credentials_are_taken_from_the_files_of_docker_and_podman() {
    let config = format!("{{\"auths\": {{\"registry.example\": {{\"auth\": \"{SECRET}\"}}}}}}");
    let bed = private();
    bed.write("home/.docker/config.json", &config);
    comes_up(&bed, bed.crilet("run web"));
    let bed = private();
    bed.write("run/containers/auth.json", &config);
    comes_up(&bed, bed.crilet("run web").env("XDG_RUNTIME_DIR", bed.path("run")));
}

#[test]
fn a_file_of_credentials_that_is_broken_is_named() {
    let bed = private();
    bed.write("home/.docker/config.json", "{\"auths\":");
    insta::assert_snapshot!(bed.crilet("run web").run());
    assert_eq!(bed.count("PullImage"), 0);
    bed.assert_clean();
}

#[test]
fn a_credential_helper_is_asked() {
    let bed = private();
    let config = r#"{"credHelpers": {"registry.example": "test"}}"#;
    bed.write("home/.docker/config.json", config);
    insta::assert_snapshot!("helper_missing", bed.crilet("run web").run());
    let script = "#!/bin/sh\n[ \"$1\" = get ] && [ \"$(cat)\" = registry.example ] || exit 1\n\
                  echo '{\"Username\": \"me\", \"Secret\": \"secret\"}'\n";
    install(&bed, "#!/bin/sh\necho no keychain is open >&2\nexit 1\n");
    let path = format!("{}:/usr/bin:/bin", bed.path("bin").display());
    insta::assert_snapshot!("helper_failing", bed.crilet("run web").env("PATH", &path).run());
    bed.assert_clean();
    install(&bed, script);
    comes_up(&bed, bed.crilet("run web").env("PATH", &path));
}

/// Puts a script where it can be run. Another process writes it: a file cannot be run while it is
/// open for writing, and any process that a test starts meanwhile would hold it open.
fn install(bed: &Bed, script: &str) {
    bed.write("helper", script);
    #[expect(clippy::disallowed_methods, reason = "a tool of the test, not of crilet")]
    let status = std::process::Command::new("install")
        .args(["-D", "-m", "755"])
        .args([bed.path("helper"), bed.path("bin/docker-credential-test")])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_registry_that_is_down_is_told_as_such() {
    let bed = Bed::new(Fake::builder());
    bed.pod_in("default", "web", "");
    bed.container("web", "main", "127.0.0.1:5000/app:1");
    let refused = "failed to pull and unpack image \"127.0.0.1:5000/app:1\": failed to resolve \
                   reference \"127.0.0.1:5000/app:1\": failed to do request: Head \
                   \"https://127.0.0.1:5000/v2/app/manifests/1\": dial tcp 127.0.0.1:5000: \
                   connect: connection refused";
    bed.fake.fault("PullImage", Fault::fail(Code::Unknown, refused));
    insta::assert_snapshot!(bed.crilet("run web").run());
    bed.assert_clean();
}
