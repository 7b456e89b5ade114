//! `crilet ps`.

mod kept;

use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use clap::Args;
use crilet_cri::{
    Client,
    inventory::{self, Container, ContainerState, Detail, Pod, PodState},
};
use serde_json::json;

use crate::{
    connect,
    errors::CliError,
    global::Global,
    output::{self, GrowingTable, Redrawn},
    paint::{self, Paint},
    publish,
    values::{self, Form},
    watch::{Patience, Wake},
};

/// How much of an id is shown.
const SHORT_ID: usize = 13;
/// Columns that may have colours.
const STATE: usize = 2;

/// Options of `crilet ps`.
#[derive(Debug, Args)]
#[command(
    after_help = "With --watch a terminal shows the list as it is; elsewhere a row, an object or a \
                        document is added for each pod that has changed."
)]
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
    output: Form,
    /// Go on with every change
    #[arg(short, long)]
    watch: bool,
    /// How often --watch looks while the runtime tells no events
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = values::duration)]
    interval: Duration,
}

impl PsArgs {
    fn detail(&self) -> Detail {
        match (self.quiet, self.output) {
            (true, _) | (_, Form::Name) => Detail::Lists,
            (_, Form::Table | Form::Wide) => Detail::Pods,
            (_, Form::Json | Form::Yaml) => Detail::Full,
        }
    }

    fn is_table(&self) -> bool {
        !self.quiet && matches!(self.output, Form::Table | Form::Wide)
    }
}

/// Prints the pods of the runtime, newest first.
pub(crate) async fn run(global: &Global, args: PsArgs) -> Result<ExitCode, CliError> {
    let client = connect::client(global).await?;
    let pods = look(&client, &args).await?;
    if args.watch {
        return watch(&client, pods, &args).await;
    }
    let written = match args.output {
        _ if args.quiet => output::data(&lines(pods.iter().map(|pod| pod.id.clone()))),
        Form::Name => output::data(&lines(pods.iter().map(Pod::full_name))),
        Form::Json => output::json(&pods),
        Form::Yaml => output::yaml(&pods),
        Form::Table | Form::Wide => output::data(&table(&pods, args.output, SystemTime::now())),
    };
    written.map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}

async fn look(client: &Client, args: &PsArgs) -> Result<Vec<Pod>, CliError> {
    let pods = select(inventory::read(client, Detail::Lists).await?, args)?;
    let mut pods = match args.detail() {
        Detail::Lists => pods,
        Detail::Pods => kept::describe(client, pods).await?,
        detail => inventory::describe(client, pods, detail).await?,
    };
    publish::add_published(&mut pods);
    Ok(pods)
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

/// Shows what is and then every change, over restarts of the runtime.
async fn watch(client: &Client, pods: Vec<Pod>, args: &PsArgs) -> Result<ExitCode, CliError> {
    let in_place = args.is_table() && output::can_redraw();
    let (mut screen, mut news) = (Redrawn::default(), News::new(args));
    let (mut wake, mut patience) = (Wake::start(client, args.interval), Patience::default());
    let mut pods = Some(pods);
    loop {
        if let Some(pods) = pods {
            let written = match in_place {
                true => screen.show(&table(&pods, args.output, SystemTime::now())),
                false => news.of(pods, args).and_then(|text| output::data(&text)),
            };
            written.map_err(CliError::Output)?;
        }
        if output::reader_is_gone() {
            return Ok(ExitCode::SUCCESS);
        }
        wake.next().await;
        // A pod that was named may go away and come back.
        pods = match patience.seen(look(client, args).await) {
            Err(CliError::Find(_)) => Some(Vec::new()),
            seen => seen?,
        };
    }
}

/// What is told of pods beside what was told before.
struct News {
    known: BTreeMap<String, Pod>,
    table: GrowingTable,
}

impl News {
    fn new(args: &PsArgs) -> Self {
        Self { known: BTreeMap::new(), table: GrowingTable::new(header(args.output)) }
    }

    /// Every pod that is another than before, the oldest first, then those that are gone.
    fn of(&mut self, pods: Vec<Pod>, args: &PsArgs) -> std::io::Result<String> {
        let now: BTreeMap<_, _> = pods.iter().map(|pod| (pod.id.clone(), pod.clone())).collect();
        let before = std::mem::replace(&mut self.known, now);
        let changed: Vec<_> =
            pods.iter().rev().filter(|pod| before.get(&pod.id) != Some(*pod)).collect();
        let gone: Vec<_> =
            before.values().filter(|pod| !self.known.contains_key(&pod.id)).collect();
        if args.is_table() {
            let now = SystemTime::now();
            let rows = changed.iter().map(|pod| row(pod, args.output, now));
            let gone = gone.iter().map(|pod| {
                let mut row = row(pod, args.output, now);
                row[STATE] = "gone".to_owned();
                row
            });
            return Ok(self.table.add(rows.chain(gone)));
        }
        let changed = changed.into_iter().map(|pod| told(pod, false, args));
        changed.chain(gone.into_iter().map(|pod| told(pod, true, args))).collect()
    }
}

/// A pod as a line or a document of a stream.
fn told(pod: &Pod, is_gone: bool, args: &PsArgs) -> std::io::Result<String> {
    let gone = json!({ "gone": { "namespace": pod.namespace, "name": pod.name, "id": pod.id } });
    match args.output {
        _ if args.quiet => Ok(format!("{}\n", pod.id)),
        Form::Yaml if is_gone => output::yaml_text(&gone).map(|text| format!("---\n{text}")),
        Form::Yaml => output::yaml_text(pod).map(|text| format!("---\n{text}")),
        Form::Json if is_gone => Ok(format!("{gone}\n")),
        Form::Json => Ok(serde_json::to_string(pod)? + "\n"),
        _ => Ok(pod.full_name() + "\n"),
    }
}

fn lines(items: impl Iterator<Item = String>) -> String {
    items.map(|item| item + "\n").collect()
}

fn header(form: Form) -> &'static [&'static str] {
    match form {
        Form::Wide => &[
            "POD",
            "ID",
            "STATE",
            "AGE",
            "IP",
            "PORTS",
            "CONTAINERS",
            "RESTARTS",
            "IMAGES",
            "HANDLER",
        ],
        _ => &["POD", "ID", "STATE", "AGE", "IP", "PORTS", "CONTAINERS"],
    }
}

fn table(pods: &[Pod], form: Form, now: SystemTime) -> String {
    let rows: Vec<_> = pods.iter().map(|pod| row(pod, form, now)).collect();
    paint::table(header(form), &rows, |column, cell| match (column, cell) {
        (STATE, "ready") => Some(Paint::Good),
        (STATE, _) => Some(Paint::Mild),
        (6, cell) if cell.contains("(unknown)") => Some(Paint::Bad),
        (6, cell) if cell.contains('(') => Some(Paint::Mild),
        _ => None,
    })
}

fn row(pod: &Pod, form: Form, now: SystemTime) -> Vec<String> {
    let details = pod.details.clone().unwrap_or_default();
    let ips: Vec<_> = details.ips.iter().map(ToString::to_string).collect();
    let ip = match ips.as_slice() {
        [] if details.host_network => "host".to_owned(),
        [] => "-".to_owned(),
        ips if form == Form::Wide => ips.join(","),
        [first, ..] => first.clone(),
    };
    let ports: Vec<_> = details.ports.iter().map(ToString::to_string).collect();
    let containers: Vec<_> = pod.containers.iter().map(container).collect();
    let mut row = vec![
        pod.full_name(),
        pod.id.chars().take(SHORT_ID).collect(),
        pod.state.to_string(),
        values::age(now.duration_since(pod.created_at).unwrap_or_default()),
        ip,
        or_dash(ports.join(",")),
        or_dash(containers.join(",")),
    ];
    if form == Form::Wide {
        let images: Vec<_> = newest(pod).map(|container| container.image.as_str()).collect();
        row.extend([
            restarts(pod).to_string(),
            or_dash(images.join(",")),
            or_dash(pod.runtime_handler.clone()),
        ]);
    }
    row
}

/// The newest container of each name; those before it are what it was restarted from.
fn newest(pod: &Pod) -> impl Iterator<Item = &Container> {
    let newest: BTreeMap<&str, &Container> =
        pod.containers.iter().map(|container| (container.name.as_str(), container)).collect();
    newest.into_values()
}

/// How often containers of a pod were started again, by the numbers that they carry.
pub(crate) fn restarts(pod: &Pod) -> u32 {
    newest(pod).map(|container| container.attempt).sum()
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
