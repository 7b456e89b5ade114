//! What of a container's verbose status a person wants to know.
//!
//! The CRI leaves its form to the runtimes: containerd (pkg/cri/server/container_status.go,
//! `ContainerInfo`) and CRI-O (server/container_status.go) both put pid and OCI spec there. What is
//! missing is left out.

use std::collections::BTreeMap;

use crilet_cri::v1;
use serde::Deserialize;

use crate::values;

/// Memory that is as good as no limit: a kernel without one tells the largest number of pages.
const UNLIMITED: i64 = 1 << 60;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Info {
    pub(super) pid: u32,
    runtime_spec: Option<Spec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    process: Option<Process>,
    linux: Option<Linux>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Process {
    args: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Linux {
    cgroups_path: Option<String>,
    resources: Option<Resources>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resources {
    memory: Option<Memory>,
    cpu: Option<Cpu>,
    pids: Option<Pids>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Memory {
    limit: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cpu {
    shares: Option<u64>,
    quota: Option<i64>,
    period: Option<u64>,
    cpus: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pids {
    limit: Option<i64>,
}

impl Info {
    pub(super) fn read(info: &BTreeMap<String, String>) -> Self {
        let text = info.get("info").map_or("", String::as_str);
        serde_json::from_str(text).unwrap_or_default()
    }

    /// The first process's program and arguments.
    pub(super) fn command(&self) -> Option<&[String]> {
        let arguments = self.runtime_spec.as_ref()?.process.as_ref()?.args.as_deref()?;
        (!arguments.is_empty()).then_some(arguments)
    }

    /// The control group, below the root of the hierarchies.
    pub(super) fn cgroup(&self) -> Option<String> {
        let path = self.linux()?.cgroups_path.as_deref()?;
        (!path.is_empty()).then(|| cgroup(path))
    }

    fn linux(&self) -> Option<&Linux> {
        self.runtime_spec.as_ref()?.linux.as_ref()
    }

    /// What the container may use at most, as the status says, or else the spec it was made with.
    pub(super) fn limits(&self, status: &v1::ContainerStatus) -> Limits {
        let spec = self.linux().and_then(|linux| linux.resources.as_ref());
        let pids = spec.and_then(|spec| spec.pids.as_ref()?.limit).filter(|limit| *limit > 0);
        let told = status.resources.as_ref().and_then(|resources| resources.linux.as_ref());
        if let Some(told) = told {
            return Limits {
                memory: positive(told.memory_limit_in_bytes),
                quota: positive(told.cpu_quota).zip(positive(told.cpu_period)),
                shares: positive(told.cpu_shares),
                cpus: Some(told.cpuset_cpus.clone()).filter(|cpus| !cpus.is_empty()),
                pids: pids.and_then(positive),
            };
        }
        let cpu = spec.and_then(|spec| spec.cpu.as_ref());
        Limits {
            memory: spec.and_then(|spec| positive(spec.memory.as_ref()?.limit?)),
            quota: cpu.and_then(|cpu| positive(cpu.quota?)).zip(cpu.and_then(|cpu| cpu.period)),
            shares: cpu.and_then(|cpu| cpu.shares).filter(|shares| *shares > 0),
            cpus: cpu.and_then(|cpu| cpu.cpus.clone()).filter(|cpus| !cpus.is_empty()),
            pids: pids.and_then(positive),
        }
    }
}

fn positive(number: i64) -> Option<u64> {
    u64::try_from(number).ok().filter(|_| number > 0 && number < UNLIMITED)
}

/// A path as it stands in an OCI spec; `SLICE:PREFIX:NAME` is how runc is told of a scope of systemd's.
fn cgroup(path: &str) -> String {
    match path.split(':').collect::<Vec<_>>().as_slice() {
        [slice, prefix, name] => format!("{slice}/{prefix}-{name}.scope"),
        _ => path.to_owned(),
    }
}

/// What a container may use at most; what is absent is not limited.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes.
    memory: Option<u64>,
    /// Microseconds of processor time, and of the period in which they may be used.
    quota: Option<(u64, u64)>,
    /// Its weight among others that want the processor: 1024 for one processor that was asked for.
    shares: Option<u64>,
    /// Numbers of processors.
    cpus: Option<String>,
    /// Processes and threads.
    pids: Option<u64>,
}

impl Limits {
    pub(super) fn text(&self) -> String {
        let cpu = self.quota.filter(|(_, period)| *period > 0).map(|(quota, period)| {
            let thousandths = quota.saturating_mul(1000) / period;
            match thousandths % 1000 {
                0 => format!("{} processors", thousandths / 1000),
                _ => format!("{thousandths}m processors"),
            }
        });
        let parts = [
            self.memory.map(|bytes| format!("{} memory", values::bytes(bytes))),
            cpu.map(|cpu| cpu.replace("1 processors", "1 processor")),
            self.cpus.as_ref().map(|cpus| format!("processors {cpus} only")),
            self.pids.map(|pids| format!("{pids} processes")),
        ];
        let mut parts: Vec<_> = parts.into_iter().flatten().collect();
        if parts.is_empty() {
            parts.push("none".to_owned());
        }
        if let Some(shares) = self.shares {
            parts.push(format!("weight {shares}"));
        }
        parts.join(", ")
    }
}
