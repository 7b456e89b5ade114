//! `crilet ps`.

use std::{process::ExitCode, time::SystemTime};

use clap::Args;
use crilet_cri::inventory::{self, Container, ContainerState, Detail, Pod, PodState};

use crate::{connect, errors::CliError, global::Global, output, publish, values};

/// How much of an id is shown.
const SHORT_ID: usize = 13;

/// Options of `crilet ps`.
#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Only these: NAME, NAMESPACE/NAME, an id or its beginning
    #[arg(value_name = "POD")]
    pods: Vec<String>,
    /// Stopped pods as well
    #[arg(short, long)]
    all: bool,
    /// Only full ids of sandboxes, one per line
    #[arg(short, long, conflicts_with = "output")]
    quiet: bool,
    /// How to print them
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Forms of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Format {
    /// For people
    #[default]
    Table,
    /// For programs: everything that is known
    Json,
    /// NAMESPACE/NAME, one per line
    Name,
}

/// Prints the pods of the runtime, newest first.
pub(crate) async fn run(global: &Global, args: PsArgs) -> Result<ExitCode, CliError> {
    let client = connect::client(global).await?;
    let detail = match (args.quiet, args.output) {
        (true, _) | (_, Format::Name) => Detail::Lists,
        (_, Format::Table) => Detail::Pods,
        (_, Format::Json) => Detail::Full,
    };
    let mut pods = select(inventory::read(&client, detail).await?, &args)?;
    publish::add_published(&mut pods);
    let written = match args.output {
        _ if args.quiet => output::data(&lines(pods.iter().map(|pod| pod.id.clone()))),
        Format::Name => output::data(&lines(pods.iter().map(Pod::full_name))),
        Format::Json => output::json(&pods),
        Format::Table => output::data(&table(&pods, SystemTime::now())),
    };
    written.map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}

/// A pod that is named is shown whether it runs or not.
fn select(pods: Vec<Pod>, args: &PsArgs) -> Result<Vec<Pod>, CliError> {
    if args.pods.is_empty() {
        let shown = |pod: &Pod| args.all || pod.state == PodState::Ready;
        return Ok(pods.into_iter().filter(shown).collect());
    }
    let mut ids = Vec::new();
    for query in &args.pods {
        ids.extend(crilet_pod::find(&pods, query)?.into_iter().map(|pod| pod.id.clone()));
    }
    Ok(pods.into_iter().filter(|pod| ids.contains(&pod.id)).collect())
}

fn lines(items: impl Iterator<Item = String>) -> String {
    items.map(|item| item + "\n").collect()
}

fn table(pods: &[Pod], now: SystemTime) -> String {
    let rows: Vec<_> = pods.iter().map(|pod| row(pod, now)).collect();
    output::table(&["POD", "ID", "STATE", "AGE", "IP", "PORTS", "CONTAINERS"], &rows)
}

fn row(pod: &Pod, now: SystemTime) -> Vec<String> {
    let details = pod.details.clone().unwrap_or_default();
    let ip = match details.ips.first() {
        Some(ip) => ip.to_string(),
        None if details.host_network => "host".to_owned(),
        None => "-".to_owned(),
    };
    let ports: Vec<_> = details.ports.iter().map(ToString::to_string).collect();
    let containers: Vec<_> = pod.containers.iter().map(container).collect();
    vec![
        pod.full_name(),
        pod.id.chars().take(SHORT_ID).collect(),
        pod.state.to_string(),
        values::age(now.duration_since(pod.created_at).unwrap_or_default()),
        ip,
        or_dash(ports.join(",")),
        or_dash(containers.join(",")),
    ]
}

/// A container that runs needs no further word.
fn container(container: &Container) -> String {
    match container.state {
        ContainerState::Running => container.name.clone(),
        state => format!("{}({state})", container.name),
    }
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}
