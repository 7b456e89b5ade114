//! One call of a plugin: the checked environment and configuration.

use std::fmt;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    Attachment, CniArgs, CniResult, Code, Environment, PluginError, Version,
    environment::is_identifier, folding,
};

/// What a runtime can ask of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Attach a container.
    Add,
    /// Take an attachment away.
    Del,
    /// Look whether an attachment is as it should be.
    Check,
    /// Take everything away that belongs to none of the valid attachments.
    Gc,
    /// Tell whether the plugin can attach containers.
    Status,
    /// Tell which versions of the specification the plugin speaks.
    Version,
}

impl Command {
    /// The command of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Add, Self::Del, Self::Check, Self::Gc, Self::Status, Self::Version];
        all.into_iter().find(|command| command.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What every plugin reads of its configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Common {
    name: String,
    #[serde(rename = "cniVersion")]
    version: String,
}

/// A call of a plugin, its environment and the frame of its configuration checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What is asked.
    pub command: Command,
    /// The variables of the call.
    pub environment: Environment,
    /// Name of the network.
    pub network: String,
    /// Version that the configuration is in, and the result must be in.
    pub version: Version,
    /// The whole configuration.
    pub config: Value,
}

impl Call {
    /// Checks the environment and the frame of the configuration, in the reference library's order.
    ///
    /// # Errors
    /// With the specification's code for what is wrong first.
    pub fn new(
        command: Command,
        environment: Environment,
        stdin: &[u8],
        spoken: &[Version],
    ) -> Result<Self, PluginError> {
        environment.check(command)?;
        let config: Value = serde_json::from_slice(stdin).map_err(|error| {
            PluginError::new(
                Code::Decode,
                format!("standard input is not the JSON of a network configuration: {error}"),
            )
        })?;
        let common: Common = folding::from_value(config.clone())?;
        if common.name.is_empty() {
            return Err(PluginError::config("name", "is missing: give the network a name"));
        }
        if !is_identifier(&common.name) {
            return Err(PluginError::config(
                "name",
                format_args!(
                    "is \"{}\", but must be letters, digits, `_`, `.` and `-`, and begin with a letter or digit",
                    common.name
                ),
            ));
        }
        let version = Version::negotiate(&common.version, spoken)?;
        let least = match command {
            Command::Check => Version::V0_4_0,
            Command::Gc | Command::Status => Version::V1_1_0,
            _ => Version::V0_1_0,
        };
        if version < least {
            let message = format!("config version does not allow {command}");
            return Err(PluginError::new(Code::IncompatibleVersion, message)
                .details(format!("`cniVersion` is {version}, {command} needs {least}")));
        }
        Ok(Self { command, environment, network: common.name, version, config })
    }

    /// The same call for another command, as plugins delegate it.
    #[must_use]
    pub fn with_command(&self, command: Command) -> Self {
        let mut call = self.clone();
        call.command = command;
        call.environment.command = command.to_string();
        call
    }

    /// The same call with another configuration.
    #[must_use]
    pub fn with_config(&self, config: Value) -> Self {
        Self { config, ..self.clone() }
    }

    /// Id of the container.
    #[must_use]
    pub fn container_id(&self) -> &str {
        &self.environment.container_id
    }

    /// Name of the link inside.
    #[must_use]
    pub fn link(&self) -> &str {
        &self.environment.link
    }

    /// The attachment that ADD, DEL and CHECK are about.
    #[must_use]
    pub fn attachment(&self) -> Attachment {
        Attachment {
            container_id: self.environment.container_id.clone(),
            link: self.environment.link.clone(),
        }
    }

    /// The configuration as the plugin's own type. Keys match in any case, unknown ones are
    /// ignored, null is absent.
    ///
    /// # Errors
    /// With code 7 and the path of the key.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, PluginError> {
        folding::from_value(self.config.clone())
    }

    /// The value of a key of the configuration, spelt in any case.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&Value> {
        folding::get(&self.config, name)
    }

    /// What plugins before this one in the list gave; `None` when this is the first.
    ///
    /// # Errors
    /// With code 7 when it is no result.
    pub fn previous(&self) -> Result<Option<CniResult>, PluginError> {
        self.key("prevResult").map(|value| CniResult::parse(value, self.version)).transpose()
    }

    /// What plugins before this one in the list gave.
    ///
    /// # Errors
    /// With code 7 when there is none, which a chained plugin cannot do without.
    pub fn required_previous(&self) -> Result<CniResult, PluginError> {
        self.previous()?.ok_or_else(|| {
            PluginError::config(
                "prevResult",
                "is missing: the plugin must come after one that makes a link",
            )
        })
    }

    /// The pairs of `CNI_ARGS`, when all keys are among `known` or unknown ones are to be ignored.
    ///
    /// # Errors
    /// With code 4.
    pub fn args(&self, known: &[&str]) -> Result<CniArgs, PluginError> {
        let args = CniArgs::parse(&self.environment.args);
        args.and_then(|args| args.only(known).map(|()| args))
            .map_err(|error| PluginError::new(Code::InvalidEnvironment, error.to_string()))
    }

    /// The attachments that GC must leave: all that are valid. An empty list means none.
    ///
    /// # Errors
    /// With code 7 when the list is missing; taking that for an empty one would end every pod.
    pub fn valid_attachments(&self) -> Result<Vec<Attachment>, PluginError> {
        const KEYS: [&str; 2] = ["cni.dev/valid-attachments", "cni.dev/attachments"];
        let found = KEYS.iter().find_map(|key| Some((key, self.key(key)?)));
        let Some((key, list)) = found else {
            return Err(PluginError::config(
                KEYS[0],
                "is missing: GC needs the list of valid attachments",
            ));
        };
        folding::from_value_at(list.clone(), key)
    }
}
