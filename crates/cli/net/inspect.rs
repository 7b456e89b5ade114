//! `crilet net inspect`.

use std::process::ExitCode;

use clap::Args;
use crilet_network::{
    inspect::{Carrier, Interface, PodView, PortView, inspect},
    trace::Node,
};

use super::source::{SourceArgs, tell_problems};
use crate::{errors::CliError, global::Global, output, values::Document};

/// Options of `crilet net inspect`.
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// The pod: its name, `namespace/name`, its id or the id's beginning, or its namespace's file
    #[arg(value_name = "POD")]
    pod: String,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Document,
    #[command(flatten)]
    source: SourceArgs,
}

/// Tells all of a pod's network.
pub(super) async fn run(global: &Global, args: &InspectArgs) -> Result<ExitCode, CliError> {
    let snapshot = args.source.snapshot(global).await?;
    tell_problems(&snapshot);
    let node = Node::new(&snapshot);
    let place = super::one(&node, &args.pod)?;
    let none = || CliError::NoNamespace { pod: args.pod.clone(), count: 0 };
    let view = inspect(&node, place).ok_or_else(none)?;
    match args.output {
        Document::Json => output::json(&view),
        Document::Yaml => output::yaml(&view),
        Document::Text => output::data(&text(&view)),
    }
    .map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}

fn join<T: ToString>(list: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = list.into_iter().map(|one| one.to_string()).collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(" ") }
}

fn text(view: &PodView) -> String {
    let mut rows = Vec::new();
    let mut say = |name: &str, text: String| rows.push(vec![name.to_owned(), text]);
    say("pod", view.name.clone());
    if let Some(ready) = view.ready {
        say("state", if ready { "up" } else { "not up" }.to_owned());
    }
    say("container", join(&view.containers));
    let path = view.namespace.as_ref().map_or_else(|| "-".to_owned(), |p| p.display().to_string());
    say("namespace", format!("{path} ({})", view.inode));
    for interface in &view.interfaces {
        for (name, text) in of_interface(interface) {
            say(name, text);
        }
    }
    for route in &view.routes {
        let over = route.gateway.map_or_else(String::new, |gateway| format!(" via {gateway}"));
        let link = route.link.as_deref().unwrap_or("-");
        say("route", format!("{}{over} over {link}", route.destination));
    }
    if !view.dns.nameservers.is_empty() {
        say("dns", format!("{} search {}", join(&view.dns.nameservers), join(&view.dns.search)));
    }
    for socket in &view.listeners {
        say("listens", format!("{}/{}", socket.address, socket.protocol));
    }
    say("connections", view.connections.to_string());
    for port in &view.ports {
        say("port", told(port));
        for carrier in &port.carriers {
            say("", way(carrier));
            for rule in &carrier.rules {
                say("", format!("    {rule}"));
            }
        }
        for conflict in &port.conflicts {
            say("", format!("  ! {conflict}"));
        }
    }
    output::rows(&rows)
}

fn of_interface(one: &Interface) -> Vec<(&'static str, String)> {
    let kind = one.kind.as_deref().unwrap_or("hardware");
    let state = if one.up { "up" } else { "down" };
    let mac = one.mac.as_deref().unwrap_or("-");
    let network = one.network.as_ref().map_or_else(String::new, |name| format!(", network {name}"));
    let mut lines = vec![
        ("link", format!("{} {kind}, {state}, mtu {}, {mac}{network}", one.name, one.mtu)),
        ("", format!("  {}", join(&one.addresses))),
        ("", format!("  {} packets in, {} out", one.packets.0, one.packets.1)),
    ];
    for lease in &one.leases {
        lines.push(("", format!("  lease {}, {} s old", lease.file.display(), lease.age)));
    }
    let Some(host) = &one.host else { return lines };
    let mut flags = Vec::new();
    flags.push(if host.hairpin { "hairpin" } else { "no hairpin" });
    if host.isolated {
        flags.push("isolated");
    }
    if !host.forwarding {
        flags.push("does not forward");
    }
    let bridge = host.bridge.as_ref().map_or_else(
        || "no bridge".to_owned(),
        |name| format!("port of {name} ({}), {}", join(&host.bridge_addresses), flags.join(", ")),
    );
    lines.push(("", format!("  host end {}, {bridge}", host.name)));
    lines
}

fn told(port: &PortView) -> String {
    let address = port.host_ip.map_or_else(|| "*".to_owned(), |address| address.to_string());
    let listens = match port.listening {
        Some(true) => "something listens",
        Some(false) => "nothing listens",
        None => "not known whether something listens",
    };
    let count = port.connections.map_or_else(String::new, |count| format!(", {count} connections"));
    format!(
        "{address} {}/{} to {}, by {}, {listens}{count}",
        port.host_port, port.protocol, port.target, port.by
    )
}

fn way(carrier: &Carrier) -> String {
    format!("  from {} to {}: {}", carrier.from, carrier.to, carrier.verdict)
}
