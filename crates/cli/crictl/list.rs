//! `ps`, `pods` and `images`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crilet_cri::{Client, v1};
use crilet_crictl::{flags::Parsed, images, matches, table::table, units};
use jiff::tz::TimeZone;

use super::{
    Call, Result, print, reach,
    report::{Fail, Tried},
    show::{self, ago, lines, short},
};

/// Labels by which a kubelet, and crilet, say whose a container is.
const POD_NAME: &str = "io.kubernetes.pod.name";
const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";

/// `KEY=VALUE` pairs.
pub(super) fn labels(given: &[String]) -> Result<BTreeMap<String, String>> {
    let pair = |text: &String| match text.split('=').collect::<Vec<_>>().as_slice() {
        [key, value] => Ok(((*key).to_owned(), (*value).to_owned())),
        _ => Err(Fail::Fatal(format!("incorrectly specified label: {text}"))),
    };
    given.iter().map(pair).collect()
}

/// How many of a listing are wanted.
fn count(line: &Parsed, all: usize) -> usize {
    match usize::try_from(line.int("last")) {
        Ok(last) if last > 0 => last,
        _ if line.bool("latest") => 1,
        _ => all,
    }
}

/// As Go's own log says it, which crictl uses here alone.
fn bad_state(words: &str) -> Fail {
    Fail::Exit(format!("{} {words}", jiff::Zoned::now().strftime("%Y/%m/%d %H:%M:%S")), 1)
}

fn container_filter(line: &Parsed) -> Result<v1::ContainerFilter> {
    let state = match line.text("state").to_lowercase().as_str() {
        "" if line.bool("all") => None,
        "" | "running" => Some(v1::ContainerState::ContainerRunning),
        "created" => Some(v1::ContainerState::ContainerCreated),
        "exited" => Some(v1::ContainerState::ContainerExited),
        "unknown" => Some(v1::ContainerState::ContainerUnknown),
        _ => {
            let words = "--state should be one of created, running, exited or unknown";
            return Err(bad_state(words));
        }
    };
    let state = state.filter(|_| !line.bool("latest") && line.int("last") <= 0);
    Ok(v1::ContainerFilter {
        id: line.text("id").to_owned(),
        pod_sandbox_id: line.text("pod").to_owned(),
        state: state.map(|state| v1::ContainerStateValue { state: state.into() }),
        label_selector: labels(line.list("label"))?,
    })
}

/// The containers that a command line means, the newest first.
pub(super) async fn find_containers(client: &Client, line: &Parsed) -> Result<Vec<v1::Container>> {
    let filter = container_filter(line)?;
    let listed = client.list_containers(Some(filter)).await.tried("call list containers RPC")?;
    let mut found = Vec::new();
    for container in listed {
        let name = container.metadata.as_ref().map(|metadata| metadata.name.as_str());
        let fits = name.is_some_and(|name| matches(line.text("name"), name))
            && matches(line.text("namespace"), label(&container.labels, POD_NAMESPACE));
        if fits && is_of_image(client, line.text("image"), &container).await? {
            found.push(container);
        }
    }
    found.sort_by_key(|container| std::cmp::Reverse(container.created_at));
    found.truncate(count(line, found.len()));
    Ok(found)
}

async fn is_of_image(client: &Client, image: &str, container: &v1::Container) -> Result<bool> {
    if image.is_empty() {
        return Ok(true);
    }
    let own = container.image.as_ref().map_or("", |image| image.image.as_str());
    let wanted = client.image_status(image, false).await.tried("check image match")?.image;
    let own = client.image_status(own, false).await.tried("check image match")?.image;
    Ok(wanted.zip(own).is_some_and(|(wanted, own)| wanted.id == own.id))
}

fn label<'a>(labels: &'a BTreeMap<String, String>, key: &str) -> &'a str {
    labels.get(key).map_or("unknown", String::as_str)
}

pub(super) async fn containers(call: &Call) -> Result<()> {
    if !call.line.arguments.is_empty() {
        return Err(Fail::Help);
    }
    labels(call.line.list("label"))?;
    let client = reach::client(call).await?;
    list_containers(&client, &call.line).await.tried("listing containers")
}

async fn list_containers(client: &Client, line: &Parsed) -> Result<()> {
    let found = find_containers(client, line).await.tried("list containers")?;
    match line.text("output") {
        "json" => return show::json(&v1::ListContainersResponse { containers: found }),
        "yaml" => return show::yaml(&v1::ListContainersResponse { containers: found }),
        "table" => {}
        other => return Err(Fail::Fatal(format!("unsupported output format {other:?}"))),
    }
    if line.bool("quiet") {
        return print(
            &found.iter().map(|container| format!("{}\n", container.id)).collect::<String>(),
        );
    }
    if line.bool("verbose") {
        return print(&found.iter().map(described_container).collect::<String>());
    }
    let header =
        ["CONTAINER", "IMAGE", "CREATED", "STATE", "NAME", "ATTEMPT", "POD ID", "POD", "NAMESPACE"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for container in &found {
        rows.push(container_row(client, line, container).await?);
    }
    print(&table(&rows))
}

async fn container_row(
    client: &Client,
    line: &Parsed,
    container: &v1::Container,
) -> Result<Vec<String>> {
    let (mut id, mut pod) = (container.id.clone(), container.pod_sandbox_id.clone());
    let mut image = container.image.as_ref().map(|image| image.image.clone()).unwrap_or_default();
    if !line.bool("no-trunc") {
        (id, pod) = (short(&id, ""), short(&pod, ""));
        if is_digest(&image) {
            image = short(&image, "sha256:");
        }
    }
    if line.bool("resolve-image-path") {
        let status =
            client.image_status(&image, false).await.tried("failed to fetch repo image")?;
        let tag = status.image.and_then(|image| image.repo_tags.into_iter().next());
        image = tag.unwrap_or(image);
    }
    let metadata = container.metadata.clone().unwrap_or_default();
    Ok(vec![
        id,
        image,
        ago(container.created_at),
        state(container.state()).to_owned(),
        metadata.name,
        metadata.attempt.to_string(),
        pod,
        label(&container.labels, POD_NAME).to_owned(),
        label(&container.labels, POD_NAMESPACE).to_owned(),
    ])
}

fn is_digest(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn state(state: v1::ContainerState) -> &'static str {
    match state {
        v1::ContainerState::ContainerCreated => "Created",
        v1::ContainerState::ContainerRunning => "Running",
        v1::ContainerState::ContainerExited => "Exited",
        v1::ContainerState::ContainerUnknown => "Unknown",
    }
}

fn described_container(container: &v1::Container) -> String {
    let mut text = format!(
        "ID: {}\nPodID: {}\nNamespace: {}\n",
        container.id,
        container.pod_sandbox_id,
        label(&container.labels, POD_NAMESPACE)
    );
    if let Some(metadata) = &container.metadata {
        if !metadata.name.is_empty() {
            writeln!(text, "Name: {}", metadata.name).unwrap_or_default();
        }
        writeln!(text, "Attempt: {}", metadata.attempt).unwrap_or_default();
    }
    writeln!(text, "State: {}", state(container.state())).unwrap_or_default();
    if let Some(image) = &container.image {
        writeln!(text, "Image: {}", image.image).unwrap_or_default();
    }
    writeln!(text, "Created: {}", ago(container.created_at)).unwrap_or_default();
    text.push_str(&lines("Labels", &container.labels));
    text.push_str(&lines("Annotations", &container.annotations));
    text + "\n"
}

/// The pods that a command line means, the newest first.
pub(super) async fn find_pods(client: &Client, line: &Parsed) -> Result<Vec<v1::PodSandbox>> {
    let state = match line.text("state").to_lowercase().as_str() {
        "" => None,
        "ready" => Some(v1::PodSandboxState::SandboxReady),
        "notready" => Some(v1::PodSandboxState::SandboxNotready),
        _ => return Err(bad_state("--state should be ready or notready")),
    };
    let filter = v1::PodSandboxFilter {
        id: line.text("id").to_owned(),
        state: state.map(|state| v1::PodSandboxStateValue { state: state.into() }),
        label_selector: labels(line.list("label"))?,
    };
    let mut found =
        client.list_pod_sandboxes(Some(filter)).await.tried("call list sandboxes RPC")?;
    found.retain(|pod| {
        pod.metadata.as_ref().is_some_and(|metadata| {
            matches(line.text("name"), &metadata.name)
                && matches(line.text("namespace"), &metadata.namespace)
        })
    });
    found.sort_by_key(|pod| std::cmp::Reverse(pod.created_at));
    found.truncate(count(line, found.len()));
    Ok(found)
}

pub(super) async fn pods(call: &Call) -> Result<()> {
    labels(call.line.list("label"))?;
    let client = reach::client(call).await?;
    list_pods(&client, &call.line).await.tried("listing pod sandboxes")
}

async fn list_pods(client: &Client, line: &Parsed) -> Result<()> {
    let found = find_pods(client, line).await.tried("list pod sandboxes")?;
    match line.text("output") {
        "json" => return show::json(&v1::ListPodSandboxResponse { items: found }),
        "yaml" => return show::yaml(&v1::ListPodSandboxResponse { items: found }),
        "table" => {}
        other => return Err(Fail::Fatal(format!("unsupported output format {other:?}"))),
    }
    if line.bool("quiet") {
        return print(&found.iter().map(|pod| format!("{}\n", pod.id)).collect::<String>());
    }
    if line.bool("verbose") {
        return print(&found.iter().map(described_pod).collect::<String>());
    }
    let header = ["POD ID", "CREATED", "STATE", "NAME", "NAMESPACE", "ATTEMPT", "RUNTIME"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(found.iter().map(|pod| {
        let metadata = pod.metadata.clone().unwrap_or_default();
        vec![
            if line.bool("no-trunc") { pod.id.clone() } else { short(&pod.id, "") },
            ago(pod.created_at),
            pod_state(pod.state()).to_owned(),
            metadata.name,
            metadata.namespace,
            metadata.attempt.to_string(),
            handler(pod).to_owned(),
        ]
    }));
    print(&table(&rows))
}

fn pod_state(state: v1::PodSandboxState) -> &'static str {
    match state {
        v1::PodSandboxState::SandboxReady => "Ready",
        v1::PodSandboxState::SandboxNotready => "NotReady",
    }
}

fn handler(pod: &v1::PodSandbox) -> &str {
    if pod.runtime_handler.is_empty() { "(default)" } else { &pod.runtime_handler }
}

fn described_pod(pod: &v1::PodSandbox) -> String {
    let mut text = format!("ID: {}\n", pod.id);
    if let Some(metadata) = &pod.metadata {
        let named =
            [("Name", &metadata.name), ("UID", &metadata.uid), ("Namespace", &metadata.namespace)];
        for (title, value) in named.into_iter().filter(|(_, value)| !value.is_empty()) {
            writeln!(text, "{title}: {value}").unwrap_or_default();
        }
        if metadata.attempt != 0 {
            writeln!(text, "Attempt: {}", metadata.attempt).unwrap_or_default();
        }
    }
    let created = units::printed(pod.created_at, &TimeZone::system());
    write!(text, "Status: {}\nCreated: {created}\n", pod_state(pod.state())).unwrap_or_default();
    text.push_str(&lines("Labels", &pod.labels));
    text.push_str(&lines("Annotations", &pod.annotations));
    write!(text, "Runtime: {}\n\n", handler(pod)).unwrap_or_default();
    text
}

/// The images of a name for which all conditions hold, in the order of a listing.
pub(super) async fn find_images(
    client: &Client,
    name: &str,
    filters: &[String],
) -> Result<Vec<v1::Image>> {
    let image = v1::ImageSpec { image: name.to_owned(), ..v1::ImageSpec::default() };
    let mut found = client.list_images(Some(v1::ImageFilter { image: Some(image) })).await?;
    images::sort(&mut found);
    if found.is_empty() {
        return Ok(found);
    }
    images::filter(found, filters).map_err(|error| Fail::Fatal(format!("filter images: {error}")))
}

pub(super) async fn images(call: &Call) -> Result<()> {
    let line = &call.line;
    if line.arguments.len() > 1 {
        return Err(Fail::Help);
    }
    let client = reach::client(call).await?;
    let name = line.arguments.first().map_or("", String::as_str);
    let found = find_images(&client, name, line.list("filter")).await.tried("listing images")?;
    match line.text("output") {
        "json" => return show::json(&v1::ListImagesResponse { images: found }),
        "yaml" => return show::yaml(&v1::ListImagesResponse { images: found }),
        _ => {}
    }
    if line.bool("quiet") {
        return print(&found.iter().map(|image| format!("{}\n", image.id)).collect::<String>());
    }
    if line.bool("verbose") {
        return print(&found.iter().map(described_image).collect::<String>());
    }
    let columns = [
        ("IMAGE", true),
        ("TAG", true),
        ("DIGEST", line.bool("digests")),
        ("IMAGE ID", true),
        ("SIZE", true),
        ("PINNED", line.bool("pinned")),
    ];
    let wanted = |cells: [String; 6]| {
        let cells = cells.into_iter().zip(columns).filter(|(_, (_, wanted))| *wanted);
        cells.map(|(cell, _)| cell).collect::<Vec<_>>()
    };
    let mut rows = vec![wanted(columns.map(|(title, _)| title.to_owned()))];
    for image in &found {
        rows.extend(image_rows(image, line.bool("no-trunc")).into_iter().map(wanted));
    }
    print(&table(&rows))
}

/// A row for each name of an image.
fn image_rows(image: &v1::Image, whole: bool) -> Vec<[String; 6]> {
    let (_, mut digest) = images::repository_and_digest(image);
    let mut id = image.id.clone();
    if !whole {
        (id, digest) = (short(&id, "sha256:"), short(&digest, "sha256:"));
    }
    let row = |(name, tag): (String, String)| {
        let size = units::size(image.size, 3);
        [name, tag, digest.clone(), id.clone(), size, image.pinned.to_string()]
    };
    images::names_and_tags(image).into_iter().map(row).collect()
}

fn described_image(image: &v1::Image) -> String {
    let mut text = format!("ID: {}\n", image.id);
    text.extend(image.repo_tags.iter().map(|tag| format!("RepoTags: {tag}\n")));
    text.extend(image.repo_digests.iter().map(|digest| format!("RepoDigests: {digest}\n")));
    if image.size != 0 {
        writeln!(text, "Size: {}", image.size).unwrap_or_default();
    }
    if let Some(uid) = &image.uid {
        writeln!(text, "Uid: value:{}", uid.value).unwrap_or_default();
    }
    if !image.username.is_empty() {
        writeln!(text, "Username: {}", image.username).unwrap_or_default();
    }
    if image.pinned {
        text.push_str("Pinned: true\n");
    }
    text + "\n"
}
