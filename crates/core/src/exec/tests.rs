use super::*;
use crate::ErrorChain;

fn shell(script: &str) -> Invocation {
    Invocation::find("sh").unwrap().args(["-c", script])
}

#[test]
fn output_comes_back() {
    let output = shell("cat; echo words >&2").input("data").run_blocking().unwrap();
    assert_eq!(output, Output { stdout: b"data".to_vec(), stderr: b"words\n".to_vec() });
}

#[test]
fn much_input_and_output_at_once_does_not_block() {
    let input = vec![b'x'; 1 << 20];
    assert_eq!(shell("cat").input(input.clone()).run_blocking().unwrap().stdout, input);
}

#[test]
fn input_that_nobody_reads_is_no_failure() {
    shell("exec <&-; exit 0").input(vec![b'x'; 1 << 20]).run_blocking().unwrap();
}

#[test]
fn a_failure_says_what_ran_and_what_it_said() {
    let error = shell("echo no such table >&2; exit 3").run_blocking().unwrap_err();
    let text = error.to_string();
    assert!(text.ends_with("failed with exit status 3: no such table"), "{text}");
    assert!(text.contains("sh -c \"echo no such table >&2; exit 3\""), "{text}");
}

#[test]
fn a_signal_is_named() {
    let text = shell("kill -9 $$").run_blocking().unwrap_err().to_string();
    assert!(text.ends_with("was ended by signal 9"), "{text}");
}

#[test]
fn a_long_stderr_keeps_its_end() {
    let script = "i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1";
    let ExecError::Failed { stderr, .. } = shell(script).run_blocking().unwrap_err() else {
        panic!("another error");
    };
    assert!(stderr.ends_with("line 1999"), "{stderr}");
    assert!(stderr.len() <= STDERR_KEPT, "{}", stderr.len());
}

#[test]
fn a_program_that_hangs_is_ended() {
    let error = shell("exec sleep 600").limit(Duration::from_millis(50)).run_blocking();
    assert!(matches!(error, Err(ExecError::TimedOut { .. })), "{error:?}");
}

#[test]
fn a_missing_program_names_its_package() {
    let missing =
        ExecError::Missing { program: "runc".to_owned(), package: package_of("runc") }.to_string();
    assert_eq!(
        missing,
        "program `runc` is not installed (Debian package `runc`: apt-get install runc)"
    );
    let unknown = find_program("crilet-no-such-program").unwrap_err().to_string();
    assert_eq!(unknown, "program `crilet-no-such-program` is not installed");
}

#[test]
fn a_path_that_is_not_there_is_missing_too() {
    let error = Invocation::at("/nowhere/containerd").run_blocking().unwrap_err();
    assert_eq!(
        error.to_string(),
        "program `/nowhere/containerd` is not installed \
         (Debian package `containerd`: apt-get install containerd)"
    );
}

#[test]
fn a_file_that_cannot_run_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("plain");
    std::fs::write(&path, "text").unwrap();
    let error = Invocation::at(&path).run_blocking().unwrap_err();
    let text = ErrorChain(&error).to_string();
    assert!(text.contains("/plain`: Permission denied"), "{text}");
    assert!(find_program(path.to_str().unwrap()).is_err());
}

#[test]
fn programs_are_found_beside_a_poor_path() {
    assert_eq!(find_program_in("sh", None).unwrap().file_name().unwrap(), "sh");
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path().join("sh");
    std::fs::copy("/bin/sh", &own).unwrap();
    assert_eq!(find_program_in("sh", Some(directory.path().as_os_str())), Some(own));
}

#[test]
fn relative_path_entries_are_not_searched() {
    let found = find_program_in("sh", Some(OsStr::new(".:bin:/nowhere"))).unwrap();
    assert!(found.is_absolute(), "{found:?}");
}

#[test]
fn environment_and_directory_reach_the_program() {
    let output = shell("echo $WORD${HOME+home}; pwd")
        .env("WORD", "here")
        .env_remove("HOME")
        .directory("/")
        .run_blocking()
        .unwrap();
    assert_eq!(output.stdout, b"here\n/\n");
}

#[test]
fn a_program_gets_ready_before_its_input_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let ready = directory.path().join("ready");
    nix::unistd::mkfifo(&ready, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script = format!("echo ready > {}; cat", ready.display());
    let waiting = shell(&script).start_blocking().unwrap();
    assert_eq!(std::fs::read_to_string(&ready).unwrap(), "ready\n");
    assert_eq!(waiting.finish(b"late").unwrap().stdout, b"late");
    let failed = shell("cat; exit 3").start_blocking().unwrap().finish(b"").unwrap_err();
    assert!(failed.to_string().ends_with("failed with exit status 3"), "{failed}");
}

#[test]
fn a_program_that_never_gets_input_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    let open = directory.path().join("open");
    nix::unistd::mkfifo(&open, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Its end of the pipe is open for as long as it lives.
    let script = format!("exec 3> {}; echo ready >&3; read line", open.display());
    let waiting = shell(&script).start_blocking().unwrap();
    let mut lines = io::BufReader::new(std::fs::File::open(&open).unwrap());
    let mut line = String::new();
    io::BufRead::read_line(&mut lines, &mut line).unwrap();
    drop(waiting);
    assert_eq!(io::Read::read(&mut lines, &mut [0]).unwrap(), 0);
}
