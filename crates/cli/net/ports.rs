//! `crilet net ports`.

use std::process::ExitCode;

use clap::Args;
use crilet_network::{
    ports::{Port, published},
    trace::Node,
};

use super::source::{SourceArgs, tell_problems};
use crate::{errors::CliError, global::Global, output};

/// Options of `crilet net ports`.
#[derive(Debug, Args)]
pub(super) struct PortsArgs {
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
    /// For people: the rules as well
    Wide,
    /// For programs
    Json,
}

/// Lists the ports; what gets in their way is told below the table.
pub(super) async fn run(global: &Global, args: &PortsArgs) -> Result<ExitCode, CliError> {
    let snapshot = args.source.snapshot(global).await?;
    tell_problems(&snapshot);
    let node = Node::new(&snapshot);
    let ports = published(&node);
    match args.output {
        Form::Table => output::data(&table(&ports, false)),
        Form::Wide => output::data(&table(&ports, true)),
        Form::Json => output::json(&ports),
    }
    .map_err(CliError::Output)?;
    if args.output != Form::Json {
        for port in &ports {
            for conflict in &port.conflicts {
                output::say(&format!("{} to {}: {conflict}", host(port), port.target));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `192.0.2.1:8080/tcp`, `*:8080/tcp`, `[::]:8080/tcp` for all addresses of IPv6.
fn host(port: &Port) -> String {
    let address = match port.host_ip {
        Some(address) if address.is_ipv6() => format!("[{address}]"),
        Some(address) => address.to_string(),
        None if port.v4 => "*".to_owned(),
        None => "[::]".to_owned(),
    };
    let range = if port.last_port == port.host_port {
        String::new()
    } else {
        format!("-{}", port.last_port)
    };
    format!("{address}:{}{range}/{}", port.host_port, port.protocol)
}

fn table(ports: &[Port], wide: bool) -> String {
    let row = |port: &Port| {
        let listens = match port.listening {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        };
        let mut row = vec![
            host(port),
            port.target.to_string(),
            port.owner.clone().unwrap_or_else(|| "-".to_owned()),
            listens.to_owned(),
            port.by.to_owned(),
            if port.conflicts.is_empty() {
                "-".to_owned()
            } else {
                port.conflicts.len().to_string()
            },
        ];
        if wide {
            row.push(port.rule.to_string());
        }
        row
    };
    let mut header = vec!["PORT", "TO", "OWNER", "LISTENS", "BY", "CONFLICTS"];
    if wide {
        header.push("RULE");
    }
    output::table(&header, &ports.iter().map(row).collect::<Vec<_>>())
}
