//! `crilet stats`: what pods and containers use.

pub(crate) mod kernel;
pub(crate) mod sample;
#[cfg(test)]
mod tests;
pub(crate) mod usage;

use std::{process::ExitCode, time::Duration};

use clap::Args;
use crilet_cri::Client;

use self::{
    sample::Sampler,
    usage::{Measured, Usage},
};
use crate::{
    connect,
    errors::CliError,
    global::Global,
    output::{self, Redrawn},
    values::{self, Form},
    watch::Patience,
};

/// Options of `crilet stats`.
#[derive(Debug, Args)]
#[command(
    after_help = "CPU is in percent of one processor, over the time between two looks. Memory is the \
                        working set: what cannot be given back. Rates and counters of the network are the \
                        pod's, seen from inside of it. What neither runtime nor kernel tell is a dash."
)]
pub(crate) struct StatsArgs {
    /// Only these: POD, POD/CONTAINER, NAMESPACE/POD[/CONTAINER], an id or its beginning
    #[arg(value_name = "POD[/CONTAINER]")]
    names: Vec<String>,
    /// Once, also on a terminal
    #[arg(long)]
    no_stream: bool,
    /// Time between two looks, such as 500ms or 5s
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = values::duration)]
    interval: Duration,
    /// How to print it; only tables are refreshed
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// Prints what pods and their containers use, again and again on a terminal.
pub(crate) async fn run(global: &Global, args: StatsArgs) -> Result<ExitCode, CliError> {
    let client = connect::client(global).await?;
    let is_table = matches!(args.output, Form::Table | Form::Wide);
    if is_table && !args.no_stream && output::can_redraw() {
        return refresh(client, &args).await;
    }
    let mut sampler = Sampler::new(client);
    let mut measured = sampler.measure(&args.names).await?;
    if args.output != Form::Name && measured.iter().any(Measured::wants_another) {
        tokio::time::sleep(args.interval).await;
        measured = sampler.measure(&args.names).await?;
    }
    let written = match args.output {
        Form::Json => output::json(&measured),
        Form::Yaml => output::yaml(&measured),
        Form::Name => {
            let names = measured.iter().map(|one| one.name.clone() + "\n");
            output::data(&names.collect::<String>())
        }
        form => output::data(&table(&measured, form)),
    };
    written.map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}

/// Shows a table in one place until a signal ends it.
async fn refresh(client: Client, args: &StatsArgs) -> Result<ExitCode, CliError> {
    let mut sampler = Sampler::new(client);
    let (mut screen, mut patience) = (Redrawn::default(), Patience::default());
    // The first look must not fail; later ones wait for a runtime that is restarted.
    let mut measured = Some(sampler.measure(&args.names).await?);
    loop {
        if let Some(measured) = measured {
            screen.show(&table(&measured, args.output)).map_err(CliError::Output)?;
        }
        tokio::time::sleep(args.interval).await;
        measured = match patience.seen(sampler.measure(&args.names).await) {
            Err(CliError::Find(_) | CliError::NoContainer { .. }) => Some(Vec::new()),
            seen => seen?,
        };
    }
}

fn header(form: Form) -> &'static [&'static str] {
    match form {
        Form::Wide => &[
            "NAME", "CPU %", "MEMORY", "LIMIT", "MEM %", "NET RX", "NET TX", "RX/S", "TX/S",
            "PIDS", "RESTARTS", "ID",
        ],
        _ => &["NAME", "CPU %", "MEMORY", "LIMIT", "NET RX", "NET TX", "PIDS", "RESTARTS"],
    }
}

fn table(measured: &[Measured], form: Form) -> String {
    let rows: Vec<_> = measured.iter().map(|one| row(one, form)).collect();
    output::table(header(form), &rows)
}

fn row(measured: &Measured, form: Form) -> Vec<String> {
    let Usage { memory_bytes, memory_limit_bytes, processes, .. } = measured.usage;
    let network = measured.usage.network.unwrap_or_default();
    let restarts = measured.restarts.to_string();
    let start = [
        measured.name.clone(),
        measured.usage.cpu_text(),
        bytes(memory_bytes),
        bytes(memory_limit_bytes),
    ];
    let counted = [bytes(network.received_bytes), bytes(network.sent_bytes)];
    let processes = number(processes);
    if form != Form::Wide {
        return [&start[..], &counted, &[processes, restarts]].concat();
    }
    let share = measured.usage.memory_share().map(|share| format!("{share:.1}"));
    let rates = [bytes(network.received_bytes_per_second), bytes(network.sent_bytes_per_second)];
    let id = measured.id.chars().take(13).collect();
    let share = [share.unwrap_or_else(dash)];
    [&start[..], &share, &counted, &rates, &[processes, restarts, id]].concat()
}

/// Bytes, or a dash where they are not known.
pub(crate) fn bytes(count: Option<u64>) -> String {
    count.map_or_else(dash, values::bytes)
}

/// A number, or a dash where it is not known.
pub(crate) fn number(count: Option<u64>) -> String {
    count.map_or_else(dash, |count| count.to_string())
}

fn dash() -> String {
    "-".to_owned()
}
