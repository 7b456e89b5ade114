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

/// Where distributions and projects install network plugins.
const PLUGIN_DIRECTORIES: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];

/// containerd 1.x brings the loopback interface of each pod up with a plugin of its own accord.
const LOOPBACK: &str = "loopback";

const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// Bit of `CAP_SYS_RESOURCE` in a capability set.
const CAP_SYS_RESOURCE: u64 = 1 << 24;

/// Looks at everything that containerd's configuration depends on. `plugins` are the network
/// plugins that will be called; `root` is an existing directory on the file system of the images.
pub(crate) async fn look(plugins: &[&str], root: &Path) -> Result<HostFacts, RuntimeError> {
    let containerd = find_program("containerd")?;
    let runc = find_program("runc")?;
    find_program("containerd-shim-runc-v2")?;
    // portmap and bridge call it; without it, the first pod fails with a message of theirs.
    find_program("iptables")?;
    Ok(HostFacts {
        version: version(containerd).await?,
        runc,
        plugin_directory: plugin_directory(plugins, &PLUGIN_DIRECTORIES.map(Path::new))?,
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

/// The first directory with all plugins: containerd before 2.1 searches only one.
fn plugin_directory(plugins: &[&str], directories: &[&Path]) -> Result<PathBuf, RuntimeError> {
    let missing = |directory: &Path| {
        let mut needed = plugins.iter().copied().chain([LOOPBACK]);
        needed.find(|plugin| !directory.join(plugin).is_file())
    };
    if let Some(found) = directories.iter().find(|directory| missing(directory).is_none()) {
        return Ok((*found).to_owned());
    }
    let partial = directories.iter().find(|directory| directory.is_dir());
    let plugin =
        partial.and_then(|directory| missing(directory)).or_else(|| plugins.first().copied());
    Err(RuntimeError::NoPlugin {
        plugin: plugin.unwrap_or(LOOPBACK).to_owned(),
        searched: directories
            .iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(", "),
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
    fn the_first_directory_with_all_plugins_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let (half, whole) = (directory.path().join("half"), directory.path().join("whole"));
        for path in
            [half.join("bridge"), whole.join("bridge"), whole.join("portmap"), whole.join(LOOPBACK)]
        {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let plugins = ["bridge", "portmap"];
        assert_eq!(plugin_directory(&plugins, &[&half, &whole]).unwrap(), whole);
        let text = plugin_directory(&plugins, &[&half]).unwrap_err().to_string();
        assert!(text.starts_with("network plugin `portmap` is not installed in any of "), "{text}");
        assert!(text.contains("apt-get install containernetworking-plugins"), "{text}");
        let nowhere = plugin_directory(&plugins, &[Path::new("/nowhere")]).unwrap_err();
        assert!(nowhere.to_string().contains("`bridge`"), "{nowhere}");
    }
}
