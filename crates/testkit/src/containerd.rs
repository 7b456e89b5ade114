use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};

use crate::{command::Service, host::Host, images::Images, wait::wait_until};

/// Far longer than it takes, even on a busy machine.
const START: Duration = Duration::from_secs(120);
const IMPORT: Duration = Duration::from_secs(300);
const SOCKET: &str = "/run/containerd/containerd.sock";
const PAUSE: &str = "crilet.test/pause:1";

/// Where Debian has network plugins, as the configuration says.
const PLUGINS: &str = "/usr/lib/cni";
/// The machine's own containerd: its socket, configuration and networks are where Debian puts them.
///
/// `restrict_oom_score_adj` is set, because machines that tests run on may lack CAP_SYS_RESOURCE.
const CONFIG: &str = r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "crilet.test/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
"#;

const NETWORK: &str = r#"{
  "cniVersion": "0.4.0",
  "name": "system",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "system0",
      "isGateway": true,
      "ipMasq": true,
      "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.11.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
"#;

/// A containerd of the host, as the host's own service manager would run it.
#[derive(Debug)]
pub struct SystemContainerd {
    socket: PathBuf,
    service: Service,
}

impl Host {
    /// Starts the host's own containerd, with a network, and waits until it serves the CRI.
    ///
    /// # Errors
    ///
    /// When it does not answer within two minutes: with its log.
    pub fn system_containerd(&self) -> Result<SystemContainerd> {
        self.system_containerd_with(PLUGINS)
    }

    /// As [`Host::system_containerd`], with the network plugins of a directory.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn system_containerd_with(&self, plugins: &str) -> Result<SystemContainerd> {
        self.start_containerd(&CONFIG.replace(PLUGINS, plugins))
    }

    /// As [`Host::system_containerd`], with more of the CRI plugin's configuration, in TOML behind its own
    /// keys.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn system_containerd_configured(&self, more: &str) -> Result<SystemContainerd> {
        let place = "  [plugins.\"io.containerd.grpc.v1.cri\".cni]";
        self.start_containerd(&CONFIG.replace(place, &format!("{more}{place}")))
    }

    fn start_containerd(&self, config: &str) -> Result<SystemContainerd> {
        let pause = Images::archive("busybox", "crilet.test/busybox:1")?;
        self.write("/etc/containerd/config.toml", config)?;
        self.write("/etc/cni/net.d/10-system.conflist", NETWORK)?;
        let mut service = self.command("containerd").spawn()?;
        wait_until("an answer of containerd", START, || {
            service.expect_running().map_err(|error| error.to_string())?;
            // Its last plugin: when that is there, the others are.
            let plugins = self.ctr(&["plugins", "ls"]).map_err(|error| format!("{error:#}"))?;
            let is_up = |line: &str| line.contains(" cri ") && line.contains(" ok");
            if plugins.lines().any(is_up) { Ok(()) } else { Err(plugins) }
        })
        .with_context(|| service.log())?;
        let containerd = SystemContainerd { socket: self.path(SOCKET), service };
        self.import(&pause)?;
        self.ctr(&["images", "tag", "--force", "crilet.test/busybox:1", PAUSE])?;
        Ok(containerd)
    }

    /// Loads an OCI archive into the host's own containerd.
    ///
    /// # Errors
    ///
    /// When the import fails: with what `ctr` said.
    pub fn import(&self, archive: &std::path::Path) -> Result<()> {
        self.ctr(&["images", "import", &archive.to_string_lossy()])?;
        Ok(())
    }

    fn ctr(&self, arguments: &[&str]) -> Result<String> {
        self.command("ctr").args(["--namespace", "k8s.io"]).args(arguments).bound(IMPORT).success()
    }
}

impl SystemContainerd {
    /// Path of its socket as the machine sees it; [`Self::SOCKET`] as the host does.
    #[must_use]
    pub fn socket(&self) -> &std::path::Path {
        &self.socket
    }

    /// Path of its socket on the host.
    pub const SOCKET: &str = SOCKET;

    /// All that containerd has written.
    #[must_use]
    pub fn log(&self) -> String {
        self.service.log()
    }

    /// Kills it; containers go on running.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.service.kill()
    }
}
