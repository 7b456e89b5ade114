//! Bringing the embedded runtime up.

use std::{
    env, fs, io,
    os::unix::{ffi::OsStrExt, fs::DirBuilderExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use crilet_cni::{Conflist, Network, NoIpv6, choose, shared_chains};
use crilet_core::{ErrorChain, exec::Invocation, fs::write_durably};
use crilet_cri::{Client, CriError, v1};
use nix::{fcntl::Flock, sys::signal::Signal};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    Layout, Mirror, RuntimeError,
    config::{HostFacts, render},
    host,
    image::{self, LoadError},
    log,
    mirror::hosts_files,
    pause,
    process::{Process, try_lock},
};

/// How long containerd may take until it can run pods, in seconds. Its first start on a slow disk
/// makes databases.
const READY_WITHIN: u64 = 60;

/// How long another `up` or `down` is waited for.
const LOCK_WITHIN: Duration = Duration::from_secs(90);

/// How often it is looked whether something has come about: first often, then less so.
const POLL: Duration = Duration::from_millis(5);
const LONGEST_POLL: Duration = Duration::from_millis(200);

/// Starts after which a containerd that never became ready is given up.
const STARTS: u32 = 3;

/// Lines of containerd's log that an error carries.
const TAIL: usize = 12;

/// Longest path of a socket, in bytes.
const LONGEST_SOCKET_PATH: usize = 107;

/// What can be chosen at `up`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Registry mirrors, asked in this order; `None` keeps those of the last `up`.
    pub mirrors: Option<Vec<Mirror>>,
    /// Whose network plugins pods get; `None` keeps those of the last `up`, at first crilet's own.
    pub plugins: Option<Plugins>,
    /// The program that crilet's own plugins are.
    pub plugin_program: PathBuf,
    /// The program and leading arguments that run [`crate::supervise`], without the environment.
    pub supervisor: Vec<String>,
}

/// Whose network plugins pods get.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plugins {
    /// crilet's own.
    #[default]
    Own,
    /// Those in a directory.
    Directory(PathBuf),
}

/// What `up` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpReport {
    /// Whether containerd was running before.
    pub was_running: bool,
    /// What is different from the last `up`, each a sentence; empty when nothing is.
    pub changes: Vec<String>,
    /// containerd's version.
    pub version: String,
    /// Where pods live.
    pub network: Network,
    /// Why pods have no IPv6, if so.
    pub no_ipv6: Option<NoIpv6>,
    /// Mirrors in force.
    pub mirrors: Vec<Mirror>,
}

/// What is kept from one `up` to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    version: u32,
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) network: Network,
    #[serde(default)]
    pub(crate) plugins: Plugins,
}

const SETTINGS_VERSION: u32 = 1;

/// Brings the runtime up, or into the state that `options` want, and waits until it can run pods.
///
/// # Errors
/// Says what is missing, or why containerd does not start. What was begun is then stopped again.
pub async fn up(layout: &Layout, options: &Options) -> Result<UpReport, RuntimeError> {
    require_root()?;
    make_directories(layout)?;
    let _lock = lock(layout).await?;
    let before = read_settings(layout);
    let (settings, no_ipv6) = decide(before.as_ref(), options).await?;
    let conflist = settings.network.conflist(&layout.leases())?;
    let plugins = plugin_directory(layout, &settings.plugins, options)?;
    let facts = host::look(&conflist.programs(), &plugins, layout.root()).await?;
    let must_restart = write_files(layout, &settings, &facts, &conflist)?;
    let was_running = is_supervised(layout);
    if !was_running {
        remember_chains(layout).await?;
        // A containerd whose supervisor was killed would answer for the one that is to come.
        stop_supervisor(layout).await;
        start_supervisor(layout, options)?;
    } else if must_restart {
        restart_containerd(layout).await;
    }
    let ready = wait_until_ready(layout).await;
    if let (Err(_), false) = (&ready, was_running) {
        stop_supervisor(layout).await;
    }
    let client = ready?;
    load_pause(&client).await?;
    let changes = before.map_or_else(Vec::new, |before| describe_changes(&before, &settings));
    Ok(UpReport {
        was_running,
        changes,
        version: client.version().await?.runtime_version,
        network: settings.network,
        no_ipv6,
        mirrors: settings.mirrors,
    })
}

pub(crate) fn require_root() -> Result<(), RuntimeError> {
    if nix::unistd::geteuid().is_root() { Ok(()) } else { Err(RuntimeError::NotRoot) }
}

/// Makes the directories that everything else assumes. containerd wants others to be able to pass
/// through its root, for pods with their own user ids; what is inside protects itself.
fn make_directories(layout: &Layout) -> Result<(), RuntimeError> {
    let path = layout.socket();
    if path.as_os_str().as_bytes().len() > LONGEST_SOCKET_PATH {
        return Err(RuntimeError::SocketPath { path });
    }
    let conf = layout.cni_config_directory();
    let leases = layout.leases();
    for directory in [layout.root(), layout.state(), &conf, &leases, &layout.registries()] {
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o711).create(directory);
        made.map_err(RuntimeError::file("create directory", directory))?;
    }
    Ok(())
}

pub(crate) async fn lock(layout: &Layout) -> Result<Flock<fs::File>, RuntimeError> {
    let path = layout.change_lock();
    let deadline = Instant::now() + LOCK_WITHIN;
    loop {
        if let Some(lock) = try_lock(&path).map_err(RuntimeError::file("lock", &path))? {
            return Ok(lock);
        }
        if Instant::now() >= deadline {
            return Err(RuntimeError::Busy { path });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The settings of the last `up`; broken or newer ones count as none, for they are only a memory.
pub(crate) fn read_settings(layout: &Layout) -> Option<Settings> {
    let settings: Settings =
        serde_json::from_slice(&fs::read(layout.settings_file()).ok()?).ok()?;
    Some(settings).filter(|settings| settings.version == SETTINGS_VERSION)
}

async fn decide(
    before: Option<&Settings>,
    options: &Options,
) -> Result<(Settings, Option<NoIpv6>), RuntimeError> {
    let (network, no_ipv6) = choose(before.map(|before| &before.network)).await?;
    let kept = || before.map_or_else(Vec::new, |before| before.mirrors.clone());
    let mirrors = options.mirrors.clone().unwrap_or_else(kept);
    let plugins = match (&options.plugins, before) {
        (Some(plugins), _) => plugins.clone(),
        (None, Some(before)) => before.plugins.clone(),
        (None, None) => Plugins::Own,
    };
    Ok((Settings { version: SETTINGS_VERSION, mirrors, network, plugins }, no_ipv6))
}

/// Where the plugins are; crilet's own are put there, and replaced after an upgrade.
fn plugin_directory(
    layout: &Layout,
    plugins: &Plugins,
    options: &Options,
) -> Result<PathBuf, RuntimeError> {
    match plugins {
        Plugins::Directory(directory) => Ok(directory.clone()),
        Plugins::Own => {
            let directory = layout.plugins();
            crilet_cni::install(&directory, &options.plugin_program, true)
                .map_err(RuntimeError::Plugins)?;
            Ok(directory)
        }
    }
}

/// Writes what containerd reads; `true` when it has to start anew to see it.
fn write_files(
    layout: &Layout,
    settings: &Settings,
    facts: &HostFacts,
    conflist: &Conflist,
) -> Result<bool, RuntimeError> {
    let config = render(layout, facts, &settings.mirrors);
    let mut must_restart = write_if_changed(&layout.config_file(), config.as_bytes())?;
    // containerd watches the directory, but misses some ways of writing to it.
    let conflist_file = layout.cni_config_directory().join("10-crilet.conflist");
    must_restart |= write_if_changed(&conflist_file, conflist.to_json().as_bytes())?;
    write_registries(&layout.registries(), &settings.mirrors)?;
    let settings = serde_json::to_vec_pretty(settings).unwrap_or_default();
    write_durably(&layout.settings_file(), &settings, 0o600)?;
    Ok(must_restart)
}

fn write_if_changed(path: &Path, contents: &[u8]) -> Result<bool, RuntimeError> {
    if fs::read(path).is_ok_and(|old| old == contents) {
        return Ok(false);
    }
    write_durably(path, contents, 0o600)?;
    Ok(true)
}

/// containerd reads these files at each pull, so changes hold at once.
fn write_registries(directory: &Path, mirrors: &[Mirror]) -> Result<(), RuntimeError> {
    let files = hosts_files(mirrors);
    let entries = fs::read_dir(directory).map_err(RuntimeError::file("read", directory))?;
    for entry in entries {
        let path = entry.map_err(RuntimeError::file("read", directory))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !files.contains_key(name) {
            fs::remove_dir_all(&path).map_err(RuntimeError::file("remove", &path))?;
        }
    }
    for (registry, contents) in &files {
        let registry = directory.join(registry);
        fs::create_dir_all(&registry).map_err(RuntimeError::file("create directory", &registry))?;
        write_if_changed(&registry.join("hosts.toml"), contents.as_bytes())?;
    }
    Ok(())
}

/// Whether a supervisor lives: it alone holds the lock.
pub(crate) fn is_supervised(layout: &Layout) -> bool {
    let path = layout.supervisor_lock();
    path.exists() && try_lock(&path).is_ok_and(|lock| lock.is_none())
}

/// Notes which shared chains are somebody else's, once while there can be no pod of ours.
async fn remember_chains(layout: &Layout) -> Result<(), RuntimeError> {
    let path = layout.chains_record();
    if !path.exists() {
        let chains = serde_json::to_vec(&shared_chains().await).unwrap_or_default();
        write_durably(&path, &chains, 0o600)?;
    }
    Ok(())
}

fn start_supervisor(layout: &Layout, options: &Options) -> Result<(), RuntimeError> {
    let log_path = layout.log_file();
    let open = || fs::OpenOptions::new().create(true).append(true).open(&log_path);
    let (out, err) =
        open().and_then(|out| Ok((out, open()?))).map_err(RuntimeError::file("open", &log_path))?;
    let own = || -> Result<Invocation, RuntimeError> {
        // The link survives the replacement of the program's file by an upgrade.
        let path =
            env::current_exe().map_err(RuntimeError::file("read", "/proc/self/exe".as_ref()))?;
        Ok(Invocation::at(path).args(["runtime", "supervise"]))
    };
    let invocation = match options.supervisor.split_first() {
        Some((program, arguments)) => Invocation::at(program).args(arguments),
        None => own()?,
    };
    let directory = |path: &Path| path.parent().unwrap_or(path).to_owned();
    invocation
        .env("CRILET_ROOT", directory(layout.root()))
        .env("CRILET_STATE", directory(layout.state()))
        .spawn(Stdio::null(), Stdio::from(out), Stdio::from(err), true)?;
    Ok(())
}

/// Lets containerd read its configuration again; its pods live on.
async fn restart_containerd(layout: &Layout) {
    let containerd = Process::read(&layout.containerd_record());
    if let Some(supervisor) = Process::read(&layout.supervisor_record()) {
        supervisor.signal(Signal::SIGHUP);
    }
    if let Some(containerd) = containerd {
        containerd.is_gone_within(Duration::from_secs(20)).await;
    }
}

/// Ends the supervisor and containerd with it; containerd alone where the supervisor is dead.
pub(crate) async fn stop_supervisor(layout: &Layout) {
    for record in [layout.supervisor_record(), layout.containerd_record()] {
        if let Some(process) = Process::read(&record) {
            process.end(Duration::from_secs(25)).await;
        }
    }
}

async fn wait_until_ready(layout: &Layout) -> Result<Client, RuntimeError> {
    let deadline = Instant::now() + Duration::from_secs(READY_WITHIN);
    let mut wait = POLL;
    loop {
        let not_yet = match look_whether_ready(layout).await {
            Ok(client) => return Ok(client),
            Err(not_yet) => not_yet,
        };
        let record = Process::read(&layout.containerd_record());
        if let Some(record) = record.filter(|record| record.restarts >= STARTS) {
            return Err(RuntimeError::Crashing {
                ending: record.last_ending.unwrap_or_default(),
                log: layout.log_file(),
                tail: log_tail(layout),
            });
        }
        if not_yet.is_final {
            let (log, tail) = (layout.log_file(), log_tail(layout));
            return Err(RuntimeError::NoCri { log, tail });
        }
        if Instant::now() >= deadline {
            let (log, tail) = (layout.log_file(), log_tail(layout));
            let last = not_yet.reason;
            return Err(RuntimeError::NotReady { seconds: READY_WITHIN, last, log, tail });
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_POLL);
    }
}

/// What keeps a runtime from running pods.
#[derive(Debug)]
pub(crate) struct NotReady {
    pub(crate) reason: String,
    /// Whether waiting cannot help: containerd listens only after it has loaded its plugins.
    is_final: bool,
}

impl NotReady {
    fn yet(reason: String) -> Self {
        Self { reason, is_final: false }
    }
}

impl From<CriError> for NotReady {
    fn from(error: CriError) -> Self {
        let is_final = matches!(error, CriError::NotCri { .. });
        Self { reason: ErrorChain(&error).to_string(), is_final }
    }
}

/// A client when the runtime can run pods; otherwise what is missing.
pub(crate) async fn look_whether_ready(layout: &Layout) -> Result<Client, NotReady> {
    let client = Client::connect(&layout.endpoint()).await?;
    let answer = client.status(false).await?;
    let conditions = answer.status.map(|status| status.conditions).unwrap_or_default();
    for name in ["RuntimeReady", "NetworkReady"] {
        match conditions.iter().find(|condition| condition.r#type == name) {
            Some(condition) if condition.status => {}
            Some(condition) => return Err(NotReady::yet(describe_condition(condition))),
            None => return Err(NotReady::yet(format!("condition {name} is not reported"))),
        }
    }
    Ok(client)
}

fn describe_condition(condition: &v1::RuntimeCondition) -> String {
    format!("{} is false: {} {}", condition.r#type, condition.reason, condition.message)
}

/// The last lines of the log that are more than notes, or the last lines where there are none.
fn log_tail(layout: &Layout) -> String {
    let text = log::tail(&layout.log_file(), TAIL * 10).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let is_note = |line: &&str| line.contains(" level=info ") || line.contains(" level=debug ");
    let mut lines: Vec<_> = text.lines().filter(|line| !is_note(line)).collect();
    if lines.is_empty() {
        lines = text.lines().collect();
    }
    lines.split_off(lines.len().saturating_sub(TAIL)).join("\n")
}

async fn load_pause(client: &Client) -> Result<(), RuntimeError> {
    if client.image_status(pause::PAUSE_IMAGE, false).await?.image.is_some() {
        return Ok(());
    }
    let failed = |cause: io::Error| RuntimeError::File {
        action: "write the pause image to",
        path: env::temp_dir(),
        cause,
    };
    let rootfs = tempfile::NamedTempFile::new().map_err(failed)?;
    pause::rootfs().and_then(|bytes| fs::write(rootfs.path(), bytes)).map_err(failed)?;
    let name = pause::PAUSE_IMAGE.parse().map_err(LoadError::Name)?;
    image::import(client, rootfs.path(), &name, &pause::config()).await?;
    Ok(())
}

fn describe_changes(before: &Settings, now: &Settings) -> Vec<String> {
    let mut changes = Vec::new();
    let added = now.mirrors.iter().filter(|mirror| !before.mirrors.contains(mirror));
    changes.extend(added.map(|mirror| format!("mirror {mirror} is asked now")));
    let gone = before.mirrors.iter().filter(|mirror| !now.mirrors.contains(mirror));
    changes.extend(gone.map(|mirror| format!("mirror {mirror} is not asked any more")));
    if changes.is_empty() && before.mirrors != now.mirrors {
        changes.push("mirrors are asked in another order now".to_owned());
    }
    match &now.plugins {
        plugins if *plugins == before.plugins => {}
        Plugins::Own => changes.push("pods get crilet's own network plugins now".to_owned()),
        Plugins::Directory(directory) => {
            changes.push(format!("pods get the network plugins of {} now", directory.display()));
        }
    }
    if before.network != now.network {
        changes.push(format!("pods live in {} now, no more in {}", now.network, before.network));
    }
    changes
}
