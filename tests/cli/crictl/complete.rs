//! Completion of crictl's words.

use super::{crictl, ends_with, one_pod};
use crate::bed::Bed;

#[test]
fn shells_get_completion() {
    let bed = Bed::with_app();
    for shell in ["", "bash", "zsh", "fish"] {
        let outcome = ends_with(0, crictl(&bed, &format!("completion {shell}")).run());
        assert!(outcome.stdout.contains(" --complete "), "{outcome}");
        assert!(!outcome.stdout.contains("crilet"), "{outcome}");
    }
}

/// Commands, options, values and ids of what is there, by crictl's name and behind crilet's.
#[test]
fn commands_options_and_ids_are_completed() {
    let (bed, pod, container) = one_pod();
    bed.write("pod2.yaml", "metadata: {name: other, namespace: default, uid: v}\n");
    let other = ends_with(0, crictl(&bed, "runp pod2.yaml").run()).stdout.trim().to_owned();
    ends_with(0, crictl(&bed, &format!("stopp {other}")).run());
    let short = |id: &str| id.get(..13).unwrap().to_owned();
    for program in ["crictl", "crilet crictl"] {
        let offered = |line: &str| bed.offered(&format!("{program} {line}"));
        assert_eq!(offered("statsp"), ["statsp"]);
        assert_eq!(offered("ps --no-t"), ["--no-trunc"]);
        assert_eq!(offered("ps --output=y"), ["yaml"], "bash breaks words at `=`");
        assert_eq!(offered("exec "), [short(&container)]);
        let begun = container.get(..2).unwrap();
        assert_eq!(offered(&format!("logs {begun}")), [short(&container)]);
        let longer = container.get(..20).unwrap();
        assert_eq!(offered(&format!("rm {longer}")), [container.as_str()]);
        assert_eq!(offered("port-forward "), [short(&pod)], "what is up");
        assert_eq!(offered("rmp ").len(), 2);
        assert_eq!(offered("rmi docker.io/library/app:"), ["1"], "bash breaks words at `:`");
        assert_eq!(offered("runp pod2"), ["pod2.yaml"]);
        assert_eq!(offered("start "), Vec::<String>::new(), "nothing is created only");
    }
    // A socket on the line is asked, wherever it stands.
    for line in ["crictl -r /nonexistent.sock exec ", "crilet -r /nonexistent.sock crictl exec "] {
        assert_eq!(bed.offered(line), Vec::<String>::new(), "{line}");
    }
}
