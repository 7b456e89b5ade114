//! `crilet events`.

mod happenings;
mod heard;
mod ledger;
mod runtime;
#[cfg(test)]
mod tests;

pub(crate) use self::heard::Heard;

use std::{process::ExitCode, time::Duration};

use clap::Args;
use crilet_api::{Client, Event, PodRef, client::EventFilter};
use tokio::time::sleep;

use crate::{
    daemon,
    errors::CliError,
    global::Global,
    output,
    values::{self, Format},
};

/// Pause before a daemon that went away is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// Options of `crilet events`.
#[derive(Debug, Args)]
#[command(
    after_help = "Where a daemon runs these are its events. Without one, or with --runtime, they are \
                        made of what the runtime's pods and containers tell of themselves: when each was \
                        made, started and ended, and how. --watch then goes on with what the runtime tells while it \
                        happens: containerd, and CRI-O since 1.26. Where a runtime tells nothing, what came \
                        and went between two looks, half a second apart, is not seen."
)]
pub(crate) struct EventsArgs {
    /// Only what is about this pod: NAME or NAMESPACE/NAME
    #[arg(value_name = "POD")]
    pod: Option<String>,
    /// Go on with what happens
    #[arg(short, long)]
    watch: bool,
    /// Only what happened since then, such as 10m, yesterday, 15:04 or 2026-01-02T15:04:05Z
    #[arg(long, value_name = "TIME", value_parser = values::when)]
    since: Option<i64>,
    /// Ask the runtime, also where a daemon runs
    #[arg(long)]
    runtime: bool,
    /// How to print them; JSON is one event per line
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Prints what happened lately, oldest first.
pub(crate) async fn run(global: &Global, args: EventsArgs) -> Result<ExitCode, CliError> {
    let client = daemon::client(global);
    if args.runtime || !is_there(global, &client).await? {
        runtime::run(global, &args).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let pod = match &args.pod {
        Some(query) => Some(target(&client, query).await?),
        None => None,
    };
    let filter = EventFilter { since: None, pod };
    let mut events = client.events(&filter).await?;
    events.items.retain(|event| is_since(event, args.since));
    output::data(&text(&events.items, args.output, true)?).map_err(CliError::Output)?;
    if args.watch {
        return watch(&client, EventFilter { since: Some(events.revision), ..filter }, args).await;
    }
    if events.items.is_empty() {
        output::say("nothing happened lately");
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the daemon is to be asked: it is there, or it was said where it is.
async fn is_there(global: &Global, client: &Client) -> Result<bool, CliError> {
    match client.pods().await {
        Ok(_) => Ok(true),
        Err(error) if error.is_absent() && global.socket.is_none() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether an event is not older than so many nanoseconds after 1970.
fn is_since(event: &Event, since: Option<i64>) -> bool {
    since.is_none_or(|since| event.time.as_nanosecond() >= i128::from(since))
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
                    if !is_since(&event, args.since) {
                        continue;
                    }
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
