//! Reading what is followed.

use std::{
    collections::VecDeque,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use super::{
    trail::Trail,
    watch::{Waker, Watch, Watched},
};
use crate::{
    error::LogError,
    files::has_writer,
    read::{
        Counts, Filter, Form, Lines, LogFile, Name, Next, Output, Query, Renderer, Snapshot,
        Source, begin, begin_at_end, by_time,
    },
};

/// Between two looks at logs that are being written. Shorter would cost more than it tells sooner.
const BUSY: Duration = Duration::from_millis(40);
/// Between two looks at logs that are silent, where inotify wakes for every write.
const IDLE: Duration = Duration::from_secs(1);
/// Looks, 40 ms apart, after which a file that was rotated away is taken for done where the kernel
/// does not tell whether anybody still writes it.
const QUIET: u32 = 50;
/// The same for a file that somebody holds open, but does not write.
const VERY_QUIET: u32 = 250;

/// A log to follow.
#[derive(Debug, Clone)]
pub struct Followed {
    /// The log. It need not be there yet.
    pub log: LogFile,
    /// What is written with its lines.
    pub name: Name,
}

/// What a follower is told while it waits.
#[derive(Debug)]
pub(crate) enum Message {
    Look,
    /// Logs that are there at the same time, so that nothing is read of one before all are.
    Add(Vec<Followed>, Option<i64>),
    Ended(usize),
    Close,
    Stop,
}

/// Steers a [`Follow`] from elsewhere; clones steer the same one.
#[derive(Debug, Clone)]
pub struct Control {
    sender: Sender<Message>,
    count: Arc<AtomicUsize>,
}

impl Control {
    /// Adds a log, from its beginning or lines of a time on; gives its number.
    pub fn add(&self, followed: Followed, since: Option<i64>) -> usize {
        self.send(Message::Add(vec![followed], since));
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds logs whose lines are to be merged by time from their beginnings on; gives the number of the
    /// first, which the others follow.
    pub fn add_all(&self, followed: Vec<Followed>) -> usize {
        let count = followed.len();
        self.send(Message::Add(followed, None));
        self.count.fetch_add(count, Ordering::Relaxed)
    }

    /// Says that a log's writer has ended: once all is read, it is done.
    pub fn ended(&self, number: usize) {
        self.send(Message::Ended(number));
    }

    /// Says that no more logs will be added: the follower ends when all of them are done.
    pub fn close(&self) {
        self.send(Message::Close);
    }

    /// Ends the follower at once.
    pub fn stop(&self) {
        self.send(Message::Stop);
    }

    fn send(&self, message: Message) {
        // A follower that has ended needs to know nothing.
        drop(self.sender.send(message));
    }
}

/// Follows logs until their writers have ended.
#[derive(Debug)]
pub struct Follow {
    watch: Arc<Watch>,
    query: Query,
    renderer: Renderer,
    receiver: Receiver<Message>,
    waker: Arc<Waker>,
    logs: Vec<Log>,
    closed: bool,
}

impl Follow {
    /// Follows logs that are added through the [`Control`], beginning in each where the query says.
    pub fn new(watch: Arc<Watch>, query: Query, renderer: Renderer) -> (Self, Control) {
        let (sender, receiver) = channel();
        let wake = sender.clone();
        // A follower that has ended needs no waking.
        let waker = Waker::new(move || drop(wake.send(Message::Look)));
        let follow =
            Self { watch, query, renderer, receiver, waker, logs: Vec::new(), closed: false };
        (follow, Control { sender, count: Arc::default() })
    }

    /// Writes what is there and what comes, and returns when all logs are done, or on
    /// [`Control::stop`]. Blocks: it wants a thread of its own.
    ///
    /// Output is handed on after every look. While `out` does not take it nothing is lost: files
    /// that are rotated away meanwhile are held open.
    ///
    /// # Errors
    /// A log that cannot be read; [`LogError::Write`] when `out` fails.
    pub fn run(mut self, out: &mut dyn Write) -> Result<Counts, LogError> {
        let mut renderer = std::mem::replace(&mut self.renderer, Renderer::new(Form::Raw, false));
        let mut output = Output::new(&mut renderer, out, self.query.limit);
        let mut pending = VecDeque::new();
        loop {
            pending.extend(self.receiver.try_iter());
            while let Some(message) = pending.pop_front() {
                if !self.hear(message, &mut output)? {
                    return self.finish(output);
                }
            }
            let before = output.lines;
            for log in &mut self.logs {
                log.prepare();
            }
            let mut more = by_time(&mut self.logs, &mut output)?;
            more &= output.push()?;
            let mut moved = false;
            let timely = !self.query.filter.is_past();
            // Those that are there when it begins come with the first message.
            self.closed |= !timely && !self.logs.is_empty();
            for log in &mut self.logs {
                moved |= log.conclude(&self.watch, timely)?;
            }
            if !more || self.closed && self.logs.iter().all(|log| log.done) {
                return self.finish(output);
            }
            if !moved {
                pending.extend(self.wait(output.lines > before));
            }
        }
    }

    fn finish(self, mut output: Output<'_>) -> Result<Counts, LogError> {
        output.finish()?;
        let mut counts = Counts { lines: output.lines, ..Counts::default() };
        for log in &self.logs {
            counts.add(log.source.counts);
            counts.vanished += log.watched.lock().missed();
        }
        Ok(counts)
    }

    /// Takes a message; tells whether to go on.
    fn hear(&mut self, message: Message, output: &mut Output<'_>) -> Result<bool, LogError> {
        match message {
            Message::Look => self.waker.woke(),
            Message::Add(followed, since) => {
                for Followed { log, name } in followed {
                    output.renderer.add(&name);
                    let log = Log::open(&log, &self.query, since, &self.watch, &self.waker)?;
                    self.logs.push(log);
                }
            }
            Message::Ended(number) => {
                if let Some(log) = self.logs.get_mut(number) {
                    log.ended = true;
                }
            }
            Message::Close => self.closed = true,
            Message::Stop => return Ok(false),
        }
        Ok(true)
    }

    /// Waits for the next look, or for a message.
    fn wait(&mut self, busy: bool) -> Option<Message> {
        let mut timeout = BUSY;
        if !busy && self.logs.iter().all(Log::rests) {
            let armed = self.logs.iter().filter(|log| !log.done).all(|log| {
                let file = log.source.cursor().file();
                file.is_none_or(|file| self.watch.arm(file, &self.waker))
            });
            // What was written before the watch was set wakes nobody.
            if armed && !self.logs.iter().any(Log::has_more) {
                timeout = IDLE;
            }
        }
        self.receiver.recv_timeout(timeout).ok()
    }
}

/// A log that is followed.
#[derive(Debug)]
struct Log {
    log: LogFile,
    source: Source,
    watched: Arc<Watched>,
    /// Its writer has ended.
    ended: bool,
    /// All was read.
    done: bool,
    /// Looks without anything new.
    quiet: u32,
    read: u64,
}

impl Log {
    fn open(
        log: &LogFile,
        query: &Query,
        since: Option<i64>,
        watch: &Watch,
        waker: &Arc<Waker>,
    ) -> Result<Self, LogError> {
        let failed = |cause| log.failed(cause);
        let snapshot = Snapshot::take(log).map_err(failed)?;
        let mut query = query.clone();
        if since.is_some() {
            query.filter = Filter { since: since.max(query.filter.since), ..query.filter };
            query.tail = None;
        }
        let source = match query.tail {
            Some(0) => begin_at_end(&snapshot, &query.filter),
            _ => begin(&snapshot, &query, true),
        };
        let source = source.map_err(failed)?.endless();
        let trail = Trail::new(&snapshot).map_err(failed)?;
        let watched = watch.add(trail, Arc::clone(waker));
        // What came before the watch was set.
        watch.look(&watched).map_err(failed)?;
        Ok(Self { log: log.clone(), source, watched, ended: false, done: false, quiet: 0, read: 0 })
    }

    /// Length of the file that is read; nothing where it cannot grow.
    fn length(&self) -> Option<u64> {
        Some(self.source.cursor().file()?.metadata().ok()?.len())
    }

    /// Lets the next round read what is there now.
    fn prepare(&mut self) {
        let Some(length) = self.length() else { return };
        if length < self.source.cursor().read_offset() {
            // It was truncated: its content begins anew.
            self.source.restart();
        }
        self.source.extend(length);
    }

    /// After a round: goes to the next file once this one is done for ever; tells whether it did.
    /// Where no line can be `timely` any more, what is there is all that is read.
    fn conclude(&mut self, watch: &Watch, timely: bool) -> Result<bool, LogError> {
        self.done |= self.source.is_over();
        let read = self.source.cursor().read_offset();
        self.quiet = if read == self.read { self.quiet.saturating_add(1) } else { 0 };
        self.read = read;
        if self.done || self.has_more() {
            return Ok(false);
        }
        let looked = watch.look(&self.watched);
        let is_last = self.watched.lock().next.is_empty();
        if is_last {
            looked.map_err(|cause| self.log.failed(cause))?;
        }
        if is_last && !timely {
            self.source.end();
            return Ok(true);
        }
        // In this order: once nobody writes the file, it has all that it will ever have.
        if is_last && !self.ended || self.may_grow() || self.has_more() {
            return Ok(false);
        }
        if is_last {
            self.source.end();
            return Ok(true);
        }
        let held = self.watched.lock().next.pop_front();
        if let Some(held) = held {
            let input = held.input().map_err(|cause| self.log.failed(cause))?;
            self.source.turn(input);
            self.quiet = 0;
        }
        Ok(true)
    }

    /// Whether somebody may still write the file that is read.
    fn may_grow(&self) -> bool {
        let Some(file) = self.source.cursor().file() else { return false };
        match has_writer(file) {
            Some(false) => false,
            Some(true) => self.quiet < VERY_QUIET,
            None => self.quiet < QUIET,
        }
    }

    /// Whether the file that is read has more than was read.
    fn has_more(&self) -> bool {
        self.length().is_some_and(|length| length != self.source.cursor().read_offset())
    }

    /// Whether only a write can bring something new.
    fn rests(&self) -> bool {
        self.done || !self.ended && self.watched.lock().next.is_empty()
    }
}

impl Lines for Log {
    fn next(&mut self) -> Result<Next, LogError> {
        self.source.advance().map_err(|cause| self.log.failed(cause))
    }

    fn source(&self) -> &Source {
        &self.source
    }

    fn source_mut(&mut self) -> &mut Source {
        &mut self.source
    }
}
