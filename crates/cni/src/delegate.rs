//! Calls of one plugin by another: address management, and the links that meta plugins delegate.
//!
//! A plugin that is crilet's own runs in this process; any other is looked up in `CNI_PATH` and run
//! as a program, as the specification has it, with this call's environment and configuration.

use std::{io, path::PathBuf};

use crilet_core::exec::{ExecError, Invocation};
use serde_json::Value;

use crate::{
    plugin,
    protocol::{Call, CniResult, Code, Command, Early, Plugin, PluginError, Proof, Version},
};

/// Attaches by the plugin `kind`; `call` carries the configuration it gets.
///
/// # Errors
/// The plugin's own, or that it is not found.
pub(crate) fn add(kind: &str, call: &Call) -> Result<CniResult, PluginError> {
    add_by(kind, call, |own, call| own.add(call))
}

/// As [`add`], for a caller who has other work to do before the proof.
///
/// # Errors
/// As [`add`].
pub(crate) fn add_early(kind: &str, call: &Call) -> Result<Early, PluginError> {
    let mut proof = Proof::default();
    let result = add_by(kind, call, |own, call| {
        let early = own.add_early(call)?;
        proof = early.proof;
        Ok(early.result)
    })?;
    Ok(Early { result, proof })
}

/// Attaches by a plugin of crilet's own, as `own` asks it, or by a program.
fn add_by(
    kind: &str,
    call: &Call,
    own: impl FnOnce(&dyn Plugin, &Call) -> Result<CniResult, PluginError>,
) -> Result<CniResult, PluginError> {
    let call = call.with_command(Command::Add);
    if let Some(plugin) = plugin::find(kind) {
        Version::negotiate(call.version.as_str(), plugin.versions())?;
        return own(plugin, &call);
    }
    let output = run(kind, &call)?;
    let value: Value = serde_json::from_slice(&output).map_err(|error| {
        PluginError::new(Code::Decode, format!("plugin `{kind}` answered no JSON: {error}"))
    })?;
    CniResult::parse(&value, call.version)
}

/// Asks the plugin `kind` for anything but ADD.
///
/// # Errors
/// The plugin's own, or that it is not found.
pub(crate) fn ask(kind: &str, command: Command, call: &Call) -> Result<(), PluginError> {
    let call = call.with_command(command);
    let Some(own) = plugin::find(kind) else { return run(kind, &call).map(drop) };
    match command {
        Command::Add => own.add(&call).map(drop),
        Command::Del => own.del(&call),
        Command::Check => own.check(&call),
        Command::Gc => own.gc(&call),
        Command::Status => own.status(&call),
        Command::Version => Ok(()),
    }
}

/// Type of the address management that a configuration names; `None` when it names none.
///
/// # Errors
/// With code 7 when the name cannot be that of a program.
pub(crate) fn address_management(call: &Call) -> Result<Option<String>, PluginError> {
    let Some(ipam) = call.key("ipam") else { return Ok(None) };
    let kind = crate::protocol::key(ipam, "type").and_then(Value::as_str).unwrap_or_default();
    if kind.contains('/') {
        let problem = format!("is \"{kind}\", but must be the name of a program in CNI_PATH");
        return Err(PluginError::config("ipam.type", problem));
    }
    Ok(Some(kind.to_owned()).filter(|kind| !kind.is_empty()))
}

fn run(kind: &str, call: &Call) -> Result<Vec<u8>, PluginError> {
    let program = find(kind, call)?;
    let mut invocation = Invocation::at(&program).input(call.config.to_string());
    for (name, value) in call.environment.variables() {
        invocation = invocation.env(name, value);
    }
    invocation.run_blocking().map(|output| output.stdout).map_err(|error| answer(kind, &error))
}

/// Plugins say on standard output what failed, with status 1.
fn answer(kind: &str, error: &ExecError) -> PluginError {
    let ExecError::Failed { stderr: said, .. } = error else {
        return PluginError::because(format_args!("run plugin `{kind}`"), error);
    };
    let value: Value = serde_json::from_str(said).unwrap_or_default();
    let code = value.get("code").and_then(Value::as_u64).and_then(|code| code.try_into().ok());
    let message = value.get("msg").and_then(Value::as_str);
    let (Some(code), Some(message)) = (code, message) else {
        return PluginError::because(format_args!("run plugin `{kind}`"), error);
    };
    let details = value.get("details").and_then(Value::as_str).unwrap_or_default();
    PluginError::new(Code::from_number(code), message).details(details)
}

fn find(kind: &str, call: &Call) -> Result<PathBuf, PluginError> {
    let directories = call.environment.directories();
    let mut candidates = directories.iter().map(|directory| directory.join(kind));
    candidates.find(|path| path.is_file()).ok_or_else(|| {
        let cause = io::Error::from(io::ErrorKind::NotFound);
        PluginError::because(
            format_args!("find plugin \"{kind}\" in path [{}]", call.environment.path),
            &cause,
        )
    })
}
