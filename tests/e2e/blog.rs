//! The acceptance test: the article's files bring up WordPress and its database with one command,
//! and with another one nothing is left of them.

use std::{fs, time::Duration};

use crilet_testkit::{
    Host, HttpResponse, Images, Place, Registry, RegistryOptions, Snapshot, fixtures, wait_until,
};

use crate::support::{assert_contains, crilet_ends_with};

/// Far longer than anything takes, even on a busy machine.
const BOUND: Duration = Duration::from_secs(360);
const DIRECTORY: &str = "/root/blog";
const SITE: &str = "http://192.0.2.1/";

/// The article's files at the article's place; the placeholder alone is replaced.
pub(crate) fn write_files(host: &Host) {
    host.copy_files(&fixtures("blog"), DIRECTORY).unwrap();
    let path = format!("{DIRECTORY}/pod-config.json");
    let original = host.read(&path).unwrap();
    assert_eq!(original.matches("\"public_ip\"").count(), 1, "{original}");
    host.write(&path, original.replace("public_ip", Host::ADDRESS)).unwrap();
}

/// A registry that stands for Docker Hub, with both images under their own names.
pub(crate) fn hub(host: &Host) -> Registry<'_> {
    let registry = Registry::start(host, RegistryOptions::default()).unwrap();
    for (recipe, name) in [("wordpress", "wordpress:latest"), ("mysql", "mysql:5.7")] {
        let archive = Images::archive(recipe, &format!("docker.io/library/{name}")).unwrap();
        registry.push(&archive, &format!("library/{name}")).unwrap();
    }
    registry
}

pub(crate) fn installation_page(host: &Host, place: Place) -> HttpResponse {
    wait_until("the installation page", BOUND, || {
        let logs = || host.shell("tail -n 20 /root/blog/log/*.log").output().unwrap();
        let page = host.http_get(place, SITE).map_err(|error| format!("{error:#}\n{}", logs()))?;
        match page.url.ends_with("/wp-admin/install.php") && page.status == 200 {
            true => Ok(page),
            false => Err(format!("{page:?}\n{}", logs())),
        }
    })
    .unwrap()
}

/// Waits until a file has these words: what is said of an answer may be written behind it.
fn expect_words(host: &Host, path: &str, words: &str) -> String {
    wait_until(words, BOUND, || {
        let text = host.read(path).map_err(|error| format!("{error:#}"))?;
        if text.contains(words) { Ok(text) } else { Err(text) }
    })
    .unwrap()
}

#[test]
fn the_articles_pod_runs_with_one_command_and_leaves_nothing() {
    let machine = Snapshot::of_machine().unwrap();
    let host = Host::start().unwrap();
    // The bridge plugin switches forwarding on for good, and the kernel has more routes then.
    host.shell("echo 1 >/proc/sys/net/ipv6/conf/all/forwarding").success().unwrap();
    write_files(&host);
    let hub = hub(&host);
    let untouched = host.snapshot().unwrap();

    let mirror = format!("docker.io=http://{}", hub.address());
    crilet_ends_with(0, &host, &["runtime", "up", "--mirror", &mirror]);
    // What the first pod of a network makes for good (a bridge, the plugins' directories) is no
    // leak of the pod's, and `runtime down` has to remove it; so leaks are counted per pod from the
    // second one on.
    run_and_look(&host);
    crilet_ends_with(0, &host, &["rm", "blog-sandbox"]);
    assert_nothing_of_a_pod(&host);
    let between = host.snapshot().unwrap();

    // The directories that the pod filled are there again: a second pod goes on with them.
    run_and_look(&host);
    crilet_ends_with(0, &host, &["rm", "default/blog-sandbox"]);
    assert_nothing_of_a_pod(&host);
    host.await_same(&between).expect("after `crilet rm`");

    crilet_ends_with(0, &host, &["runtime", "down"]);
    host.await_same(&untouched).expect("after `crilet runtime down`");

    drop(hub);
    host.stop().unwrap();
    wait_until("the machine to be as before", BOUND, || {
        let difference = machine.difference(&Snapshot::of_machine().unwrap());
        if difference.is_empty() { Ok(()) } else { Err(difference.to_string()) }
    })
    .unwrap();
}

/// Runs the directory and looks at everything that a person would look at.
fn run_and_look(host: &Host) {
    let run = crilet_ends_with(0, host, &["run", DIRECTORY]);
    for part in ["blog-sandbox", "wordpress", "mysql", "192.0.2.1:80"] {
        assert_contains(&run.stdout, part);
    }
    for place in [Place::Outside, Place::Inside] {
        let page = installation_page(host, place);
        assert_contains(&page.body, "WordPress &rsaquo; Installation");
    }
    // Each container writes its own log, in the runtime's format.
    let site = expect_words(host, "/root/blog/log/wp.log", "GET /wp-admin/install.php");
    let database = expect_words(host, "/root/blog/log/db.log", "ready for connections");
    for line in site.lines().chain(database.lines()) {
        let stream = line.split(' ').nth(1);
        assert!(matches!(stream, Some("stdout" | "stderr")), "not a line of a log: {line}");
    }

    let list = crilet_ends_with(0, host, &["ps"]);
    assert_contains(&list.stdout, "blog-sandbox");
    // Again, it says what already runs and changes nothing.
    let before = crilet_ends_with(0, host, &["ps", "--quiet"]);
    crilet_ends_with(0, host, &["run", DIRECTORY]);
    assert_eq!(crilet_ends_with(0, host, &["ps", "--quiet"]), before);
}

/// No chain, lease, link, network namespace, container mount or process of any pod.
fn assert_nothing_of_a_pod(host: &Host) {
    let list = crilet_ends_with(0, host, &["ps", "--all", "--quiet"]);
    assert_eq!(list.stdout, "");
    wait_until("nothing of a pod", BOUND, || {
        let seen = Snapshot::default().difference(&host.snapshot().unwrap());
        let leaked: Vec<_> = seen.lines().iter().filter(|line| is_of_a_pod(line)).collect();
        if leaked.is_empty() { Ok(()) } else { Err(format!("{leaked:#?}")) }
    })
    .unwrap();
}

fn is_of_a_pod(line: &str) -> bool {
    let (kind, thing) = line.trim_start_matches("+ ").split_once(' ').unwrap();
    (match kind {
        "link" => thing.starts_with("veth"),
        "iptables" | "ip6tables" => {
            thing.contains("CNI-DN-") || thing.contains("CNI-SV-") || thing.contains("CNI-HP-")
        }
        "file" => thing.contains("/networks/") && thing.rsplit('/').next().is_some_and(is_address),
        "network" => thing.starts_with("namespace cni-"),
        "process" => ["containerd-shim", "pause", "apache2", "mariadbd"]
            .iter()
            .any(|program| thing.contains(program)),
        "mount" => thing.contains("/rootfs") || thing.contains("/shm"),
        _ => false,
    }) && !thing.starts_with("/dev/shm ")
}

fn is_address(name: &str) -> bool {
    name.parse::<std::net::IpAddr>().is_ok()
}

#[test]
fn the_article_as_it_stands_is_refused_before_anything_is_touched() {
    let host = Host::start().unwrap();
    host.copy_files(&fixtures("blog"), DIRECTORY).unwrap();
    let before = host.snapshot().unwrap();
    let output = crilet_ends_with(2, &host, &["run", DIRECTORY]);
    for part in ["pod-config.json:", "port_mappings[0].host_ip", "public_ip"] {
        assert_contains(&output.stderr, part);
    }
    host.await_same(&before).expect("after a refusal");
    assert!(!fs::exists(host.path("/root/blog/log")).unwrap());
}
