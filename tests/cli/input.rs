//! Input files that cannot be used: everything that is wrong is told, and nothing is touched.

use crate::bed::Bed;

fn check(bed: &Bed, arguments: &str) -> String {
    let outcome = bed.crilet(arguments).run();
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (Some(2), ""), "{outcome}");
    assert_eq!(bed.fake.call_lines(), [""; 0], "the runtime was asked");
    outcome.to_string()
}

#[test]
fn all_findings_are_told_at_their_places() {
    let bed = Bed::with_app();
    bed.pod("web", "port_mappings:\n- {container_port: 80, host_port: 80, host_ip: public_ip}");
    bed.write("web/side.yaml", "metadata: {name: side}\nimage: app:1\nhostname: x\n");
    bed.write("web/tail.json", "{\"metadata\": {\"name\": \"tail\"},,}");
    insta::assert_snapshot!("several", check(&bed, "run web"));
    bed.write("one/pod.yaml", "metadata: {name: one}\n");
    insta::assert_snapshot!("one", check(&bed, "run one/pod.yaml"));
}

#[test]
fn what_is_no_pod_is_told_as_such() {
    let bed = Bed::with_app();
    bed.container("web", "main", "app:1");
    std::fs::create_dir(bed.path("empty")).unwrap();
    let calls = ["run web", "run empty", "run missing.yaml", "run -"];
    insta::assert_snapshot!(calls.map(|arguments| check(&bed, arguments)).join("\n"));
}

#[test]
fn credentials_that_are_none_are_refused_without_being_shown() {
    let bed = Bed::with_app();
    bed.pod("web", "");
    let outcome = bed.crilet("run web --auth geheim!").run();
    assert_eq!(bed.fake.call_lines(), [""; 0]);
    assert!(!outcome.stderr.contains("geheim"), "{outcome}");
    insta::assert_snapshot!(outcome.to_string().replacen("geheim!", "[SECRET]", 1));
}
