//! The files of a log that a follower still has to read.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    sync::Arc,
};

use crate::{
    files::{Compression, Form, Rotated, Stamp},
    read::{Input, LogFile, Snapshot, decompress, id},
};

/// Bytes by which the beginnings of two files are compared; times in it differ by nanoseconds.
const HEAD: usize = 512;

/// A file that is held open until it is read.
#[derive(Debug)]
pub(crate) enum Held {
    Plain(Arc<File>),
    Archive(File, Compression),
}

impl Held {
    pub(crate) fn input(self) -> io::Result<Input> {
        match self {
            Self::Plain(file) => {
                let length = file.metadata()?.len();
                Ok(Input::plain(file, 0, length))
            }
            Self::Archive(file, compression) => {
                let size = file.metadata()?.len();
                Ok(Input::Archive { reader: decompress(file, compression)?, size })
            }
        }
    }
}

/// The files of one log, from the one that is read on.
#[derive(Debug)]
pub(crate) struct Trail {
    log: LogFile,
    /// The newest file that was opened, and where it was then.
    last: Option<Arc<File>>,
    last_id: Option<(u64, u64)>,
    /// Stamps past this one were given after the newest file was opened, one of them to itself.
    newest: Option<Stamp>,
    /// Files after the one that is read, oldest first.
    pub(crate) next: VecDeque<Held>,
    /// Files that were gone before they could be opened.
    pub(crate) missed: u64,
}

impl Trail {
    /// Begins behind a snapshot, all of whose files are read already.
    pub(crate) fn new(snapshot: &Snapshot) -> io::Result<Self> {
        let mut trail = Self {
            log: snapshot.log.clone(),
            last: snapshot.live.clone(),
            last_id: None,
            newest: snapshot.newest,
            next: VecDeque::new(),
            missed: 0,
        };
        trail.last_id = trail.last.as_deref().map(id).transpose()?;
        Ok(trail)
    }

    pub(crate) fn log(&self) -> &LogFile {
        &self.log
    }

    /// Opens the files that came since the last look, if any.
    pub(crate) fn look(&mut self) -> io::Result<()> {
        let live = self.log.directory().meta(self.log.name())?;
        if live.map(|live| live.id) == self.last_id {
            return Ok(());
        }
        let snapshot = Snapshot::take(&self.log)?;
        let current = snapshot.live.as_deref().map(id).transpose()?;
        let newer =
            snapshot.family.rotated.iter().filter(|rotated| Some(rotated.stamp) > self.newest);
        let mut newer: Vec<&Rotated> = newer.collect();
        if let Some(first) = newer.first().copied()
            && self.is_last(first)
        {
            newer.remove(0);
        }
        // What looks at the live file may be slower than who rotates it.
        newer.retain(|rotated| current.is_none() || rotated.plain().map(|meta| meta.id) != current);
        for rotated in newer {
            self.push_rotated(rotated)?;
        }
        if let Some(live) = snapshot.live
            && current != self.last_id
        {
            self.next.push_back(Held::Plain(Arc::clone(&live)));
            self.last = Some(live);
            self.last_id = current;
            self.newest = snapshot.newest.max(self.newest);
        }
        Ok(())
    }

    fn push_rotated(&mut self, rotated: &Rotated) -> io::Result<()> {
        for form in rotated.forms.keys() {
            let name = form.name(self.log.name(), rotated.stamp);
            let file = match self.log.directory().open_file(&name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            self.last_id = Some(id(&file)?);
            self.newest = Some(rotated.stamp);
            let held = match form {
                Form::Plain => {
                    let file = Arc::new(file);
                    self.last = Some(Arc::clone(&file));
                    Held::Plain(file)
                }
                Form::Archive(compression) => {
                    self.last = None;
                    Held::Archive(file, *compression)
                }
            };
            self.next.push_back(held);
            return Ok(());
        }
        self.missed += 1;
        Ok(())
    }

    /// Whether a rotated file is the newest one that was opened, by another name or compressed.
    fn is_last(&self, rotated: &Rotated) -> bool {
        if rotated.plain().is_some_and(|plain| Some(plain.id) == self.last_id) {
            return true;
        }
        let (Some(last), None) = (&self.last, rotated.plain()) else { return false };
        let mut head = [0; HEAD];
        let read = last.read_at(&mut head, 0).unwrap_or_default();
        let own = head.get(..read).unwrap_or_default();
        self.archive_head(rotated, read.max(1)).is_some_and(|other| own == other)
    }

    /// The beginning of an archive's content.
    fn archive_head(&self, rotated: &Rotated, length: usize) -> Option<Vec<u8>> {
        let (compression, _) = rotated.archive()?;
        let name = Form::Archive(compression).name(self.log.name(), rotated.stamp);
        let file = self.log.directory().open_file(&name).ok()?;
        let mut head = Vec::new();
        let length = u64::try_from(length).ok()?;
        decompress(file, compression).ok()?.take(length).read_to_end(&mut head).ok()?;
        Some(head)
    }
}
