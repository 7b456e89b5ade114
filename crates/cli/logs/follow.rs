//! `crilet logs --follow`: logs to their ends, over restarts of their containers.

use std::{process::ExitCode, sync::Arc};

use crilet_core::limits;
use crilet_cri::Client;
use crilet_log::{
    Control, Counts, Follow, Followed, LogError, LogFile, Name, Query, Watch,
    wanted::{Chosen, Tracker},
};
use crilet_pod::sync::marks;

use super::{LogsArgs, told};
use crate::{errors::CliError, output};

/// Follows the logs of containers until these have ended.
pub(super) async fn run(
    client: Client,
    args: &LogsArgs,
    query: Query,
    chosen: Vec<Chosen>,
) -> Result<ExitCode, CliError> {
    let (reader, control) = start(args, query)?;
    let say = |words: String| output::say(&words);
    let tracker = Tracker::new(client, control, chosen, marks::is_made_again, say);
    tokio::select! {
        read = reader => told(read.unwrap_or_else(|_| Ok(Counts::default()))),
        never = tracker.run() => match never {},
    }
}

/// Follows a file; nothing tells when its writer ends.
pub(super) fn run_file(args: &LogsArgs, query: Query, log: LogFile) -> Result<ExitCode, CliError> {
    limits::allow_many_files();
    let watch = Watch::start().map_err(|cause| CliError::Start { cause })?;
    let (follow, control) = Follow::new(Arc::new(watch), query, args.renderer());
    control.add(Followed { log, name: Name::default() }, None);
    told(follow.run(&mut output::stream()))
}

type Reader = tokio::task::JoinHandle<Result<Counts, LogError>>;

/// Reads and writes on a thread of its own: whoever takes the output may be slow.
fn start(args: &LogsArgs, query: Query) -> Result<(Reader, Control), CliError> {
    // Every file that is rotated away before it is read stays open.
    limits::allow_many_files();
    let watch = Watch::start().map_err(|cause| CliError::Start { cause })?;
    let (follow, control) = Follow::new(Arc::new(watch), query, args.renderer());
    Ok((tokio::task::spawn_blocking(move || follow.run(&mut output::stream())), control))
}
