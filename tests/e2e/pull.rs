//! Pulls from a real registry, with and without a password, and the ways they fail.

use crilet_testkit::{Host, Login, Registry, RegistryOptions};

use crate::support::{
    assert_contains, crilet, crilet_ends_with, ends_with, host_with_containerd, push_busybox,
    write_pod,
};

const IMAGE: &str = "127.0.0.1:5000/library/busybox:1";
const CREDENTIALS: &str = "someone:secret word";
/// `CREDENTIALS` in base64.
const ENCODED: &str = "c29tZW9uZTpzZWNyZXQgd29yZA==";

fn login() -> Login {
    let (user, password) = CREDENTIALS.split_once(':').unwrap();
    Login { user: user.to_owned(), password: password.to_owned() }
}

/// A registry with the small image, and a pod that wants it.
struct Bed<'host> {
    host: &'host Host,
    registry: Registry<'host>,
}

impl<'host> Bed<'host> {
    fn new(host: &'host Host, login: Option<Login>) -> Self {
        let registry =
            Registry::start(host, RegistryOptions { login, ..Default::default() }).unwrap();
        push_busybox(&registry);
        write_pod(host, IMAGE);
        Self { host, registry }
    }

    /// Runs the pod with more arguments, then removes it and its image.
    fn pulls_with(&self, arguments: &[&str]) {
        ends_with(0, crilet(self.host, &["run", "/root/pod"]).args(arguments));
        self.forget();
    }

    fn forget(&self) {
        crilet_ends_with(0, self.host, &["rm", "one"]);
        let remove = ["--namespace", "k8s.io", "images", "rm", "--sync", IMAGE];
        self.host.command("ctr").args(remove).success().unwrap();
    }

    /// Runs the pod, which must fail for want of an image; returns what was said.
    fn is_refused(&self, arguments: &[&str]) -> String {
        let output = ends_with(5, crilet(self.host, &["run", "/root/pod"]).args(arguments));
        assert_contains(&output.stderr, IMAGE);
        for secret in ["secret word", "wrong word", ENCODED] {
            assert!(!output.stderr.contains(secret), "a secret was told: {}", output.stderr);
        }
        assert_eq!(crilet_ends_with(0, self.host, &["ps", "--all", "--quiet"]).stdout, "");
        output.stderr
    }
}

#[test]
fn credentials_on_the_command_line_open_a_registry() {
    let (host, _containerd) = host_with_containerd();
    let bed = Bed::new(&host, Some(login()));
    bed.pulls_with(&["--creds", CREDENTIALS]);
    bed.pulls_with(&["--auth", ENCODED]);
}

#[test]
fn dockers_configuration_opens_a_registry() {
    let (host, _containerd) = host_with_containerd();
    let bed = Bed::new(&host, Some(login()));
    let config = format!(r#"{{"auths": {{"127.0.0.1:5000": {{"auth": "{ENCODED}"}}}}}}"#);
    host.write("/root/.docker/config.json", config).unwrap();
    bed.pulls_with(&[]);
}

#[test]
fn a_credential_helper_opens_a_registry() {
    let (host, _containerd) = host_with_containerd();
    let bed = Bed::new(&host, Some(login()));
    host.write(
        "/root/bin/docker-credential-mine",
        "#!/bin/sh\n[ \"$1\" = get ] || exit 1\nread -r server\n\
         [ \"$server\" = 127.0.0.1:5000 ] || { echo 'credentials not found in native keychain'; exit 1; }\n\
         echo '{\"ServerURL\": \"127.0.0.1:5000\", \"Username\": \"someone\", \"Secret\": \"secret word\"}'\n",
    )
    .unwrap();
    host.shell("chmod 755 /root/bin/docker-credential-mine").success().unwrap();
    let config = r#"{"credHelpers": {"127.0.0.1:5000": "mine"}}"#;
    host.write("/root/.docker/config.json", config).unwrap();
    let path = "/root/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    ends_with(0, crilet(&host, &["run", "/root/pod"]).env("PATH", path));
    bed.forget();
}

#[test]
fn wrong_and_missing_credentials_are_told_with_a_way_out() {
    let (host, _containerd) = host_with_containerd();
    let bed = Bed::new(&host, Some(login()));
    for arguments in [&["--creds", "someone:wrong word"][..], &[]] {
        let words = bed.is_refused(arguments);
        assert_contains(&words, "401 Unauthorized");
        assert_contains(&words, "hint: the registry wants other credentials");
    }
}

#[test]
fn an_image_that_is_not_there_is_told_so() {
    let (host, _containerd) = host_with_containerd();
    let bed = Bed::new(&host, None);
    bed.pulls_with(&[]);
    let absent = "127.0.0.1:5000/library/nosuch:7";
    write_pod(&host, absent);
    let output = crilet_ends_with(5, &host, &["run", "/root/pod"]);
    assert_contains(&output.stderr, absent);
    assert_contains(&output.stderr, "not found");
    assert_contains(&output.stderr, "hint: check the image's name");
}

#[test]
fn a_registry_that_is_down_is_told_so_and_works_again() {
    let (host, _containerd) = host_with_containerd();
    let mut bed = Bed::new(&host, None);
    bed.registry.stop().unwrap();
    let words = bed.is_refused(&[]);
    assert_contains(&words, "connection refused");
    assert_contains(&words, "hint: the registry cannot be reached");
    bed.registry.restart().unwrap();
    bed.pulls_with(&[]);
}

#[test]
fn an_image_that_must_be_there_already_is_not_pulled() {
    let (host, _containerd) = host_with_containerd();
    let bed = Bed::new(&host, None);
    let words = bed.is_refused(&["--pull", "never"]);
    assert_contains(&words, "the pull policy is `never`");
    bed.pulls_with(&["--pull", "always"]);
}
