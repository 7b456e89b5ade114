//! `crilet publish` and `crilet unpublish`, as far as they touch nothing.

use crate::bed::Bed;

#[test]
fn what_cannot_be_published_is_said_before_anything_is_touched() {
    let bed = Bed::with_app();
    bed.pod("web", "");
    bed.pod("host", "linux: {security_context: {namespace_options: {network: NODE}}}");
    for pod in ["web", "host"] {
        bed.prepare(&format!("run {pod}"));
    }
    let cases = [
        ("publish wbe 80:80", 4, "wbe"),
        ("publish host 80:80", 1, "pod `default/host` has the host's network"),
        ("publish web 80", 64, "is no HOST:POD port mapping such as 8080:80"),
        ("publish web 80:80/icmp", 64, "`icmp` is none of tcp, udp, sctp"),
        ("publish web 0:80", 64, "`0` is no port between 1 and 65535"),
        ("publish web", 64, "<HOST:POD>"),
        ("publish web 80:80 --host-ip here", 64, "invalid IP address"),
        ("unpublish web", 64, "--all"),
        ("unpublish web http", 64, "`http` is no port"),
        ("unpublish web 80 --all", 64, "cannot be used with"),
        ("cni install", 64, "<DIR>"),
        ("runtime up --cni-plugins here", 64, "must be `own` or the absolute path"),
    ];
    for (arguments, code, words) in cases {
        let outcome = bed.crilet(arguments).run();
        assert_eq!(outcome.code(), Some(code), "{arguments}: {outcome}");
        assert!(outcome.stderr.contains(words), "{arguments}: {outcome}");
        assert_eq!(outcome.stdout, "", "{arguments}");
    }
    bed.prepare("stop web");
    for verb in ["publish web 80:80", "unpublish web 80"] {
        let outcome = bed.crilet(verb).run();
        assert_eq!(outcome.code(), Some(4), "{outcome}");
        assert!(outcome.stderr.contains("pod `default/web` does not run"), "{outcome}");
    }
}
