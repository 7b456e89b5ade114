//! What is on a host, as words that can be compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{
    cgroups::{self, PREFIX},
    host::Host,
};

/// On the real machine other programs come and go; these are the ones that hosts run. crilet itself
/// is none of them, for tests that need no host run it beside those that do.
const PROGRAMS_OF_TESTS: [&str; 7] = [
    "apache2",
    "containerd",
    "containerd-shim",
    "containerd-shim-runc-v2",
    "docker-registry",
    "mariadbd",
    "runc",
];

/// What is on a host at one moment: network, filters, mounts, processes, control groups, files of
/// `/run` and CNI.
///
/// Whatever changes by itself (counters, lifetimes, numbers of links) is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// By kind of thing; a thing that is there twice counts twice.
    sections: BTreeMap<&'static str, BTreeMap<String, usize>>,
}

/// How one snapshot differs from another; empty when it does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    lines: Vec<String>,
}

impl Snapshot {
    pub(crate) fn of_host(host: &Host) -> Result<Self> {
        let run =
            |program: &str, arguments: &[&str]| host.command(program).args(arguments).success();
        let mut snapshot = Self::default();
        snapshot.add_network(run)?;
        snapshot.add("mount", mounts(&host.path("/proc/1/mountinfo"))?);
        snapshot.add("process", processes(&host.path("/proc"), |_, _| true)?);
        snapshot.add("control group", host.control_groups());
        let root = host.path("/");
        for directory in ["run", "var/lib/cni", "etc/cni", "opt/cni", "var/log/pods"] {
            snapshot.add("file", files(&root, Path::new(directory)));
        }
        Ok(snapshot)
    }

    /// What is on the real machine that tests could have left there.
    ///
    /// Control groups of hosts that are still up, of this or of another test, are left out; so are
    /// processes within them.
    ///
    /// # Errors
    ///
    /// When one of the kernel's tools fails.
    pub fn of_machine() -> Result<Self> {
        let mut snapshot = Self::default();
        snapshot.add_network(run_here)?;
        snapshot.add("mount", mounts(Path::new("/proc/self/mountinfo"))?);
        let ours = |pid, name: &str| PROGRAMS_OF_TESTS.contains(&name) && shares_pid_namespace(pid);
        snapshot.add("process", processes(Path::new("/proc"), ours)?);
        for hierarchy in cgroups::hierarchies()? {
            let groups = files(&hierarchy.mount_point, Path::new(""));
            let groups = groups.into_iter().filter(|line| line.ends_with('/'));
            let kept = groups.filter(|line| !line.starts_with(&format!("/{PREFIX}")));
            let mount_point = hierarchy.mount_point.display();
            snapshot.add("control group", kept.map(|line| format!("{mount_point}:{line}")));
        }
        for directory in [
            "run/netns",
            "run/crilet",
            "run/containerd",
            "var/lib/cni",
            "var/lib/crilet",
            "etc/cni",
        ] {
            snapshot.add("file", files(Path::new("/"), Path::new(directory)));
        }
        Ok(snapshot)
    }

    /// How `after` differs from `self`.
    #[must_use]
    pub fn difference(&self, after: &Self) -> Difference {
        let kinds: BTreeSet<_> = self.sections.keys().chain(after.sections.keys()).collect();
        let empty = BTreeMap::new();
        let mut lines = Vec::new();
        for kind in kinds {
            let before = self.sections.get(kind).unwrap_or(&empty);
            let now = after.sections.get(kind).unwrap_or(&empty);
            let things: BTreeSet<_> = before.keys().chain(now.keys()).collect();
            for thing in things {
                let count = |section: &BTreeMap<String, usize>| section.get(thing).copied();
                let (was, is) = (count(before).unwrap_or(0), count(now).unwrap_or(0));
                lines.extend((is..was).map(|_| format!("- {kind} {thing}")));
                lines.extend((was..is).map(|_| format!("+ {kind} {thing}")));
            }
        }
        Difference { lines }
    }

    fn add(&mut self, kind: &'static str, things: impl IntoIterator<Item = String>) {
        let section = self.sections.entry(kind).or_default();
        for thing in things {
            *section.entry(thing).or_default() += 1;
        }
    }

    /// Adds what the kernel's tools say; `run` runs one and returns its output.
    fn add_network(&mut self, run: impl Fn(&str, &[&str]) -> Result<String>) -> Result<()> {
        self.add("link", run("ip", &["-oneline", "link", "show"])?.lines().map(link));
        self.add("address", run("ip", &["-oneline", "address", "show"])?.lines().map(address));
        for family in ["-4", "-6"] {
            let routes = run("ip", &[family, "route", "show", "table", "all"])?;
            self.add("route", routes.lines().map(|line| format!("{family} {}", line.trim())));
            let rules = run("ip", &[family, "rule", "show"])?;
            self.add("rule", rules.lines().map(|line| format!("{family} {}", line.trim())));
        }
        self.add("network namespace", run("ip", &["netns", "list"])?.lines().map(str::to_owned));
        self.add("iptables", filters(&run("iptables-save", &[])?));
        self.add("ip6tables", filters(&run("ip6tables-save", &[])?));
        self.add("nft", tables(&run("nft", &["--stateless", "list", "ruleset"])?));
        Ok(())
    }
}

impl Difference {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// One line per thing: `- kind thing` for what is gone, `+ kind thing` for what is new.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return formatter.write_str("no difference");
        }
        formatter.write_str(&self.lines.join("\n"))
    }
}

fn run_here(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).env("PATH", crate::host::PATH).output();
    let output = output.with_context(|| format!("run `{program}`"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{program} {}`: {}", arguments.join(" "), words.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `2: eth0@if5: <FLAGS> mtu … \ link/ether …` without the number.
fn link(line: &str) -> String {
    let rest = line.split_once(": ").map_or(line, |(_, rest)| rest);
    rest.split_whitespace().filter(|word| *word != "\\").collect::<Vec<_>>().join(" ")
}

/// `2: eth0 inet 192.0.2.1/24 … \ valid_lft …` without number and lifetimes.
fn address(line: &str) -> String {
    let rest = line.split_once(": ").map_or(line, |(_, rest)| rest);
    let lasting = rest.split_once('\\').map_or(rest, |(lasting, _)| lasting);
    lasting.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Rules, chains made by someone, and built-in chains whose policy is not to accept.
///
/// Looking at a table with iptables makes its built-in chains, which hold and refuse nothing.
fn filters(saved: &str) -> Vec<String> {
    let mut table = "";
    let mut found = Vec::new();
    for line in saved.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some(chain) = line.strip_prefix(':') {
            let words: Vec<&str> = chain.split(' ').take(2).collect();
            if words.get(1) != Some(&"ACCEPT") {
                found.push(format!("{table}: chain {}", words.join(" ")));
            }
        } else if line.starts_with("-A") {
            found.push(format!("{table}: {line}"));
        }
    }
    found
}

/// Lines of the tables that iptables does not show, each with its table.
fn tables(ruleset: &str) -> Vec<String> {
    const OF_IPTABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];
    let mut table = None;
    let mut found = Vec::new();
    for line in ruleset.lines().filter(|line| !line.starts_with('#')) {
        if let Some(header) = line.strip_prefix("table ") {
            let name = header.trim_end_matches(" {");
            let shown = name.split_once(' ').is_some_and(|(family, name)| {
                family.starts_with("ip") && OF_IPTABLES.contains(&name)
            });
            table = (!shown).then_some(name);
        }
        if let Some(name) = table.filter(|_| !line.trim().is_empty()) {
            found.push(format!("{name}: {}", line.trim()));
        }
    }
    found
}

/// Mounts without their numbers: place, type, source, and the part of the file system.
fn mounts(table: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(table)
        .with_context(|| format!("read the mount table `{}`", table.display()))?;
    let describe = |line: &str| {
        let (mount, file_system) = line.split_once(" - ")?;
        let fields: Vec<&str> = mount.split(' ').collect();
        let kind: Vec<&str> = file_system.split(' ').take(2).collect();
        Some(format!("{} {} {}", fields.get(4)?, kind.join(" "), fields.get(3)?))
    };
    Ok(text.lines().filter_map(describe).collect())
}

/// Whether a process is the machine's own, and not that of a host or container on it.
fn shares_pid_namespace(pid: u32) -> bool {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    namespace(&pid.to_string()).is_some_and(|found| Some(found) == namespace("self"))
}

/// Command lines of processes; dead ones nobody waited for are named as such.
fn processes(proc: &Path, counts: impl Fn(u32, &str) -> bool) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(proc).context("list processes")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        // A process may end while it is looked at.
        let directory = proc.join(pid.to_string());
        let Ok(line) = fs::read(directory.join("cmdline")) else { continue };
        let Ok(name) = fs::read_to_string(directory.join("comm")) else { continue };
        if counts(pid, program(&line).unwrap_or_else(|| name.trim())) {
            let words = String::from_utf8_lossy(&line).replace('\0', " ");
            found.push(if words.is_empty() {
                format!("{} (ended, nobody waited for it)", name.trim())
            } else {
                words.trim().to_owned()
            });
        }
    }
    Ok(found)
}

/// File name of the program in a command line.
fn program(line: &[u8]) -> Option<&str> {
    let first = line.split(|byte| *byte == 0).next()?;
    Path::new(std::str::from_utf8(first).ok()?).file_name().and_then(OsStr::to_str)
}

/// Everything below `root/directory`, directories with a slash at their end.
fn files(root: &Path, directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::from(directory)];
    while let Some(directory) = pending.pop() {
        let Ok(entries) = fs::read_dir(root.join(&directory)) else { continue };
        for entry in entries.flatten() {
            let path = directory.join(entry.file_name());
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            found.push(format!("/{}{}", path.display(), if is_directory { "/" } else { "" }));
            if is_directory {
                pending.push(path);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
