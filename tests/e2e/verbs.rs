//! Verbs for people on a real containerd 1.6: inspect, ps, images, pull, stats, top, events, completion.

use std::time::Duration;

use crilet_testkit::{
    Host, Registry, RegistryOptions, Service, SystemContainerd, Terminal, wait_until,
};

use crate::support::{
    assert_contains, crilet, crilet_ends_with, host_with_containerd, push_busybox,
};

/// Far longer than anything takes, even on a busy machine.
const BOUND: Duration = Duration::from_secs(120);
const CRILET: &str = env!("CARGO_BIN_EXE_crilet");

/// Brings up `web`, with a container that works within limits and one that has failed, and `db`.
fn two_pods(host: &Host) {
    let pod = |name: &str, more: &str| {
        let text = format!(
            "metadata: {{name: {name}, namespace: default, uid: {name}-uid}}\n\
             log_directory: /root/{name}/log\n{more}"
        );
        host.write(format!("/root/{name}/pod.yaml"), text).unwrap();
    };
    let container = |pod: &str, name: &str, script: &str, more: &str| {
        let text = format!(
            "metadata: {{name: {name}}}\nimage: {{image: 'crilet.test/busybox:1'}}\n\
             log_path: {name}.log\ncommand: [sh, -c, '{script}']\n{more}"
        );
        host.write(format!("/root/{pod}/{name}.yaml"), text).unwrap();
    };
    let port = "port_mappings: [{container_port: 80, host_port: 8080, host_ip: 127.0.0.1}]";
    pod("web", &format!("labels: {{tier: front}}\nannotations: {{who: somebody}}\n{port}\n"));
    let limits = "linux: {resources: {memory_limit_in_bytes: 67108864, cpu_quota: 50000, cpu_period: 100000}}\n\
                  mounts: [{container_path: /data, host_path: /root/data, readonly: true}]\n";
    container("web", "main", "while :; do sleep 0.05; done", limits);
    container("web", "once", "exit 3", "");
    pod("db", "");
    container("db", "main", "sleep 1000", "");
    host.shell("mkdir -p /root/data").success().unwrap();
    for pod in ["db", "web"] {
        crilet_ends_with(0, host, &["run", &format!("/root/{pod}")]);
    }
    wait_until("the end of a container", BOUND, || {
        let told = crilet_ends_with(0, host, &["inspect", "web/once"]).stdout;
        if told.contains("failed, exit code 3") { Ok(()) } else { Err(told) }
    })
    .unwrap();
}

#[test]
fn things_are_inspected_listed_and_measured() {
    let (host, mut containerd) = host_with_containerd();
    two_pods(&host);
    inspected(&host);
    listed(&host);
    listed_without_asking(&host);
    measured(&host);
    happened(&host);
    let _again = came_and_went(&host, &mut containerd);
    crilet_ends_with(0, &host, &["rm", "web", "--grace", "0", "db"]);
}

fn json(host: &Host, arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&crilet_ends_with(0, host, arguments).stdout).unwrap()
}

fn inspected(host: &Host) {
    let told = crilet_ends_with(0, host, &["inspect", "web"]).stdout;
    let places: Vec<_> = [
        "pod             default/web",
        "state           ready for ",
        "ip              10.",
        "container main",
        "  state         running for ",
        "  restarts      none",
        "  image         crilet.test/busybox:1",
        "  mounts        /data from /root/data (read-only)",
        "  limits        64Mi memory, 500m processors",
        "  log           /root/web/log/main.log",
        "  pid           ",
        "  cgroup        /",
        "container once",
        "  state         failed, exit code 3; ",
        "network         /var/run/netns/",
        "labels          tier=front",
        "annotations     ",
    ]
    .iter()
    .map(|part| told.find(part).unwrap_or_else(|| panic!("no `{part}` in:\n{told}")))
    .collect();
    assert!(places.is_sorted(), "what matters comes first:\n{told}");
    // What is told is so.
    let container = json(host, &["inspect", "web/main", "-o", "json"]);
    let pid = container["info"]["pid"].as_u64().unwrap();
    let command = host.shell(&format!("tr '\\0' ' ' </proc/{pid}/cmdline")).success().unwrap();
    assert_contains(&command, "while :; do sleep");
    assert_contains(&told, &format!("  pid           {pid}\n"));
    let id = container["status"]["id"].as_str().unwrap();
    let beginning: String = id.chars().take(13).collect();
    let alone = crilet_ends_with(0, host, &["inspect", &beginning]).stdout;
    assert_contains(&alone, "container       default/web/main\nstate           running");
    let image = crilet_ends_with(0, host, &["inspect", "crilet.test/busybox:1"]).stdout;
    assert_contains(&image, "used by         default/db/main\n                default/web/main\n");
    let yaml = crilet_ends_with(0, host, &["inspect", "db", "-o", "yaml"]).stdout;
    assert_contains(&yaml, "kind: pod\nname: default/db\n");
    let none = crilet_ends_with(4, host, &["inspect", "nothing"]);
    assert_contains(&none.stderr, "no pod, container or image `nothing`");
}

fn on_terminal(host: &Host, arguments: &[&str]) -> Terminal {
    crilet(host, arguments).env("TERM", "xterm").on_terminal(24, 100).unwrap()
}

fn listed(host: &Host) {
    let wide = crilet_ends_with(0, host, &["ps", "-o", "wide", "web", "db"]).stdout;
    assert_contains(&wide, "IMAGES");
    assert_contains(&wide, "main,once(exited)");
    assert!(!wide.contains('\x1b'), "{wide:?}");
    let mut painted = on_terminal(host, &["ps"]);
    assert_eq!(painted.end().unwrap(), 0);
    assert_contains(&painted.screen(), "\x1b[32mready\x1b[0m");
    let mut plain = crilet(host, &["ps"])
        .env("TERM", "xterm")
        .env("NO_COLOR", "1")
        .on_terminal(24, 100)
        .unwrap();
    assert_eq!(plain.end().unwrap(), 0);
    assert!(!plain.screen().contains('\x1b'), "{:?}", plain.screen());
    // In place: three lines up, and what changed is written over them.
    let mut watched = on_terminal(host, &["ps", "--all", "--watch"]);
    watched.expect("default/db").unwrap();
    crilet_ends_with(0, host, &["stop", "--grace", "0", "db"]);
    watched.expect("\x1b[33mnot ready\x1b[0m").unwrap();
    assert_contains(&watched.screen(), "\x1b[3A\r\x1b[J");
    watched.press("\u{3}").unwrap();
    assert_eq!(watched.end().unwrap(), 130, "{}", watched.screen());
    crilet_ends_with(0, host, &["rm", "db"]);
    crilet_ends_with(0, host, &["run", "/root/db"]);
}

/// Addresses and ports are told by what libcni keeps, and by the runtime where that does not tell.
fn listed_without_asking(host: &Host) {
    crilet_ends_with(0, host, &["publish", "db", "9090:90/udp"]);
    // Rows without the age, and how many pods the runtime was asked of.
    let ps = || {
        let told = crilet(host, &["ps"]).env("CRILET_LOG", "crilet_cri=debug").output().unwrap();
        assert_eq!(told.status, 0, "{told}");
        let row = |line: &str| {
            let mut cells: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            cells.remove(3);
            cells.join(" ")
        };
        let rows: Vec<_> = told.stdout.lines().skip(1).map(row).collect();
        (rows, told.stderr.matches("method=\"PodSandboxStatus\"").count())
    };
    let (kept, asked) = ps();
    assert_eq!((kept.len(), asked), (2, 0), "{kept:?}");
    assert_contains(&kept.join("\n"), "127.0.0.1:8080->80/tcp");
    assert_contains(&kept.join("\n"), "9090->90/udp");
    host.shell("mv /var/lib/cni/results /var/lib/cni/away").success().unwrap();
    assert_eq!(ps(), (kept.clone(), 2), "the runtime says the same");
    host.shell("mv /var/lib/cni/away /var/lib/cni/results").success().unwrap();
    // Nothing is kept of a pod without a network of its own.
    let pod = "metadata: {name: bare, namespace: default, uid: bare-uid}\n\
               linux: {security_context: {namespace_options: {network: NODE}}}\n";
    host.write("/root/bare/pod.yaml", pod).unwrap();
    host.write(
        "/root/bare/main.yaml",
        "metadata: {name: main}\nimage: {image: 'crilet.test/busybox:1'}\n\
         command: [sleep, '1000']\n",
    )
    .unwrap();
    crilet_ends_with(0, host, &["run", "/root/bare"]);
    let (rows, asked) = ps();
    assert_eq!(asked, 1, "{rows:?}");
    assert_contains(&rows.join("\n"), " ready host - main");
    crilet_ends_with(0, host, &["rm", "bare", "--grace", "0"]);
    crilet_ends_with(0, host, &["unpublish", "db", "--all"]);
}

fn measured(host: &Host) {
    // Something for the counters of the network.
    let pods = json(host, &["ps", "-o", "json", "web"]);
    let ip = pods[0]["details"]["ips"][0].as_str().unwrap();
    host.shell(&format!("busybox ping -c 1 {ip}")).success().unwrap();
    // It starts programs all the time, but on a busy machine not between any two looks.
    let (all, pod, main) = wait_until("some use of a processor", BOUND, || {
        let all = json(host, &["stats", "-o", "json", "web"]);
        let of = |name: &str| {
            let found = all.as_array().unwrap().iter().find(|one| one["name"] == name);
            found.unwrap_or_else(|| panic!("no {name}: {all}")).clone()
        };
        let (pod, main) = (of("default/web"), of("default/web/main"));
        if main["cpuNanocores"] == 0 { Err(main.to_string()) } else { Ok((all, pod, main)) }
    })
    .unwrap();
    let number = |value: &serde_json::Value, key: &str| {
        value[key].as_u64().unwrap_or_else(|| panic!("no {key}: {value}"))
    };
    assert_eq!(number(&main, "memoryLimitBytes"), 64 << 20);
    assert!(number(&main, "memoryBytes") > 10_000, "{main}");
    assert!(number(&main, "processes") >= 1, "{main}");
    assert!(number(&main, "cpuNanocores") > 0, "{main}");
    assert!(number(&main, "cpuNanocores") < 2_000_000_000, "{main}");
    assert!(number(&pod["network"], "receivedBytes") > 0, "{pod}");
    assert_eq!(all.as_array().unwrap().len(), 2, "what has ended uses nothing: {all}");
    let table = crilet_ends_with(0, host, &["stats"]).stdout;
    assert_contains(&table, "NAME              CPU %  MEMORY");
    assert_contains(&table, "default/db/main");
    // Refreshed in place, and the terminal is as it was.
    let mut refreshed = on_terminal(host, &["stats", "--interval", "100ms", "web"]);
    refreshed.expect("\x1b[3A\r\x1b[J").unwrap();
    refreshed.press("\u{3}").unwrap();
    assert_eq!(refreshed.end().unwrap(), 130, "{}", refreshed.screen());
    let mut once = on_terminal(host, &["stats", "--no-stream", "web"]);
    assert_eq!(once.end().unwrap(), 0, "{}", once.screen());
    assert!(!once.screen().contains("\x1b["), "{:?}", once.screen());
    top(host);
}

/// Shows the cursor and what was there before.
const LEFT: &str = "\x1b[?25h\x1b[?1049l";

/// The last that was shown is the way back to what was there before. What is shown comes in the kernel's own
/// time, also from who stands still or has ended.
fn given_back(terminal: &Terminal) {
    wait_until("the terminal to be given back", BOUND, || {
        let (screen, is_raw) = (terminal.screen(), terminal.is_raw());
        match is_raw {
            Ok(false) if screen.ends_with(LEFT) => Ok(()),
            _ => Err(format!("raw: {is_raw:?}, {screen:?}")),
        }
    })
    .unwrap();
}

/// Waits until these words stand on a terminal, or until they do not.
fn stands(terminal: &Terminal, words: &str, wanted: bool) {
    wait_until(words, BOUND, || {
        let picture = terminal.picture();
        if picture.contains(words) == wanted { Ok(()) } else { Err(picture) }
    })
    .unwrap();
}

const ENTERED: &str = "\x1b[?1049h";

/// While it stands still, by a key or by a signal, the terminal is the shell's.
fn top_stops_and_goes_on(host: &Host, mut terminal: Terminal) {
    let state = || host.shell("ps -o stat= -C crilet || true").success().unwrap();
    for times in 1..=2 {
        match times {
            1 => terminal.press("\u{1a}").unwrap(),
            _ => drop(host.shell("kill -TSTP $(pgrep -x crilet)").success().unwrap()),
        }
        wait_until("a stop", BOUND, || {
            let state = state();
            if state.starts_with('T') { Ok(()) } else { Err(state) }
        })
        .unwrap();
        given_back(&terminal);
        terminal.go_on().unwrap();
        wait_until("the screen again", BOUND, || {
            let screen = terminal.screen();
            let behind = screen.rsplit_once(ENTERED).map_or("", |(_, behind)| behind);
            let entered = screen.matches(ENTERED).count() == 1 + times;
            if entered && behind.contains("web") { Ok(()) } else { Err(screen) }
        })
        .unwrap();
        assert!(terminal.is_raw().unwrap(), "a screen is drawn on a raw terminal");
        // Keys are heard again.
        stands(&terminal, "/here_", false);
        terminal.press("/here").unwrap();
        stands(&terminal, "/here_", true);
        terminal.press("\u{1b}").unwrap();
        stands(&terminal, "/here_", false);
    }
    terminal.press("q").unwrap();
    assert_eq!(terminal.end().unwrap(), 0, "{}", terminal.screen());
    given_back(&terminal);
}

/// Whatever ends it gives the terminal back.
fn top(host: &Host) {
    let start = || {
        let terminal = on_terminal(host, &["top", "--interval", "200ms"]);
        terminal.expect("web").unwrap();
        assert_contains(&terminal.screen(), ENTERED);
        assert!(terminal.is_raw().unwrap());
        terminal
    };
    for (keys, status) in [("q", 0), ("\u{3}", 0), ("jjkG/we\rq", 0)] {
        let mut terminal = start();
        terminal.press(keys).unwrap();
        assert_eq!(terminal.end().unwrap(), status, "{keys:?}: {}", terminal.screen());
        given_back(&terminal);
    }
    for (signal, number) in [("TERM", 15), ("HUP", 1), ("QUIT", 3)] {
        let mut killed = start();
        host.shell(&format!("kill -{signal} $(pgrep -x crilet)")).success().unwrap();
        assert_eq!(killed.end().unwrap(), 128 + number, "{signal}: {}", killed.screen());
        given_back(&killed);
    }
    top_stops_and_goes_on(host, start());
    let command = crilet(host, &["top"]).env("TERM", "xterm");
    let panics = command.env("CRILET_FAILPOINT", "panic:top-drawn");
    let mut panicked = panics.on_terminal(24, 100).unwrap();
    assert_eq!(panicked.end().unwrap(), 101, "{}", panicked.screen());
    let screen = panicked.screen();
    let (_, words) = screen.split_once(LEFT).unwrap_or_else(|| panic!("{screen:?}"));
    assert_contains(words, "told to panic at top-drawn");
    assert!(!panicked.is_raw().unwrap());
    // Another size is drawn anew, to the last column of the smaller one.
    let mut resized = start();
    resized.resize(10, 40).unwrap();
    resized.press("/zzz").unwrap();
    stands(&resized, "/zzz_", true);
    resized.expect("\x1b[10;1H").unwrap();
    resized.press("\r\u{1b}q").unwrap();
    assert_eq!(resized.end().unwrap(), 0, "{}", resized.screen());
}

fn happened(host: &Host) {
    let told = crilet_ends_with(0, host, &["events", "web"]).stdout;
    for part in ["Created", "Started", "default/web/once", "failed, exit code 3", "Warning  Exited"]
    {
        assert_contains(&told, part);
    }
    let last = crilet_ends_with(0, host, &["events", "--since", "2100-01-01", "web"]);
    assert_eq!(last.stdout, "", "{last}");
    let watch = crilet(host, &["events", "-w", "-o", "json", "db"]).spawn().unwrap();
    let expect = |text: &str| {
        wait_until(text, BOUND, || {
            let log = watch.log();
            if log.contains(text) { Ok(()) } else { Err(log) }
        })
        .unwrap();
    };
    expect("\"reason\":\"Started\"");
    crilet_ends_with(0, host, &["stop", "db", "--grace", "0"]);
    expect("killed (SIGKILL), exit code 137");
    crilet_ends_with(0, host, &["rm", "db"]);
    expect("the pod was removed");
    crilet_ends_with(0, host, &["run", "/root/db"]);
    wait_until("the new pod", BOUND, || {
        let log = watch.log();
        let count = log.matches("\"reason\":\"Started\"").count();
        if count == 2 { Ok(()) } else { Err(log) }
    })
    .unwrap();
    assert!(!watch.log().contains("\"pod\":\"web\""), "{}", watch.log());
}

/// What is made and removed at once is told, each step with what is to be known of it. Gives the containerd
/// that runs now.
fn came_and_went(host: &Host, containerd: &mut SystemContainerd) -> Service {
    let pod = "metadata: {name: flash, namespace: default, uid: flash-uid}\n";
    host.write("/root/flash/pod.yaml", pod).unwrap();
    let container = "metadata: {name: main}\nimage: {image: 'crilet.test/busybox:1'}\n\
                     command: [sh, -c, 'exit 5']\n";
    host.write("/root/flash/main.yaml", container).unwrap();
    let watch = crilet(host, &["events", "-w", "-o", "json"]).spawn().unwrap();
    says(&watch, "\"pod\":\"web\"");
    // Nothing tells from when on it hears; and what is heard goes on over a restart of the runtime.
    wait_until("lives", LIVES, || lives_are_told(host, &watch)).unwrap();
    containerd.kill().unwrap();
    says(&watch, "the runtime went away");
    let again = host.command("containerd").spawn().unwrap();
    wait_until("lives after a restart", LIVES, || lives_are_told(host, &watch)).unwrap();
    again
}

/// For several tries.
const LIVES: Duration = Duration::from_secs(300);

fn says(watch: &Service, text: &str) {
    wait_until(text, BOUND, || {
        let log = watch.log();
        if log.contains(text) { Ok(()) } else { Err(log) }
    })
    .unwrap();
}

/// Makes a pod whose containers are removed at once, and says what is told of it if that is not all.
fn lives_are_told(host: &Host, watch: &Service) -> Result<(), String> {
    let told = || -> Vec<serde_json::Value> {
        let log = watch.log();
        let events = log.lines().filter_map(|line| serde_json::from_str(line).ok());
        events.filter(|event: &serde_json::Value| event["pod"] == "flash").collect()
    };
    let before = told().len();
    // A try that was cut short may have left one.
    let lives = "crictl() { $0 crictl \"$@\"; }; cd /root/flash; \
                 crictl pods --name flash -q | while read -r left; do crictl rmp -f $left; done\n\
                 set -e; pod=$(crictl runp pod.yaml)\n\
                 for times in 1 2 3; do id=$(crictl create $pod main.yaml pod.yaml); crictl start $id; \
                 crictl rm -f $id; done; crictl rmp -f $pod";
    let lived = host.command("sh").args(["-c", lives, CRILET]).success();
    lived.map_err(|error| format!("{error:#}"))?;
    let life = ["Created", "Started", "Exited", "Removed"];
    let lives = [&["Created"][..], &life, &life, &life, &["Stopped", "Removed"]].concat();
    let whole = wait_until("all of it", Duration::from_secs(15), || {
        let told = told().split_off(before);
        let reasons: Vec<_> = told.iter().map(|event| event["reason"].as_str().unwrap()).collect();
        if reasons == lives { Ok(told) } else { Err(format!("{told:#?}")) }
    });
    for end in whole.map_err(|error| format!("{error:#}"))? {
        let message = end["message"].as_str().unwrap();
        let is_known = message == "failed, exit code 5" || message.starts_with("killed (SIGKILL)");
        assert!(is_known || end["reason"] != "Exited", "{end}");
    }
    Ok(())
}

#[test]
fn images_are_pulled_and_listed() {
    let (host, _containerd) = host_with_containerd();
    let registry = Registry::start(&host, RegistryOptions::default()).unwrap();
    push_busybox(&registry);
    let name = format!("{}/library/busybox:1", registry.address());
    let pulled = crilet_ends_with(0, &host, &["pull", &name]);
    assert_contains(&pulled.stdout, "IMAGE");
    assert_eq!(pulled.stderr, "", "nobody watches, so nothing is told of the way");
    let listed = crilet_ends_with(0, &host, &["images", "-o", "name", &name]);
    assert!(listed.stdout.lines().any(|line| line == name), "{listed}");
    let wide = crilet_ends_with(0, &host, &["images", "-o", "wide", &name]).stdout;
    assert_contains(&wide, "sha256:");
    let missing = format!("{}/library/none:1", registry.address());
    let failed = crilet_ends_with(5, &host, &["pull", &missing, &name]);
    assert_contains(&failed.stderr, &format!("failed to pull image `{missing}`"));
    assert_contains(&failed.stdout, "busybox");
    let mut watched = on_terminal(&host, &["pull", &name]);
    assert_eq!(watched.end().unwrap(), 0, "{}", watched.screen());
    a_password_is_not_shown(&host, &name);
}

/// The drop-in asks for a password; Ctrl-C leaves a terminal that shows again what is typed.
fn a_password_is_not_shown(host: &Host, name: &str) {
    let pull = format!("{CRILET} crictl pull --username nobody {name}");
    let script = format!("trap : INT; {pull}; echo status $?; stty -a; exit 0");
    let mut terminal =
        host.command("sh").args(["-c", &script]).env("TERM", "xterm").on_terminal(24, 100).unwrap();
    terminal.expect("Enter Password:").unwrap();
    terminal.press("secret\u{3}").unwrap();
    assert_eq!(terminal.end().unwrap(), 0, "{}", terminal.screen());
    terminal.expect("status 1").unwrap();
    let screen = terminal.screen();
    assert!(!screen.contains("secret"), "{screen:?}");
    assert_contains(&screen, "interrupted: context canceled");
    assert_contains(&screen, " echo echoe ");
}

#[test]
fn shells_complete_live_names() {
    let (host, _containerd) = host_with_containerd();
    two_pods(&host);
    let path = CRILET.rsplit_once('/').unwrap().0;
    let path = format!("{path}:/usr/sbin:/usr/bin:/sbin:/bin");
    let bash = |line: &str| {
        let script = format!(
            "source <(crilet completion bash); COMP_LINE='{line}' COMP_POINT=${{#COMP_LINE}}\n\
             COMP_POINT={}; _crilet; echo ${{COMPREPLY[@]}}; complete -p crilet",
            line.len()
        );
        host.command("bash").args(["--norc", "-c", &script]).env("PATH", &path).success().unwrap()
    };
    let registered = "\ncomplete -F _crilet crilet\n";
    assert_eq!(bash("crilet inspect w"), format!("web{registered}"));
    assert_eq!(bash("crilet exec web/"), format!("web/main{registered}"), "what runs");
    assert_eq!(
        bash("crilet logs default/web/"),
        format!("default/web/main default/web/once{registered}")
    );
    assert_contains(&bash("crilet images crilet"), "crilet.test/busybox:1");
    let fish = |line: &str| {
        let script = format!("crilet completion fish | source; complete -C '{line}'");
        host.command("fish")
            .args(["--no-config", "-c", &script])
            .env("PATH", &path)
            .success()
            .unwrap()
    };
    assert_eq!(fish("crilet inspect w"), "web\tready\n");
    assert_eq!(fish("crilet ps --wat"), "--watch\tGo on with every change\n");
    assert_eq!(fish("crilet exec web/m"), "web/main\trunning\n");
    zsh(
        &host,
        &path,
        "crilet",
        &[
            ("crilet inspect w", "crilet inspect web"),
            ("crilet exec web/m", "crilet exec web/main"),
            ("crilet ps --wat", "crilet ps --watch"),
            ("crilet images crilet.test/busy", "crilet images crilet.test/busybox:1"),
        ],
    );
    shells_complete_crictl(&host, &path);
}

/// crictl's words, under its own name and behind crilet's.
fn shells_complete_crictl(host: &Host, path: &str) {
    crilet_ends_with(0, host, &["crictl", "--link", "/root"]);
    let path = format!("/root:{path}");
    let listed = crilet_ends_with(0, host, &["crictl", "ps", "-q", "--name", "main"]).stdout;
    let id: String = listed.chars().take(13).collect();
    let begun: String = id.chars().take(9).collect();
    for (program, name) in [("crictl", "crictl"), ("crilet", "crilet crictl")] {
        let bash = |line: &str| {
            let script = format!(
                "source <({program} completion bash); COMP_LINE='{line}' COMP_POINT={}\n\
                 _{program}; echo ${{COMPREPLY[@]}}",
                line.len()
            );
            let shell = host.command("bash").args(["--norc", "-c", &script]);
            shell.env("PATH", &path).success().unwrap()
        };
        assert_eq!(bash(&format!("{name} exec {begun}")), format!("{id}\n"));
        assert_eq!(bash(&format!("{name} rmi crilet.test/busy")), "crilet.test/busybox:1\n");
        // What fish offers stands before what it says of it.
        let fish = |line: &str| -> Vec<String> {
            let script = format!("{program} completion fish | source; complete -C '{line}'");
            let shell = host.command("fish").args(["--no-config", "-c", &script]);
            let told = shell.env("PATH", &path).success().unwrap();
            let word = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
            told.lines().map(word).collect()
        };
        assert_eq!(fish(&format!("{name} ps --no-t")), ["--no-trunc"]);
        assert_eq!(fish(&format!("{name} statsp")), ["statsp"]);
        assert_eq!(fish(&format!("{name} ps --output=js")), ["--output=json"]);
        assert_eq!(fish(&format!("{name} exec {begun}")), [id.as_str()]);
        assert_eq!(fish(&format!("{name} rmi crilet.test/busy")), ["crilet.test/busybox:1"]);
        let typed = |line: &str| format!("{name} {line}");
        let lines = [
            (typed(&format!("exec {begun}")), typed(&format!("exec {id}"))),
            (typed("ps --no-t"), typed("ps --no-trunc")),
            (typed("update-"), typed("update-runtime-config")),
            (typed("rmi crilet.test/busy"), typed("rmi crilet.test/busybox:1")),
            (typed("ps --output=js"), typed("ps --output=json")),
        ];
        let lines: Vec<_> =
            lines.iter().map(|(typed, line)| (typed.as_str(), line.as_str())).collect();
        zsh(host, &path, program, &lines);
    }
}

/// A person's own: what is typed, then Tab, then a look at the line.
fn zsh(host: &Host, path: &str, program: &str, lines: &[(&str, &str)]) {
    let zsh = host.command("zsh").args(["-f", "-i"]).env("PATH", path).env("TERM", "dumb");
    let mut terminal = zsh.on_terminal(24, 100).unwrap();
    // Only what a shell reads by itself is edited as it is typed.
    terminal.expect("# ").unwrap();
    terminal.press("PS1='ready> '; autoload -U compinit; compinit -u -D\r").unwrap();
    let load = format!("source <({program} completion zsh); echo lo''aded\r");
    terminal.press(&load).unwrap();
    terminal.expect("loaded\r\n").unwrap();
    for (typed, line) in lines {
        // Ctrl-A goes to the beginning, so that the whole line is shown and not done.
        terminal.press(&format!("{typed}\t\u{1}print -r -- 'li''ne' \r")).unwrap();
        terminal.expect(&format!("line {line}\r\n")).unwrap();
    }
}
