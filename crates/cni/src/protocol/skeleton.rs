//! The frame of every plugin's program.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use serde_json::json;

use super::{Call, CniResult, Code, Command, Early, Environment, PluginError, Proof, Version};

/// Where the namespace of the calling thread is found.
const OWN_NAMESPACE: &str = "/proc/thread-self/ns/net";

/// A plugin: what each command does. The frame of the call is checked before.
pub trait Plugin: Sync {
    /// Name of its program, which configurations have as `type`.
    fn name(&self) -> &'static str;

    /// Versions of the specification that it takes.
    fn versions(&self) -> &'static [Version] {
        &Version::ALL
    }

    /// Attaches a container; leaves nothing when it fails.
    ///
    /// # Errors
    /// As the specification says, with what to do about it.
    fn add(&self, call: &Call) -> Result<CniResult, PluginError>;

    /// As [`Plugin::add`], for a caller who has other work to do meanwhile, and asks for the proof before it
    /// does anything else with the plugin.
    ///
    /// # Errors
    /// As [`Plugin::add`].
    fn add_early(&self, call: &Call) -> Result<Early, PluginError> {
        self.add(call).map(|result| Early { result, proof: Proof::default() })
    }

    /// Takes an attachment away; what is missing already is no error.
    ///
    /// # Errors
    /// When something that is there cannot be taken away.
    fn del(&self, call: &Call) -> Result<(), PluginError>;

    /// Looks whether an attachment is as ADD made it.
    ///
    /// # Errors
    /// With the first thing that is not.
    fn check(&self, call: &Call) -> Result<(), PluginError>;

    /// Takes away what belongs to none of the valid attachments of the network.
    ///
    /// # Errors
    /// When something cannot be taken away.
    fn gc(&self, call: &Call) -> Result<(), PluginError>;

    /// Reads its configuration and touches nothing; what the fuzzer calls.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    fn probe(&self, call: &Call) -> Result<(), PluginError> {
        call.previous().map(drop)
    }

    /// Tells whether ADD could work now.
    ///
    /// # Errors
    /// With code 50 or 51 when it could not.
    fn status(&self, call: &Call) -> Result<(), PluginError>;
}

/// What a plugin's program says, and how it ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spoken {
    /// Standard output: a result or an error.
    pub stdout: String,
    /// Standard error: words for a person.
    pub stderr: String,
    /// Exit status.
    pub status: u8,
}

/// Answers one call. `stdin` is read only when the command needs a configuration.
#[must_use]
pub fn run(
    plugin: &dyn Plugin,
    environment: Environment,
    stdin: impl FnOnce() -> io::Result<Vec<u8>>,
) -> Spoken {
    if environment.command.is_empty() {
        return Spoken { stderr: about(plugin), ..Spoken::default() };
    }
    match answer(plugin, environment, stdin) {
        Ok(stdout) => Spoken { stdout, ..Spoken::default() },
        Err(error) => Spoken { stdout: error.to_json(), status: 1, ..Spoken::default() },
    }
}

fn about(plugin: &dyn Plugin) -> String {
    let versions: Vec<_> = plugin.versions().iter().map(|version| version.as_str()).collect();
    format!(
        "CNI {} plugin of crilet {}\nCNI protocol versions supported: {}\n",
        plugin.name(),
        env!("CARGO_PKG_VERSION"),
        versions.join(", ")
    )
}

fn answer(
    plugin: &dyn Plugin,
    environment: Environment,
    stdin: impl FnOnce() -> io::Result<Vec<u8>>,
) -> Result<String, PluginError> {
    let command = Command::parse(&environment.command).ok_or_else(|| {
        let message = format!("unknown CNI_COMMAND: {}", environment.command);
        PluginError::new(Code::InvalidEnvironment, message)
    })?;
    if command == Command::Version {
        let versions: Vec<_> = plugin.versions().iter().map(|version| version.as_str()).collect();
        let newest = Version::NEWEST.as_str();
        return Ok(format!("{}\n", json!({ "cniVersion": newest, "supportedVersions": versions })));
    }
    environment.check(command)?;
    let config = stdin().map_err(|error| {
        PluginError::new(Code::Io, format!("failed to read standard input: {error}"))
    })?;
    let call = Call::new(command, environment, &config, plugin.versions())?;
    match command {
        Command::Add => {
            refuse_own_namespace(&call)?;
            return plugin.add(&call).map(|result| result.to_text(call.version));
        }
        Command::Del => {
            refuse_own_namespace(&call)?;
            plugin.del(&call)?;
        }
        Command::Check => plugin.check(&call)?,
        Command::Gc => plugin.gc(&call)?,
        Command::Status => plugin.status(&call)?,
        Command::Version => {}
    }
    Ok(String::new())
}

/// A pod in the namespace of its runtime would lose the host its network. The reference library
/// looks only after the work is done.
fn refuse_own_namespace(call: &Call) -> Result<(), PluginError> {
    let Some(path) = call.environment.namespace() else { return Ok(()) };
    if call.environment.overrides_namespace() || !is_same(path, Path::new(OWN_NAMESPACE)) {
        return Ok(());
    }
    let message = format!(
        "plugin's netns and netns from CNI_NETNS should not be the same: `{}` is the host's",
        path.display()
    );
    Err(PluginError::new(Code::InvalidNamespace, message))
}

/// What cannot be opened is the plugin's business.
fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}
