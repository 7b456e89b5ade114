//! Commands, terminals, ports and files of pods on a real containerd 1.6.

use std::time::Duration;

use crilet_testkit::{Host, Terminal, wait_until};

use crate::support::{assert_contains, crilet, crilet_ends_with, ends_with, host_with_containerd};

/// Far longer than anything takes, even on a busy machine.
const BOUND: Duration = Duration::from_secs(120);
const CRILET: &str = env!("CARGO_BIN_EXE_crilet");

/// Brings up a pod `one` with a container `main` that runs this script; more keys of its file.
fn run_pod(host: &Host, script: &str, more: &str) {
    let pod =
        "metadata: {name: one, namespace: default, uid: one-uid}\nlog_directory: /root/pod/log\n";
    host.write("/root/pod/pod.yaml", pod).unwrap();
    let container = format!(
        "metadata: {{name: main}}\nimage: {{image: 'crilet.test/busybox:1'}}\nlog_path: main.log\n\
         command: [sh, -c, '{script}']\n{more}\n"
    );
    host.write("/root/pod/main.yaml", container).unwrap();
    crilet_ends_with(0, host, &["run", "/root/pod"]);
}

/// Waits until something in the pod listens on a port.
pub(crate) fn await_listener(host: &Host, options: &[&str], port: u16) {
    let listens = format!("grep -q ':{port:04X} [^ ]* 0A ' /proc/net/tcp /proc/net/tcp6");
    wait_until("a listener in the pod", BOUND, || {
        let looked =
            crilet(host, &[&["exec"], options, &["one", "--", "sh", "-c", &listens]].concat());
        let looked = looked.output().map_err(|error| format!("{error:#}"))?;
        if looked.status == 0 { Ok(()) } else { Err(looked.to_string()) }
    })
    .unwrap();
}

/// What a script on the host says; `crilet` is crilet.
fn script(host: &Host, text: &str) -> String {
    let script = format!("crilet() {{ {CRILET} \"$@\"; }}\n{text}");
    host.shell(&script).bound(5 * BOUND).success().unwrap()
}

#[test]
fn commands_and_terminals() {
    let (host, _containerd) = host_with_containerd();
    run_pod(
        &host,
        "trap \"exit 5\" TERM; while read -r line; do echo got $line; \
         if [ $line = end ]; then until [ -e /heard ]; do sleep 0.1; done; exit 9; fi; done; sleep 1000",
        "stdin: true",
    );
    exit_codes(&host);
    input_ends(&host);
    a_hundred_megabytes(&host);
    a_terminal(&host);
    leaving_a_terminal(&host);
    let container = full_ids(&host);
    attached(&host);
    let over = crilet_ends_with(4, &host, &["exec", &container, "true"]);
    assert_contains(&over.stderr, "container `default/one/main` is exited");
    crilet_ends_with(0, &host, &["rm", "one"]);
}

/// A container's full id is asked for without lists; what the runtime does not know by it is looked for.
/// Gives the id of the container.
fn full_ids(host: &Host) -> String {
    let ids = crilet_ends_with(0, host, &["ps", "-o", "json"]).stdout;
    let pods: serde_json::Value = serde_json::from_str(&ids).unwrap();
    let id = |value: &serde_json::Value| value["id"].as_str().unwrap().to_owned();
    let (container, sandbox) = (id(&pods[0]["containers"][0]), id(&pods[0]));
    for id in [&container, &sandbox] {
        let said = crilet_ends_with(3, host, &["exec", id, "--", "sh", "-c", "echo in; exit 3"]);
        assert_eq!(said.stdout, "in\n", "{id}");
    }
    let nobody = "0123456789abcdef".repeat(4);
    let said = crilet_ends_with(4, host, &["exec", &nobody, "true"]);
    assert_contains(&said.stderr, &format!("`{nobody}`"));
    container
}

/// The command's own code, and what a shell says of commands that are none.
fn exit_codes(host: &Host) {
    for transport in ["spdy", "websocket"] {
        let exec = |status, command: &[&str]| {
            let verb = ["exec", "one", "--transport", transport, "--"];
            crilet_ends_with(status, host, &[&verb, command].concat())
        };
        let said = exec(7, &["sh", "-c", "echo out; echo err >&2; exit 7"]);
        assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("out\n", "err\n"), "{transport}");
        exec(0, &["true"]);
        exec(143, &["sh", "-c", "kill -15 $$"]);
        let words = r#"error: exec: "no-such-program": executable file not found in $PATH"#;
        assert_eq!(exec(127, &["no-such-program"]).stderr.trim_end(), words);
        exec(127, &["/no/such/program"]);
        exec(126, &["/etc"]);
        exec(126, &["/etc/passwd"]);
    }
    // Flags anywhere before the command, other names, and options of the command's own.
    let said = crilet_ends_with(0, host, &["exec", "default/one/main", "-i", "echo", "-n", "x"]);
    assert_eq!(said.stdout, "x");
    let no_terminal = crilet_ends_with(1, host, &["exec", "-it", "one", "sh"]);
    assert_contains(&no_terminal.stderr, "standard input is not a terminal");
    let none = crilet_ends_with(4, host, &["exec", "one/none", "true"]);
    assert_contains(&none.stderr, "has no container `none`; it has main");
}

/// Input is passed to its end, and the end is told, which WebSocket v4 cannot.
fn input_ends(host: &Host) {
    let exec = |arguments: &[&str]| crilet(host, arguments).input("one\ntwo\n");
    let counted = ends_with(0, exec(&["exec", "-i", "one", "wc", "-l"]));
    assert_eq!(counted.stdout.trim(), "2");
    let refused = ends_with(1, exec(&["exec", "-i", "one", "--transport", "websocket", "cat"]));
    assert_contains(&refused.stderr, "cannot tell that input has ended");
    assert_contains(&refused.stderr, "--transport spdy can");
    // A command that does not read its input, and a reader that goes away, hang nobody.
    ends_with(0, exec(&["exec", "-i", "one", "true"]));
    assert_eq!(script(host, "crilet exec one yes | head -n 1"), "y\n");
}

fn a_hundred_megabytes(host: &Host) {
    let text = "head -c 104857600 /dev/urandom >/root/sent\n\
                crilet exec -i one -- sh -c 'cat; exit 3' </root/sent >/root/back || echo $?\n\
                cmp /root/sent /root/back && rm /root/sent /root/back && echo same";
    assert_eq!(script(host, text), "3\nsame\n");
}

fn a_terminal(host: &Host) {
    let mut terminal = crilet(host, &["exec", "-it", "one", "sh"]).on_terminal(24, 80).unwrap();
    terminal.expect("# ").unwrap();
    assert!(terminal.is_raw().unwrap());
    terminal.press("tty\r").unwrap();
    terminal.expect("/dev/pts/").unwrap();
    expect_size(&mut terminal, "24 80");
    terminal.resize(40, 132).unwrap();
    expect_size(&mut terminal, "40 132");
    // Ctrl-C is the command's, which says itself that it runs: a shell that starts one may not have handed
    // it the terminal yet.
    terminal.press("sh -c 'echo st\"\"art; exec sleep 1000'\r").unwrap();
    terminal.expect("start\r\n").unwrap();
    terminal.press("\u{3}").unwrap();
    terminal.press("exit 42\r").unwrap();
    assert_eq!(terminal.end().unwrap(), 42, "{}", terminal.screen());
    assert!(!terminal.is_raw().unwrap(), "the terminal is as it was");
}

/// A size is told beside the keys: asked for at once, it may be the one before.
pub(crate) fn expect_size(terminal: &mut Terminal, size: &str) {
    wait_until(size, BOUND, || {
        terminal.press("stty size\r").map_err(|error| error.to_string())?;
        let screen = terminal.screen();
        if screen.contains(size) { Ok(()) } else { Err(screen) }
    })
    .unwrap();
}

/// Keys, signals and a lost runtime leave the terminal as it was.
fn leaving_a_terminal(host: &Host) {
    let start = |keys: &[&str]| {
        let arguments = [&["exec", "-it", "one"], keys, &["sh"]].concat();
        let terminal = crilet(host, &arguments).on_terminal(24, 80).unwrap();
        terminal.expect("# ").unwrap();
        terminal
    };
    let mut left = start(&[]);
    left.press("\u{10}\u{11}").unwrap();
    assert_eq!(left.end().unwrap(), 0, "{}", left.screen());
    left.expect("detached").unwrap();
    assert!(!left.is_raw().unwrap());
    let mut other = start(&["--detach-keys", "ctrl-],q"]);
    other.press("echo \u{10}\u{11}\r\u{1d}q").unwrap();
    assert_eq!(other.end().unwrap(), 0, "{}", other.screen());
    let mut killed = start(&["--detach-keys", ""]);
    host.shell("kill -TERM $(pgrep -x crilet)").success().unwrap();
    assert_eq!(killed.end().unwrap(), 128 + 15, "{}", killed.screen());
    assert!(!killed.is_raw().unwrap());
}

fn attached(host: &Host) {
    // containerd takes input before it gives output, so what is said at once may not be seen; and it
    // ends the output when the input does, so that is held open until the last words have come. And it
    // takes the end of standard error for the end of the input: last words of a process that ends at
    // once may be in its log only, so this one stays until they have been heard.
    let text = "touch /root/said\n\
                { until grep -q got /root/said; do echo hello; sleep 0.1; done; echo end; \
                until grep -q 'got end' /root/said; do sleep 0.1; done; crilet exec one touch /heard; \
                while crilet exec one true 2>/dev/null; do :; done; } | crilet attach one >/root/said || echo $?\n\
                tail -n 2 /root/said";
    assert_eq!(script(host, text), "9\ngot hello\ngot end\n");
    let over = crilet_ends_with(4, host, &["attach", "one"]);
    assert_contains(&over.stderr, "container `default/one/main` is exited");
}

/// Serves two things: on 7000 the sum of what is sent, after its end, and a page on 8000.
const SERVERS: &str = "mkdir -p /www; head -c 3000000 /dev/urandom >/www/page; httpd -p 8000 -h /www; \
     nc -ll -p 7000 -e sh -c \"sha256sum; echo end\"";

#[test]
fn ports() {
    let (host, _containerd) = host_with_containerd();
    run_pod(&host, SERVERS, "");
    // The page is there before it is served.
    for port in [8000, 7000] {
        await_listener(&host, &[], port);
    }
    let page = crilet_ends_with(0, &host, &["exec", "one", "sha256sum", "/www/page"]);
    let page = page.stdout.split_whitespace().next().unwrap().to_owned();
    refused(&host);
    let arguments = ["port-forward", "one", "0:8000", "7000", "9:9"];
    let mut forward = crilet(&host, &arguments).spawn().unwrap();
    let log = wait_until("all ports", BOUND, || {
        forward.expect_running().map_err(|error| format!("{error:#}"))?;
        let log = forward.log();
        if log.matches('\n').count() == 6 { Ok(log) } else { Err(log) }
    })
    .unwrap();
    assert_contains(
        &log,
        "Forwarding from 127.0.0.1:7000 -> 7000\nForwarding from [::1]:7000 -> 7000",
    );
    let chosen = log.lines().next().unwrap().split([':', ' ']).nth(3).unwrap().to_owned();
    // Many at once, on either localhost.
    let many = format!(
        "i=0; while [ $i -lt 20 ]; do for at in 127.0.0.1 '[::1]'; do \
         curl -sS http://$at:{chosen}/page | sha256sum & done; i=$((i+1)); done; wait"
    );
    let sums = script(&host, &many);
    assert_eq!(sums.lines().filter(|line| line.starts_with(&page)).count(), 40, "{sums}");
    // The end of one side is told, and the other side goes on.
    let half = "head -c 5000000 /dev/zero | busybox nc 127.0.0.1 7000";
    let zeros = script(&host, "head -c 5000000 /dev/zero | sha256sum");
    assert_eq!(script(&host, half), format!("{zeros}end\n"));
    script(&host, "echo | busybox nc 127.0.0.1 9 || true");
    wait_until("a word on the port that nobody listens on", BOUND, || {
        let log = forward.log();
        if log.contains("nothing listens on port 9 of the pod") { Ok(()) } else { Err(log) }
    })
    .unwrap();
    through_the_runtime(&host, &page);
    crilet_ends_with(0, &host, &["stop", "--grace", "0", "one"]);
    wait_until("the end with the pod", BOUND, || match forward.expect_running() {
        Ok(()) => Err(forward.log()),
        Err(_) => Ok(()),
    })
    .unwrap();
    assert_contains(&forward.log(), "error: pod `default/one` has ended");
    crilet_ends_with(0, &host, &["rm", "one"]);
}

fn refused(host: &Host) {
    for (ports, why) in [
        (&["80:0"][..], "port 0 of a pod"),
        (&["65536"], "`65536` is no port"),
        (&["x"], "`x` is no port"),
        (&["80", "80:81"], "local port 80 is given twice"),
    ] {
        let said = crilet_ends_with(64, host, &[&["port-forward", "one"], ports].concat());
        assert_contains(&said.stderr, why);
    }
    let none = crilet_ends_with(4, host, &["port-forward", "none", "80"]);
    assert_contains(&none.stderr, "no pod `none`");
    // Who may not have a local port, and who comes too late for it.
    let poor = host.command("setpriv").args(["--bounding-set", "-net_bind_service", CRILET]);
    let poor = ends_with(1, poor.args(["port-forward", "one", "80:8000"]));
    assert_contains(&poor.stderr, "failed to listen on 127.0.0.1:80: Permission denied");
    assert_contains(&poor.stderr, "hint: ports below 1024 are for root");
    assert_contains(&poor.stderr, "such as 8080:PORT");
    let first = crilet(host, &["port-forward", "one", "7777:8000"]).spawn().unwrap();
    wait_until("a port", BOUND, || match first.log() {
        log if log.contains("Forwarding") => Ok(()),
        log => Err(log),
    })
    .unwrap();
    let late = crilet_ends_with(1, host, &["port-forward", "one", "7777:8000"]);
    let taken = std::io::Error::from(nix::errno::Errno::EADDRINUSE);
    assert_contains(&late.stderr, &taken.to_string());
    assert_contains(&late.stderr, "hint: something else listens there");
}

/// The same by the runtime's own streams, as on a machine whose namespaces are elsewhere.
fn through_the_runtime(host: &Host, page: &str) {
    for (transport, port) in [("spdy", "8001"), ("websocket", "8002")] {
        let ports = format!("{port}:8000");
        let arguments = ["port-forward", "one", "--transport", transport, &ports];
        let forward = crilet(host, &arguments).spawn().unwrap();
        wait_until("a port", BOUND, || {
            if forward.log().contains("Forwarding") { Ok(()) } else { Err(forward.log()) }
        })
        .unwrap();
        let many = format!(
            "for i in 1 2 3 4 5 6; do curl -sS http://127.0.0.1:{port}/page | sha256sum & done; wait"
        );
        let sums = script(host, &many);
        let good = sums.lines().filter(|line| line.starts_with(page)).count();
        assert_eq!(good, 6, "{transport}: {sums}\n{}", forward.log());
    }
}

#[test]
fn files() {
    let (host, _containerd) = host_with_containerd();
    run_pod(&host, "sleep 1000", "");
    let cp = |status, from: &str, to: &str| crilet_ends_with(status, &host, &["cp", from, to]);
    // A tree there and back: links, modes, owners, times, holes.
    script(
        &host,
        "mkdir -p /root/tree/sub && cd /root/tree && echo text >sub/file && chown 7:8 sub/file\n\
         chmod 4750 sub/file && ln sub/file hard && ln -s sub/file link && ln -s /etc/passwd absolute && mkfifo fifo\n\
         truncate -s 1G sparse && echo end >>sparse && touch -d 2001-02-03T04:05:06Z sub/file sub",
    );
    cp(0, "/root/tree", "one:/tree");
    cp(0, "one/main:/tree", "/root/back");
    let same = "cd /root; for d in tree back; do (cd $d; find . -printf '%P %y %U:%G %l %T@\\n' | sort \
                | grep -v '^ '); done | sort | uniq -u; cmp tree/sparse back/sparse; du -k back/sparse | \
                cut -f1; stat -c %a tree/sub/file back/sub/file; stat -c %h back/hard";
    let told = script(&host, same);
    let lines: Vec<&str> = told.lines().collect();
    let [blocks, inside, outside, names] = lines[..] else { panic!("differences: {told}") };
    assert_eq!(names, "2", "hard links stay linked");
    let names = crilet_ends_with(0, &host, &["exec", "one", "stat", "-c", "%h", "/tree/hard"]);
    assert_eq!(names.stdout, "2\n", "within the container, too");
    assert!(blocks.parse::<u32>().unwrap() < 1024, "{blocks} KiB of holes were filled");
    assert_eq!((inside, outside), ("4750", "750"), "what raises privileges stays inside");
    // Into a directory, as a name, contents only, over what is there.
    cp(0, "/root/tree/sub/file", "one:/tmp");
    cp(0, "/root/tree/sub/file", "one:/tmp/named");
    cp(0, "/root/tree/sub/.", "one:/tmp");
    let said = crilet_ends_with(0, &host, &["exec", "one", "cat", "/tmp/file", "/tmp/named"]);
    assert_eq!(said.stdout, "text\ntext\n");
    assert_contains(&cp(1, "one:/none", "/root").stderr, "`/none` does not exist");
    assert_contains(&cp(1, "/root/tree", "one:/tmp/named").stderr, "is not a directory");
    assert_contains(&cp(1, "/root/tree", "one:/none/x").stderr, "`/none` does not exist");
    archives(&host);
    hostile_links(&host);
    crilet_ends_with(0, &host, &["rm", "one"]);
}

fn archives(host: &Host) {
    script(host, "mkdir -p /root/untarred; crilet cp one:/tree/sub - | tar -x -C /root/untarred");
    assert_eq!(host.read("/root/untarred/sub/file").unwrap(), "text\n");
    let unread = "{ crilet cp one:/tree - 2>&1; echo $? >/root/status; } | true; cat /root/status";
    assert_eq!(script(host, unread), "0\n", "nobody who reads is no error");
    script(host, "tar -c -C /root tree/sub | crilet cp - one:/var --chown 5:6");
    let said =
        crilet_ends_with(0, host, &["exec", "one", "stat", "-c", "%u:%g", "/var/tree/sub/file"]);
    assert_eq!(said.stdout, "5:6\n");
    // Names and links that lead out of the destination.
    let bad = "mkdir -p /root/bad/d; cd /root/bad; echo x >f\n\
               tar -cPf up.tar --transform 's,f,../../up,' f\n\
               ln -s / d/out; tar -cf link.tar d/out; tar -rf link.tar --transform 's,f,d/out/root/leak,' f\n\
               for t in up link; do crilet cp - one:/var <$t.tar || echo $t; done";
    assert_eq!(script(host, bad), "up\nlink\n");
}

/// Whatever a container links to, a copy stays within it.
fn hostile_links(host: &Host) {
    host.write("/root/secret", "secret").unwrap();
    let links = "ln -s /root/secret /abs; ln -s ../../../../../../root/secret /rel; ln -s / /all; \
                 ln -s /proc/1/root /magic; mkdir /root; echo inner >/root/secret; ln -s /root /dir";
    crilet_ends_with(0, host, &["exec", "one", "sh", "-c", links]);
    for source in ["/abs", "/rel", "/all/root/secret", "/dir/secret", "/../../root/secret"] {
        let source = format!("one:{source}");
        crilet_ends_with(0, host, &["cp", "-L", &source, "/root/got"]);
        assert_eq!(host.read("/root/got").unwrap(), "inner\n", "{source}");
    }
    let magic = crilet_ends_with(1, host, &["cp", "one:/magic/root/secret", "/root/got"]);
    assert_contains(&magic.stderr, "/magic/root/secret");
    // Writing through links lands inside, too.
    host.write("/root/new", "new").unwrap();
    crilet_ends_with(0, host, &["cp", "/root/new", "one:/dir/new"]);
    crilet_ends_with(0, host, &["cp", "/root/new", "one:/abs"]);
    assert_eq!(host.read("/root/secret").unwrap(), "secret");
    let inside = crilet_ends_with(0, host, &["exec", "one", "cat", "/root/new", "/abs"]);
    assert_eq!(inside.stdout, "newnew");
}
