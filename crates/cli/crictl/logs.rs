//! `crictl logs`: what went to stdout goes to stdout, what went to stderr to stderr.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crilet_cri::{Client, v1};
use crilet_crictl::flags::{self, Parsed};
use crilet_log::{
    Control, Filter, Follow, Followed, Form, LogError, LogFile, Name, Query, Renderer, Watch,
    files::Directory,
};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Call, Result, reach,
    report::{Fail, Level, Tried, kernel_words, log},
};
use crate::output;

/// How often the runtime is asked whether a container still runs.
const ASK: Duration = Duration::from_millis(500);

pub(super) async fn run(call: &Call) -> Result<()> {
    let line = &call.line;
    let id = match line.arguments.as_slice() {
        [] => return Err(Fail::fatal("ID cannot be empty")),
        [id] if id.is_empty() => return Err(Fail::fatal("ID cannot be empty")),
        [id] => id,
        _ => return Err(Fail::Help),
    };
    let client = reach::client(call).await?;
    if line.bool("reopen") {
        client.reopen_container_log(id).await.tried("reopen container logs")?;
        log(Level::Info, "Container logs reopened");
    }
    let query = query(line)?;
    let split = Split::new(line);
    let status = client.container_status(id, false).await?.status.unwrap_or_default();
    let path = path_of(&status, line.bool("previous"))?;
    let file = open(&path)?;
    if !line.bool("follow") {
        let mut renderer = Renderer::new(Form::Cri, false);
        renderer.add(&Name::default());
        return ended(crilet_log::read_file(&file, &query, &mut renderer, &mut { split }));
    }
    follow(client, status.id, file, query, split).await
}

/// Which lines are wanted.
fn query(line: &Parsed) -> Result<Query> {
    if !matches!(line.text("stream"), "" | "stdout" | "stderr") {
        let words =
            format!("invalid stream {:?}, must be \"stdout\" or \"stderr\"", line.text("stream"));
        return Err(Fail::Fatal(words));
    }
    if line.is_set("tail") && line.is_set("stream") {
        return Err(Fail::fatal("--tail and --stream are mutually exclusive"));
    }
    let filter = Filter { since: since(line.text("since"))?, ..Filter::default() };
    Ok(Query { filter, tail: u64::try_from(line.int("tail")).ok(), limit: None })
}

/// A point in time, nanoseconds since 1970: a duration before now, seconds since 1970, or a time.
fn since(text: &str) -> Result<Option<i64>> {
    if text.is_empty() {
        return Ok(None);
    }
    // Docker's reading: a mere 0 is a point in time, and dates may have a zone.
    if let Some(ago) = flags::duration(text).filter(|_| text != "0") {
        return Ok(Some(crate::values::now().saturating_sub(ago)));
    }
    // A date alone; of a time, too, jiff would read the date.
    let date = text.strip_suffix('Z').filter(|text| !text.contains('T'));
    let utc = date.and_then(|date| date.parse::<jiff::civil::Date>().ok());
    if let Some(day) = utc.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok()) {
        return Ok(i64::try_from(day.timestamp().as_nanosecond()).ok());
    }
    if let Some(at) = unix_time(text) {
        return Ok(Some(at));
    }
    let read = crilet_log::read_when(text, &jiff::Zoned::now());
    read.map(Some).map_err(|error| Fail::Fatal(format!("failed to parse value {text:?}: {error}")))
}

/// Seconds since 1970 with up to nine digits behind a point, in nanoseconds; the last point in time for
/// what is beyond it.
fn unix_time(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !format!("{seconds}{fraction}").bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let seconds: i64 = seconds.parse().ok()?;
    Some(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds.parse().ok()?))
}

/// The log of a container, or that of the one which was there before.
fn path_of(status: &v1::ContainerStatus, previous: bool) -> Result<PathBuf> {
    if status.log_path.is_empty() {
        return Err(Fail::fatal("the container has not set log path"));
    }
    let path = PathBuf::from(&status.log_path);
    if !previous {
        return Ok(path);
    }
    let metadata = status.metadata.clone().unwrap_or_default();
    let Some(before) = metadata.attempt.checked_sub(1) else {
        let words = format!("previous terminated container {} not found", metadata.name);
        return Err(Fail::Fatal(words));
    };
    let mut name = before.to_string();
    if let Some(extension) = path.extension() {
        name.push('.');
        name.push_str(&extension.to_string_lossy());
    }
    Ok(path.with_file_name(name))
}

fn open(path: &Path) -> Result<LogFile> {
    let failed = |error: io::Error| {
        let (path, words) = (path.display().to_string(), kernel_words(&error));
        Fail::Fatal(format!("failed to open log file {path:?}: {words}"))
    };
    // kubelets make logs links into other directories.
    let full = std::fs::canonicalize(path).map_err(failed)?;
    let none = || failed(io::ErrorKind::NotFound.into());
    let (parent, name) = full.parent().zip(full.file_name()).ok_or_else(none)?;
    Ok(LogFile::new(Arc::new(Directory::open(parent).map_err(failed)?), name))
}

/// Goes on with what is added until the container has ended.
async fn follow(
    client: Client,
    id: String,
    file: LogFile,
    query: Query,
    split: Split,
) -> Result<()> {
    let failed = |error: io::Error| Fail::Fatal(error.to_string());
    // Before there is any output: who has seen some of it may end this.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let watch = Watch::start().map_err(failed)?;
    let (follow, control) = Follow::new(Arc::new(watch), query, Renderer::new(Form::Cri, false));
    control.add(Followed { log: file, name: Name::default() }, None);
    let reader = tokio::task::spawn_blocking(move || follow.run(&mut { split }));
    tokio::select! {
        read = reader => read.map_or(Ok(()), ended),
        () = tell_end(&client, &id, &control) => Ok(()),
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// Tells the reader when the container has ended, and then never returns.
async fn tell_end(client: &Client, id: &str, control: &Control) {
    loop {
        let over = match client.container_status(id, false).await {
            Ok(answer) => {
                let state = answer.status.unwrap_or_default().state();
                state != v1::ContainerState::ContainerRunning
                    && state != v1::ContainerState::ContainerCreated
            }
            Err(error) => error.is_not_found(),
        };
        if over {
            control.ended(0);
            control.close();
            return std::future::pending().await;
        }
        tokio::time::sleep(ASK).await;
    }
}

fn ended<T>(read: std::result::Result<T, LogError>) -> Result<()> {
    match read {
        Ok(_) => Ok(()),
        Err(error) if error.is_reader_gone() => Ok(()),
        Err(error) => Err(Fail::Fatal(crilet_core::ErrorChain(&error).to_string())),
    }
}

/// Takes records apart and hands each line to its stream.
struct Split {
    stream: Option<String>,
    timestamps: bool,
    /// Bytes that may still be written.
    room: u64,
    rest: Vec<u8>,
    /// Whether the next record continues a line.
    within: bool,
}

impl Split {
    fn new(line: &Parsed) -> Self {
        let stream = line.text("stream");
        Self {
            stream: (!stream.is_empty()).then(|| stream.to_owned()),
            timestamps: line.bool("timestamps"),
            room: u64::try_from(line.int("limit-bytes")).unwrap_or(u64::MAX),
            rest: Vec::new(),
            within: false,
        }
    }

    /// Adds a record to what is to be written: `TIME STREAM TAG TEXT`; other lines as they are.
    fn record(&mut self, record: &[u8], out: &mut Vec<u8>, err: &mut Vec<u8>) {
        let mut parts = record.splitn(4, |byte| *byte == b' ');
        let (time, stream) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (tag, text) = (parts.next(), parts.next().unwrap_or_default());
        let known = matches!(stream, b"stdout" | b"stderr") && tag.is_some();
        let wanted = self.stream.as_deref().is_none_or(|wanted| wanted.as_bytes() == stream);
        if known && !wanted {
            return;
        }
        let mut line = Vec::new();
        if known && self.timestamps && !self.within {
            line.extend_from_slice(time);
            line.push(b' ');
        }
        line.extend_from_slice(if known { text } else { record });
        self.within = known && tag == Some(b"P");
        if !self.within {
            line.push(b'\n');
        }
        let room = usize::try_from(self.room).unwrap_or(usize::MAX);
        line.truncate(room);
        self.room = self.room.saturating_sub(line.len() as u64);
        if stream == b"stderr" { err.extend(line) } else { out.extend(line) }
    }
}

impl Write for Split {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut data = std::mem::take(&mut self.rest);
        data.extend_from_slice(bytes);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut begin = 0;
        while let Some(length) = data.iter().skip(begin).position(|byte| *byte == b'\n') {
            let record = data.get(begin..begin + length).unwrap_or_default().to_vec();
            self.record(&record, &mut out, &mut err);
            begin += length + 1;
        }
        self.rest = data.split_off(begin);
        // In turns only where both have something: the order between them is nobody's promise.
        output::stream().write_all(&out)?;
        io::stderr().write_all(&err)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        output::stream().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(records: &str, stream: Option<&str>, timestamps: bool, room: u64) -> (String, String) {
        let stream = stream.map(str::to_owned);
        let mut split = Split { stream, timestamps, room, rest: Vec::new(), within: false };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        for record in records.lines() {
            split.record(record.as_bytes(), &mut out, &mut err);
        }
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn records_go_to_their_streams() {
        let records =
            "T1 stdout F one\nT2 stderr F two words\nT3 stdout P a\nT4 stdout F b\nno record";
        let both = |out: &str, err: &str| (out.to_owned(), err.to_owned());
        assert_eq!(split(records, None, false, 99), both("one\nab\nno record\n", "two words\n"));
        assert_eq!(split(records, Some("stderr"), true, 99), both("no record\n", "T2 two words\n"));
        assert_eq!(split(records, None, true, 9), both("T1 one\n", "T2"));
        assert_eq!(split("T stdout F ", None, false, 9), both("\n", ""));
    }

    #[test]
    fn times_are_read_as_docker_reads_them() {
        let read = |text: &str| since(text).unwrap().unwrap();
        assert_eq!(read("1136073600"), 1_136_073_600_000_000_000);
        assert_eq!(read("2006-01-02T15:04:05Z"), 1_136_214_245_000_000_000);
        let ago = read("42m");
        assert!(crate::values::now() - ago >= 42 * 60 * 1_000_000_000);
        assert!(since("soon").is_err());
        assert!(since("").unwrap().is_none());
    }

    #[test]
    fn points_in_time_are_read_as_docker_reads_them() {
        let seconds = |text: &str| since(text).unwrap_or_default().map(|at| at / 1_000_000_000);
        assert_eq!(seconds("0"), Some(0));
        assert_eq!(seconds("1767323045.5"), Some(1_767_323_045));
        assert_eq!(since("1767323045.000000001").unwrap(), Some(1_767_323_045_000_000_001));
        assert_eq!(since("99999999999").unwrap(), Some(i64::MAX));
        assert!(["1e3", "-5", ".", "inf"].iter().all(|text| since(text).is_err()));
        assert_eq!(seconds("2026-01-02Z"), Some(1_767_312_000));
        assert_eq!(seconds("2026-01-02T00:00:00Z"), Some(1_767_312_000));
        let now = crate::values::now() / 1_000_000_000;
        assert!(seconds("0s").is_some_and(|at| at >= now), "a time before now, which goes on");
        assert_eq!(seconds(""), None);
        assert!(since("2026-01-02ZZ").is_err());
    }
}
