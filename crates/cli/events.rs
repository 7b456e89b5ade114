//! `crilet events`.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use crilet_api::{Client, Event, PodRef, client::EventFilter};
use tokio::time::sleep;

use crate::{daemon, errors::CliError, global::Global, output, values::Format};

/// Pause before a daemon that went away is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// Options of `crilet events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Only what is about this pod: NAME or NAMESPACE/NAME
    #[arg(value_name = "POD")]
    pod: Option<String>,
    /// Go on with what happens
    #[arg(short, long)]
    watch: bool,
    /// How to print them; JSON is one event per line
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Prints what happened lately, oldest first.
pub(crate) async fn run(global: &Global, args: EventsArgs) -> Result<ExitCode, CliError> {
    let client = daemon::client(global);
    let pod = match &args.pod {
        Some(query) => Some(target(&client, query).await?),
        None => None,
    };
    let filter = EventFilter { since: None, pod };
    let events = client.events(&filter).await?;
    output::data(&text(&events.items, args.output, true)?).map_err(CliError::Output)?;
    if args.watch {
        return watch(&client, EventFilter { since: Some(events.revision), ..filter }, args).await;
    }
    if events.items.is_empty() {
        output::say("nothing happened lately");
    }
    Ok(ExitCode::SUCCESS)
}

/// A pod that is gone still has events: a name in full is taken at its word.
async fn target(client: &Client, query: &str) -> Result<PodRef, CliError> {
    match (daemon::find(&client.pods().await?, query), query.split_once('/')) {
        (Ok(pod), _) => Ok(pod.reference()),
        (Err(_), Some((namespace, name))) => Ok(PodRef::new(namespace, name)),
        (Err(error), None) => Err(CliError::FindKept(error)),
    }
}

/// Goes on over restarts of the daemon.
async fn watch(
    client: &Client,
    mut filter: EventFilter,
    args: EventsArgs,
) -> Result<ExitCode, CliError> {
    let mut told = false;
    loop {
        match client.watch_events(&filter).await {
            Ok(mut watch) => {
                told = false;
                while let Ok(Some(event)) = watch.next().await {
                    filter.since = Some(event.revision);
                    let text = text(&[event], args.output, false)?;
                    output::data(&text).map_err(CliError::Output)?;
                    if output::reader_is_gone() {
                        return Ok(ExitCode::SUCCESS);
                    }
                }
            }
            Err(error) if !error.is_passing() => return Err(error.into()),
            Err(_) => sleep(PAUSE).await,
        }
        if !told {
            output::say("the daemon went away; waiting for it to come back");
            told = true;
        }
    }
}

fn text(events: &[Event], format: Format, with_header: bool) -> Result<String, CliError> {
    if format == Format::Json {
        let lines = events.iter().map(|event| serde_json::to_string(event).map(|text| text + "\n"));
        return lines.collect::<Result<_, _>>().map_err(|error| CliError::Output(error.into()));
    }
    let rows: Vec<_> = events.iter().map(row).collect();
    if with_header && !rows.is_empty() {
        return Ok(output::table(&["AGE", "TYPE", "REASON", "OBJECT", "MESSAGE"], &rows));
    }
    Ok(rows.iter().map(|row| output::table_row(row, &[5, 7, 18, 28, 0])).collect())
}

/// One event as a row, for `describe`, too.
pub(crate) fn row(event: &Event) -> Vec<String> {
    let container = event.container.as_ref().map_or_else(String::new, |name| format!("/{name}"));
    let object = match event.pod.as_str() {
        "" => "node".to_owned(),
        pod => format!("{}/{pod}{container}", event.namespace),
    };
    let count = if event.count > 1 { format!(" (x{})", event.count) } else { String::new() };
    vec![
        daemon::age(event.time),
        event.kind.to_string(),
        event.reason.clone(),
        object,
        format!("{}{count}", event.message),
    ]
}
