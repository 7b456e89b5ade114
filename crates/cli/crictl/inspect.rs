//! What the runtime knows of single things, and of itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crilet_cri::{Client, v1};
use crilet_crictl::{
    json::Json,
    protojson::{self, Form},
    table::columns,
    units,
};
use jiff::tz::TimeZone;

use super::{
    Call, Result, list, print, reach,
    report::{Fail, Level, Tried, log},
    show::{self, ago, go_map, lines},
};

/// The time that Go shows for none at all.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The form of output; JSON if none was chosen.
fn form(call: &Call) -> &str {
    let given = call.line.text("output");
    if given.is_empty() { "json" } else { given }
}

/// What was named, or else what was found; nothing found is said, and help shown.
fn named_or(call: &Call, found: impl IntoIterator<Item = String>) -> Result<Vec<String>> {
    let named = call.line.arguments.clone();
    let ids: Vec<String> = if named.is_empty() { found.into_iter().collect() } else { named };
    if ids.is_empty() {
        log(Level::Error, "No IDs provided or nothing found per filter");
        return Err(Fail::Help);
    }
    Ok(ids)
}

pub(super) async fn containers(call: &Call) -> Result<()> {
    let client = reach::client(call).await?;
    let found = match call.line.arguments.is_empty() {
        true => {
            list::labels(call.line.list("label"))?;
            list::find_containers(&client, &call.line).await.tried("listing containers")?
        }
        false => Vec::new(),
    };
    let ids = named_or(call, found.into_iter().map(|container| container.id))?;
    show_containers(&client, call, &ids).await.tried("get the status of containers")
}

async fn show_containers(client: &Client, call: &Call, ids: &[String]) -> Result<()> {
    let (verbose, mut statuses) = (!call.line.bool("quiet"), Vec::new());
    for id in ids {
        let answer = client.container_status(id, verbose).await.tried("get container status")?;
        let status = answer.status.clone().unwrap_or_default();
        if form(call) == "table" {
            print(&container_table(&status, &answer.info, verbose))?;
        } else {
            statuses.push(show::with_info(container_json(&status), &answer.info)?);
        }
    }
    show::statuses(statuses, form(call), call.line.text("template"))
}

/// A container's status with times that can be read.
fn container_json(status: &v1::ContainerStatus) -> Json {
    let mut json = show::with_nulls::<v1::ContainerStatus>(protojson::of(status, Form::Defaults));
    let zone = TimeZone::system();
    let time = |nanoseconds: i64| units::rfc3339(nanoseconds, &zone);
    let state = status.state();
    let started = match state {
        v1::ContainerState::ContainerCreated => NEVER.to_owned(),
        _ => time(status.started_at),
    };
    let ended = state == v1::ContainerState::ContainerExited
        || state == v1::ContainerState::ContainerUnknown && status.finished_at > 0;
    let finished = if ended { time(status.finished_at) } else { NEVER.to_owned() };
    json.set("createdAt", Json::String(time(status.created_at)));
    json.set("startedAt", Json::String(started));
    json.set("finishedAt", Json::String(finished));
    json
}

fn container_table(
    status: &v1::ContainerStatus,
    info: &BTreeMap<String, String>,
    verbose: bool,
) -> String {
    let mut text = format!("ID: {}\n", status.id);
    if let Some(metadata) = &status.metadata {
        if !metadata.name.is_empty() {
            writeln!(text, "Name: {}", metadata.name).unwrap_or_default();
        }
        if metadata.attempt != 0 {
            writeln!(text, "Attempt: {}", metadata.attempt).unwrap_or_default();
        }
    }
    let state = status.state();
    writeln!(text, "State: {}", state.as_str_name()).unwrap_or_default();
    writeln!(text, "Created: {}", ago(status.created_at)).unwrap_or_default();
    if state != v1::ContainerState::ContainerCreated {
        writeln!(text, "Started: {}", ago(status.started_at)).unwrap_or_default();
    }
    if state == v1::ContainerState::ContainerExited {
        if status.finished_at > 0 {
            writeln!(text, "Finished: {}", ago(status.finished_at)).unwrap_or_default();
        }
        writeln!(text, "Exit Code: {}", status.exit_code).unwrap_or_default();
    }
    text.push_str(&lines("Labels", &status.labels));
    text.push_str(&lines("Annotations", &status.annotations));
    if verbose {
        writeln!(text, "Info: {}", go_map(info)).unwrap_or_default();
    }
    text
}

pub(super) async fn pods(call: &Call) -> Result<()> {
    let client = reach::client(call).await?;
    let found = match call.line.arguments.is_empty() {
        true => {
            list::labels(call.line.list("label")).tried("parse label string slice")?;
            list::find_pods(&client, &call.line).await.tried("listing pod sandboxes")?
        }
        false => Vec::new(),
    };
    let ids = named_or(call, found.into_iter().map(|pod| pod.id))?;
    show_pods(&client, call, &ids).await.tried("get the status of pod sandboxes")
}

async fn show_pods(client: &Client, call: &Call, ids: &[String]) -> Result<()> {
    let (verbose, mut statuses) = (!call.line.bool("quiet"), Vec::new());
    for id in ids {
        let answer =
            client.pod_sandbox_status(id, verbose).await.tried("get pod sandbox status")?;
        let status = answer.status.clone().unwrap_or_default();
        if form(call) == "table" {
            print(&pod_table(&status, &answer.info, verbose))?;
            continue;
        }
        let json = protojson::of(&status, Form::Defaults);
        let mut json = show::with_nulls::<v1::PodSandboxStatus>(json);
        let created = units::rfc3339(status.created_at, &TimeZone::system());
        json.set("createdAt", Json::String(created));
        statuses.push(show::with_info(json, &answer.info)?);
    }
    show::statuses(statuses, form(call), call.line.text("template"))
}

fn pod_table(
    status: &v1::PodSandboxStatus,
    info: &BTreeMap<String, String>,
    verbose: bool,
) -> String {
    let mut text = format!("ID: {}\n", status.id);
    if let Some(metadata) = &status.metadata {
        let named =
            [("Name", &metadata.name), ("UID", &metadata.uid), ("Namespace", &metadata.namespace)];
        for (title, value) in named.into_iter().filter(|(_, value)| !value.is_empty()) {
            writeln!(text, "{title}: {value}").unwrap_or_default();
        }
        writeln!(text, "Attempt: {}", metadata.attempt).unwrap_or_default();
    }
    let created = units::printed(status.created_at, &TimeZone::system());
    let state = status.state().as_str_name();
    write!(text, "Status: {state}\nCreated: {created}\n").unwrap_or_default();
    if let Some(network) = &status.network {
        writeln!(text, "IP Addresses: {}", network.ip).unwrap_or_default();
        let more = network.additional_ips.iter().map(|ip| format!("Additional IP: {}\n", ip.ip));
        text.extend(more);
    }
    text.push_str(&lines("Labels", &status.labels));
    text.push_str(&lines("Annotations", &status.annotations));
    if verbose {
        writeln!(text, "Info: {}", go_map(info)).unwrap_or_default();
    }
    text
}

pub(super) async fn images(call: &Call) -> Result<()> {
    let client = reach::client(call).await?;
    let line = &call.line;
    let found = match line.arguments.is_empty() {
        true => {
            let found = list::find_images(&client, line.text("name"), line.list("filter")).await;
            found.tried("listing images")?
        }
        false => Vec::new(),
    };
    let ids = named_or(call, found.into_iter().map(|image| image.id))?;
    let (verbose, mut statuses) = (!line.bool("quiet"), Vec::new());
    for id in &ids {
        let answer = client.image_status(id, verbose).await;
        let answer = answer.tried(format!("image status for {id:?} request"))?;
        let missing = || Fail::Fatal(format!("no such image {id:?} present"));
        let image = answer.image.as_ref().ok_or_else(missing)?;
        if form(call) == "table" {
            print(&image_table(image, &answer.info, verbose))?;
        } else {
            let json = protojson::of(image, Form::Defaults);
            statuses.push(show::with_info(json, &answer.info)?);
        }
    }
    show::statuses(statuses, form(call), line.text("template"))
}

fn image_table(image: &v1::Image, info: &BTreeMap<String, String>, verbose: bool) -> String {
    let mut text = format!("ID: {}\n", image.id);
    text.extend(image.repo_tags.iter().map(|tag| format!("Tag: {tag}\n")));
    text.extend(image.repo_digests.iter().map(|digest| format!("Digest: {digest}\n")));
    writeln!(text, "Size: {}", units::size(image.size, 3)).unwrap_or_default();
    if verbose {
        writeln!(text, "Info: {}", go_map(info)).unwrap_or_default();
    }
    text
}

pub(super) async fn image_fs_info(call: &Call) -> Result<()> {
    let client = reach::client(call).await?;
    let answer = client.image_fs_info().await.tried("image filesystem info request")?;
    if form(call) != "table" {
        let json = protojson::of(&answer, Form::Defaults);
        let statuses = vec![show::with_info(json, &BTreeMap::new())?];
        return show::statuses(statuses, form(call), call.line.text("template"));
    }
    let mut text = String::new();
    for (title, systems) in
        [("Container", &answer.container_filesystems), ("Image", &answer.image_filesystems)]
    {
        writeln!(text, "{title} Filesystem ").unwrap_or_default();
        for (at, system) in systems.iter().enumerate() {
            let bytes = system.used_bytes.unwrap_or_default().value;
            let inodes = system.inodes_used.unwrap_or_default().value;
            let mountpoint = system.fs_id.clone().unwrap_or_default().mountpoint;
            text.push_str(
                format!(
                    "TimeStamp[{at}]: {}\nDisk[{at}]: {}\nInodes[{at}]: {inodes}\nMountpoint[{at}]: \
                     {mountpoint}\n",
                    system.timestamp,
                    units::size(bytes, 4)
                )
                .as_str(),
            );
        }
    }
    print(&text)
}

pub(super) async fn info(call: &Call) -> Result<()> {
    if !call.line.arguments.is_empty() {
        return Err(Fail::Help);
    }
    let client = reach::client(call).await?;
    let answer =
        client.status(!call.line.bool("quiet")).await.tried("getting status of runtime")?;
    let status = protojson::of(&answer.status.clone().unwrap_or_default(), Form::Defaults);
    let mut json = show::with_info(status, &answer.info)?;
    if !answer.runtime_handlers.is_empty() {
        let handlers =
            answer.runtime_handlers.iter().map(|handler| protojson::of(handler, Form::Go));
        json.set("runtimeHandlers", Json::Array(handlers.collect()));
    }
    if let Some(features) = &answer.features {
        json.set("features", protojson::of(features, Form::Go));
    }
    let shown = show::statuses(vec![json], form(call), call.line.text("template"));
    shown.tried("getting status of runtime")
}

pub(super) async fn runtime_config(call: &Call) -> Result<()> {
    let client = reach::client(call).await.tried("get runtime config")?;
    let answer = client.runtime_config().await;
    let answer = answer.tried("get runtime config: call RuntimeConfig RPC")?;
    let Some(linux) = answer.linux else { return Ok(()) };
    let driver = linux.cgroup_driver().as_str_name().to_owned();
    print(&columns(&[vec!["cgroup driver:".to_owned(), driver]], 10))
}

pub(super) async fn version(call: &Call) -> Result<()> {
    if !call.line.arguments.is_empty() {
        return Err(Fail::Help);
    }
    let client = reach::client(call).await?;
    let answer = client.version().await.tried("getting the runtime version")?;
    print(&format!(
        "Version:  {}\nRuntimeName:  {}\nRuntimeVersion:  {}\nRuntimeApiVersion:  {}\n",
        answer.version, answer.runtime_name, answer.runtime_version, answer.runtime_api_version
    ))
}
