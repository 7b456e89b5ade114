//! Policy in annotations: what the CRI, or Kubernetes, has no field for.
//!
//! | annotation of the pod | value |
//! | --- | --- |
//! | `crilet.dev/restart-policy` | `Always` (default), `OnFailure`, `Never` |
//! | `crilet.dev/restart-backoff` | pause before the second restart; `10s` by default |
//! | `crilet.dev/restart-backoff-max` | longest pause; `5m` by default |
//! | `crilet.dev/restart-backoff-reset` | how long a container runs until its ends are forgotten; `10m` |
//! | `crilet.dev/termination-grace-period` | how long containers may take to end; `30s` by default |
//! | `crilet.dev/active-deadline` | how long the pod may be active |
//! | `crilet.dev/runtime-handler` | name of the runtime handler |
//!
//! | annotation of a container | value |
//! | --- | --- |
//! | `crilet.dev/restart-policy`, `crilet.dev/termination-grace-period` | as above, for this container |
//! | `crilet.dev/image-pull-policy` | `Always`, `IfNotPresent` (default), `Never` |
//! | `crilet.dev/init` | `true`: runs before the others; with restart policy `Always` beside them |
//! | `crilet.dev/startup-probe`, `-liveness-probe`, `-readiness-probe` | a Probe of Kubernetes as JSON or YAML |
//! | `crilet.dev/post-start`, `crilet.dev/pre-stop` | a LifecycleHandler of Kubernetes |
//!
//! Of these, pods of Kubernetes use those that begin with `restart-backoff`; they have fields for
//! the rest.
//!
//! Limits of logs, `crilet.dev/log-` and one of [`LOG_SETTINGS`], may stand on all of them; on pods
//! also with a container's name behind a point. Here they are only checked: the rotator of
//! `crilet-log` reads them from the runtime, so that pods that others made can have them, too.

use std::{collections::BTreeMap, time::Duration};

use crilet_core::{LOG_SETTINGS, LogSetting, similar};

use super::kube;
use crate::{
    images::PullPolicy,
    model::{Backoff, Hook, Lifecycle, Probe, Probes, RestartPolicy},
};

/// What all of crilet's annotations begin with.
pub const PREFIX: &str = "crilet.dev/";

/// Annotations that other parts of crilet read, by their beginnings behind [`PREFIX`].
const OTHERS: [&str; 1] = ["config-hash"];

/// What annotations about logs begin with, behind [`PREFIX`]. The rotator goes by them.
const LOGS: &str = "log-";

const OF_PODS: [&str; 7] = [
    "restart-policy",
    "restart-backoff",
    "restart-backoff-max",
    "restart-backoff-reset",
    "termination-grace-period",
    "active-deadline",
    "runtime-handler",
];

const OF_CONTAINERS: [&str; 9] = [
    "restart-policy",
    "termination-grace-period",
    "image-pull-policy",
    "init",
    "startup-probe",
    "liveness-probe",
    "readiness-probe",
    "post-start",
    "pre-stop",
];

/// What is wrong with an annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The whole key.
    pub(super) key: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Whether it can be passed over.
    pub(super) harmless: bool,
}

/// Policy of a pod.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct PodPolicy {
    pub(super) restart_policy: RestartPolicy,
    pub(super) backoff: Backoff,
    pub(super) grace: Option<Duration>,
    pub(super) active_deadline: Option<Duration>,
    pub(super) runtime_handler: String,
}

/// Policy of a container.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ContainerPolicy {
    pub(super) restart_policy: Option<RestartPolicy>,
    pub(super) grace: Option<Duration>,
    pub(super) pull_policy: PullPolicy,
    pub(super) init: bool,
    pub(super) probes: Probes,
    pub(super) lifecycle: Lifecycle,
}

/// Reads the policy of a pod of CRI files.
pub(super) fn of_pod(annotations: &BTreeMap<String, String>) -> (PodPolicy, Vec<Wrong>) {
    let mut reader = Reader { annotations, wrong: Vec::new() };
    reader.unknown(&OF_PODS, &OF_CONTAINERS, "the container config");
    reader.logs(true);
    let policy = PodPolicy {
        restart_policy: reader.restart_policy().unwrap_or_default(),
        backoff: reader.backoff(),
        grace: reader.duration("termination-grace-period"),
        active_deadline: reader.deadline(),
        runtime_handler: reader.get("runtime-handler").unwrap_or_default().to_owned(),
    };
    (policy, reader.wrong)
}

/// Reads the policy of a container of CRI files.
pub(super) fn of_container(
    annotations: &BTreeMap<String, String>,
) -> (ContainerPolicy, Vec<Wrong>) {
    let mut reader = Reader { annotations, wrong: Vec::new() };
    reader.unknown(&OF_CONTAINERS, &OF_PODS, "the pod config");
    reader.logs(false);
    let policy = ContainerPolicy {
        restart_policy: reader.restart_policy(),
        grace: reader.duration("termination-grace-period"),
        pull_policy: reader.pull_policy(),
        init: reader.flag("init"),
        probes: Probes {
            startup: reader.probe("startup-probe"),
            liveness: reader.probe("liveness-probe"),
            readiness: reader.probe("readiness-probe"),
        },
        lifecycle: Lifecycle {
            post_start: reader.hook("post-start"),
            pre_stop: reader.hook("pre-stop"),
        },
    };
    (policy, reader.wrong)
}

/// Reads the backoff of a pod of Kubernetes, which has fields for everything else.
pub(super) fn of_kube(annotations: &BTreeMap<String, String>) -> (Backoff, Vec<Wrong>) {
    let mut reader = Reader { annotations, wrong: Vec::new() };
    let backoffs: Vec<_> =
        OF_PODS.into_iter().filter(|key| key.starts_with("restart-backoff")).collect();
    reader.unknown(&backoffs, &[], "");
    reader.logs(true);
    (reader.backoff(), reader.wrong)
}

struct Reader<'a> {
    annotations: &'a BTreeMap<String, String>,
    wrong: Vec<Wrong>,
}

impl Reader<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.annotations.get(&format!("{PREFIX}{key}")).map(String::as_str)
    }

    fn report(&mut self, key: &str, message: String, hint: Option<String>, harmless: bool) {
        self.wrong.push(Wrong { key: format!("{PREFIX}{key}"), message, hint, harmless });
    }

    /// Warns of crilet's own keys that nothing reads.
    fn unknown(&mut self, known: &[&str], elsewhere: &[&str], place: &str) {
        let own = self.annotations.keys().filter_map(|key| key.strip_prefix(PREFIX));
        let own: Vec<_> = own.map(ToOwned::to_owned).collect();
        for key in own {
            let other = key.starts_with(LOGS) || OTHERS.iter().any(|other| key.starts_with(other));
            if other || known.contains(&key.as_str()) {
                continue;
            }
            let hint = if elsewhere.contains(&key.as_str()) {
                Some(format!("it belongs in {place}"))
            } else {
                similar(&key, known.iter().copied())
                    .map(|meant| format!("did you mean `{PREFIX}{meant}`?"))
            };
            self.report(&key, "no annotation of crilet's".to_owned(), hint, true);
        }
    }

    /// Checks limits of logs; those of a pod may name a container.
    fn logs(&mut self, of_pod: bool) {
        for (key, value) in self.annotations {
            let Some(key) = key.strip_prefix(PREFIX) else { continue };
            let Some(setting) = key.strip_prefix(LOGS) else { continue };
            let name = match setting.split_once('.') {
                Some((name, _)) if of_pod => name,
                _ => setting,
            };
            match LogSetting::read(name, value) {
                Some(Ok(_)) => {}
                Some(Err(expected)) => {
                    self.report(key, format!("{value:?}: expected {expected}"), None, false);
                }
                None => {
                    let meant = similar(name, LOG_SETTINGS);
                    let hint = meant.map(|meant| format!("did you mean `{PREFIX}{LOGS}{meant}`?"));
                    self.report(key, "no annotation of crilet's".to_owned(), hint, true);
                }
            }
        }
    }

    /// One of a few words.
    fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.get(key)?.to_owned();
        let found = choices.iter().find(|(name, _)| *name == value);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            let hint = similar(&value, names.iter().copied());
            let hint = hint.map(|meant| format!("did you mean `{meant}`?"));
            self.report(key, format!("{value:?} is none of {}", names.join(", ")), hint, false);
        }
        found.map(|(_, choice)| *choice)
    }

    fn restart_policy(&mut self) -> Option<RestartPolicy> {
        use RestartPolicy::{Always, Never, OnFailure};
        let choices = [("Always", Always), ("OnFailure", OnFailure), ("Never", Never)];
        self.choice("restart-policy", &choices)
    }

    fn pull_policy(&mut self) -> PullPolicy {
        use PullPolicy::{Always, Missing, Never};
        let choices = [("Always", Always), ("IfNotPresent", Missing), ("Never", Never)];
        self.choice("image-pull-policy", &choices).unwrap_or_default()
    }

    fn flag(&mut self, key: &str) -> bool {
        self.choice(key, &[("true", true), ("false", false)]).unwrap_or_default()
    }

    fn duration(&mut self, key: &str) -> Option<Duration> {
        let value = self.get(key)?.to_owned();
        let duration = parse_duration(&value);
        if duration.is_none() {
            let hint = "such as `10s`, `1m30s`, `500ms`".to_owned();
            self.report(key, format!("{value:?} is not a duration"), Some(hint), false);
        }
        duration
    }

    /// A pod that may not be active at all would never be started.
    fn deadline(&mut self) -> Option<Duration> {
        let deadline = self.duration("active-deadline")?;
        if deadline.is_zero() {
            self.report("active-deadline", "is nothing".to_owned(), None, false);
        }
        Some(deadline)
    }

    fn backoff(&mut self) -> Backoff {
        let default = Backoff::DEFAULT;
        let initial = self.duration("restart-backoff");
        let max = self.duration("restart-backoff-max");
        let reset = self.duration("restart-backoff-reset").unwrap_or_else(|| default.reset());
        // A maximum below the usual beginning lowers that, as with the kubelet; a beginning above
        // the usual maximum raises that.
        let initial_or = initial
            .unwrap_or_else(|| max.unwrap_or_else(|| default.initial()).min(default.initial()));
        let max_or = max.unwrap_or_else(|| default.max().max(initial_or));
        Backoff::try_new(initial_or, max_or, reset).unwrap_or_else(|error| {
            let key = if initial.is_some() { "restart-backoff" } else { "restart-backoff-max" };
            self.report(key, error.to_string(), None, false);
            default
        })
    }

    fn probe(&mut self, key: &str) -> Option<Probe> {
        let text = self.get(key)?.to_owned();
        self.parsed(key, kube::probe_from_text(&text, key))
    }

    fn hook(&mut self, key: &str) -> Option<Hook> {
        let text = self.get(key)?.to_owned();
        self.parsed(key, kube::hook_from_text(&text))
    }

    fn parsed<T>(&mut self, key: &str, parsed: Result<T, Vec<String>>) -> Option<T> {
        parsed
            .map_err(|messages| {
                for message in messages {
                    self.report(key, message, None, false);
                }
            })
            .ok()
    }
}

/// `10s`, `1m30s`, `500ms`, `2h`; a number alone is seconds.
fn parse_duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|sign: char| !sign.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|sign: char| sign.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let number: u64 = number.parse().ok()?;
        let part = match unit {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            _ => return None,
        };
        total = total.checked_add(part)?;
        rest = after;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("30", Some(30_000)),
            ("10s", Some(10_000)),
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("2h", Some(7_200_000)),
            ("", None),
            ("s", None),
            ("10x", None),
            ("1.5s", None),
            ("-1s", None),
            ("10s5", None),
        ] {
            assert_eq!(parse_duration(text).map(|time| time.as_millis()), millis, "{text}");
        }
    }

    fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| (format!("{PREFIX}{key}"), (*value).to_owned())).collect()
    }

    #[test]
    fn a_backoff_may_be_lowered_or_raised_at_either_end() {
        let backoff = |pairs: &[(&str, &str)]| {
            let (backoff, wrong) = of_kube(&annotations(pairs));
            assert_eq!(wrong, []);
            (backoff.initial().as_secs(), backoff.max().as_secs())
        };
        assert_eq!(backoff(&[]), (10, 300));
        assert_eq!(backoff(&[("restart-backoff-max", "5s")]), (5, 5));
        assert_eq!(backoff(&[("restart-backoff", "10m")]), (600, 600));
        assert_eq!(backoff(&[("restart-backoff", "1s"), ("restart-backoff-max", "2s")]), (1, 2));
        let both = [("restart-backoff", "3s"), ("restart-backoff-max", "2s")];
        let (_, wrong) = of_kube(&annotations(&both));
        assert_eq!(wrong[0].message, "the first backoff is longer than the longest");
    }

    #[test]
    fn limits_of_logs_are_checked() {
        let found = |read: &dyn Fn(&BTreeMap<String, String>) -> Vec<Wrong>, key: &str, value| {
            let wrong = read(&annotations(&[(key, value)]));
            wrong.first().map(|wrong| (wrong.message.clone(), wrong.hint.clone(), wrong.harmless))
        };
        let pod = |annotations: &_| of_pod(annotations).1;
        let kube = |annotations: &_| of_kube(annotations).1;
        let container = |annotations: &_| of_container(annotations).1;
        for (key, value) in [
            ("log-max-size", "1Mi"),
            ("log-max-size", "none"),
            ("log-max-files", "3"),
            ("log-max-age", "14d"),
            ("log-compression", "zstd"),
        ] {
            for read in [&pod as &dyn Fn(&_) -> _, &kube, &container] {
                assert_eq!(found(read, key, value), None, "{key}: {value}");
                let (message, _, harmless) = found(read, key, "?").unwrap();
                assert!(message.starts_with("\"?\": expected ") && !harmless, "{message}");
            }
            assert_eq!(found(&pod, &format!("{key}.db"), value), None);
            assert_eq!(found(&kube, &format!("{key}.db"), value), None);
            assert!(found(&container, &format!("{key}.db"), value).is_some());
        }
        let (message, hint, harmless) = found(&pod, "log-max-siez", "1Mi").unwrap();
        assert_eq!((message.as_str(), harmless), ("no annotation of crilet's", true));
        assert_eq!(hint.unwrap(), "did you mean `crilet.dev/log-max-size`?");
    }

    /// What is documented is what is read, and the other way round.
    #[test]
    fn documents_tell_of_every_limit_of_logs() {
        for document in ["docs/manifests.md", "docs/logs.md"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(document);
            let text = std::fs::read_to_string(path).unwrap();
            let mut told: Vec<&str> = text.split("`crilet.dev/log-").skip(1).collect();
            for rest in &mut told {
                let end = rest.find(|sign: char| !sign.is_ascii_lowercase() && sign != '-');
                *rest = rest.split_at(end.unwrap()).0;
            }
            told.sort_unstable();
            told.dedup();
            let mut known = LOG_SETTINGS.to_vec();
            known.sort_unstable();
            assert_eq!(told, known, "{document}");
        }
    }

    #[test]
    fn a_containers_policy_is_read() {
        let (policy, wrong) = of_container(&annotations(&[
            ("restart-policy", "Always"),
            ("init", "true"),
            ("termination-grace-period", "3"),
            ("liveness-probe", "{httpGet: {port: 80, path: /x}, periodSeconds: 2}"),
            ("pre-stop", r#"{"sleep": {"seconds": 2}}"#),
            ("log-max-size", "1Mi"),
        ]));
        assert_eq!(wrong, []);
        assert!(policy.init);
        assert_eq!(policy.restart_policy, Some(RestartPolicy::Always));
        assert_eq!(policy.grace, Some(Duration::from_secs(3)));
        assert_eq!(policy.probes.liveness.unwrap().period, Duration::from_secs(2));
        assert_eq!(policy.lifecycle.pre_stop, Some(Hook::Sleep(Duration::from_secs(2))));
    }
}
