//! What can be wrong with one file.

use std::net::IpAddr;

use crilet_core::{
    similar,
    yaml::{Node, Position, Value},
};
use ipnet::IpNet;

use super::{
    ConfigFile, Configuration,
    file::Findings,
    keys,
    read::NEWEST,
    tree::{entries, entry, get, items, place, scalar, text},
};

const VERSIONS: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

pub(super) fn check(
    tree: &Node,
    file: &ConfigFile,
    configuration: &Configuration,
    findings: &mut Findings<'_>,
) {
    if !matches!(tree.value, Value::Mapping(_)) {
        findings.error("not-an-object", tree.position, "", "must be an object");
        return;
    }
    let is_list = file.file.extension().is_some_and(|ending| ending == "conflist");
    let plugins = entry(tree, "plugins");
    name(tree, findings);
    version(tree, configuration, findings);
    match (is_list, plugins) {
        (true, None) => {
            let message =
                "a .conflist must have `plugins`; this is a single plugin's configuration";
            findings.error("single-in-conflist", tree.position, "", message).hint =
                Some("wrap it in `plugins: [ … ]`, or call the file .conf".to_owned());
        }
        (false, Some(entry)) => {
            let message = "a list in a file that is read as a single plugin's configuration";
            findings.error("list-in-conf", entry.position, "plugins", message).hint =
                Some("rename the file so that it ends with .conflist".to_owned());
        }
        _ => {}
    }
    match plugins {
        Some(entry) => list(tree, &entry.value, file, configuration, findings),
        None => plugin(tree, "", true, configuration, findings),
    }
}

fn list(
    tree: &Node,
    plugins: &Node,
    file: &ConfigFile,
    configuration: &Configuration,
    findings: &mut Findings<'_>,
) {
    unknown(tree, "", &[keys::LIST], findings);
    let at = plugins.position;
    match &plugins.value {
        Value::Sequence(items) if items.is_empty() => {
            findings.error("no-plugins", at, "plugins", "must name at least one plugin");
        }
        Value::Sequence(_) => {}
        _ => {
            findings.error("wrong-type", at, "plugins", "must be a list of plugins");
        }
    }
    for (index, node) in items(plugins).iter().enumerate() {
        plugin(node, &format!("plugins[{index}]"), false, configuration, findings);
    }
    ports(plugins, file, findings);
}

/// What host ports need of a list.
fn ports(plugins: &Node, file: &ConfigFile, findings: &mut Findings<'_>) {
    let portmap =
        items(plugins).iter().enumerate().find(|(_, one)| text(one, "type") == Some("portmap"));
    let Some((index, node)) = portmap else {
        let attaches = |plugin: &super::PluginUse| matches!(plugin.kind.as_str(), "bridge" | "ptp");
        if file.plugins.iter().any(attaches) {
            let message = "no `portmap` in the list: containerd ignores the host ports of pods";
            findings.warning("no-portmap", plugins.position, "plugins", message).hint = Some(
                r#"add {"type": "portmap", "capabilities": {"portMappings": true}}"#.to_owned(),
            );
        }
        return;
    };
    let granted = file.plugins.get(index).is_some_and(|plugin| {
        plugin.capabilities.iter().any(|capability| capability == "portMappings")
    });
    if !granted {
        let path = format!("plugins[{index}].capabilities");
        let at = place(node, "capabilities");
        let message = "`portMappings` is not granted: the host ports of pods are ignored";
        findings.error("missing-port-mappings", at, &path, message).hint =
            Some(r#"write "capabilities": {"portMappings": true}"#.to_owned());
    }
}

fn name(tree: &Node, findings: &mut Findings<'_>) {
    let at = place(tree, "name");
    let Some(name) = text(tree, "name").filter(|name| !name.is_empty()) else {
        findings.error("no-name", at, "name", "is missing: plugins refuse to work without it");
        return;
    };
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !begins || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
        let message = "must be letters, digits, _ . - and begin with one of the first two";
        findings.error("name", at, "name", message);
    }
}

fn version(tree: &Node, configuration: &Configuration, findings: &mut Findings<'_>) {
    let at = place(tree, "cniVersion");
    let Some(version) = text(tree, "cniVersion") else {
        if get(tree, "cniVersions").is_none() {
            let message = "is missing, which means 0.1.0: results lack routes and interfaces";
            findings.warning("no-version", at, "cniVersion", message).hint =
                Some("write \"cniVersion\": \"1.0.0\"".to_owned());
        }
        return;
    };
    if !VERSIONS.contains(&version) {
        let message = format!("`{version}` is no version of the specification");
        findings.error("version", at, "cniVersion", message).hint =
            Some(format!("versions are {}", VERSIONS.join(", ")));
        return;
    }
    let old = configuration.containerd.as_deref().filter(|version| is_old(version));
    if let (Some(containerd), NEWEST) = (old, version) {
        let message = format!("containerd {containerd} takes versions up to 1.0.0");
        findings.error("version-runtime", at, "cniVersion", message).hint =
            Some("write \"cniVersion\": \"1.0.0\"".to_owned());
    }
}

/// Whether a containerd embeds a libcni that does not know 1.1.0: all before 2.0.
fn is_old(version: &str) -> bool {
    version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_some_and(|it| it < 2)
}

fn plugin(
    node: &Node,
    path: &str,
    is_single: bool,
    configuration: &Configuration,
    findings: &mut Findings<'_>,
) {
    let at = node.position;
    if !matches!(node.value, Value::Mapping(_)) {
        findings.error("wrong-type", at, path, "must be an object");
        return;
    }
    let field =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let Some(kind) = text(node, "type").filter(|kind| !kind.is_empty()) else {
        findings.error("no-type", at, &field("type"), "is missing: the plugin's file name");
        return;
    };
    program(node, kind, &field("type"), configuration, findings);
    if let Some(own) = keys::of_plugin(kind) {
        let list: &[&str] = if is_single { keys::LIST } else { &[] };
        unknown(node, path, &[keys::COMMON, own, list], findings);
    }
    capabilities(node, &field("capabilities"), findings);
    if let Some(ipam) = get(node, "ipam") {
        address_management(ipam, &field("ipam"), configuration, findings);
    }
    let both = |a: &str, b: &str| text(node, a) == Some("true") && text(node, b) == Some("true");
    if kind == "bridge" && both("hairpinMode", "promiscMode") {
        let message = "cannot be set together with `promiscMode`";
        findings.error("exclusive", place(node, "hairpinMode"), &field("hairpinMode"), message);
    }
}

fn program(
    node: &Node,
    kind: &str,
    path: &str,
    configuration: &Configuration,
    findings: &mut Findings<'_>,
) {
    let at = place(node, "type");
    let Some(program) = configuration.programs.get(kind).filter(|one| one.path.is_some()) else {
        let places: Vec<_> =
            configuration.binary_directories.iter().map(|one| one.display().to_string()).collect();
        let message = format!("plugin `{kind}` is in none of {}", places.join(", "));
        findings.error("missing-program", at, path, message).hint = Some(
            "install it (Debian package `containernetworking-plugins`, or `crilet cni install`)"
                .to_owned(),
        );
        return;
    };
    let found = program.path.as_deref().unwrap_or_else(|| "".as_ref()).display().to_string();
    if let Some(error) = &program.error {
        findings.error("program", at, path, format!("plugin {found} does not run: {error}"));
    }
}

fn capabilities(node: &Node, path: &str, findings: &mut Findings<'_>) {
    let Some(capabilities) = get(node, "capabilities") else { return };
    if !matches!(capabilities.value, Value::Mapping(_)) {
        let message = "must map names of capabilities to true or false";
        findings.error("wrong-type", capabilities.position, path, message);
    }
    for entry in entries(capabilities) {
        let known = [
            "portMappings",
            "bandwidth",
            "ipRanges",
            "ips",
            "mac",
            "dns",
            "aliases",
            "infinibandGUID",
            "deviceID",
            "cgroupPath",
            "io.kubernetes.cri.pod-annotations",
        ];
        // Names of capabilities are no keys of Go: their case matters.
        if !known.contains(&entry.key.as_str())
            && let Some(meant) = meant(&entry.key, known)
        {
            let message = format!("runtimes know no capability `{}`", entry.key);
            let path = format!("{path}.{}", entry.key);
            findings.error("unknown-capability", entry.position, &path, message).hint =
                Some(format!("did you mean `{meant}`?"));
        }
    }
}

fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let same = known.clone().into_iter().find(|one| one.eq_ignore_ascii_case(word));
    same.or_else(|| similar(word, known))
}

fn unknown(node: &Node, path: &str, known: &[&[&str]], findings: &mut Findings<'_>) {
    for entry in entries(node) {
        let all = || known.iter().flat_map(|some| some.iter().copied());
        // Keys with dots or underscores are other programs' notes.
        if all().any(|key| key.eq_ignore_ascii_case(&entry.key))
            || entry.key.contains(['.', '/', '_'])
        {
            continue;
        }
        let path =
            if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
        let hint = meant(&entry.key, all().collect::<Vec<_>>());
        findings
            .warning("unknown-key", entry.position, &path, "unknown key, which is ignored")
            .hint = hint.map(|meant| format!("did you mean `{meant}`?"));
    }
}

fn address_management(
    ipam: &Node,
    path: &str,
    configuration: &Configuration,
    findings: &mut Findings<'_>,
) {
    let Some(kind) = text(ipam, "type").filter(|kind| !kind.is_empty()) else {
        // An empty object means "no addresses" to plugins of the second layer.
        if !entries(ipam).is_empty() {
            findings.error("no-type", ipam.position, &format!("{path}.type"), "is missing");
        }
        return;
    };
    program(ipam, kind, &format!("{path}.type"), configuration, findings);
    if let Some(own) = keys::of_ipam(kind) {
        unknown(ipam, path, &[own], findings);
    }
    if kind != "host-local" {
        return;
    }
    let found = range_nodes(ipam, path);
    if found.is_empty() {
        let message = "has no range to take addresses from";
        findings.error("no-range", ipam.position, path, message).hint =
            Some(r#"write "ranges": [[{"subnet": "10.88.0.0/16"}]]"#.to_owned());
    }
    for (node, path) in found {
        range(node, &path, findings);
    }
}

/// Mappings that say `subnet`, with their paths: the flat form, and lists of lists.
fn range_nodes<'a>(ipam: &'a Node, path: &str) -> Vec<(&'a Node, String)> {
    let mut found = Vec::new();
    if get(ipam, "subnet").is_some() {
        found.push((ipam, path.to_owned()));
    }
    for (outer, set) in get(ipam, "ranges").map(items).unwrap_or_default().iter().enumerate() {
        for (inner, node) in items(set).iter().enumerate() {
            found.push((node, format!("{path}.ranges[{outer}][{inner}]")));
        }
    }
    found
}

/// Subnets as written, with their places.
pub(super) fn ranges(ipam: &Node) -> Vec<(&str, Position)> {
    let nodes = range_nodes(ipam, "").into_iter();
    nodes.filter_map(|(node, _)| Some((text(node, "subnet")?, place(node, "subnet")))).collect()
}

fn range(node: &Node, path: &str, findings: &mut Findings<'_>) {
    if path.ends_with(']') {
        unknown(node, path, &[keys::RANGE], findings);
    }
    let at = place(node, "subnet");
    let field = format!("{path}.subnet");
    let subnet = match text(node, "subnet").map(str::parse::<IpNet>) {
        Some(Ok(subnet)) => subnet,
        Some(Err(_)) => {
            findings.error("subnet", at, &field, "is no subnet such as 10.88.0.0/16");
            return;
        }
        None => {
            findings.error("subnet", at, &field, "is missing");
            return;
        }
    };
    if subnet.trunc() != subnet {
        let message = format!("has bits of a host; the subnet is {}", subnet.trunc());
        findings.error("subnet", at, &field, message);
    }
    if subnet.max_prefix_len() - subnet.prefix_len() < 2 {
        findings.error("subnet", at, &field, "is too small for a gateway and a pod");
    }
    for (key, id) in [
        ("gateway", "gateway-outside"),
        ("rangeStart", "range-outside"),
        ("rangeEnd", "range-outside"),
    ] {
        let Some(value) = get(node, key) else { continue };
        let path = format!("{path}.{key}");
        match scalar(value).and_then(|text| text.parse::<IpAddr>().ok()) {
            Some(address) if subnet.contains(&address) => {}
            Some(address) => {
                let message = format!("{address} is not in {subnet}");
                findings.error(id, value.position, &path, message);
            }
            None => {
                findings.error(id, value.position, &path, "is no IP address");
            }
        }
    }
}
