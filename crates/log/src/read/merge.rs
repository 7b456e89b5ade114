//! Several sources by time, into one output.

use std::{cmp::Reverse, collections::BinaryHeap, io::Write};

use super::{
    cursor::as_u64,
    line::Counts,
    render::Renderer,
    segment::LogFile,
    source::{Next, Source},
};
use crate::error::LogError;

/// Bytes that are written at a time.
const BATCH: usize = 64 << 10;

/// Collects what is written into batches, up to a limit.
pub(crate) struct Output<'a> {
    pub(crate) renderer: &'a mut Renderer,
    out: &'a mut dyn Write,
    batch: Vec<u8>,
    /// Bytes that may still be written.
    left: Option<u64>,
    pub(crate) lines: u64,
}

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Output({} lines, {} bytes waiting)", self.lines, self.batch.len())
    }
}

impl<'a> Output<'a> {
    pub(crate) fn new(
        renderer: &'a mut Renderer,
        out: &'a mut dyn Write,
        limit: Option<u64>,
    ) -> Self {
        Self { renderer, out, batch: Vec::with_capacity(BATCH * 2), left: limit, lines: 0 }
    }

    /// Takes the current line of a source; tells whether more is wanted.
    #[inline]
    pub(crate) fn take(&mut self, number: usize, source: &Source) -> Result<bool, LogError> {
        if let Some((text, lines)) = source.text() {
            self.lines += lines;
            return self.text(text);
        }
        let line = source.line();
        self.renderer.line(number, &line, &mut self.batch);
        self.lines += u64::from(line.last);
        if self.batch.len() >= BATCH {
            return self.flush();
        }
        Ok(true)
    }

    /// Takes text that is as it has to be; tells whether more is wanted.
    fn text(&mut self, text: &[u8]) -> Result<bool, LogError> {
        self.renderer.finish(&mut self.batch);
        if !self.batch.is_empty() && !self.flush()? {
            return Ok(false);
        }
        self.write(text)
    }

    /// Writes what was collected; tells whether more is wanted.
    pub(crate) fn flush(&mut self) -> Result<bool, LogError> {
        let batch = std::mem::take(&mut self.batch);
        let more = self.write(&batch)?;
        self.batch = batch;
        self.batch.clear();
        Ok(more)
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<bool, LogError> {
        if let Some(left) = &mut self.left {
            let most = usize::try_from(*left).unwrap_or(usize::MAX);
            bytes = bytes.get(..most).unwrap_or(bytes);
            *left -= as_u64(bytes.len());
        }
        self.out.write_all(bytes).map_err(LogError::Write)?;
        Ok(self.left != Some(0))
    }

    /// Writes what was collected and hands it on at once.
    pub(crate) fn push(&mut self) -> Result<bool, LogError> {
        let more = self.flush()?;
        self.out.flush().map_err(LogError::Write)?;
        Ok(more)
    }

    pub(crate) fn finish(&mut self) -> Result<(), LogError> {
        self.renderer.finish(&mut self.batch);
        self.push().map(|_| ())
    }
}

/// What lines come from.
pub(crate) trait Lines {
    /// Goes to the next line, if there is one now.
    fn next(&mut self) -> Result<Next, LogError>;
    /// Where the line is.
    fn source(&self) -> &Source;
    /// The same, to say what is wanted of it.
    fn source_mut(&mut self) -> &mut Source;
}

/// A log that is read to its end.
pub(crate) struct Whole {
    pub(crate) log: LogFile,
    pub(crate) source: Source,
}

impl Lines for Whole {
    #[inline]
    fn next(&mut self) -> Result<Next, LogError> {
        self.source.advance().map_err(|cause| self.log.failed(cause))
    }

    #[inline]
    fn source(&self) -> &Source {
        &self.source
    }

    fn source_mut(&mut self) -> &mut Source {
        &mut self.source
    }
}

/// Reads all sources to their ends.
pub(crate) fn run(
    mut sources: Vec<Whole>,
    limit: Option<u64>,
    renderer: &mut Renderer,
    out: &mut dyn Write,
) -> Result<Counts, LogError> {
    let mut output = Output::new(renderer, out, limit);
    by_time(&mut sources, &mut output)?;
    output.finish()?;
    let mut counts = Counts { lines: output.lines, ..Counts::default() };
    for whole in &sources {
        counts.add(whole.source.counts);
    }
    Ok(counts)
}

/// Gives the lines of all sources to `output`, the oldest first; of one time, those of the first
/// source first. Tells whether more is wanted.
pub(crate) fn by_time<L: Lines>(
    sources: &mut [L],
    output: &mut Output<'_>,
) -> Result<bool, LogError> {
    let alone = sources.len() == 1;
    for (number, source) in sources.iter_mut().enumerate() {
        source.source_mut().allow_text(alone && output.renderer.is_plain(number));
    }
    // Time and number of every source's next line, the first one on top.
    let mut waiting = BinaryHeap::with_capacity(sources.len());
    for (number, source) in sources.iter_mut().enumerate() {
        if source.next()? == Next::Line {
            waiting.push(Reverse((source.source().at(), number)));
        }
    }
    while let Some(Reverse((_, number))) = waiting.pop() {
        // Up to the time of the next one, this source's lines need no comparing with others.
        let until = waiting.peek().map_or((i64::MAX, usize::MAX), |Reverse(next)| *next);
        let Some(source) = sources.get_mut(number) else { break };
        let next = loop {
            let open = source.source().is_open();
            if !output.take(number, source.source())? {
                return Ok(false);
            }
            if source.next()? == Next::End {
                break None;
            }
            // A long line is not interrupted between its pieces.
            if !open && (source.source().at(), number) > until {
                break Some(source.source().at());
            }
        };
        if let Some(at) = next {
            waiting.push(Reverse((at, number)));
        }
    }
    Ok(true)
}
