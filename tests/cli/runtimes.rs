//! Runtimes that are not there, are something else, or do not answer.

use std::{
    io::{Read, Write},
    os::unix::net::UnixListener,
};

use crilet_cri::{
    Code,
    fake::{Fake, Fault},
};

use crate::bed::Bed;

#[test]
fn a_socket_that_is_missing_or_left_over_is_told() {
    let bed = Bed::new(Fake::builder());
    insta::assert_snapshot!(
        "socket_missing",
        bed.crilet("ps -r unix:///nonexistent/cri.sock").run()
    );
    drop(UnixListener::bind(bed.path("stale.sock")).unwrap());
    let stale = bed.crilet("ps").env("CONTAINER_RUNTIME_ENDPOINT", bed.path("stale.sock"));
    insta::assert_snapshot!("socket_stale", stale.run());
    let images = bed.crilet("ps").env("IMAGE_SERVICE_ENDPOINT", bed.path("stale.sock"));
    insta::assert_snapshot!("image_socket_stale", images.run());
    bed.write("file", "");
    let file = bed.crilet("ps").env("CONTAINER_RUNTIME_ENDPOINT", bed.path("file"));
    insta::assert_snapshot!("no_socket", file.run());
}

#[test]
fn a_service_without_the_cri_is_told() {
    let bed = Bed::new(Fake::builder());
    let unknown = "unknown service runtime.v1.RuntimeService";
    for method in ["Version", "ListPodSandbox"] {
        bed.fake.fault(method, Fault::fail(Code::Unimplemented, unknown).always());
    }
    insta::assert_snapshot!(bed.crilet("ps").run());
}

#[test]
fn a_socket_that_speaks_another_protocol_is_told() {
    let bed = Bed::new(Fake::builder());
    let listener = UnixListener::bind(bed.path("http.sock")).unwrap();
    // Ends with the process: there is no end to what a client may try.
    drop(std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut preface = [0; 24];
            stream.read_exact(&mut preface).unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").unwrap();
        }
    }));
    let crilet = bed.crilet("version").env("CONTAINER_RUNTIME_ENDPOINT", bed.path("http.sock"));
    insta::assert_snapshot!(crilet.run());
}

#[test]
fn crictls_configuration_names_the_runtime() {
    let bed = Bed::new(Fake::builder());
    let crilet = |arguments: &str| {
        let crilet = bed.crilet(arguments).without("CONTAINER_RUNTIME_ENDPOINT");
        crilet.env("CRI_CONFIG_FILE", bed.path("crictl.yaml"))
    };
    let socket = bed.path("cri.sock");
    bed.write("crictl.yaml", &format!("runtime-endpoint: unix://{}\n", socket.display()));
    insta::assert_snapshot!("crictl_used", crilet("version").run());
    bed.write("crictl.yaml", "timeout: 2\nruntime-endpoint: unix:///nonexistent/cri.sock\n");
    insta::assert_snapshot!("crictl_missing", crilet("version").run());
    bed.write("crictl.yaml", "timeout: 2\nruntime-endpoint: tcp://127.0.0.1:1\n");
    insta::assert_snapshot!("crictl_broken", crilet("version").run());
    bed.write("crictl.yaml", "runtime-endpoint: [\n");
    insta::assert_snapshot!("crictl_syntax", crilet("version").run());
    let overridden = crilet("version").env("CONTAINER_RUNTIME_ENDPOINT", &socket).run();
    insta::assert_snapshot!("crictl_overridden", overridden);
}

#[test]
fn a_runtime_that_does_not_answer_is_given_up() {
    let bed = Bed::with_app();
    bed.pod("web", "");
    bed.fake.fault("ListPodSandbox", Fault::hang());
    insta::assert_snapshot!("hanging_ps", bed.crilet("ps --timeout 3s").run());
    bed.fake.fault("CreateContainer", Fault::hang());
    insta::assert_snapshot!("hanging_run", bed.crilet("run web --timeout 3s").run());
    bed.assert_clean();
}
