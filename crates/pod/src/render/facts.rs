//! What a start has to know.

use std::{
    collections::BTreeMap,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use crilet_cri::v1;

use crate::model::LateValue;

/// What the machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its host name.
    pub name: String,
    /// Its CPUs, in thousandths.
    pub cpu: u64,
    /// Its memory, in bytes.
    pub memory: u64,
    /// The disk with the pods' directories, in bytes.
    pub storage: u64,
    /// Whether it has cgroups of version 2 alone.
    pub cgroup_v2: bool,
    /// The sizes of huge pages that it knows, in bytes.
    pub hugepage_sizes: Vec<u64>,
    /// The lowest `oom_score_adj` that can be given to a container; -1000 unless the runtime lacks
    /// `CAP_SYS_RESOURCE`.
    pub least_oom_score_adj: i64,
}

/// What one start of a sandbox is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SandboxFacts {
    /// Which sandbox of its pod it is, from 0.
    pub attempt: u32,
    /// What [`super::dns::resolve`] gave.
    pub dns: Option<v1::DnsConfig>,
    /// The control group that pods go below, unless theirs is given: a path for a runtime with the
    /// cgroupfs driver, `NAME.slice` for one with systemd's, which refuses what containerd does
    /// without one. Empty for the runtime's own.
    pub cgroup_parent: String,
}

/// What one start of a container is.
#[derive(Debug, Clone)]
pub struct StartFacts<'a> {
    /// Which start it is, from 0.
    pub attempt: u32,
    /// Addresses of the pod, the first one first.
    pub pod_ips: &'a [IpAddr],
    /// Addresses of the machine.
    pub host_ips: &'a [IpAddr],
    /// The machine.
    pub node: &'a NodeFacts,
    /// Where each volume is, by name.
    pub volumes: &'a BTreeMap<String, PathBuf>,
    /// Where each part of a volume is, by the index of its mount; see [`super::sub_paths`].
    pub sub_paths: &'a BTreeMap<usize, PathBuf>,
    /// The pod's `/etc/hosts`.
    pub hosts_file: Option<&'a Path>,
    /// The file for the container's last word, empty, of mode 0666.
    pub termination_file: Option<&'a Path>,
    /// Who the image's programs run as.
    pub image_user: ImageUser,
}

/// Who an image's programs run as, as the runtime's image status says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ImageUser {
    /// Nobody in particular: root.
    #[default]
    Unset,
    /// This user.
    Number(i64),
    /// The user of this name in the image.
    Name(String),
}

impl NodeFacts {
    /// Asks the machine; `pods` is where pods' directories are, or will be.
    ///
    /// # Errors
    /// When `/proc` or `/sys` cannot be read, or there is no such directory.
    pub fn read(pods: &Path) -> io::Result<Self> {
        let memory = fs::read_to_string("/proc/meminfo")?;
        let status = fs::read_to_string("/proc/self/status")?;
        let own_score = fs::read_to_string("/proc/self/oom_score_adj")?;
        let disk = nix::sys::statvfs::statvfs(pods)?;
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self {
            name: nix::unistd::gethostname()?.to_string_lossy().to_lowercase(),
            cpu: u64::try_from(cpus).unwrap_or(1).saturating_mul(1000),
            memory: memory_total(&memory),
            storage: disk.blocks().saturating_mul(disk.fragment_size()),
            cgroup_v2: Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
            hugepage_sizes: hugepage_sizes(Path::new("/sys/kernel/mm/hugepages")),
            least_oom_score_adj: if has_sys_resource(&status) {
                -1000
            } else {
                own_score.trim().parse().unwrap_or_default()
            },
        })
    }

    /// What the machine has of something, as text.
    pub(crate) fn text(&self, late: LateValue) -> String {
        match late {
            LateValue::NodeCpu(divisor) => divisor.divide(self.cpu).to_string(),
            LateValue::NodeMemory(divisor) => divisor.divide(self.memory).to_string(),
            LateValue::NodeStorage(divisor) => divisor.divide(self.storage).to_string(),
            LateValue::NodeName => self.name.clone(),
            LateValue::PodIp | LateValue::PodIps | LateValue::HostIp | LateValue::HostIps => {
                String::new()
            }
        }
    }
}

/// `MemTotal` of /proc/meminfo, which is in KiB.
fn memory_total(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or_default().saturating_mul(1024)
}

/// Whether the effective capabilities have bit 24, `CAP_SYS_RESOURCE`.
fn has_sys_resource(status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.is_some_and(|bits| bits & (1 << 24) != 0)
}

/// The directory has one `hugepages-<KiB>kB` for each size.
fn hugepage_sizes(directory: &Path) -> Vec<u64> {
    let names = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut sizes: Vec<u64> = names
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let kib = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<u64>().ok()?;
            kib.checked_mul(1024)
        })
        .collect();
    sizes.sort_unstable();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_understood() {
        assert_eq!(memory_total("MemTotal:        4026640 kB\nMemFree: 1 kB\n"), 4_123_279_360);
        assert!(has_sys_resource("CapEff:\t000001ffffffffff\n"));
        assert!(!has_sys_resource("CapEff:\t000001fffeffffff\n"));
    }

    #[test]
    fn the_machine_can_be_asked() {
        let node = NodeFacts::read(Path::new("/")).unwrap();
        assert!(node.cpu >= 1000 && node.memory > 1 << 20 && node.storage > 0, "{node:?}");
    }
}
