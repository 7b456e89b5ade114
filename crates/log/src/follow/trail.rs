//! The files of a log that a follower still has to read.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    sync::Arc,
};

use crate::{
    files::{Form, Rotated, Stamp},
    read::{FORMS, Input, LogFile, Snapshot, decompress, id},
};

/// Bytes by which the beginnings of two files are compared; times in it differ by nanoseconds.
const HEAD: usize = 512;

/// A file that is held open until it is read.
#[derive(Debug)]
pub(crate) struct Held {
    file: Arc<File>,
    form: Form,
}

impl Held {
    pub(crate) fn input(self) -> io::Result<Input> {
        let length = self.file.metadata()?.len();
        match self.form {
            Form::Plain => Ok(Input::plain(self.file, 0, length)),
            Form::Archive(compression) => {
                let reader = decompress(self.file.try_clone()?, compression)?;
                Ok(Input::Archive { reader, size: length })
            }
        }
    }
}

/// The files of one log, from the one that is read on.
#[derive(Debug)]
pub(crate) struct Trail {
    log: LogFile,
    /// The newest file that was opened; held, so that no other one gets its number.
    last: Option<Arc<File>>,
    last_form: Form,
    last_id: Option<(u64, u64)>,
    /// Stamps past this one were given after the newest file was opened, one of them to itself.
    newest: Option<Stamp>,
    /// Files after the one that is read, oldest first.
    pub(crate) next: VecDeque<Held>,
    /// Files that were gone before they could be opened.
    pub(crate) missed: u64,
    /// Whether the log is in another directory than the one that is watched.
    moved: bool,
}

impl Trail {
    /// Begins behind a snapshot, all of whose files are read already.
    pub(crate) fn new(snapshot: &Snapshot) -> io::Result<Self> {
        let mut trail = Self {
            log: snapshot.log.clone(),
            last: snapshot.live.clone(),
            last_form: Form::Plain,
            last_id: None,
            newest: snapshot.newest,
            next: VecDeque::new(),
            missed: 0,
            moved: false,
        };
        trail.last_id = trail.last.as_deref().map(id).transpose()?;
        Ok(trail)
    }

    pub(crate) fn log(&self) -> &LogFile {
        &self.log
    }

    /// Whether the log went to another directory since this was asked the last time.
    pub(crate) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Opens the files that came since the last look, if any, and turns to another directory that was
    /// put into the place of the log's, once the runtime writes there.
    pub(crate) fn look(&mut self) -> io::Result<()> {
        self.look_here()?;
        let Some(successor) = self.log.directory().successor() else { return Ok(()) };
        if successor.meta(self.log.name())?.is_some_and(|live| live.is_file) {
            self.log = LogFile::new(Arc::new(successor), self.log.name());
            // All of its files were made after those of the one before.
            (self.newest, self.moved) = (None, true);
            self.look_here()?;
        }
        Ok(())
    }

    fn look_here(&mut self) -> io::Result<()> {
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
        let newer: Vec<Stamp> = newer.iter().map(|rotated| rotated.stamp).collect();
        for stamp in newer {
            self.push_rotated(stamp)?;
        }
        if let Some(live) = snapshot.live
            && current != self.last_id
        {
            self.next.push_back(Held { file: Arc::clone(&live), form: Form::Plain });
            self.last = Some(live);
            self.last_form = Form::Plain;
            self.last_id = current;
            self.newest = snapshot.newest.max(self.newest);
        }
        Ok(())
    }

    fn push_rotated(&mut self, stamp: Stamp) -> io::Result<()> {
        // Whatever form it had in the listing, it may have another one by now.
        for form in FORMS.iter().chain(&FORMS) {
            let name = form.name(self.log.name(), stamp);
            let file = match self.log.directory().open_file(&name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => Arc::new(other?),
            };
            self.last_id = Some(id(&file)?);
            self.newest = Some(stamp);
            self.last_form = *form;
            self.last = Some(Arc::clone(&file));
            self.next.push_back(Held { file, form: *form });
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
        let Some(last) = self.last.as_ref().filter(|_| self.last_form == Form::Plain) else {
            return false;
        };
        if rotated.plain().is_some() {
            return false;
        }
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
