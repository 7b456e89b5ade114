//! What the kernel counts of a process's control groups and network, for what runtimes leave out.
//!
//! containerd 1.6 tells neither limits nor processes of containers, and an older one no network. Both
//! versions of control groups are read; a file that is not there is a number that is not known.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::usage::{Network, Usage};

/// Memory from here on is no limit: a kernel without one tells the largest number of pages.
const UNLIMITED: u64 = 1 << 60;

/// Where a hierarchy of control groups is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    /// The directory it is mounted on.
    point: PathBuf,
    /// The group that is there.
    root: PathBuf,
    /// The controllers of version 1, or `None` for version 2.
    controllers: Option<Vec<String>>,
}

/// The hierarchies of control groups of this machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hierarchies(Vec<Mount>);

impl Hierarchies {
    /// Those that this process sees.
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self::of_mountinfo(&text)
    }

    /// By proc(5): `36 35 98:0 /root /mount/point options … - type source super-options`.
    pub(super) fn of_mountinfo(text: &str) -> Self {
        let mounts = text.lines().filter_map(|line| {
            let (mount, system) = line.split_once(" - ")?;
            let mut mount = mount.split(' ').skip(3);
            let (root, point) = (mount.next()?.into(), mount.next()?.into());
            let mut system = system.split(' ');
            let kind = system.next()?;
            let options = system.nth(1).unwrap_or_default();
            let controllers = match kind {
                "cgroup2" => None,
                "cgroup" => Some(options.split(',').map(str::to_owned).collect()),
                _ => return None,
            };
            Some(Mount { point, root, controllers })
        });
        Self(mounts.collect())
    }

    /// The directory of a controller's group, by the text of `/proc/PID/cgroup`.
    fn group(&self, of_process: &str, controller: &str) -> Option<Group> {
        let mut unified = None;
        for line in of_process.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            if controllers.is_empty() {
                unified = Some(path);
            } else if controllers.split(',').any(|name| name == controller) {
                let has = |mount: &&Mount| {
                    mount
                        .controllers
                        .as_ref()
                        .is_some_and(|all| all.iter().any(|c| c == controller))
                };
                return self.0.iter().find(has).map(|mount| mount.group(path, false));
            }
        }
        let mount = self.0.iter().find(|mount| mount.controllers.is_none())?;
        Some(mount.group(unified?, true))
    }

    /// What the kernel counts of the control groups of a process.
    pub(crate) fn usage(&self, pid: u32, now: i64) -> Usage {
        let of_process = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        self.usage_of(&of_process, now)
    }

    /// By the text of `/proc/PID/cgroup`.
    pub(super) fn usage_of(&self, of_process: &str, now: i64) -> Usage {
        let group = |controller| self.group(of_process, controller);
        let memory = group("memory");
        let cpu = group("cpuacct").and_then(|group| group.cpu_time());
        Usage {
            cpu_time: cpu.map(|used| (used, now)),
            memory_bytes: memory.as_ref().and_then(Group::working_set),
            memory_limit_bytes: memory.as_ref().and_then(Group::memory_limit),
            processes: group("pids").and_then(|group| group.number("pids.current")),
            ..Usage::default()
        }
    }
}

impl Mount {
    /// A path below the group that is mounted, or the path itself where it is seen from elsewhere.
    fn group(&self, path: &str, is_v2: bool) -> Group {
        let path = Path::new(path);
        let below = path.strip_prefix(&self.root).or_else(|_| path.strip_prefix("/"));
        Group { path: self.point.join(below.unwrap_or(path)), is_v2 }
    }
}

/// A control group.
#[derive(Debug)]
struct Group {
    path: PathBuf,
    is_v2: bool,
}

impl Group {
    fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.path.join(file)).ok()
    }

    fn number(&self, file: &str) -> Option<u64> {
        self.text(file)?.trim().parse().ok()
    }

    fn cpu_time(&self) -> Option<u64> {
        if self.is_v2 {
            let microseconds = field(&self.text("cpu.stat")?, "usage_usec")?;
            return microseconds.checked_mul(1000);
        }
        self.number("cpuacct.usage")
    }

    /// As the kubelet has it: what is used, without pages of files that were not touched lately.
    fn working_set(&self) -> Option<u64> {
        let (used, inactive) = match self.is_v2 {
            true => ("memory.current", "inactive_file"),
            false => ("memory.usage_in_bytes", "total_inactive_file"),
        };
        let inactive = field(&self.text("memory.stat")?, inactive).unwrap_or_default();
        Some(self.number(used)?.saturating_sub(inactive))
    }

    /// Nothing without a limit; version 2 says `max` then.
    fn memory_limit(&self) -> Option<u64> {
        let file = if self.is_v2 { "memory.max" } else { "memory.limit_in_bytes" };
        self.number(file).filter(|limit| *limit < UNLIMITED)
    }
}

/// The number behind a name that begins a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.trim().parse().ok()
}

/// The counters of a process's network.
///
/// # Errors
/// There is no such process, or another user's.
pub(crate) fn network(pid: u32) -> io::Result<Network> {
    Ok(network_of(&fs::read_to_string(format!("/proc/{pid}/net/dev"))?))
}

/// By proc(5): two lines of header, then `name: bytes packets errs drop fifo frame compressed multicast`
/// of what was received, and as many of what was sent.
pub(super) fn network_of(text: &str) -> Network {
    let mut sum = (0_u64, 0_u64);
    for line in text.lines().skip(2) {
        let Some((name, counters)) = line.split_once(':') else { continue };
        if name.trim() == "lo" {
            continue;
        }
        let counters: Vec<u64> = counters.split_whitespace().flat_map(str::parse).collect();
        if let [received, _, _, _, _, _, _, _, sent, ..] = counters[..] {
            sum = (sum.0.saturating_add(received), sum.1.saturating_add(sent));
        }
    }
    Network { received_bytes: Some(sum.0), sent_bytes: Some(sum.1), ..Network::default() }
}
