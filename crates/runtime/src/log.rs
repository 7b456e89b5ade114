//! containerd's own log: bounded on disk, read from its end.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// Size at which a log becomes the older part, in bytes; so at most twice this stays on disk.
const ROTATE_AT: u64 = 8 << 20;

/// How often a followed log is looked at.
const POLL: Duration = Duration::from_millis(200);

const BLOCK: u64 = 64 << 10;

/// A log file that is renamed to `.1` when it is large.
#[derive(Debug)]
pub(crate) struct RotatingLog {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
}

impl RotatingLog {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::with_limit(path, ROTATE_AT)
    }

    fn with_limit(path: &Path, limit: u64) -> io::Result<Self> {
        let file = append_to(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, size, limit })
    }

    /// Adds text that ends with a line end; parts are split only between two calls.
    pub(crate) fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.size >= self.limit {
            fs::rename(&self.path, older(&self.path))?;
            self.file = append_to(&self.path)?;
            self.size = 0;
        }
        self.file.write_all(text)?;
        self.size += u64::try_from(text.len()).unwrap_or(u64::MAX);
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// The last `lines` lines of a log, oldest first; all of it when there are fewer.
pub(crate) fn tail(path: &Path, lines: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut start = file.metadata()?.len();
    let mut text = Vec::new();
    while start > 0 && text.iter().filter(|byte| **byte == b'\n').count() <= lines {
        let length = start.min(BLOCK);
        start -= length;
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        (&mut file).take(length).read_to_end(&mut block)?;
        block.append(&mut text);
        text = block;
    }
    let ends = text.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    // The last line's own end does not begin another.
    let cut = ends.map(|(index, _)| index + 1).nth(lines).unwrap_or(0);
    Ok(text.split_off(cut))
}

/// Writes the last lines of a log to `out`, or all of it, and what is added as long as `follow`.
///
/// # Errors
/// When the log cannot be read or `out` cannot be written. A log that is not there yet is waited
/// for when following.
pub async fn show(
    path: &Path,
    last: Option<usize>,
    follow: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut position = 0;
    let mut inode = None;
    match fs::metadata(path) {
        Ok(meta) => {
            let text = match last {
                Some(lines) => tail(path, lines)?,
                None => fs::read(path)?,
            };
            out.write_all(&text)?;
            // What was written since is small, and comes again rather than never.
            position = meta.len();
            inode = Some(meta.ino());
        }
        Err(error) if follow && error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    if follow {
        follow_from(path, position, inode, out).await?;
    }
    out.flush()
}

/// Never ends well: only when reading or writing fails.
async fn follow_from(
    path: &Path,
    mut position: u64,
    mut inode: Option<u64>,
    out: &mut impl Write,
) -> io::Result<()> {
    loop {
        out.flush()?;
        tokio::time::sleep(POLL).await;
        let Ok(meta) = fs::metadata(path) else { continue };
        if inode != Some(meta.ino()) {
            // The rest of what was rotated away comes first; it may be gone already.
            if inode.is_some() && older(path).exists() {
                copy_from(&older(path), position, out)?;
            }
            position = 0;
            inode = Some(meta.ino());
        }
        position += copy_from(path, position, out)?;
    }
}

fn copy_from(path: &Path, position: u64, out: &mut impl Write) -> io::Result<u64> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(position))?;
    io::copy(&mut file, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let long = "x".repeat(300);
        let all: Vec<String> = (0..1000).map(|number| format!("{number} {long}\n")).collect();
        fs::write(&path, all.concat()).unwrap();
        let last = |lines| String::from_utf8(tail(&path, lines).unwrap()).unwrap();
        assert_eq!(last(0), "");
        assert_eq!(last(1), all[999]);
        assert_eq!(last(700), all[300..].concat());
        assert_eq!(last(5000), all.concat());
        fs::write(&path, "").unwrap();
        assert_eq!(last(3), "");
    }

    #[test]
    fn a_large_log_becomes_the_older_part() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = RotatingLog::with_limit(&path, 10).unwrap();
        for line in ["first\n", "second\n", "third\n", "fourth\n", "fifth\n"] {
            log.write(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(older(&path)).unwrap(), "third\nfourth\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "fifth\n");
        let mut again = RotatingLog::with_limit(&path, 10).unwrap();
        again.write(b"sixth\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "fifth\nsixth\n");
    }
}
