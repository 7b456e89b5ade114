//! The test kit's own tests: isolation is real, and nothing is left.
#![expect(clippy::unwrap_used, reason = "the helpers of tests fail like tests")]

use std::{fs, path::Path, time::Duration};

use crilet_testkit::{Host, Place, Snapshot, wait_until};

const BOUND: Duration = Duration::from_secs(120);

/// Serves `word` on port 80 until the host ends.
fn serve(host: &Host, word: &str) -> crilet_testkit::Service {
    host.write("/root/www/index.html", word).unwrap();
    host.command("busybox").args(["httpd", "-f", "-p", "80", "-h", "/root/www"]).spawn().unwrap()
}

fn get(host: &Host, place: Place, url: &str) -> String {
    let response = wait_until("an answer", BOUND, || {
        host.http_get(place, url).map_err(|error| format!("{error:#}"))
    });
    response.unwrap().body
}

#[test]
fn two_hosts_have_a_port_80_each() {
    let (one, two) = (Host::start().unwrap(), Host::start().unwrap());
    let (_first, _second) = (serve(&one, "one"), serve(&two, "two"));
    assert_eq!(get(&one, Place::Inside, "http://127.0.0.1/"), "one");
    assert_eq!(get(&two, Place::Inside, "http://127.0.0.1/"), "two");
}

#[test]
fn the_neighbour_reaches_the_host_over_both_protocols() {
    let host = Host::start().unwrap();
    let _server = serve(&host, "here");
    assert_eq!(get(&host, Place::Outside, "http://192.0.2.1/"), "here");
    assert_eq!(get(&host, Place::Outside, "http://[2001:db8::1]/"), "here");
}

#[test]
fn rules_and_files_inside_are_not_outside() {
    let before = Snapshot::of_machine().unwrap();
    let host = Host::start().unwrap();
    host.shell(
        "iptables -t nat -N CRILET-TEST
         ip link add leak0 type veth peer name leak1
         mkdir -p /etc/cni/net.d /var/lib/cni/networks/x /run/x /opt/cni/bin
         for file in /etc/crilet-test /var/lib/crilet-test /root/crilet-test /run/crilet-test; do
           echo x >$file
         done",
    )
    .success()
    .unwrap();
    for file in
        ["/etc/crilet-test", "/var/lib/crilet-test", "/root/crilet-test", "/run/crilet-test"]
    {
        assert_eq!(host.read(file).unwrap(), "x\n");
        assert!(!Path::new(file).exists(), "{file} is on the machine");
    }
    let rules = host.command("iptables").args(["-t", "nat", "-S"]).success().unwrap();
    assert!(rules.contains("-N CRILET-TEST"), "{rules}");
    host.stop().unwrap();
    wait_until("the machine to be as before", BOUND, || {
        let difference = before.difference(&Snapshot::of_machine().unwrap());
        if difference.is_empty() { Ok(()) } else { Err(difference.to_string()) }
    })
    .unwrap();
}

#[test]
fn the_end_of_a_host_is_the_end_of_all_it_runs() {
    let host = Host::start().unwrap();
    // Its own session, and deaf to every signal that can be ignored. Other hosts may be tested meanwhile.
    let number = format!("98765{}", std::process::id());
    host.shell(&format!("trap '' HUP INT TERM; setsid sleep {number} >/dev/null 2>&1 & echo $!"))
        .success()
        .unwrap();
    let init = host.init_pid();
    let is_in_host = |pid: &str| {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(&number))
    };
    let sleepers = || -> Vec<String> {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| is_in_host(name)).collect()
    };
    assert!(!sleepers().is_empty());
    host.stop().unwrap();
    assert_eq!(sleepers(), Vec::<String>::new());
    assert!(!Path::new(&format!("/proc/{init}")).exists());
}

#[test]
fn orphans_are_reaped() {
    let host = Host::start().unwrap();
    let before = host.snapshot().unwrap();
    host.shell("(sleep 0 &) ; (sh -c 'sleep 0 & exec sleep 0.1' &)").success().unwrap();
    host.await_same(&before).unwrap();
}

#[test]
fn control_groups_are_seen_and_removed() {
    let host = Host::start().unwrap();
    let before = host.snapshot().unwrap();
    host.shell("for root in $(find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs -printf '%h '); do mkdir -p $root/left/over; done")
        .success()
        .unwrap();
    let difference = before.difference(&host.snapshot().unwrap());
    assert!(difference.lines().iter().any(|line| line.ends_with("/left/over")), "{difference}");
    host.stop().unwrap();
    let found = Snapshot::of_machine().unwrap();
    let difference = Snapshot::default().difference(&found).to_string();
    assert!(!difference.contains("/left/over"), "{difference}");
}

#[test]
fn a_snapshot_shows_what_was_leaked() {
    let host = Host::start().unwrap();
    let before = host.snapshot().unwrap();
    host.shell(
        "ip link add veth0 type veth peer name veth1
         ip netns add left
         mkdir /run/left && mount -t tmpfs left /run/left
         iptables -t nat -N CNI-LEFT
         nft add table inet left
         mkdir -p /var/lib/cni/networks/x && echo >/var/lib/cni/networks/x/10.0.0.2
         setsid sleep 54321 >/dev/null 2>&1 &",
    )
    .success()
    .unwrap();
    let difference = before.difference(&host.snapshot().unwrap());
    let expected = [
        "+ link veth0@veth1: ",
        "+ network namespace left",
        "+ mount /run/left tmpfs left",
        "+ iptables nat: chain CNI-LEFT -",
        "+ nft inet left: table inet left",
        "+ file /var/lib/cni/networks/x/10.0.0.2",
        "+ process sleep 54321",
    ];
    for start in expected {
        let found = difference.lines().iter().any(|line| line.starts_with(start));
        assert!(found, "no `{start}…` in:\n{difference}");
    }
}

#[test]
fn looking_with_iptables_is_no_difference() {
    let host = Host::start().unwrap();
    let before = host.snapshot().unwrap();
    host.shell("iptables -t nat -S; ip6tables -t filter -S").success().unwrap();
    let difference = before.difference(&host.snapshot().unwrap());
    assert!(difference.is_empty(), "{difference}");
}

#[test]
fn what_takes_too_long_is_killed_and_told() {
    let host = Host::start().unwrap();
    let before = host.snapshot().unwrap();
    let result = host.command("sleep").arg("1000").bound(Duration::from_millis(50)).output();
    let message = result.unwrap_err().to_string();
    assert!(message.starts_with("`sleep 1000` was killed, after 50ms"), "{message}");
    host.await_same(&before).unwrap();
}

/// However early it comes: on the way into the host nothing has seen yet to ending with it.
#[test]
fn a_kill_reaches_a_program_that_has_hardly_begun() {
    let host = Host::start().unwrap();
    let before = host.snapshot().unwrap();
    for pause in 0..40_u64 {
        let mut service = host.command("sleep").arg("87654").spawn().unwrap();
        std::thread::park_timeout(Duration::from_micros(pause * 150));
        service.kill().unwrap();
        let left = host.shell("pgrep -f 'sleep 8765[4]' || true").success().unwrap();
        assert_eq!(left, "", "after {pause}");
    }
    host.await_same(&before).unwrap();
}

/// The machine's are behind no name that a host could replace.
#[test]
fn a_host_has_devices_of_its_own() {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let host = Host::start().unwrap();
    let device = |name: &str| fs::metadata(format!("/dev/{name}")).unwrap();
    let before = ["full", "null"].map(|name| (device(name).ino(), device(name).mode()));
    let script = "echo x >/dev/null; [ $(head -c 3 /dev/zero | wc -c) = 3 ]; ! echo x >/dev/full
                  : </dev/urandom; : </dev/ptmx; [ -e /dev/fd/0 ]; [ ! -e /dev/loop0 ]
                  cp --remove-destination /bin/true /dev/full; rm /dev/null; mkdir /dev/null; ls /dev/pts";
    host.shell(script).success().unwrap();
    for (name, before) in ["full", "null"].into_iter().zip(before) {
        let now = device(name);
        assert!(now.file_type().is_char_device(), "{name}");
        assert_eq!((now.ino(), now.mode()), before, "{name}");
    }
    let mut terminal = host.command("tty").on_terminal(24, 80).unwrap();
    assert_eq!(terminal.end().unwrap(), 0);
    assert!(terminal.screen().starts_with("/dev/pts/"), "{}", terminal.screen());
}

#[test]
fn output_input_and_status_come_through() {
    let host = Host::start().unwrap();
    let output = host
        .shell("cat; echo \"$WORD from $(hostname) in $PWD\" >&2; exit 3")
        .env("WORD", "hello")
        .directory("/usr")
        .input("fed")
        .output()
        .unwrap();
    assert_eq!((output.status, output.stdout.as_str()), (3, "fed"));
    assert_eq!(output.stderr, "hello from testhost in /usr\n");
}

#[test]
fn what_holds_the_output_open_is_told() {
    let host = Host::start().unwrap();
    let result = host.shell("sleep 1000 & exit 0").output();
    let message = format!("{:#}", result.unwrap_err());
    assert!(message.contains("still holds its output open"), "{message}");
}
