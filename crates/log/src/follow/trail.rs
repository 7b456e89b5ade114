//! The files of a log that a follower still has to read.

use std::{
    collections::{BTreeSet, VecDeque},
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    sync::Arc,
};

use crate::{
    files::{Form, Kind, Rotated, Stamp, is_planted, kind_of},
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
    /// Files that were gone between being listed and being opened.
    gone: u64,
    /// Whether the log is in another directory than the one that is watched.
    moved: bool,
    renames: Renames,
}

/// Compares the renames that inotify tells of with the files that were opened: what was renamed and is
/// neither was gone before anybody looked. Where nobody tells of renames, nothing is known.
#[derive(Debug, Default)]
struct Renames {
    /// Told of, and not yet found to be a file that was opened.
    told: BTreeSet<Stamp>,
    /// Opened under these stamps, and not yet told of.
    opened: BTreeSet<Stamp>,
    /// Files that were opened as live ones, and whose renames were not yet told of.
    live: usize,
}

/// Stamps that are remembered although nobody tells of renames.
const MOST_OPENED: usize = 1024;

impl Renames {
    fn tell(&mut self, stamp: Stamp) {
        if !self.opened.remove(&stamp) {
            self.told.insert(stamp);
        }
    }

    /// A rotated file has another name again, such as that of the live file.
    fn take_back(&mut self, stamp: Stamp) {
        if !self.told.remove(&stamp) {
            self.live += 1;
        }
    }

    fn open(&mut self, stamp: Stamp) {
        if !self.told.remove(&stamp) {
            self.opened.insert(stamp);
        }
        if self.opened.len() > MOST_OPENED {
            self.opened.pop_first();
        }
    }

    /// Renames that were of no file that was opened; `is_live` says whether the newest one is not renamed.
    fn missed(&mut self, is_live: bool) -> usize {
        let mut renamed = self.live.saturating_sub(usize::from(is_live));
        while renamed > 0 && self.told.pop_first().is_some() {
            renamed -= 1;
            self.live -= 1;
        }
        self.told.len()
    }
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
            gone: 0,
            moved: false,
            renames: Renames { live: usize::from(snapshot.live.is_some()), ..Renames::default() },
        };
        trail.last_id = trail.last.as_deref().map(id).transpose()?;
        Ok(trail)
    }

    pub(crate) fn log(&self) -> &LogFile {
        &self.log
    }

    /// Hears of a file in the log's directory that has another name now.
    pub(crate) fn hear(&mut self, from: bool, name: &OsStr) {
        match kind_of(self.log.name(), name) {
            Some(Kind::Rotated(stamp, Form::Plain)) if from => self.renames.take_back(stamp),
            Some(Kind::Rotated(stamp, Form::Plain)) => self.renames.tell(stamp),
            _ => {}
        }
    }

    /// Files that were gone before they could be opened, as far as that is known.
    pub(crate) fn missed(&mut self) -> u64 {
        self.gone + self.told_missing()
    }

    fn told_missing(&mut self) -> u64 {
        let live = self.log.directory().meta(self.log.name()).ok().flatten();
        let is_live = live.is_some_and(|live| Some(live.id) == self.last_id);
        u64::try_from(self.renames.missed(is_live)).unwrap_or(u64::MAX)
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
            // What the one before got since it was looked at. It gets no more: the runtime writes there.
            self.look_here()?;
            self.log = LogFile::new(Arc::new(successor), self.log.name());
            // All of its files were made after those of the one before.
            (self.newest, self.moved) = (None, true);
            self.gone += self.told_missing();
            self.renames = Renames::default();
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
            self.renames.live += 1;
            self.newest = snapshot.newest.max(self.newest);
        }
        Ok(())
    }

    fn push_rotated(&mut self, stamp: Stamp) -> io::Result<()> {
        // Whatever form it had in the listing, it may have another one by now.
        for form in FORMS.iter().chain(&FORMS) {
            let name = form.name(self.log.name(), stamp);
            let file = match self.log.directory().open_own(&name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound || is_planted(&error) => {
                    continue;
                }
                other => Arc::new(other?),
            };
            self.last_id = Some(id(&file)?);
            self.newest = Some(stamp);
            self.renames.open(stamp);
            self.last_form = *form;
            self.last = Some(Arc::clone(&file));
            self.next.push_back(Held { file, form: *form });
            return Ok(());
        }
        self.gone += 1;
        self.renames.open(stamp);
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
        let file = self.log.directory().open_own(&name).ok()?;
        let mut head = Vec::new();
        let length = u64::try_from(length).ok()?;
        decompress(file, compression).ok()?.take(length).read_to_end(&mut head).ok()?;
        Some(head)
    }
}
