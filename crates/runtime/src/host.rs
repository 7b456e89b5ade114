//! Looks at the host: what is installed, and what its kernel can do.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crilet_core::exec::{Invocation, find_program};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::statfs::{CGROUP2_SUPER_MAGIC, statfs},
};

use crate::{
    RuntimeError,
    config::{Cgroups, HostFacts, Version},
};

/// containerd 1.x brings the loopback interface of each pod up with a plugin of its own accord.
const LOOPBACK: &str = "loopback";

const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// Bit of `CAP_SYS_RESOURCE` in a capability set.
const CAP_SYS_RESOURCE: u64 = 1 << 24;

/// Looks at everything that containerd's configuration depends on. `plugins` are the network
/// plugins that will be called, `directory` is where they must be; `root` is an existing directory
/// on the file system of the images.
pub(crate) async fn look(
    plugins: &[&str],
    directory: &Path,
    root: &Path,
) -> Result<HostFacts, RuntimeError> {
    check_plugins(plugins, directory)?;
    let containerd = find_program("containerd")?;
    let runc = find_program("runc")?;
    find_program("containerd-shim-runc-v2")?;
    // portmap and bridge call it; without it, the first pod fails with a message of theirs.
    find_program("iptables")?;
    Ok(HostFacts {
        version: version(containerd).await?,
        runc,
        plugin_directory: directory.to_owned(),
        cgroups: cgroups()?,
        may_lower_oom_score: may_lower_oom_score(),
        overlay: can_overlay(root)?,
        apparmor: apparmor(),
    })
}

async fn version(program: PathBuf) -> Result<Version, RuntimeError> {
    let output = Invocation::at(&program).arg("--version").run().await?;
    let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Version::parse(&answer).ok_or(RuntimeError::Version { program, answer })
}

/// containerd would say only at the first pod that one is missing.
fn check_plugins(plugins: &[&str], directory: &Path) -> Result<(), RuntimeError> {
    let mut needed = plugins.iter().copied().chain([LOOPBACK]);
    let missing = needed.find(|plugin| !directory.join(plugin).is_file());
    missing.map_or(Ok(()), |plugin| {
        let plugin = plugin.to_owned();
        Err(RuntimeError::NoPlugin { plugin, directory: directory.to_owned() })
    })
}

pub(crate) fn cgroups() -> Result<Cgroups, RuntimeError> {
    let is_v2 =
        |path: &Path| statfs(path).is_ok_and(|info| info.filesystem_type() == CGROUP2_SUPER_MAGIC);
    let root = Path::new(CGROUP_ROOT);
    if is_v2(root) {
        Ok(Cgroups::V2)
    } else if !root.join("memory").is_dir() && !root.join("cpu").is_dir() {
        Err(RuntimeError::NoCgroups)
    } else if is_v2(&root.join("unified")) {
        Ok(Cgroups::Hybrid)
    } else {
        Ok(Cgroups::V1)
    }
}

/// Whether this process, and so containerd, has `CAP_SYS_RESOURCE`.
fn may_lower_oom_score() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    effective.is_some_and(|set| set & CAP_SYS_RESOURCE != 0)
}

/// Stacks two empty directories to see whether the file system allows it.
fn can_overlay(root: &Path) -> Result<bool, RuntimeError> {
    let failed = RuntimeError::file("create a directory in", root);
    let scratch = tempfile::Builder::new().prefix("overlay-").tempdir_in(root);
    let scratch = scratch.map_err(failed)?;
    let part = |name: &str| -> io::Result<PathBuf> {
        let path = scratch.path().join(name);
        fs::create_dir(&path).map(|()| path)
    };
    let parts = ["lower", "upper", "work", "merged"].map(part);
    let [Ok(lower), Ok(upper), Ok(work), Ok(merged)] = parts else { return Ok(false) };
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    let mounted =
        mount(Some("overlay"), &merged, Some("overlay"), MsFlags::empty(), Some(options.as_str()));
    if mounted.is_err() {
        return Ok(false);
    }
    umount2(&merged, MntFlags::MNT_DETACH)
        .map_err(|errno| RuntimeError::file("unmount", &merged)(errno.into()))?;
    Ok(true)
}

/// AppArmor is of use when the kernel runs it and its profiles can be loaded.
fn apparmor() -> bool {
    let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    enabled.is_ok_and(|text| text.starts_with('Y')) && find_program("apparmor_parser").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_must_have_all_plugins() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["bridge", "portmap"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let plugins = ["bridge", "portmap"];
        let text = check_plugins(&plugins, directory.path()).unwrap_err().to_string();
        assert!(text.starts_with("network plugin `loopback` is not in `"), "{text}");
        assert!(text.contains("`containernetworking-plugins`"), "{text}");
        fs::write(directory.path().join(LOOPBACK), "").unwrap();
        check_plugins(&plugins, directory.path()).unwrap();
    }
}
