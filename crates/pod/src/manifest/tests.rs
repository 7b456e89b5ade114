use std::{path::Path, time::Duration};

use crilet_cri::v1;
use proptest::prelude::*;

use super::*;
use crate::{
    images::PullPolicy,
    model::{EnvValue, Format, Handler, Hook, LateValue, Qos, RestartPolicy, VolumeSource},
};

fn everything() -> Manifests {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/manifests/everything.yaml");
    read_one(&std::fs::read_to_string(path).unwrap())
}

fn try_read(text: &str) -> Result<Manifests, Findings> {
    let text = Text { file: "f.yaml".into(), content: text.into() };
    read(&[text], &ReadOptions::default())
}

fn read_one(text: &str) -> Manifests {
    try_read(text).unwrap_or_else(|findings| panic!("{findings}"))
}

/// A pod with this in its spec and in its container.
fn pod(spec: &str, container: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {{{spec} containers: \
         [{{name: c, image: i, {container}}}]}}}}"
    )
}

#[test]
fn everything_is_read() {
    let manifests = everything();
    assert_eq!(manifests.warnings, []);
    assert_eq!(manifests.claims, [("lab".to_owned(), "data".to_owned())]);
    let [pod] = manifests.pods.as_slice() else { panic!("{manifests:#?}") };
    assert_eq!(pod.full_name(), "lab/everything");
    assert_eq!((pod.restart_policy, pod.qos), (RestartPolicy::OnFailure, Qos::Burstable));
    assert_eq!(pod.backoff.initial(), Duration::from_secs(1));
    assert_eq!(pod.names.fqdn.as_deref(), Some("every.thing.lab.svc.cluster.local"));
    let ports: Vec<_> = pod.sandbox.port_mappings.iter().map(|port| port.host_port).collect();
    assert_eq!(ports, [9090, 8080], "those of sidecars count");
    assert!(pod.init[1].is_sidecar() && !pod.init[0].is_sidecar());
    let auth = pod.pull_secrets.for_image("registry.example/a").unwrap().unwrap();
    assert_eq!((auth.username.as_str(), auth.password.as_str()), ("me", "geheim"));
    assert!(!format!("{manifests:?}").contains("geheim"), "a secret shows");
}

#[test]
fn variables_come_from_everywhere() {
    let manifests = everything();
    let env = &manifests.pods[0].containers[0].env;
    let value = |name: &str| &env.iter().find(|variable| variable.name == name).unwrap().value;
    let exact = |text: &str| EnvValue::Exact(text.to_owned());
    assert_eq!(value("NUMBER"), &EnvValue::Text("8080".to_owned()));
    assert_eq!(value("CFG_greeting"), &exact("hello $(WHO)"), "not to be expanded");
    assert_eq!(value("TIER"), &exact("test"));
    assert_eq!(value("MEMORY"), &exact("64"));
    assert_eq!(value("POD_IP"), &EnvValue::Late(LateValue::PodIp));
    assert!(matches!(value("TOKEN"), EnvValue::Secret(token) if token.reveal() == "geheim"));
    assert!(!env.iter().any(|variable| variable.name == "CFG_raw"), "as in Kubernetes");
}

#[test]
fn probes_hooks_and_files_are_lowered() {
    let manifests = everything();
    let main = &manifests.pods[0].containers[0];
    let liveness = main.probes.liveness.as_ref().unwrap();
    assert!(matches!(&liveness.handler, Handler::Http(http) if http.port == 80));
    assert_eq!(liveness.timeout, Duration::from_secs(1));
    assert_eq!(main.probes.readiness.as_ref().unwrap().successes.get(), 2);
    assert_eq!(main.lifecycle.pre_stop, Some(Hook::Sleep(Duration::from_secs(1))));
    let VolumeSource::Files(files) = &manifests.pods[0].volume("settings").unwrap().source else {
        panic!("not files");
    };
    let modes: Vec<_> =
        files.files.iter().map(|file| (file.path.to_str().unwrap(), file.mode)).collect();
    assert_eq!(modes, [("color", 0o600), ("deep/raw", 0o644), ("nested.conf", 0o644)]);
}

#[test]
fn a_deployment_is_as_many_pods() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: lab}\n\
        spec:\n  replicas: 2\n  strategy: {type: Recreate}\n  selector: {matchLabels: {app: web}}\n  \
        template:\n    metadata: {labels: {app: web}}\n    \
        spec: {containers: [{name: c, image: 'busybox:1'}], tolerations: [{operator: Exists}]}\n";
    let manifests = read_one(text);
    let names: Vec<_> = manifests.pods.iter().map(Pod::full_name).collect();
    assert_eq!(names, ["lab/web-0", "lab/web-1"]);
    assert_ne!(manifests.pods[0].uid, manifests.pods[1].uid);
    let format = Format::Deployment { name: "web".to_owned(), index: 1 };
    assert_eq!(manifests.pods[1].origin.format, format);
    // Said once, not for each pod.
    let warnings: Vec<_> = manifests.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "f.yaml:6:3: spec.strategy: ignored: an edited pod is stopped and started again in its \
             place",
            "f.yaml:10:57: spec.template.spec.tolerations: ignored: there is one node only",
        ]
    );
}

#[test]
fn a_list_is_its_items() {
    let text = format!(
        "{{apiVersion: v1, kind: List, metadata: {{}}, items: [{}, {{apiVersion: v1, kind: \
         ConfigMap, metadata: {{name: m}}, data: {{k: v}}}}]}}",
        pod("", "envFrom: [{configMapRef: {name: m}}]")
    );
    assert_eq!(read_one(&text).pods[0].containers[0].env[0].name, "k");
}

#[test]
fn scalars_are_those_of_yaml_1_1_and_text_is_text() {
    let text = pod(
        "hostNetwork: yes, hostPID: On,",
        "env: [{name: A, value: yes}, {name: B, value: 0644}, {name: C, value: }], args: [8080, 1.50, null_]",
    );
    let manifests = read_one(&text);
    assert!(manifests.pods[0].uses_host_network());
    let container = &manifests.pods[0].containers[0];
    let values: Vec<_> = container.env.iter().map(|variable| variable.value.clone()).collect();
    assert_eq!(values, ["yes", "0644", ""].map(|text| EnvValue::Text(text.to_owned())));
    assert_eq!(container.config.args, ["8080", "1.50", "null_"]);
    let quoted = try_read(&pod("", "ports: [{containerPort: \"80\"}]")).unwrap_err().to_string();
    assert!(quoted.contains("expected a whole number, found \"80\""), "{quoted}");
}

#[test]
fn images_are_pulled_as_kubernetes_does_it() {
    let policy = |image: &str, given: &str| {
        let text = pod("", "").replace("image: i, ", &format!("image: \"{image}\", {given}"));
        read_one(&text).pods[0].containers[0].pull_policy
    };
    assert_eq!(policy("busybox", ""), PullPolicy::Always);
    assert_eq!(policy("busybox:latest", ""), PullPolicy::Always);
    assert_eq!(policy("busybox:1", ""), PullPolicy::Missing);
    let digest = format!("busybox@sha256:{}", "0".repeat(64));
    assert_eq!(policy(&digest, ""), PullPolicy::Missing);
    assert_eq!(policy("busybox", "imagePullPolicy: Never"), PullPolicy::Never);
}

#[test]
fn a_cri_directory_is_a_pod_with_policy_in_annotations() {
    let text = |file: &str, content: &str| Text { file: file.into(), content: content.into() };
    let manifests = read(
        &[
            text(
                "pod.json",
                r#"{"metadata": {"name": "blog", "namespace": "default", "uid": "u1"},
                "annotations": {"crilet.dev/restart-policy": "OnFailure"}}"#,
            ),
            text("setup.yaml", "metadata: {name: setup}\nimage: {image: a}\nannotations: {crilet.dev/init: 'true'}\n"),
            text("wp.yaml", "metadata: {name: wp}\nimage: {image: a}\n"),
        ],
        &ReadOptions::default(),
    )
    .unwrap_or_else(|findings| panic!("{findings}"));
    let [pod] = manifests.pods.as_slice() else { panic!("{manifests:#?}") };
    assert_eq!((pod.uid.as_str(), pod.restart_policy), ("u1", RestartPolicy::OnFailure));
    assert_eq!(pod.sandbox.log_directory, "/var/log/pods/default_blog_u1");
    assert_eq!((pod.init[0].name.as_str(), pod.containers[0].name.as_str()), ("setup", "wp"));
    assert_eq!(pod.sandbox.hostname, "blog");
}

#[test]
fn an_edit_makes_anew_only_what_it_has_to() {
    let hashes = |spec: &str, container: &str| {
        let pod = read_one(&pod(spec, container)).pods.remove(0);
        (pod.sandbox_hash.clone(), pod.containers[0].hash.clone())
    };
    let (sandbox, container) = hashes("", "env: [{name: A, value: b}]");
    let same = (sandbox.clone(), container.clone());
    // Policy holds at once.
    let probe = "env: [{name: A, value: b}], livenessProbe: {tcpSocket: {port: 1}}";
    assert_eq!(hashes("terminationGracePeriodSeconds: 1,", probe), same);
    assert_eq!(hashes("restartPolicy: Never,", "env: [{name: A, value: b}]"), same);
    // One container.
    let edited = hashes("", "env: [{name: A, value: c}]");
    assert_eq!(edited.0, sandbox);
    assert_ne!(edited.1, container);
    assert_ne!(
        hashes("", "env: [{name: A, value: b}], resources: {limits: {cpu: 1}}").1,
        container
    );
    // The sandbox.
    assert_ne!(hashes("hostIPC: true,", "env: [{name: A, value: b}]").0, sandbox);
    assert_ne!(hashes("dnsPolicy: Default,", "env: [{name: A, value: b}]").0, sandbox);
    let ports = "env: [{name: A, value: b}], ports: [{containerPort: 1, hostPort: 1}]";
    assert_ne!(hashes("", ports).0, sandbox);
}

#[test]
fn a_mounted_files_edit_needs_nothing_anew_and_a_variables_edit_does() {
    let with = |value: &str, container: &str| {
        let config = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{k: {value}}}\n---\n"
        );
        let spec = "volumes: [{name: v, configMap: {name: m}}],";
        read_one(&(config + &pod(spec, container))).pods.remove(0).containers.remove(0).hash
    };
    let mounted = "volumeMounts: [{name: v, mountPath: /v}]";
    assert_eq!(with("a", mounted), with("b", mounted));
    let variable = "env: [{name: A, valueFrom: {configMapKeyRef: {name: m, key: k}}}]";
    assert_ne!(with("a", variable), with("b", variable));
}

#[test]
fn security_contexts_of_pod_and_container_are_joined() {
    let text = pod(
        "securityContext: {runAsUser: 5, runAsGroup: 6, fsGroup: 7, supplementalGroups: [8]},",
        "securityContext: {runAsUser: 9, capabilities: {add: [cap_net_raw], drop: [ALL]}, \
         seccompProfile: {type: Localhost, localhostProfile: p.json}}",
    );
    let pod = read_one(&text).pods.remove(0);
    let security = pod.containers[0].config.linux.clone().unwrap().security_context.unwrap();
    assert_eq!(security.run_as_user.unwrap().value, 9);
    assert_eq!(security.run_as_group.unwrap().value, 6);
    assert_eq!(security.supplemental_groups, [8, 7]);
    assert_eq!(security.capabilities.unwrap().add_capabilities, ["NET_RAW"]);
    assert_eq!(security.seccomp.unwrap().localhost_ref, "/var/lib/crilet/seccomp/p.json");
    let own = pod.sandbox.linux.unwrap().security_context.unwrap();
    assert_eq!(own.run_as_user.unwrap().value, 5);
    assert_eq!(own.namespace_options.unwrap().pid(), v1::NamespaceMode::Container);
}

/// Fields of a pod in the order of these numbers.
fn shuffled(order: &[usize]) -> String {
    let fields = [
        "hostname: h",
        "subdomain: s",
        "volumes: [{name: v, emptyDir: {}}]",
        "containers: [{image: i, name: c, env: [{name: A, value: b}], volumeMounts: [{name: v, mountPath: /v}]}]",
        "hostAliases: [{ip: 10.0.0.1, hostnames: [x]}]",
    ];
    let spec: Vec<_> = order.iter().map(|index| fields[*index]).collect();
    format!("{{kind: Pod, spec: {{{}}}, metadata: {{name: p}}, apiVersion: v1}}", spec.join(", "))
}

proptest! {
    #[test]
    fn the_order_of_keys_changes_nothing(order in Just(vec![0, 1, 2, 3, 4]).prop_shuffle()) {
        let mut first = read_one(&shuffled(&[0, 1, 2, 3, 4])).pods.remove(0);
        let mut other = read_one(&shuffled(&order)).pods.remove(0);
        prop_assert_eq!(&first.sandbox_hash, &other.sandbox_hash);
        first.origin.position = None;
        other.origin.position = None;
        prop_assert_eq!(first, other);
    }

    #[test]
    fn whatever_is_written_there_is_an_answer(
        text in "(apiVersion: v1\nkind: (Pod|ConfigMap|List)\n)?[a-z:\\[\\]{}\n -]{0,80}",
    ) {
        match try_read(&text) {
            Ok(_) => {}
            Err(Findings(findings)) => {
                prop_assert!(findings.iter().any(|finding| finding.severity == Severity::Error));
            }
        }
    }
}
