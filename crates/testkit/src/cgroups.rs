//! The control groups of a host: one in every hierarchy of the machine, seen as the root inside.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::wait::wait_until;

/// Names begin so; the process id of the maker follows, so that what a killed test left behind is
/// recognised.
pub(crate) const PREFIX: &str = "crilet-test-";
const REMOVAL: Duration = Duration::from_secs(60);

/// A mounted hierarchy of control groups.
#[derive(Debug, Clone)]
pub(crate) struct Hierarchy {
    pub(crate) mount_point: PathBuf,
    pub(crate) is_v2: bool,
    /// Mount options that name the hierarchy; empty for version 2.
    pub(crate) options: String,
}

#[derive(Debug)]
pub(crate) struct HostCgroups {
    hierarchies: Vec<Hierarchy>,
    name: String,
}

impl HostCgroups {
    /// Makes the groups of a new host; `name` is unique within this process.
    pub(crate) fn create(name: &str) -> Result<Self> {
        let hierarchies = hierarchies()?;
        for hierarchy in &hierarchies {
            remove_stale(&hierarchy.mount_point);
        }
        let groups = Self { hierarchies, name: format!("{PREFIX}{}-{name}", process::id()) };
        for hierarchy in &groups.hierarchies {
            groups.create_in(hierarchy)?;
        }
        Ok(groups)
    }

    fn create_in(&self, hierarchy: &Hierarchy) -> Result<()> {
        let group = hierarchy.mount_point.join(&self.name);
        fs::create_dir(&group)
            .with_context(|| format!("make control group `{}`", group.display()))?;
        // A new group of cpuset version 1 owns no processor, and then takes no process.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if !hierarchy.is_v2 && group.join(file).exists() {
                let inherited = fs::read(hierarchy.mount_point.join(file))?;
                fs::write(group.join(file), inherited)?;
            }
        }
        if hierarchy.is_v2 {
            // Processes stay in a leaf: a group of version 2 that hands controllers to its children
            // must not hold processes itself.
            fs::create_dir(group.join("init"))
                .with_context(|| format!("make control group `{}/init`", group.display()))?;
        }
        Ok(())
    }

    pub(crate) fn hierarchies(&self) -> &[Hierarchy] {
        &self.hierarchies
    }

    /// The host's group in every hierarchy.
    pub(crate) fn roots(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.hierarchies.iter().map(|hierarchy| hierarchy.mount_point.join(&self.name))
    }

    /// Groups that the processes of the host belong in.
    pub(crate) fn homes(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.hierarchies.iter().map(|hierarchy| {
            let group = hierarchy.mount_point.join(&self.name);
            if hierarchy.is_v2 { group.join("init") } else { group }
        })
    }

    /// Groups below the host's, relative to it, with the hierarchy's name in front.
    pub(crate) fn below(&self) -> Vec<String> {
        let mut found = Vec::new();
        for root in self.roots() {
            let Some(hierarchy) = root.parent() else { continue };
            for group in descendants(&root) {
                let relative = group.strip_prefix(&root).unwrap_or(&group);
                found.push(format!("{}:/{}", hierarchy.display(), relative.display()));
            }
        }
        found
    }

    /// Lets frozen processes run, so that a kill reaches them.
    pub(crate) fn thaw(&self) {
        for root in self.roots() {
            for group in descendants(&root) {
                // Version 1 and version 2; a group without the file, or one that just ended, has
                // nothing to thaw.
                for (file, word) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
                    if group.join(file).exists() {
                        drop(fs::write(group.join(file), word));
                    }
                }
            }
        }
    }

    /// Removes every group; the kernel needs a moment after the last process.
    pub(crate) fn remove(&self) -> Result<()> {
        wait_until("removal of the host's control groups", REMOVAL, || {
            let failures: Vec<String> =
                self.roots().filter_map(|root| remove_tree(&root)).collect();
            if failures.is_empty() { Ok(()) } else { Err(failures.join(", ")) }
        })
    }
}

/// Every hierarchy mounted on this machine, each at the first place where it is.
pub(crate) fn hierarchies() -> Result<Vec<Hierarchy>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the mount table")?;
    Ok(parse_mounts(&mounts))
}

fn parse_mounts(table: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for hierarchy in table.lines().filter_map(parse_mount) {
        if found.iter().all(|known| known.options != hierarchy.options) {
            found.push(hierarchy);
        }
    }
    found
}

/// Reads one line of mountinfo: `id parent device root target options… - type source super`.
fn parse_mount(line: &str) -> Option<Hierarchy> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mount_point = PathBuf::from(mount.split(' ').nth(4)?);
    let mut fields = file_system.split(' ');
    let is_v2 = match fields.next()? {
        "cgroup" => false,
        "cgroup2" => true,
        _ => return None,
    };
    let names = |option: &&str| {
        !matches!(*option, "rw" | "ro" | "xattr" | "clone_children" | "noprefix")
            && !option.starts_with("release_agent=")
    };
    let options: Vec<&str> = match is_v2 {
        true => Vec::new(),
        false => fields.nth(1)?.split(',').filter(names).collect(),
    };
    Some(Hierarchy { mount_point, is_v2, options: options.join(",") })
}

/// Groups at and below `root`, children before parents.
fn descendants(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Ok(entries) = fs::read_dir(root) {
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.extend(descendants(&entry.path()));
            }
        }
        found.push(root.to_owned());
    }
    found
}

/// Returns what could not be removed, and why.
fn remove_tree(root: &Path) -> Option<String> {
    for group in descendants(root) {
        match fs::remove_dir(&group) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Some(format!("{}: {error}", group.display()));
            }
            _ => {}
        }
    }
    None
}

/// Removes groups whose maker is gone: a test that was killed could not.
fn remove_stale(mount_point: &Path) {
    for group in abandoned(mount_point, PREFIX) {
        // Best effort: whoever finds it next tries again.
        drop(remove_tree(&group));
    }
}

/// Directories named `prefix`, the process id of their maker, and more, whose maker is gone.
pub(crate) fn abandoned(directory: &Path, prefix: &str) -> Vec<PathBuf> {
    let is_abandoned = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str());
        let maker = name.and_then(|name| name.strip_prefix(prefix)?.split('-').next());
        maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
    };
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).filter(|path| is_abandoned(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_maker_left_is_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let mine = format!("x-{}-0", process::id());
        // No process has an id beyond the largest there can be.
        for name in [mine.as_str(), "x-4194305-0", "y-4194305-0", "x-"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        assert_eq!(abandoned(directory.path(), "x-"), [directory.path().join("x-4194305-0")]);
    }

    #[test]
    fn mounts_of_both_versions_are_read() {
        let v1 = "40 38 0:33 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct";
        let hierarchy = parse_mount(v1).unwrap();
        assert_eq!(hierarchy.mount_point, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert!(!hierarchy.is_v2);
        assert_eq!(hierarchy.options, "cpu,cpuacct");

        let systemd = "41 38 0:34 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd";
        assert_eq!(parse_mount(systemd).unwrap().options, "name=systemd");

        let v2 = "39 38 0:32 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
        let hierarchy = parse_mount(v2).unwrap();
        assert!(hierarchy.is_v2);
        assert_eq!(hierarchy.options, "");

        assert!(parse_mount("22 1 8:1 / / rw - ext4 /dev/sda1 rw").is_none());

        let twice = format!("{v1}\n{v2}\n{}", v1.replace("/sys/fs", "/elsewhere"));
        assert_eq!(parse_mounts(&twice).len(), 2);
    }
}
