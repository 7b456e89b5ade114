//! `crilet net ls`.

use std::process::ExitCode;

use clap::Args;
use crilet_network::{
    config::{self, ConfigFile, HostNetwork, PluginUse, Reader, judge},
    snapshot::Snapshot,
};

use super::source::SourceArgs;
use crate::{errors::CliError, output};

/// Options of `crilet net ls`.
#[derive(Debug, Args)]
pub(super) struct LsArgs {
    /// How to print them
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    #[command(flatten)]
    source: SourceArgs,
}

/// Forms of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Form {
    /// For people
    #[default]
    Table,
    /// For people: reasons, plugins and their programs as well
    Wide,
    /// For programs: one object for each file
    Json,
    /// As json
    Yaml,
}

/// Lists the configurations in the order in which runtimes read them.
pub(super) async fn run(args: &LsArgs) -> Result<ExitCode, CliError> {
    let configuration = match &args.source.from {
        Some(path) => Snapshot::load(path)?.configuration,
        None => config::read(&args.source.configuration(), &args.source.plugins()).await,
    };
    let files = judge(&configuration, &HostNetwork::default());
    let written = match args.output {
        Form::Table => output::data(&table(&files)),
        Form::Wide => output::data(&wide(&files)),
        Form::Json => output::json(&files),
        Form::Yaml => output::yaml(&files),
    };
    written.map_err(CliError::Output)?;
    let directory = configuration.directory.display();
    if args.source.is_own(&configuration.directory) {
        output::say(&format!("this is crilet's own runtime, in `{directory}`"));
    }
    if !configuration.directory_exists {
        output::say(&format!("`{directory}` does not exist: no runtime has a network"));
    } else if files.is_empty() {
        output::say(&format!("`{directory}` is empty: no runtime has a network"));
    }
    Ok(ExitCode::SUCCESS)
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn join<T: ToString>(list: impl IntoIterator<Item = T>) -> String {
    or_dash(list.into_iter().map(|one| one.to_string()).collect::<Vec<_>>().join(","))
}

fn table(files: &[ConfigFile]) -> String {
    let row = |file: &ConfigFile| {
        vec![
            file.file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            or_dash(file.name.clone().unwrap_or_default()),
            join(&file.active_for),
            or_dash(file.cni_version.clone().unwrap_or_default()),
            join(file.plugins.iter().map(|plugin| &plugin.kind)),
            join(file.plugins.iter().flat_map(|plugin| &plugin.subnets)),
            file.findings.len().to_string(),
        ]
    };
    let rows: Vec<_> = files.iter().map(row).collect();
    output::table(
        &["FILE", "NETWORK", "USED BY", "VERSION", "PLUGINS", "SUBNETS", "FINDINGS"],
        &rows,
    )
}

fn wide(files: &[ConfigFile]) -> String {
    files.iter().map(one).collect()
}

fn one(file: &ConfigFile) -> String {
    let mut rows = Vec::new();
    let mut say = |name: &str, text: String| rows.push(vec![format!("  {name}"), text]);
    say("network", or_dash(file.name.clone().unwrap_or_default()));
    say("version", or_dash(file.cni_version.clone().unwrap_or_default()));
    for (reader, reason) in &file.reasons {
        say(&reader.to_string(), format!("{}: {reason}", used(file, *reader)));
    }
    for plugin in &file.plugins {
        say("plugin", described(plugin));
    }
    for finding in &file.findings {
        say(&finding.severity.to_string(), format!("{} [{}]", finding.message, finding.id));
    }
    format!("{}\n{}", file.file.display(), output::rows(&rows))
}

fn used(file: &ConfigFile, reader: Reader) -> &'static str {
    if file.active_for.contains(&reader) { "used" } else { "not used" }
}

fn described(plugin: &PluginUse) -> String {
    let mut parts = vec![plugin.kind.clone()];
    match &plugin.program {
        Some(program) => {
            let newest = plugin.versions.last().map_or("no version", String::as_str);
            parts.push(format!("{} (up to {newest})", program.display()));
        }
        None => parts.push("no such program".to_owned()),
    }
    if let Some(bridge) = &plugin.bridge {
        let hairpin = if plugin.hairpin == Some(true) { "hairpin" } else { "no hairpin" };
        parts.push(format!("bridge {bridge}, {hairpin}"));
    }
    if let Some(ipam) = &plugin.ipam {
        parts.push(format!("{ipam} {}", join(&plugin.subnets)));
    }
    if !plugin.capabilities.is_empty() {
        parts.push(format!("capabilities {}", join(&plugin.capabilities)));
    }
    parts.join("; ")
}
