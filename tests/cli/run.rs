//! `crilet run` when it goes well, and when there is a pod already.

use crilet_cri::fake::Fake;

use crate::bed::Bed;

const PORTS: &str = "port_mappings: [{container_port: 80, host_port: 8080}]";

#[test]
fn a_pod_comes_up_and_a_second_run_says_so() {
    let bed = Bed::with_app();
    bed.pod("web", PORTS);
    insta::assert_snapshot!("first", bed.crilet("run web").run());
    assert_eq!(bed.fake.counts(), (1, 1));
    insta::assert_snapshot!("second", bed.crilet("run web").run());
    insta::assert_snapshot!("second_json", bed.crilet("run web --output json").run());
    assert_eq!(bed.fake.counts(), (1, 1));
}

#[test]
fn all_containers_are_started_and_told() {
    let bed = Bed::with_app();
    bed.pod("web", "");
    bed.container("web", "side", "app:1");
    let stdout = bed.prepare("run web").stdout;
    for container in ["main", "side"] {
        assert!(stdout.contains(&format!("\ncontainer  {container} running ")), "{stdout}");
    }
    assert_eq!(bed.fake.counts(), (1, 2));
}

#[test]
fn a_new_pod_is_told_as_json() {
    let bed = Bed::with_app();
    bed.pod("web", PORTS);
    insta::assert_snapshot!(bed.crilet("run web -o json").run());
}

#[test]
fn a_pod_on_the_hosts_network_has_the_hosts_address() {
    let bed = Bed::with_app();
    bed.pod("web", "linux: {security_context: {namespace_options: {network: NODE}}}");
    insta::assert_snapshot!("host_network_run", bed.crilet("run web").run());
    insta::assert_snapshot!("host_network_ps", bed.crilet("ps").run());
}

#[test]
fn files_are_taken_in_any_order_and_from_standard_input() {
    let bed = Bed::with_app();
    bed.pod("web", "");
    let outcome = bed.crilet("run web/main.yaml web/pod.yaml").run();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    let both = "metadata: {name: two, namespace: default}\n---\n\
                metadata: {name: main}\nimage: {image: \"app:1\"}\n";
    let outcome = bed.crilet("run -").input(both).run();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert!(outcome.stdout.starts_with("pod        default/two is up\n"), "{outcome}");
    let pod = "metadata: {name: three, namespace: default}";
    let outcome = bed.crilet("run web/main.yaml -").input(pod).run();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert_eq!(bed.fake.counts(), (3, 3));
}

#[test]
fn another_pod_of_that_name_is_left_alone_until_it_is_to_be_replaced() {
    let bed = Bed::with_app();
    bed.pod("web", "");
    bed.prepare("run web");
    let before = bed.id("web");
    bed.pod("web", "labels: {a: b}");
    insta::assert_snapshot!("other", bed.crilet("run web").run());
    assert_eq!(bed.id("web"), before);
    assert!(bed.fake.exit_container("main", 1));
    insta::assert_snapshot!("incomplete", bed.crilet("run web").run());
    bed.prepare("stop web");
    insta::assert_snapshot!("stopped", bed.crilet("run web").run());
    assert_eq!(bed.id("web"), before);
    bed.fake.clear_calls();
    insta::assert_snapshot!("replaced", bed.crilet("run web --replace").run());
    assert_ne!(bed.id("web"), before);
    assert_eq!(bed.fake.counts(), (1, 1));
}

#[test]
fn images_are_pulled_by_policy() {
    let bed = Bed::new(Fake::builder().registry_image("app:1"));
    bed.pod("web", "");
    insta::assert_snapshot!("never", bed.crilet("run web --pull never").run());
    assert_eq!(bed.count("PullImage"), 0);
    bed.assert_clean();
    bed.prepare("run web");
    bed.prepare("rm web");
    bed.crilet("run web --pull missing").run();
    assert_eq!(bed.count("PullImage"), 0);
    bed.prepare("rm web");
    bed.crilet("run web --pull always").run();
    assert_eq!((bed.count("PullImage"), bed.count("ImageStatus")), (1, 0));
    assert_eq!(bed.fake.counts(), (1, 1));
}

#[test]
fn a_port_that_another_pod_has_is_refused() {
    let bed = Bed::with_app();
    bed.pod("web", PORTS);
    bed.pod("other", PORTS);
    bed.prepare("run web");
    insta::assert_snapshot!(bed.crilet("run other").run());
    assert_eq!(bed.fake.counts(), (1, 1));
    bed.prepare("stop web");
    bed.prepare("run other");
}

#[test]
fn an_unknown_runtime_handler_is_refused() {
    let bed = Bed::with_app();
    bed.pod("web", "");
    insta::assert_snapshot!(bed.crilet("run web --handler kata").run());
    bed.assert_clean();
}
