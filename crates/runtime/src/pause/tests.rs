//! These run the program for real, also as process 1 of a namespace.

use std::{
    fs, io::Write, os::unix::fs::PermissionsExt, path::Path, process::Stdio, time::Duration,
};

use crilet_core::exec::Invocation;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::Child;

use super::*;

const PATIENCE: Duration = Duration::from_secs(100);

fn write_program(directory: &Path) -> String {
    let path = directory.join("pause");
    fs::write(&path, PROGRAM).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o555)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn start(program: &str, arguments: &[&str]) -> Child {
    let invocation = Invocation::find(program).unwrap().args(arguments.iter().copied());
    invocation.spawn(Stdio::null(), Stdio::piped(), Stdio::inherit(), false).unwrap()
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().unwrap().try_into().unwrap())
}

fn children(pid: Pid) -> Vec<Pid> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    list.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
}

/// Sleeping in the program, not on the way to it: its one sleep is the wait for a signal.
fn waits(pid: Pid, program: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let executable = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    executable == Path::new(program) && status.contains("State:\tS")
}

/// Waits until `holds` does; says what was awaited if it never does.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "waited for {what}");
}

async fn exit_code(child: &mut Child) -> Option<i32> {
    tokio::time::timeout(PATIENCE, child.wait()).await.unwrap().unwrap().code()
}

#[test]
fn the_program_is_small_and_static() {
    assert!(PROGRAM.starts_with(b"\x7fELF"));
    assert!(PROGRAM.len() < 20_000, "{} bytes", PROGRAM.len());
    let interpreter = b"ld-linux";
    assert!(!PROGRAM.windows(interpreter.len()).any(|window| window == interpreter));
}

#[tokio::test]
async fn it_waits_until_it_is_asked_to_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = write_program(directory.path());
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut child = start(&path, &[]);
        let pid = pid_of(&child);
        until("the program to wait", || waits(pid, &path)).await;
        kill(pid, Signal::SIGCHLD).unwrap();
        assert_eq!(child.try_wait().unwrap(), None);
        kill(pid, signal).unwrap();
        assert_eq!(exit_code(&mut child).await, Some(0), "{signal}");
    }
}

#[tokio::test]
async fn as_process_1_it_reaps_orphans_and_ends_on_term() {
    let directory = tempfile::tempdir().unwrap();
    let path = write_program(directory.path());
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Process 1 has one child that died before pause took over, and one that dies later.
    let script = format!("(exit 0 &); (read line < {} &); exec {path}", fifo.to_str().unwrap());
    // Without root, a user namespace lends the right to make the other one.
    let user = ["--user", "--map-root-user"];
    let user = if nix::unistd::geteuid().is_root() { &[][..] } else { &user[..] };
    let rest = ["--pid", "--fork", "--kill-child", "sh", "-c", &script];
    let mut outer = start("unshare", &[user, &rest[..]].concat());
    let outer_pid = pid_of(&outer);
    until("unshare to start process 1", || children(outer_pid).len() == 1).await;
    let init = children(outer_pid)[0];
    until("pause to take over", || waits(init, &path)).await;
    until("only the reader to be left", || children(init).len() == 1).await;

    let mut writer = fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    writer.write_all(b"line\n").unwrap();
    until("the reader to be reaped", || children(init).is_empty()).await;

    kill(init, Signal::SIGTERM).unwrap();
    assert_eq!(exit_code(&mut outer).await, Some(0));
}

#[test]
fn the_image_holds_the_program_alone() {
    let bytes = rootfs().unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let entries: Vec<_> = archive.entries().unwrap().map(Result::unwrap).collect();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].path().unwrap(), Path::new("pause"));
    assert_eq!(entries[0].header().mode().unwrap(), 0o555);
    assert_eq!(config().entrypoint, ["/pause"]);
}
