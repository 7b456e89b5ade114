use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    io,
};

use super::{Compression, Directory, Form, Kind, Meta, Stamp, kind_of};

/// Listings until two are alike. Somebody who rotates so fast that none are is let win.
const MOST_LISTINGS: usize = 8;

/// A rotated file, in all the forms it has: two while it is being compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The time in its name.
    pub stamp: Stamp,
    /// Every form with what the kernel says of it, the plain one first.
    pub forms: BTreeMap<Form, Meta>,
}

impl Rotated {
    /// The form to read. The plain file is whole for as long as it is there; its archive may come
    /// from somebody who does not check what was written.
    pub fn best(&self) -> Option<(Form, Meta)> {
        self.forms.first_key_value().map(|(form, meta)| (*form, *meta))
    }

    /// The file as it was written, while it is there.
    pub fn plain(&self) -> Option<Meta> {
        self.forms.get(&Form::Plain).copied()
    }

    /// The compressed file.
    pub fn archive(&self) -> Option<(Compression, Meta)> {
        self.forms.iter().find_map(|(form, meta)| match form {
            Form::Archive(compression) => Some((*compression, *meta)),
            Form::Plain => None,
        })
    }

    /// Size of all forms in bytes.
    pub fn size(&self) -> u64 {
        self.forms.values().map(|meta| meta.size).sum()
    }
}

/// A name of the log's that is no file, or a file with another name elsewhere: nothing touches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strange {
    /// The name.
    pub name: OsString,
    /// What is the matter with it.
    pub why: &'static str,
}

/// All files of one log, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Family {
    /// The file that the runtime writes.
    pub live: Option<Meta>,
    /// What was rotated away, oldest first.
    pub rotated: Vec<Rotated>,
    /// What was left unfinished.
    pub temporary: Vec<(Stamp, Meta)>,
    /// What is not touched.
    pub strange: Vec<Strange>,
    /// Whether that is what stands at the live file's place.
    pub live_is_strange: bool,
    /// Stamps of which a name is so: no other file gets one of these.
    pub taken: BTreeSet<Stamp>,
}

impl Family {
    /// Looks at the files of a log.
    ///
    /// A listing during which files are renamed may miss one, so it is done until two are alike: a
    /// file that is there throughout the second is in the second.
    ///
    /// # Errors
    /// The kernel's.
    pub fn read(directory: &Directory, log: &OsStr) -> io::Result<Self> {
        let mut last = Self::read_once(directory, log)?;
        for _ in 1..MOST_LISTINGS {
            let next = Self::read_once(directory, log)?;
            let alike = last.has_the_files_of(&next);
            last = next;
            if alike {
                break;
            }
        }
        Ok(last)
    }

    fn read_once(directory: &Directory, log: &OsStr) -> io::Result<Self> {
        let mut family = Self::default();
        let mut rotated: BTreeMap<Stamp, Rotated> = BTreeMap::new();
        for name in directory.names()? {
            let Some(kind) = kind_of(log, &name) else { continue };
            let Some(meta) = directory.meta(&name)? else { continue };
            if let Some(why) = meta.strange() {
                match kind {
                    Kind::Live => family.live_is_strange = true,
                    Kind::Temporary(stamp) | Kind::Rotated(stamp, _) => {
                        family.taken.insert(stamp);
                    }
                }
                family.strange.push(Strange { name, why });
                continue;
            }
            match kind {
                Kind::Live => family.live = Some(meta),
                Kind::Temporary(stamp) => family.temporary.push((stamp, meta)),
                Kind::Rotated(stamp, form) => {
                    let entry = rotated
                        .entry(stamp)
                        .or_insert_with(|| Rotated { stamp, forms: BTreeMap::new() });
                    entry.forms.insert(form, meta);
                }
            }
        }
        family.rotated = rotated.into_values().collect();
        family.temporary.sort_by_key(|(stamp, _)| *stamp);
        family.strange.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(family)
    }

    /// Whether both have the same files, whatever sizes these have.
    fn has_the_files_of(&self, other: &Self) -> bool {
        let files = |family: &Self| {
            let rotated = family.rotated.iter();
            let ids = rotated.flat_map(|rotated| {
                rotated.forms.iter().map(|(form, meta)| (rotated.stamp, *form, meta.id))
            });
            (family.live.map(|live| live.id), ids.collect::<Vec<_>>())
        };
        files(self) == files(other)
    }

    /// The last stamp that was given.
    pub fn newest(&self) -> Option<Stamp> {
        let unfinished = self.temporary.last().map(|(stamp, _)| *stamp);
        self.rotated.last().map(|rotated| rotated.stamp).max(unfinished)
    }

    /// The stamp of a rotation at a local time: after all there are, and no name of it taken.
    pub fn next_stamp(&self, wall: jiff::civil::DateTime) -> Stamp {
        let mut stamp = Stamp::after(self.newest(), wall);
        while self.taken.contains(&stamp) {
            let next = Stamp::after(Some(stamp), wall);
            if next == stamp {
                break;
            }
            stamp = next;
        }
        stamp
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        let rotated: u64 = self.rotated.iter().map(Rotated::size).sum();
        let temporary: u64 = self.temporary.iter().map(|(_, meta)| meta.size).sum();
        self.live.map_or(0, |live| live.size) + rotated + temporary
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn the_files_of_one_log_are_told_apart() {
        let scratch = tempfile::tempdir().unwrap();
        let write = |name: &str| fs::write(scratch.path().join(name), name).unwrap();
        let stamp = |text: &str| text.parse::<Stamp>().unwrap();
        for name in [
            "0.log",
            "0.log.20260101-000002",
            "0.log.20260101-000001.gz",
            "0.log.20260101-000002.gz",
            "0.log.20260101-000002_001",
            "0.log.20260101-000003.tmp",
            "1.log",
            "0.log.bak",
        ] {
            write(name);
        }
        write("elsewhere");
        fs::hard_link(
            scratch.path().join("elsewhere"),
            scratch.path().join("0.log.20250101-000000"),
        )
        .unwrap();
        symlink("elsewhere", scratch.path().join("0.log.20250101-000001.gz")).unwrap();
        let directory = Directory::open(scratch.path()).unwrap();
        let family = Family::read(&directory, OsStr::new("0.log")).unwrap();
        assert_eq!(family.live.unwrap().size, 5);
        let stamps: Vec<_> = family.rotated.iter().map(|rotated| rotated.stamp).collect();
        let expected = ["20260101-000001", "20260101-000002", "20260101-000002_001"].map(stamp);
        assert_eq!(stamps, expected);
        assert_eq!(family.rotated[1].best().unwrap().0, Form::Plain);
        assert_eq!(family.rotated[1].archive().unwrap().0, Compression::Gzip);
        assert_eq!(family.newest(), Some(stamp("20260101-000003")), "unfinished names are taken");
        let strange: Vec<_> =
            family.strange.iter().map(|strange| strange.name.to_str().unwrap()).collect();
        assert_eq!(strange, ["0.log.20250101-000000", "0.log.20250101-000001.gz"]);
        assert!(family.taken.into_iter().eq(["20250101-000000", "20250101-000001"].map(stamp)));
    }
}
