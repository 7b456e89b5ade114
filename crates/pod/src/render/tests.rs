use std::{collections::BTreeMap, path::PathBuf};

use crilet_cri::v1;

use super::*;
use crate::{
    manifest::{ReadOptions, Text, read},
    model,
};

fn pods(text: &str) -> Vec<Pod> {
    let text = Text { file: "f.yaml".into(), content: text.into() };
    read(&[text], &ReadOptions::default()).unwrap_or_else(|findings| panic!("{findings}")).pods
}

fn everything() -> Pod {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/manifests/everything.yaml");
    pods(&std::fs::read_to_string(path).unwrap()).remove(0)
}

fn node() -> NodeFacts {
    NodeFacts {
        name: "box".to_owned(),
        cpu: 2000,
        memory: 4 << 30,
        storage: 100 << 30,
        cgroup_v2: true,
        hugepage_sizes: vec![2 << 20],
        least_oom_score_adj: -1000,
    }
}

/// Renders a container whose volumes are all at `/v/NAME`.
fn rendered(pod: &Pod, name: &str, attempt: u32, node: &NodeFacts) -> v1::ContainerConfig {
    let container = pod.container(name).unwrap();
    let volumes: BTreeMap<_, _> = pod
        .volumes
        .iter()
        .map(|volume| (volume.name.clone(), PathBuf::from(format!("/v/{}", volume.name))))
        .collect();
    let empty = BTreeMap::new();
    let ips = ["10.1.2.3".parse().unwrap(), "fd00::3".parse().unwrap()];
    let mut facts = StartFacts {
        attempt,
        pod_ips: &ips,
        host_ips: &[],
        node,
        volumes: &volumes,
        sub_paths: &empty,
        hosts_file: Some("/run/hosts".as_ref()),
        termination_file: Some("/run/last".as_ref()),
        image_user: ImageUser::Unset,
    };
    let parts = sub_paths(container, &facts).unwrap();
    let prepared = parts.iter().map(|(index, part)| (*index, PathBuf::from("/sub").join(part)));
    let prepared = prepared.collect();
    facts.sub_paths = &prepared;
    container_config(pod, container, &facts).unwrap()
}

fn variable(config: &v1::ContainerConfig, name: &str) -> String {
    let found = config.envs.iter().find(|env| env.key == name).unwrap();
    String::from_utf8(found.value.to_vec()).unwrap()
}

#[test]
fn a_container_is_rendered_with_all_its_facts() {
    let pod = everything();
    let config = rendered(&pod, "main", 3, &node());
    assert_eq!(config.metadata.as_ref().unwrap().attempt, 3);
    assert_eq!(config.log_path, "main/3.log");
    assert!(config.args[0].contains("echo world started"), "{:?}", config.args);
    for (name, value) in [
        ("GREETING", "$(WHO) is world"),
        ("CFG_greeting", "hello $(WHO)"),
        ("TOKEN", "geheim"),
        ("POD", "everything"),
        ("POD_IP", "10.1.2.3"),
        ("NODE", "box"),
    ] {
        assert_eq!(variable(&config, name), value, "{name}");
    }
    let mounts: Vec<_> = config
        .mounts
        .iter()
        .map(|mount| (mount.container_path.as_str(), mount.host_path.as_str(), mount.readonly))
        .collect();
    for expected in [
        ("/scratch", "/v/scratch", false),
        ("/part", "/sub/everything/logs", false),
        ("/one.conf", "/sub/nested.conf", true),
        ("/etc/hosts", "/run/hosts", false),
        ("/dev/last-word", "/run/last", false),
    ] {
        assert!(mounts.contains(&expected), "{expected:?} in {mounts:?}");
    }
    let labels = &config.labels;
    assert_eq!(labels[CONTAINER_NAME], "main");
    assert_eq!((labels[POD_NAMESPACE].as_str(), labels[MANAGED_BY].as_str()), ("lab", MANAGER));
    let marks = Marks::read(labels, &config.annotations);
    assert_eq!((marks.managed, marks.attempt), (true, Some(3)));
    assert_eq!(marks.pre_stop, pod.container("main").unwrap().lifecycle.pre_stop);
    assert_eq!(marks.hash.as_deref(), Some(pod.container("main").unwrap().hash.as_str()));
    assert!(marks.termination_fallback);
}

#[test]
fn resources_are_the_kubelets_numbers() {
    let pod = everything();
    let numbers = |name: &str, node: &NodeFacts| {
        rendered(&pod, name, 0, node).linux.unwrap().resources.unwrap()
    };
    let main = numbers("main", &node());
    assert_eq!((main.cpu_shares, main.cpu_quota, main.cpu_period), (102, 50_000, 100_000));
    assert_eq!(main.memory_limit_in_bytes, 64 << 20);
    // 16 MiB of 4 GiB are 3 thousandths.
    assert_eq!(main.oom_score_adj, 997);
    assert_eq!(main.unified["memory.oom.group"], "1");
    let page = v1::HugepageLimit { page_size: "2MB".to_owned(), limit: 0 };
    assert_eq!(main.hugepage_limits, [page]);
    // A sidecar is not killed before the containers that it serves.
    assert_eq!(numbers("beside", &node()).oom_score_adj, 997);
    assert_eq!(numbers("prepare", &node()).oom_score_adj, 999);
    let old = numbers("main", &NodeFacts { cgroup_v2: false, ..node() });
    assert!(old.unified.is_empty());
    let without = numbers("prepare", &node());
    assert_eq!((without.cpu_shares, without.cpu_quota, without.memory_limit_in_bytes), (2, 0, 0));
}

#[test]
fn guaranteed_pods_are_killed_last_as_far_as_the_kernel_lets_us() {
    let resources = "resources: {limits: {cpu: 1, memory: 1Gi}}";
    let text = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {{containers: [{{name: c, \
         image: i, {resources}}}]}}}}"
    );
    let pod = pods(&text).remove(0);
    assert_eq!(pod.qos, model::Qos::Guaranteed);
    let score = |node: &NodeFacts| {
        rendered(&pod, "c", 0, node).linux.unwrap().resources.unwrap().oom_score_adj
    };
    assert_eq!(score(&node()), -997);
    assert_eq!(score(&NodeFacts { least_oom_score_adj: 0, ..node() }), 0);
}

#[test]
fn the_sandbox_is_marked_and_counted() {
    let pod = everything();
    let (dns, left) = dns::resolve(&pod, "nameserver 10.0.0.1\n", None);
    assert_eq!(left, Vec::<String>::new());
    let config = sandbox_config(
        &pod,
        SandboxFacts { attempt: 4, dns, cgroup_parent: "pods.slice".to_owned() },
    );
    assert_eq!(config.metadata.unwrap().attempt, 4);
    assert_eq!(config.labels["app"], "everything");
    assert_eq!(config.labels[POD_UID], pod.uid);
    assert_eq!(config.annotations[SANDBOX_HASH], pod.sandbox_hash);
    assert_eq!(config.linux.unwrap().cgroup_parent, "pods.slice");
    let dns = config.dns_config.unwrap();
    assert_eq!(dns.servers, ["192.0.2.53"], "policy None has no other");
    assert_eq!(dns.searches, ["lab.example"]);
    assert_eq!(dns.options, ["ndots:2", "edns0"]);
}

/// Renders the first container of a pod whose image runs as this user.
fn as_user(text: &str, image_user: ImageUser) -> Result<v1::ContainerConfig, RenderError> {
    let pod = pods(text).remove(0);
    let (empty, none) = (BTreeMap::new(), BTreeMap::new());
    let facts = StartFacts {
        attempt: 0,
        pod_ips: &[],
        host_ips: &[],
        node: &node(),
        volumes: &empty,
        sub_paths: &none,
        hosts_file: None,
        termination_file: None,
        image_user,
    };
    container_config(&pod, &pod.containers[0], &facts)
}

#[test]
fn non_root_is_checked_against_the_image() {
    let text = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {securityContext: \
        {runAsNonRoot: true}, containers: [{name: c, image: i}]}}";
    let start = |user| as_user(text, user).map(drop);
    assert_eq!(start(ImageUser::Unset), Err(RenderError::Root));
    assert_eq!(start(ImageUser::Number(0)), Err(RenderError::Root));
    assert_eq!(start(ImageUser::Number(7)), Ok(()));
    let named = start(ImageUser::Name("www".to_owned())).unwrap_err();
    let said = "the image's user `www` may be root, which `runAsNonRoot` refuses";
    assert_eq!(named.to_string(), said);
}

#[test]
fn a_group_alone_goes_with_the_images_user() {
    let text = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {securityContext: \
        {runAsGroup: 5}, containers: [{name: c, image: i}]}}";
    let context = |user| as_user(text, user).unwrap().linux.unwrap().security_context.unwrap();
    let user = |image| context(image).run_as_user.map(|user| user.value);
    assert_eq!(user(ImageUser::Unset), Some(0));
    assert_eq!(user(ImageUser::Number(7)), Some(7));
    assert_eq!(context(ImageUser::Name("www".to_owned())).run_as_username, "www");
    let sandbox = pods(text).remove(0).sandbox.linux.unwrap().security_context.unwrap();
    assert_eq!(sandbox.run_as_group, None, "nothing tells its user");
}

#[test]
fn an_expression_cannot_lead_out_of_its_volume() {
    let text = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {volumes: [{name: v, \
        emptyDir: {}}], containers: [{name: c, image: i, env: [{name: A, value: ../..}], \
        volumeMounts: [{name: v, mountPath: /v, subPathExpr: $(A)/etc}]}]}}";
    let pod = pods(text).remove(0);
    let (empty, none) = (BTreeMap::new(), BTreeMap::new());
    let node = node();
    let facts = StartFacts {
        attempt: 0,
        pod_ips: &[],
        host_ips: &[],
        node: &node,
        volumes: &empty,
        sub_paths: &none,
        hosts_file: None,
        termination_file: None,
        image_user: ImageUser::Unset,
    };
    let error = sub_paths(&pod.containers[0], &facts).unwrap_err();
    assert_eq!(
        error.to_string(),
        "subPathExpr of /v became \"../../etc\", which is not a path inside the volume"
    );
}

#[test]
fn a_cri_container_stays_as_its_file_has_it() {
    let text = |file: &str, content: &str| Text { file: file.into(), content: content.into() };
    let texts = [
        text("pod.yaml", "metadata: {name: p, namespace: n}\nlog_directory: /var/log/p\n"),
        text(
            "c.yaml",
            "metadata: {name: c}\nimage: {image: i}\nlog_path: c.log\nargs: [$(A)]\n\
             envs: [{key: A, value: b}]\nmounts: [{container_path: /etc/hosts, host_path: /h}]\n\
             linux: {resources: {cpu_shares: 7}}\n",
        ),
    ];
    let pod = read(&texts, &ReadOptions::default()).unwrap().pods.remove(0);
    let config = rendered(&pod, "c", 2, &node());
    assert_eq!(config.args, ["$(A)"]);
    assert_eq!(config.log_path, "c.log");
    assert_eq!(config.mounts.len(), 1, "its own /etc/hosts stays");
    assert_eq!(config.linux.unwrap().resources.unwrap().cpu_shares, 7);
    assert_eq!(config.metadata.unwrap().attempt, 2);
}

#[test]
fn hosts_have_the_pods_names_aliases_and_peers() {
    let pod = everything();
    let peer = Peer { ip: "10.1.2.9".parse().unwrap(), names: vec!["web".to_owned()] };
    let text = hosts_file(&pod, &["10.1.2.3".parse().unwrap()], "", &[peer]);
    assert!(text.contains("\n10.1.2.3\tevery.thing.lab.svc.cluster.local\tevery\n"), "{text}");
    assert!(text.contains("\n192.0.2.10\tdb\tdb.example\n"), "{text}");
    assert!(text.ends_with("\n# other pods\n10.1.2.9\tweb\n"), "{text}");
}

mod resolver {
    use super::*;
    use crate::render::dns::{OwnResolver, host_text, resolve};

    fn pod(spec: &str) -> Pod {
        let text = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: lab}}, spec: {{{spec} \
             containers: [{{name: c, image: i}}]}}}}"
        );
        pods(&text).remove(0)
    }

    const HOST: &str = "# made by hand\nnameserver 10.0.0.1\nnameserver 10.0.0.2\n\
        search old.example\nsearch corp.example. lan\noptions timeout:1 ndots:1\n";

    #[test]
    fn without_a_resolver_of_its_own_a_pod_has_the_hosts_settings() {
        let (config, left) = resolve(&pod(""), HOST, None);
        let config = config.unwrap();
        assert_eq!(config.servers, ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(config.searches, ["corp.example", "lan"]);
        assert_eq!(config.options, ["timeout:1", "ndots:1"]);
        assert_eq!(left, Vec::<String>::new());
    }

    #[test]
    fn the_own_resolver_is_for_cluster_policies() {
        let own =
            OwnResolver { servers: vec!["10.88.0.1".parse().unwrap()], domain: "pods".to_owned() };
        let servers = |spec: &str| resolve(&pod(spec), HOST, Some(&own)).0.unwrap().servers;
        assert_eq!(servers(""), ["10.88.0.1"]);
        assert_eq!(servers("dnsPolicy: Default,"), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(servers("hostNetwork: true,"), ["10.0.0.1", "10.0.0.2"]);
        let with = "hostNetwork: true, dnsPolicy: ClusterFirstWithHostNet,";
        assert_eq!(servers(with), ["10.88.0.1"]);
        let config = resolve(&pod(""), HOST, Some(&own)).0.unwrap();
        assert_eq!(config.searches, ["lab.svc.pods", "svc.pods", "pods", "corp.example", "lan"]);
        assert_eq!(config.options, ["ndots:5"]);
    }

    #[test]
    fn caps_are_the_kubelets_and_what_is_left_out_is_told() {
        let more = "dnsPolicy: Default, dnsConfig: {nameservers: [1.1.1.1, 2.2.2.2, 10.0.0.1], \
            options: [{name: ndots, value: '9'}]},";
        let (config, left) = resolve(&pod(more), HOST, None);
        let config = config.unwrap();
        assert_eq!(config.servers, ["10.0.0.1", "10.0.0.2", "1.1.1.1"]);
        assert_eq!(config.options, ["timeout:1", "ndots:9"]);
        assert_eq!(left, ["only 3 nameservers are used; left out: 2.2.2.2"]);
        let domains: Vec<_> = (0..40).map(|index| format!("d{index}.example")).collect();
        let host = format!("nameserver 10.0.0.1\nsearch {}\n", domains.join(" "));
        let (config, left) = resolve(&pod(""), &host, None);
        assert_eq!(config.unwrap().searches.len(), 32);
        assert!(left[0].starts_with("only 32 search domains"), "{left:?}");
        // Ten domains of 250 characters: eight of them fit.
        let domains: Vec<_> = ('a'..='j').map(|letter| letter.to_string().repeat(250)).collect();
        let host = format!("search {} {}\n", domains.join(" "), "z".repeat(254));
        let (config, left) = resolve(&pod(""), &host, None);
        assert_eq!(config.unwrap().searches, domains[..8]);
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn a_stub_on_loopback_is_passed_over() {
        let stub = "nameserver 127.0.0.53\nsearch lan\n";
        let read = |behind: Option<&'static str>| {
            host_text(move |path| match (path.to_str(), behind) {
                (Some("/etc/resolv.conf"), _) => Ok(stub.to_owned()),
                (_, Some(text)) => Ok(text.to_owned()),
                _ => Err(std::io::ErrorKind::NotFound.into()),
            })
            .unwrap()
        };
        assert_eq!(read(Some("nameserver 10.0.0.1\n")), "nameserver 10.0.0.1\n");
        assert_eq!(read(None), stub);
    }
}
