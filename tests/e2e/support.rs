//! What the tests share.

use std::{path::PathBuf, time::Duration};

use crilet_testkit::{Host, Images, Output, Registry, Run, SystemContainerd};

/// crilet, to be run on `host`.
pub(crate) fn crilet<'host>(host: &'host Host, arguments: &[&str]) -> Run<'host> {
    host.command(env!("CARGO_BIN_EXE_crilet")).args(arguments).bound(Duration::from_secs(300))
}

/// What crilet said; the status must be `status`.
pub(crate) fn crilet_ends_with(status: i32, host: &Host, arguments: &[&str]) -> Output {
    ends_with(status, crilet(host, arguments))
}

/// What a command said; the status must be `status`.
pub(crate) fn ends_with(status: i32, command: Run<'_>) -> Output {
    let shown = format!("{command:?}");
    let output = command.output().unwrap();
    assert_eq!(output.status, status, "{shown}: {output}");
    output
}

/// The archive of the small image.
pub(crate) fn busybox() -> PathBuf {
    Images::archive("busybox", "crilet.test/busybox:1").unwrap()
}

/// A host with a containerd of its own.
pub(crate) fn host_with_containerd() -> (Host, SystemContainerd) {
    let host = Host::start().unwrap();
    let containerd = host.system_containerd().unwrap();
    (host, containerd)
}

/// Writes a pod with one container of `image` into `/root/pod`.
pub(crate) fn write_pod(host: &Host, image: &str) {
    host.write(
        "/root/pod/pod.yaml",
        "metadata: {name: one, namespace: default, uid: one-uid}\nlog_directory: /root/pod/log\n",
    )
    .unwrap();
    let container =
        format!("metadata: {{name: main}}\nimage: {{image: '{image}'}}\nlog_path: main.log\n");
    host.write("/root/pod/main.yaml", container).unwrap();
}

/// What must be in a text, or the test fails with all of it.
pub(crate) fn assert_contains(text: &str, part: &str) {
    assert!(text.contains(part), "no `{part}` in:\n{text}");
}

/// A registry with the small image as `library/busybox:1`.
pub(crate) fn push_busybox(registry: &Registry<'_>) {
    registry.push(&busybox(), "library/busybox:1").unwrap();
}
