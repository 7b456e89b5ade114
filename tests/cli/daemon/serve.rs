//! `crilet serve` itself, and `crilet install`.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    time::Duration,
};

use nix::sys::signal::Signal;

use super::bed::DaemonBed;
use crate::bed::{Bed, Crilet, Running};

fn config(bed: &Bed, text: &str) {
    bed.write("config.yaml", text);
}

fn serve(bed: &Bed, more: &str) -> Running {
    let pods = bed.path("pods");
    let pods = pods.display();
    bed.crilet(&format!("serve --config config.yaml --pods-dir {pods} {more}")).start()
}

#[test]
fn it_serves_until_it_is_told_to_end() {
    let bed = Bed::with_app();
    config(&bed, "");
    let mut daemon = serve(&bed, "");
    daemon.read_stderr_until("serving the API");
    let socket = bed.path("state/crilet.sock");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(bed.crilet("get").run().code(), Some(0));
    let second = serve(&bed, "").wait();
    assert_eq!(second.code(), Some(1), "{second}");
    assert!(second.stderr.contains("another daemon serves"), "{second}");
    daemon.signal(Signal::SIGTERM);
    let outcome = daemon.wait();
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (Some(0), ""), "{outcome}");
    assert!(outcome.stderr.contains("pods run on"), "{outcome}");
    assert!(!socket.exists());
}

#[test]
fn a_socket_that_a_killed_daemon_left_is_replaced() {
    let bed = Bed::with_app();
    config(&bed, "");
    for _ in 0..2 {
        let mut daemon = serve(&bed, "");
        daemon.read_stderr_until("serving the API");
        daemon.kill();
        assert!(bed.path("state/crilet.sock").exists());
    }
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused() {
    let bed = Bed::with_app();
    config(&bed, "api:\n  scoket: /x\nimages: {gcHighPercent: 300}\n");
    insta::assert_snapshot!("bad_config", bed.crilet("serve --config config.yaml").run());
    insta::assert_snapshot!("no_config", bed.crilet("serve --config none.yaml").run());
    config(&bed, "api: {group: no-such-group}\n");
    insta::assert_snapshot!("no_group", serve(&bed, "").wait());
    config(&bed, "");
    bed.write("state/crilet.sock", "a file");
    insta::assert_snapshot!("no_socket", serve(&bed, "").wait());
}

#[test]
fn a_reload_takes_what_it_can_and_says_what_it_cannot() {
    let bed = Bed::with_app();
    config(&bed, "logLevel: info\n");
    let mut daemon = serve(&bed, "");
    daemon.read_stderr_until("serving the API");
    // No more is said than is read here: a full pipe would hold the daemon up.
    config(&bed, "logLevel: error\nnodeName: other\n");
    daemon.signal(Signal::SIGHUP);
    daemon.read_stderr_until("key=\"nodeName\"");
    config(&bed, "logLevl: trace\n");
    daemon.signal(Signal::SIGHUP);
    daemon.read_stderr_until("the configuration stays as it was");
    daemon.read_stderr_until("did you mean `logLevel`?");
    assert_eq!(bed.crilet("get").run().code(), Some(0), "it serves on");
    daemon.signal(Signal::SIGINT);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn the_service_manager_is_told() {
    let bed = Bed::with_app();
    config(&bed, "");
    let manager = UnixDatagram::bind(bed.path("notify.sock")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let read = || {
        let mut bytes = [0; 512];
        let length = manager.recv(&mut bytes).expect("a notification in time");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let until = |words: &str| {
        while !read().contains(words) {}
    };
    let pods = bed.path("pods");
    let daemon = bed
        .crilet(&format!("serve --config config.yaml --pods-dir {}", pods.display()))
        .env("NOTIFY_SOCKET", bed.path("notify.sock"))
        .env("WATCHDOG_USEC", "300000")
        .start();
    assert!(read().starts_with("READY=1\nSTATUS=0 pods, 0 ready"));
    until("WATCHDOG=1");
    until("WATCHDOG=1");
    daemon.signal(Signal::SIGHUP);
    until("RELOADING=1\nMONOTONIC_USEC=");
    until("READY=1");
    daemon.signal(Signal::SIGTERM);
    until("STOPPING=1");
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn units_and_configuration_are_installed_and_removed() {
    let bed = Bed::with_app();
    let install = |more: &str| {
        bed.crilet(&format!("install --prefix host --program /usr/bin/crilet {more}")).run()
    };
    insta::assert_snapshot!("installed", install(""));
    let unit = fs::read_to_string(bed.path("host/etc/systemd/system/crilet.service")).unwrap();
    insta::assert_snapshot!("unit", unit);
    let runtime = bed.path("host/etc/systemd/system/crilet-runtime.service");
    insta::assert_snapshot!("runtime_unit", fs::read_to_string(runtime).unwrap());
    bed.write("host/etc/crilet/config.yaml", "logLevel: debug\n");
    insta::assert_snapshot!("installed_again", install(""));
    insta::assert_snapshot!("uninstalled", install("--uninstall"));
    assert_eq!(
        fs::read_to_string(bed.path("host/etc/crilet/config.yaml")).unwrap(),
        "logLevel: debug\n"
    );
}

/// The configuration that is written can be used as it stands.
#[test]
fn the_installed_configuration_is_a_good_one() {
    let bed = DaemonBed::new();
    Crilet::new(&bed.path(""), "install --prefix host").run();
    let socket = bed.path("other.sock");
    let socket = socket.display();
    let arguments = format!("serve --config host/etc/crilet/config.yaml --socket {socket}");
    let pods = bed.path("pods");
    let mut daemon = bed.crilet(&format!("{arguments} --pods-dir {}", pods.display())).start();
    daemon.read_stderr_until("serving the API");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait().code(), Some(0));
}
