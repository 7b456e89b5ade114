//! `crilet logs`.

mod follow;
mod select;

use std::{io, path::PathBuf, process::ExitCode, sync::Arc};

use clap::Args;
use crilet_core::ErrorChain;
use crilet_log::{
    Counts, Filter, Form, Grep, LogError, LogFile, Query, Renderer, files::Directory,
    format::Stream, wanted::read_chosen,
};

use crate::{connect, errors::CliError, global::Global, output, values};

/// Options of `crilet logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Whose: POD, POD/CONTAINER, NAMESPACE/POD[/CONTAINER], a pod's or container's id or its
    /// beginning; by default all containers of all pods that are up
    #[arg(value_name = "POD[/CONTAINER]", conflicts_with = "file")]
    targets: Vec<String>,
    /// Keep writing what is added, until the containers have ended
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines of each log
    #[arg(short = 'n', long, value_name = "LINES")]
    tail: Option<u64>,
    /// Only lines since then, such as 10m, yesterday, 15:04 or 2026-01-02T15:04:05Z
    #[arg(long, value_name = "TIME", value_parser = values::when)]
    since: Option<i64>,
    /// Only lines until then
    #[arg(long, value_name = "TIME", value_parser = values::when)]
    until: Option<i64>,
    /// Only lines that match a regular expression
    #[arg(short, long, value_name = "REGEX")]
    grep: Option<String>,
    /// Let --grep match upper and lower case alike
    #[arg(long, requires = "grep")]
    ignore_case: bool,
    /// Only what was written to one of them
    #[arg(long, value_enum)]
    stream: Option<StreamArg>,
    /// Write the time before each line
    #[arg(short, long)]
    timestamps: bool,
    /// How to write lines
    #[arg(short, long, value_enum, default_value_t)]
    output: FormArg,
    /// Logs of the containers that were there before
    #[arg(short, long, conflicts_with_all = ["follow", "file"])]
    previous: bool,
    /// Only this many bytes of output, such as 4096 or 1Mi
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    limit_bytes: Option<u64>,
    /// Read this log without asking a runtime; its rotated files with it
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Colour the names of containers
    #[arg(long, value_enum, default_value_t)]
    color: Color,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum StreamArg {
    /// Standard output
    Stdout,
    /// Standard error
    Stderr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum FormArg {
    /// Lines, behind the containers' names where there are several
    #[default]
    Text,
    /// Lines and nothing else
    Raw,
    /// One object a line: time, pod, container, stream, line
    Json,
    /// Records as they are on disk
    Cri,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl LogsArgs {
    fn query(&self) -> Result<Query, CliError> {
        let grep = self.grep.as_ref().map(|pattern| Grep::new(pattern, self.ignore_case));
        let grep = grep.transpose().map_err(|cause| CliError::Pattern(cause.to_string()))?;
        let stream = self.stream.map(|stream| match stream {
            StreamArg::Stdout => Stream::Stdout,
            StreamArg::Stderr => Stream::Stderr,
        });
        let filter = Filter { stream, since: self.since, until: self.until, grep };
        Ok(Query { filter, tail: self.tail, limit: self.limit_bytes })
    }

    fn renderer(&self) -> Renderer {
        let form = match self.output {
            FormArg::Text => Form::Text,
            FormArg::Raw => Form::Raw,
            FormArg::Json => Form::Json,
            FormArg::Cri => Form::Cri,
        };
        Renderer::new(form, self.timestamps)
    }

    fn colors(&self) -> bool {
        match self.color {
            Color::Auto => connect::wants_color() && output::is_terminal(),
            Color::Always => true,
            Color::Never => false,
        }
    }
}

/// Writes logs.
pub(crate) async fn run(global: &Global, args: LogsArgs) -> Result<ExitCode, CliError> {
    let query = args.query()?;
    if let Some(path) = &args.file {
        return read_path(&args, &query, path);
    }
    let client = connect::client(global).await?;
    let selection = select::Selection { targets: &args.targets, previous: args.previous };
    let (chosen, refused) = select::choose(&client, &selection, args.colors()).await?;
    for error in &refused {
        output::say(&format!("warning: left out: {}", ErrorChain(error)));
    }
    let status = match args.follow {
        true => follow::run(client, &args, query, chosen).await?,
        false => told(read_chosen(chosen, &query, args.renderer(), &mut output::stream()))?,
    };
    Ok(if refused.is_empty() { status } else { ExitCode::FAILURE })
}

fn read_path(args: &LogsArgs, query: &Query, path: &std::path::Path) -> Result<ExitCode, CliError> {
    let failed = |cause| CliError::Logs(LogError::Read { path: path.to_owned(), cause });
    let full = std::fs::canonicalize(path).map_err(failed)?;
    let directory = || failed(io::ErrorKind::IsADirectory.into());
    let (parent, name) = full.parent().zip(full.file_name()).ok_or_else(directory)?;
    match full.metadata().map_err(failed)? {
        kind if kind.is_dir() => return Err(directory()),
        kind if kind.is_file() => {}
        // A pipe or a device has no end, or does something when it is read.
        _ => return Err(failed(io::Error::other("is no regular file"))),
    }
    let directory = Directory::open(parent).map_err(failed)?;
    let log = LogFile::new(Arc::new(directory), name);
    // What is compressed grows no more.
    if args.follow && !log.is_archive() {
        return follow::run_file(args, query.clone(), log);
    }
    let mut renderer = args.renderer();
    renderer.add(&crilet_log::Name::default());
    let rotated = log.family().is_ok_and(|family| !family.rotated.is_empty());
    let mut out = output::stream();
    let read = match rotated {
        true => crilet_log::read(&[log], query, &mut renderer, &mut out),
        false => crilet_log::read_file(&log, query, &mut renderer, &mut out),
    };
    told(read)
}

/// The status for what was read; says what was wrong with it.
fn told(read: Result<Counts, LogError>) -> Result<ExitCode, CliError> {
    let counts = match read {
        Ok(counts) => counts,
        Err(error) if error.is_reader_gone() => return Ok(ExitCode::SUCCESS),
        Err(LogError::Write(cause)) => return Err(CliError::Output(cause)),
        Err(error) => return Err(CliError::Logs(error)),
    };
    let found = [
        (
            counts.broken,
            "line is no log record and was written as it is",
            "lines are no log records and were written as they are",
        ),
        (
            counts.torn,
            "compressed file is damaged; what can be read of it was written",
            "compressed files are damaged; what can be read of them was written",
        ),
        (
            counts.vanished,
            "file was removed before it could be read",
            "files were removed before they could be read",
        ),
    ];
    for (count, one, several) in found {
        match count {
            0 => {}
            1 => output::say(&format!("1 {one}")),
            _ => output::say(&format!("{count} {several}")),
        }
    }
    Ok(ExitCode::SUCCESS)
}
