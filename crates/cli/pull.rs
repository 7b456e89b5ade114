//! `crilet pull`.

use std::process::ExitCode;

use clap::Args;
use crilet_cri::{Client, v1};
use crilet_pod::{Failure, Observer, images};
use futures_util::future::join_all;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    connect,
    credentials::CredentialsArgs,
    errors::{self, CliError},
    global::Global,
    images as listed, output,
    progress::Progress,
    values::Form,
};

/// Options of `crilet pull`.
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// Images to pull, side by side
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    #[command(flatten)]
    credentials: CredentialsArgs,
    /// Only full ids of what was pulled, one per line
    #[arg(short, long, conflicts_with = "output")]
    quiet: bool,
    /// How to print what was pulled
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// Pulls images, whether the machine has them or not, and prints them.
pub(crate) async fn run(global: &Global, args: PullArgs) -> Result<ExitCode, CliError> {
    let credentials = args.credentials.read()?;
    let client = connect::client(global).await?;
    let failed = |cause| CliError::Start { cause };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let progress = Progress::start(client.endpoint());
    let pulls = args.images.iter().map(|name| pull(&client, name, &credentials, &progress));
    // What is dropped is cancelled in the runtime.
    let results = tokio::select! {
        results = join_all(pulls) => Some(results),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    progress.finish().await;
    let Some(results) = results else { return Err(CliError::Interrupted) };
    let (mut images, mut failures) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(image) => images.push(image),
            Err(failure) => failures.push(failure),
        }
    }
    images.dedup_by(|one, other| one.id == other.id);
    print(images, &args)?;
    told(failures, args.images.len())
}

async fn pull(
    client: &Client,
    name: &str,
    credentials: &images::Credentials,
    observer: &dyn Observer,
) -> Result<v1::Image, Failure> {
    let reference = images::fetch(client, name, credentials, observer).await?;
    images::look_up(client, &reference).await
}

fn print(images: Vec<v1::Image>, args: &PullArgs) -> Result<(), CliError> {
    if args.quiet {
        let ids: String = images.iter().map(|image| format!("{}\n", image.id)).collect();
        return output::data(&ids).map_err(CliError::Output);
    }
    // Nothing that came is no table without rows, but for a program an empty list.
    if images.is_empty() && matches!(args.output, Form::Table | Form::Wide) {
        return Ok(());
    }
    listed::print(images, args.output).map(drop)
}

fn told(mut failures: Vec<Failure>, total: usize) -> Result<ExitCode, CliError> {
    let failed = failures.len();
    match failures.pop() {
        None => Ok(ExitCode::SUCCESS),
        Some(only) if total == 1 => Err(CliError::Pull(only)),
        Some(last) => {
            failures.iter().chain([&last]).for_each(errors::report_failure);
            Err(CliError::Pulls { failed, total })
        }
    }
}
