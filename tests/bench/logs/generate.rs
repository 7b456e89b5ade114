//! Logs made on the spot.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use anyhow::Result;

/// Lines a second, by their own times.
const PER_SECOND: u64 = 10_000;
/// 2026-01-01T00:00:00Z.
const DAY: &str = "2026-01-01T";

/// Writes a log of about `size` bytes, 114 a line, one in ten lines on standard error; `offset`
/// (nanoseconds) sets it apart from others. Gives its number of lines.
pub(crate) fn log(path: &Path, size: u64, offset: u64) -> Result<u64> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut written, mut number) = (0, 0);
    while written < size {
        let second = number / PER_SECOND;
        let (hour, minute, rest) = (second / 3600, second / 60 % 60, second % 60);
        let nanoseconds = number % PER_SECOND * (1_000_000_000 / PER_SECOND) + offset;
        let stream = if number % 10 == 0 { "stderr" } else { "stdout" };
        let line = format!(
            "{DAY}{hour:02}:{minute:02}:{rest:02}.{nanoseconds:09}Z {stream} F \
             line {number:010} of a log as a server writes it, 200 GET /index.html\n"
        );
        out.write_all(line.as_bytes())?;
        written += u64::try_from(line.len())?;
        number += 1;
    }
    out.flush()?;
    Ok(number)
}
