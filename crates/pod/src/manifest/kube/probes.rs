//! Probes and hooks.

use std::{num::NonZeroU32, path::Path, time::Duration};

use crilet_core::{similar, yaml};
use k8s_openapi::{
    api::core::v1::{self as k8s, ExecAction, HTTPGetAction, LifecycleHandler, TCPSocketAction},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::decode::decode;
use crate::{
    manifest::{
        check::Check,
        report::{Report, Scope, item, join},
    },
    model::{Handler, Hook, HttpGet, Lifecycle, Probe, Probes, Scheme},
};

/// The largest number of seconds that is taken: more than a century is a slip.
const MAX_SECONDS: u32 = i32::MAX.cast_unsigned();

/// Names that a container gives its ports.
pub(super) type Ports<'a> = &'a [(String, u16)];

/// Which of a container's probes one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Startup,
    Liveness,
    Readiness,
}

/// Lowers the probes of the container at `path`.
pub(super) fn probes(
    check: &mut Check<'_>,
    path: &str,
    container: &k8s::Container,
    ports: Ports<'_>,
) -> Probes {
    let mut one = |field: &str, role, probe: Option<&k8s::Probe>| {
        self::probe(check, &join(path, field), probe?, role, ports)
    };
    Probes {
        startup: one("startupProbe", Role::Startup, container.startup_probe.as_ref()),
        liveness: one("livenessProbe", Role::Liveness, container.liveness_probe.as_ref()),
        readiness: one("readinessProbe", Role::Readiness, container.readiness_probe.as_ref()),
    }
}

fn probe(
    check: &mut Check<'_>,
    path: &str,
    probe: &k8s::Probe,
    role: Role,
    ports: Ports<'_>,
) -> Option<Probe> {
    let given = [
        probe.exec.as_ref().map(|exec| Given::Exec("exec", exec)),
        probe.http_get.as_ref().map(|http| Given::Http("httpGet", http)),
        probe.tcp_socket.as_ref().map(|tcp| Given::Tcp("tcpSocket", tcp)),
        probe.grpc.as_ref().map(|grpc| Given::Grpc("grpc", grpc)),
    ];
    let handlers = "one of `exec`, `httpGet`, `tcpSocket`, `grpc`";
    let handler = only(check, path, given, handlers)?;
    let handler = self::handler(check, path, handler, ports)?;
    let seconds = |check: &mut Check<'_>, field: &str, value: Option<i32>, least, default| {
        let path = join(path, field);
        let seconds = check.bounded(&path, value, (least, MAX_SECONDS), default);
        Duration::from_secs(u64::from(seconds))
    };
    let count = |check: &mut Check<'_>, field: &str, value: Option<i32>, default| {
        let count: u32 = check.bounded(&join(path, field), value, (1, MAX_SECONDS), default);
        NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
    };
    let mut successes = probe.success_threshold;
    if role != Role::Readiness && successes.is_some_and(|count| count != 1) {
        let message = "has to be 1, except for a readiness probe";
        check.wrong(&join(path, "successThreshold"), message);
        successes = None;
    }
    let grace = probe.termination_grace_period_seconds;
    let grace_path = join(path, "terminationGracePeriodSeconds");
    if grace.is_some() && role == Role::Readiness {
        check.wrong(&grace_path, "a readiness probe ends no container");
    }
    Some(Probe {
        handler,
        initial_delay: seconds(check, "initialDelaySeconds", probe.initial_delay_seconds, 0, 0),
        period: seconds(check, "periodSeconds", probe.period_seconds, 1, 10),
        timeout: seconds(check, "timeoutSeconds", probe.timeout_seconds, 1, 1),
        successes: count(check, "successThreshold", successes, 1),
        failures: count(check, "failureThreshold", probe.failure_threshold, 3),
        grace: grace.map(|grace| {
            let seconds: u32 = check.bounded(&grace_path, Some(grace), (1, MAX_SECONDS), 1);
            Duration::from_secs(u64::from(seconds))
        }),
    })
}

/// Lowers the hooks of the container at `path`.
pub(super) fn lifecycle(
    check: &mut Check<'_>,
    path: &str,
    container: &k8s::Container,
    ports: Ports<'_>,
) -> Lifecycle {
    let Some(lifecycle) = &container.lifecycle else { return Lifecycle::default() };
    let path = join(path, "lifecycle");
    let mut one = |field: &str, handler: Option<&LifecycleHandler>| {
        hook(check, &join(&path, field), handler?, ports)
    };
    Lifecycle {
        post_start: one("postStart", lifecycle.post_start.as_ref()),
        pre_stop: one("preStop", lifecycle.pre_stop.as_ref()),
    }
}

fn hook(
    check: &mut Check<'_>,
    path: &str,
    hook: &LifecycleHandler,
    ports: Ports<'_>,
) -> Option<Hook> {
    let given = [
        hook.exec.as_ref().map(|exec| Given::Exec("exec", exec)),
        hook.http_get.as_ref().map(|http| Given::Http("httpGet", http)),
        hook.tcp_socket.as_ref().map(|tcp| Given::Tcp("tcpSocket", tcp)),
        hook.sleep.as_ref().map(|sleep| Given::Sleep("sleep", sleep)),
    ];
    let handlers = "one of `exec`, `httpGet`, `tcpSocket`, `sleep`";
    match only(check, path, given, handlers)? {
        Given::Sleep(field, sleep) => {
            let path = format!("{path}.{field}.seconds");
            let seconds: u32 = check.bounded(&path, Some(sleep.seconds), (0, MAX_SECONDS), 0);
            Some(Hook::Sleep(Duration::from_secs(u64::from(seconds))))
        }
        given => handler(check, path, given, ports).map(Hook::Handler),
    }
}

#[derive(Clone, Copy)]
enum Given<'a> {
    Exec(&'static str, &'a ExecAction),
    Http(&'static str, &'a HTTPGetAction),
    Tcp(&'static str, &'a TCPSocketAction),
    Grpc(&'static str, &'a k8s::GRPCAction),
    Sleep(&'static str, &'a k8s::SleepAction),
}

impl Given<'_> {
    fn field(self) -> &'static str {
        match self {
            Self::Exec(field, _)
            | Self::Http(field, _)
            | Self::Tcp(field, _)
            | Self::Grpc(field, _)
            | Self::Sleep(field, _) => field,
        }
    }
}

/// The one handler that is given.
fn only<'a>(
    check: &mut Check<'_>,
    path: &str,
    given: [Option<Given<'a>>; 4],
    handlers: &str,
) -> Option<Given<'a>> {
    let mut given = given.into_iter().flatten();
    let Some(first) = given.next() else {
        check.wrong_hint(path, "does not say what to do", handlers);
        return None;
    };
    for other in given {
        let path = join(path, other.field());
        check.wrong_hint(&path, format!("given beside `{}`", first.field()), handlers);
    }
    Some(first)
}

fn handler(
    check: &mut Check<'_>,
    path: &str,
    given: Given<'_>,
    ports: Ports<'_>,
) -> Option<Handler> {
    let path = join(path, given.field());
    Some(match given {
        Given::Exec(_, exec) => {
            let command = exec.command.clone().unwrap_or_default();
            if command.is_empty() {
                check.missing(&join(&path, "command"));
            }
            Handler::Exec(command)
        }
        Given::Http(_, http) => Handler::Http(self::http(check, &path, http, ports)),
        Given::Tcp(_, tcp) => Handler::Tcp {
            host: host(tcp.host.as_ref()),
            port: port(check, &join(&path, "port"), &tcp.port, ports),
        },
        Given::Grpc(_, grpc) => Handler::Grpc {
            port: check.port(&join(&path, "port"), grpc.port),
            service: grpc.service.clone().unwrap_or_default(),
        },
        Given::Sleep(..) => return None,
    })
}

fn http(check: &mut Check<'_>, path: &str, http: &HTTPGetAction, ports: Ports<'_>) -> HttpGet {
    let schemes = [("HTTP", Scheme::Http), ("HTTPS", Scheme::Https)];
    let scheme_path = join(path, "scheme");
    let scheme = check.choice(&scheme_path, http.scheme.as_deref(), &schemes, Scheme::Http);
    let headers_path = join(path, "httpHeaders");
    let mut headers = Vec::new();
    for (index, header) in http.http_headers.iter().flatten().enumerate() {
        let fits = |sign: char| sign.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(sign);
        let path = join(&item(&headers_path, index), "name");
        if header.name.is_empty() {
            check.missing(&path);
        } else if !header.name.chars().all(fits) {
            check.wrong(&path, format!("{:?} is not the name of a header", header.name));
        }
        if header.value.contains(['\r', '\n']) {
            check.wrong(&join(&item(&headers_path, index), "value"), "has a line break in it");
        }
        headers.push((header.name.clone(), header.value.clone()));
    }
    let given = http.path.clone().unwrap_or_default();
    if given.contains(|sign: char| sign.is_whitespace() || sign.is_control()) {
        check.wrong(&join(path, "path"), "has a blank in it");
    }
    HttpGet {
        scheme,
        host: host(http.host.as_ref()),
        port: port(check, &join(path, "port"), &http.port, ports),
        path: if given.starts_with('/') { given } else { format!("/{given}") },
        headers,
    }
}

fn host(given: Option<&String>) -> Option<String> {
    given.filter(|host| !host.is_empty()).cloned()
}

fn port(check: &mut Check<'_>, path: &str, port: &IntOrString, ports: Ports<'_>) -> u16 {
    let name = match port {
        IntOrString::Int(number) => return check.port(path, *number),
        IntOrString::String(name) => name,
    };
    if let Some((_, number)) = ports.iter().find(|(known, _)| known == name) {
        return *number;
    }
    if name.is_empty() {
        check.missing(path);
    } else if name.parse::<u16>().is_ok() {
        check.wrong_hint(
            path,
            format!("{name:?} is a name, not a number"),
            "write it without quotes",
        );
    } else {
        let message = format!("{name:?} is no port of this container");
        match similar(name, ports.iter().map(|(known, _)| known.as_str())) {
            Some(meant) => check.wrong_hint(path, message, format!("did you mean `{meant}`?")),
            None => check.wrong_hint(path, message, "a number, or a name in its `ports`"),
        }
    }
    0
}

/// Reads a probe from an annotation of a CRI file; `key` tells which.
///
/// # Errors
/// What is wrong with it, each with its path inside the text.
pub(in crate::manifest) fn probe_from_text(text: &str, key: &str) -> Result<Probe, Vec<String>> {
    let role = match key {
        "startup-probe" => Role::Startup,
        "liveness-probe" => Role::Liveness,
        _ => Role::Readiness,
    };
    from_text(text, |check, given: &k8s::Probe| probe(check, "", given, role, &[]))
}

/// Reads a hook from an annotation of a CRI file.
///
/// # Errors
/// As [`probe_from_text`].
pub(in crate::manifest) fn hook_from_text(text: &str) -> Result<Hook, Vec<String>> {
    from_text(text, |check, given: &LifecycleHandler| hook(check, "", given, &[]))
}

fn from_text<T: serde::de::DeserializeOwned + Default, R>(
    text: &str,
    lower: impl FnOnce(&mut Check<'_>, &T) -> Option<R>,
) -> Result<R, Vec<String>> {
    let parsed = yaml::parse(text.as_bytes()).and_then(yaml::Stream::without_duplicates);
    let documents = parsed.map_err(|error| vec![error.to_string()])?;
    let [root] = documents.as_slice() else { return Err(vec!["nothing in it".to_owned()]) };
    let mut report = Report::default();
    let file = Path::new("");
    let given: T = decode(file, root, "", &mut report);
    let mut check = Check { scope: Scope { file, root, base: "" }, report: &mut report };
    let lowered = lower(&mut check, &given);
    match lowered {
        Some(lowered) if !report.has_errors() => Ok(lowered),
        _ => Err(report.into_findings().into_iter().map(inside).collect()),
    }
}

/// A finding inside an annotation has a path, but no file and line of its own.
fn inside(finding: crilet_cri::config::Finding) -> String {
    let colon = if finding.path.is_empty() { "" } else { ": " };
    let hint = finding.hint.map_or_else(String::new, |hint| format!(" ({hint})"));
    format!("{}{colon}{}{hint}", finding.path, finding.message)
}
