//! Verbs that show and fetch things: inspect, ps that goes on, images, pull, events without a daemon.

use std::{
    fs::File,
    os::unix::net::UnixListener,
    sync::atomic::{AtomicBool, Ordering},
};

use crilet_cri::{
    Code,
    fake::{Fake, Fault},
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::bed::{Bed, SetWhenDropped, closed_pipe};

/// A pod that runs, with a container that has ended, and one that is stopped.
fn two_pods() -> Bed {
    let bed = Bed::with_app();
    bed.pod("web", "port_mappings: [{container_port: 80, host_port: 8080}]\nlabels: {tier: front}");
    bed.pod("old", "annotations: {who: nobody}");
    bed.prepare("run old");
    bed.prepare("stop old");
    bed.prepare("run web");
    bed
}

fn filters() -> insta::internals::SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d+s, since \S+", "[AGE], since [TIME]");
    settings.add_filter(r"\d+s ago, at \S+", "[AGE] ago, at [TIME]");
    settings.add_filter(r"(?m)^( *pid +)\d+", "$1[PID]");
    settings.add_filter(r"cni-[0-9a-f]{8}", "cni-[ID]");
    settings.add_filter(r"\b\d+s( +(Normal|Warning))", "[AGE]$1");
    settings.bind_to_scope()
}

#[test]
fn a_person_is_shown_what_matters_first() {
    let bed = two_pods();
    let _filters = filters();
    insta::assert_snapshot!("inspect_pod", bed.crilet("inspect web").run());
    assert!(bed.fake.exit_container("main", 137));
    insta::assert_snapshot!("inspect_container", bed.crilet("inspect default/web/main").run());
    insta::assert_snapshot!("inspect_stopped", bed.crilet("inspect old").run());
    insta::assert_snapshot!("inspect_image", bed.crilet("inspect app:1").run());
}

#[test]
fn a_program_is_shown_everything() {
    let bed = two_pods();
    let read = |arguments: &str| -> Value {
        let outcome = bed.prepare(arguments);
        serde_json::from_str(&outcome.stdout).unwrap()
    };
    let id = bed.id("web");
    let pod = read(&format!("inspect -o json {}", id.get(..12).unwrap()));
    assert_eq!((&pod["kind"], &pod["name"]), (&"pod".into(), &"default/web".into()));
    assert_eq!(pod["status"]["id"], id.as_str());
    assert_eq!(pod["status"]["state"], "SANDBOX_READY");
    assert!(pod["info"]["pid"].as_u64().is_some_and(|pid| pid > 0), "{pod}");
    let container = &pod["containers"][0];
    assert_eq!(container["status"]["state"], "CONTAINER_RUNNING");
    let alone = read("inspect web/main --output json");
    assert_eq!(&alone, container);
    let several = read("inspect web/main app:1 old -o json");
    let kinds: Vec<_> = several.as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["container", "image", "pod"]);
    assert_eq!(several[1]["usedBy"], serde_json::json!(["default/old/main", "default/web/main"]));
    let yaml = bed.prepare("inspect web/main -o yaml").stdout;
    assert!(yaml.contains("kind: container\nname: default/web/main\npod: default/web\n"), "{yaml}");
}

#[test]
fn what_a_name_means_can_be_said() {
    let bed = Bed::with_app();
    bed.pod("app:1", "");
    bed.prepare("run app:1");
    let kind = |arguments: &str| {
        let text = bed.prepare(&format!("inspect -o json {arguments}")).stdout;
        serde_json::from_str::<Value>(&text).unwrap()["kind"].clone()
    };
    assert_eq!(kind("app:1"), "pod", "a pod goes before an image");
    assert_eq!(kind("app:1 --type image"), "image");
    assert_eq!(kind("-t container app:1"), "container");
    let outcomes = ["inspect none", "inspect app:1/none", "inspect -t image none", "inspect"];
    let outcomes = outcomes.map(|arguments| bed.crilet(arguments).run().to_string());
    insta::assert_snapshot!(outcomes.join("\n"));
}

#[test]
fn images_are_listed_in_every_form() {
    let bed = Bed::new(Fake::builder().image("app:1").image("registry.example/team/db:2"));
    for form in ["table", "wide", "yaml", "name"] {
        let outcome = bed.crilet(&format!("images -o {form}")).run();
        insta::assert_snapshot!(format!("images_{form}"), outcome);
    }
    let of = |arguments: &str| bed.prepare(arguments).stdout;
    assert_eq!(of("images -o json"), of("image ls --output json"), "one verb, two places");
    let id = of("images -q app:1");
    assert!(id.starts_with("sha256:") && id.lines().count() == 1, "{id}");
    assert_eq!(
        of(&format!("images -o name {}", id.get(7..17).unwrap())),
        "docker.io/library/app:1\n"
    );
    assert_eq!(bed.crilet("images none").run().code(), Some(4));
}

#[test]
fn images_are_pulled_and_told() {
    let bed =
        Bed::new(Fake::builder().registry_image("app:1").registry_image("db:2").private_image(
            "registry.example/own:1",
            "me",
            "secret",
        ));
    let pulled = bed.crilet("pull app:1 -o name db:2").run();
    let names = "docker.io/library/app:1\ndocker.io/library/db:2\n";
    assert_eq!((pulled.stdout.as_str(), pulled.stderr.as_str()), (names, ""), "{pulled}");
    assert_eq!(bed.count("PullImage"), 2);
    let own = bed.prepare("pull registry.example/own:1 --creds me:secret -q");
    assert!(own.stdout.starts_with("sha256:"), "{own}");
    let outcomes = ["pull none", "pull app:1 none other -o name", "pull registry.example/own:1"];
    let outcomes = outcomes.map(|arguments| {
        let outcome = bed.crilet(arguments).run();
        assert_eq!(outcome.code(), Some(5), "{outcome}");
        outcome.to_string()
    });
    insta::assert_snapshot!(outcomes.join("\n"));
}

#[test]
fn pods_are_listed_in_every_form() {
    let bed = two_pods();
    for form in ["wide", "yaml"] {
        let outcome = bed.crilet(&format!("ps --all -o {form}")).run();
        insta::with_settings!({filters => vec![
            (r"created_at: \d+", "created_at: [TIME]"),
            (r"(started|finished)_at: \d+", "${1}_at: [TIME]"),
            (r"pid: \d+", "pid: [PID]"),
            (r"cni-[0-9a-f]{8}", "cni-[ID]"),
        ]}, {
            insta::assert_snapshot!(format!("ps_{form}"), outcome);
        });
    }
}

#[test]
fn changes_of_pods_are_added_below() {
    let bed = two_pods();
    let mut table = bed.crilet("ps --watch").start();
    table.read_stdout_until("CONTAINERS\ndefault/web  ");
    let mut json = bed.crilet("ps -w -o json").start();
    json.read_stdout_until("\"name\":\"web\"");
    bed.prepare("run old --replace");
    table.read_stdout_until("\ndefault/old  ");
    json.read_stdout_until("\"name\":\"old\"");
    bed.prepare("rm web");
    table.read_stdout_until("  gone");
    json.read_stdout_until("{\"gone\":{\"id\":");
    table.signal(Signal::SIGINT);
    let table = table.wait();
    assert!(!table.stdout.contains('\x1b'), "no colours and no cursor in a pipe: {table}");
    json.kill();
    let outcome = bed.crilet("ps -w").run_into(closed_pipe());
    assert_eq!((outcome.code(), outcome.stderr.as_str()), (Some(0), ""));
    let full = File::options().write(true).open("/dev/full").unwrap();
    assert_eq!(bed.crilet("ps -w").run_into(full).code(), Some(1));
}

#[test]
fn a_runtime_that_tells_events_is_looked_at_when_it_does() {
    let bed = Bed::new(Fake::builder().image("app:1").with_method("GetContainerEvents"));
    bed.pod("web", "");
    let mut running = bed.crilet("ps -w -o name --interval 1h").start();
    let seen = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Nothing tells when it listens; all that is there is seen at the next event.
        scope.spawn(|| {
            while !seen.load(Ordering::Relaxed) {
                bed.crilet("run web --replace").run();
            }
        });
        let _told = SetWhenDropped(&seen);
        running.read_stdout_until("default/web\n");
    });
    running.kill();
}

#[test]
fn without_a_daemon_events_are_those_of_the_runtime() {
    let bed = two_pods();
    let _filters = filters();
    assert!(bed.fake.exit_container("main", 3));
    insta::assert_snapshot!("events", bed.crilet("events web").run());
    let lines = bed.prepare("events web -o json").stdout;
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!((&last["reason"], &last["type"]), (&"Exited".into(), &"Warning".into()));
    assert_eq!(last["message"], "failed, exit code 3");
    let later = bed.crilet("events --since 2100-01-01T00:00:00Z").run();
    assert_eq!((later.code(), later.stdout.as_str()), (Some(0), ""), "{later}");
    assert_eq!(bed.crilet("events none").run().code(), Some(4));
    assert_eq!(bed.crilet("events --socket none.sock").run().code(), Some(8), "it was said where");
}

#[test]
fn what_happens_is_told_as_it_happens() {
    let bed = Bed::with_app();
    bed.pod("web", "");
    bed.pod("db", "");
    let mut running = bed.crilet("events -w default/web").start();
    bed.wait_for_call("ListPodSandbox");
    bed.prepare("run db");
    bed.prepare("run web");
    for told in ["Created", "Started"] {
        running.read_stdout_until(told);
    }
    bed.prepare("stop web");
    running.read_stdout_until("Exited");
    bed.prepare("rm web");
    running.read_stdout_until("the pod was removed\n");
    running.signal(Signal::SIGTERM);
    let rest = running.wait();
    assert!(!rest.stdout.contains("default/db"), "{rest}");
}

#[test]
fn names_of_what_may_be_measured() {
    let bed = two_pods();
    assert_eq!(bed.prepare("stats -o name").stdout, "default/web\ndefault/web/main\n");
    assert_eq!(bed.prepare("stats web/main -o name").stdout, "default/web/main\n");
    let table = bed.prepare("stats --interval 10ms web").stdout;
    assert!(table.starts_with("NAME ") && table.lines().count() == 3, "{table}");
    assert_eq!(bed.crilet("stats none").run().code(), Some(4));
    let top = bed.crilet("top").run();
    assert_eq!(top.code(), Some(1), "{top}");
    assert!(top.stderr.contains("are not a terminal"), "{top}");
}

/// A full id is the runtime's own: lists are read only if it refuses it.
#[test]
fn a_full_id_is_asked_for_without_lists() {
    let bed = two_pods();
    let web: Value = serde_json::from_str(&bed.prepare("ps web -o json").stdout).unwrap();
    let container = web[0]["containers"][0]["id"].as_str().unwrap();
    bed.fake.fault("Exec", Fault::hang());
    let running = bed.crilet(&format!("exec {container} true")).start();
    bed.wait_for_call("Exec");
    assert_eq!(bed.fake.call_lines(), [format!("Exec {container}")]);
    running.kill();
    bed.fake.clear_calls();
    bed.fake.fault("Exec", Fault::fail(Code::NotFound, "none such").always());
    let refused = bed.crilet(&format!("exec {container} true")).run();
    assert!(refused.stderr.contains("none such"), "{refused}");
    let counts = ["ListPodSandbox", "ListContainers", "Exec"].map(|method| bed.count(method));
    assert_eq!(counts, [1, 1, 2], "{:?}", bed.fake.call_lines());
}

#[test]
fn bash_completes_verbs_options_and_names() {
    let bed = two_pods();
    assert_eq!(bed.offered("crilet insp"), ["inspect"]);
    assert_eq!(bed.offered("crilet ps --al"), ["--all"]);
    assert_eq!(bed.offered("crilet ps --output=j"), ["json"], "bash breaks words at `=`");
    assert_eq!(bed.offered("crilet stop "), ["web", "old"]);
    assert_eq!(bed.offered("crilet exec w"), ["web"], "what runs");
    assert_eq!(bed.offered("crilet exec web/m"), ["web/main"]);
    assert_eq!(bed.offered("crilet images docker.io/library/app:"), ["1"], "and at `:`");
    assert_eq!(bed.offered("crilet run we"), ["web"], "a directory");
    assert_eq!(bed.offered("crilet exec web nothing"), Vec::<String>::new());
}

#[test]
fn a_runtime_that_does_not_answer_has_no_names() {
    let bed = Bed::with_app();
    let socket = bed.path("silent.sock");
    let _silent = UnixListener::bind(&socket).unwrap();
    for endpoint in [socket.display().to_string(), bed.path("none.sock").display().to_string()] {
        let complete = "complete fish -- crilet --runtime-endpoint";
        let outcome = bed.crilet(&format!("{complete} unix://{endpoint} inspect we")).run();
        let said = (outcome.code(), outcome.stdout.as_str(), outcome.stderr.as_str());
        assert_eq!(said, (Some(0), "", ""), "{outcome}");
    }
}

#[test]
fn every_verb_has_a_page_of_the_manual_that_groff_takes() {
    let bed = Bed::with_app();
    let pages = bed.prepare("man pages").stdout;
    for name in ["crilet", "crilet-ps", "crilet-image-load", "crilet-net-trace"] {
        assert!(pages.lines().any(|page| page == format!("pages/{name}.1")), "{name}: {pages}");
    }
    assert!(!pages.contains("help") && !pages.contains("complete.1"), "{pages}");
    for page in pages.lines() {
        #[expect(clippy::disallowed_methods, reason = "a tool of the test, not of crilet")]
        let output = std::process::Command::new("groff")
            .args(["-man", "-Tutf8", "-ww", "-z"])
            .arg(bed.path(page))
            .output()
            .unwrap();
        assert!(output.status.success(), "{page}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{page}");
    }
    let page = std::fs::read_to_string(bed.path("pages/crilet-ps.1")).unwrap();
    assert!(page.contains("\\-\\-watch") && page.contains("List pods"), "{page}");
}
