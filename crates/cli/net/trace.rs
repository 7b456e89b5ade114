//! `crilet net trace`.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use crilet_network::{
    snapshot::Protocol,
    trace::{Counted, Node, Probe, Request, Sender, Trace, Verdict, probe, trace},
};

use super::{
    FINDINGS, one,
    source::{SourceArgs, tell_problems},
};
use crate::{errors::CliError, global::Global, output, values::Format};

/// How long a real connection is waited for, unless --timeout says otherwise.
const PATIENCE: Duration = Duration::from_secs(3);
/// The model and a real connection do not agree, or the model does not know.
const UNKNOWN: u8 = 2;

/// Options of `crilet net trace`.
#[derive(Debug, Args)]
#[command(
    after_help = "The status is 0 when the packet is delivered or leaves the node, 1 when it does \
    not get through, and 2 when that is not known.\n\n\
    crilet net trace 127.0.0.1:8080\n\
    crilet net trace outside 192.0.2.1:53/udp\n\
    crilet net trace --from-pod web 10.88.0.1:8080\n\
    crilet net trace --to-pod web 80"
)]
pub(super) struct TraceArgs {
    /// Where to: DEST:PORT, or DEST:PORT/udp; before it, who sends: an address or `outside`, and the
    /// node itself without. With --to-pod it is the port alone
    #[arg(value_name = "ADDRESS", required = true, num_args = 1..=2)]
    way: Vec<String>,
    /// Send from this pod
    #[arg(long, value_name = "POD")]
    from_pod: Option<String>,
    /// Send to this pod's address
    #[arg(long, value_name = "POD")]
    to_pod: Option<String>,
    /// Make a real connection as well, or over UDP send an empty datagram, and compare what becomes of
    /// it, and what the rules on its way counted
    #[arg(long, conflicts_with = "from")]
    live: bool,
    /// How to print the way
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    source: SourceArgs,
}

/// Follows a packet.
pub(super) async fn run(global: &Global, args: &TraceArgs) -> Result<ExitCode, CliError> {
    let snapshot = args.source.snapshot(global).await?;
    tell_problems(&snapshot);
    let node = Node::new(&snapshot);
    node.host.problems.iter().for_each(|problem| output::say(&format!("warning: {problem}")));
    let request = request(args, &node)?;
    let live = if args.live { Some(Live::of(&node, &request)?) } else { None };
    let traced = trace(&node, &request);
    match args.output {
        Format::Json => output::json(&traced),
        Format::Text => output::data(&text(&traced)),
    }
    .map_err(CliError::Output)?;
    if let Some(live) = live
        && !live.compare(global, args, &node, &traced).await?
    {
        return Ok(ExitCode::from(UNKNOWN));
    }
    Ok(match traced.verdict {
        Verdict::Delivered { .. } | Verdict::Leaves { .. } => ExitCode::SUCCESS,
        Verdict::Unknown { .. } => ExitCode::from(UNKNOWN),
        _ => ExitCode::from(FINDINGS),
    })
}

fn wrong(value: &str, expected: &'static str) -> CliError {
    CliError::Trace { value: value.to_owned(), expected }
}

fn request(args: &TraceArgs, node: &Node<'_>) -> Result<Request, CliError> {
    let (source, target) = match args.way.as_slice() {
        [target] => (None, target),
        [source, target, ..] => (Some(source), target),
        [] => return Err(wrong("", "an address")),
    };
    let (place, protocol) = match target.rsplit_once('/') {
        Some((place, name)) => {
            (place, Protocol::from_name(name).ok_or_else(|| wrong(name, "tcp, udp or sctp"))?)
        }
        None => (target.as_str(), Protocol::Tcp),
    };
    let from = match (&args.from_pod, source.map(String::as_str)) {
        (Some(_), Some(source)) => return Err(wrong(source, "no source beside --from-pod")),
        (Some(pod), None) => Sender::Namespace(one(node, pod)?),
        (None, None) => Sender::Node,
        (None, Some("outside")) => Sender::Outside,
        (None, Some(source)) => Sender::Address(
            source.parse().map_err(|_| wrong(source, "an IP address, or `outside`"))?,
        ),
    };
    let (to, port) = match &args.to_pod {
        Some(pod) => {
            let port = place.parse().ok().filter(|port| *port != 0);
            let port = port.ok_or_else(|| wrong(place, "a port, as --to-pod has the address"))?;
            (
                address_of(node, one(node, pod)?)
                    .ok_or_else(|| wrong(pod, "a pod with an address"))?,
                port,
            )
        }
        None => {
            let to = destination(place)?;
            (to.ip(), to.port())
        }
    };
    Ok(Request { from, to, port, protocol })
}

/// Nothing is sent to port 0.
fn destination(text: &str) -> Result<SocketAddr, CliError> {
    let to = text.parse().ok().filter(|to: &SocketAddr| to.port() != 0);
    to.ok_or_else(|| wrong(text, "ADDRESS:PORT, such as 192.0.2.1:80 or [::1]:80"))
}

fn address_of(node: &Node<'_>, place: usize) -> Option<IpAddr> {
    let namespace = node.snapshot.namespaces.get(place)?;
    let usable =
        namespace.addresses().filter(|(link, _)| link.name != "lo").map(|(_, net)| net.addr());
    usable.min_by_key(IpAddr::is_ipv6)
}

fn text(traced: &Trace) -> String {
    let mut lines = vec![traced.request.clone()];
    for hop in &traced.hops {
        lines.push(format!("  {:<6} {:<18} {}", short(&hop.at), hop.stage, hop.what));
        if let Some(rule) = &hop.rule {
            lines.push(format!("  {:<6} {:<18}   {rule}", "", ""));
        }
    }
    lines.push(traced.verdict.to_string());
    lines.into_iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The verdict tells the pod's whole name.
fn short(at: &str) -> &str {
    if at == "host" { "host" } else { "pod" }
}

/// A packet that can really be sent.
struct Live<'a> {
    what: &'static str,
    from: Option<&'a Path>,
    to: SocketAddr,
    protocol: Protocol,
}

impl<'a> Live<'a> {
    fn of(node: &Node<'a>, request: &Request) -> Result<Self, CliError> {
        let what = match request.protocol {
            Protocol::Tcp => "connection",
            Protocol::Udp => "datagram",
            Protocol::Sctp => return Err(wrong("sctp", "tcp or udp with --live")),
        };
        let from = match request.from {
            Sender::Node => None,
            Sender::Namespace(place) => {
                node.snapshot.namespaces.get(place).and_then(|namespace| namespace.path.as_deref())
            }
            Sender::Outside | Sender::Address(_) => {
                return Err(wrong("--live", "the node or --from-pod as the source with --live"));
            }
        };
        let to = SocketAddr::new(request.to, request.port);
        Ok(Self { what, from, to, protocol: request.protocol })
    }

    /// Says what becomes of it, and what rules counted of it; `true` when that is what was told.
    async fn compare(
        &self,
        global: &Global,
        args: &TraceArgs,
        node: &Node<'_>,
        traced: &Trace,
    ) -> Result<bool, CliError> {
        let patience = global.timeout.unwrap_or(PATIENCE);
        let seen = probe(self.from, self.to, self.protocol, patience);
        let agrees = seen.agrees(&traced.verdict);
        let what = self.what;
        output::say(&match agrees {
            Some(true) => format!("a real {what} agrees: {seen}"),
            Some(false) => format!("a real {what} does not agree: {seen}"),
            None => format!("a real {what}: {seen}"),
        });
        let after = args.source.snapshot(global).await?;
        // Of a datagram that is not answered nothing comes back.
        let answered = !matches!(seen, Probe::Unanswered);
        let counted = traced.counted(node, &Node::new(&after), answered);
        tell_counters(&counted);
        Ok(agrees != Some(false) && counted.agrees() != Some(false))
    }
}

fn tell_counters(counted: &Counted) {
    let rules =
        |count: usize| if count == 1 { "1 rule".to_owned() } else { format!("{count} rules") };
    let (met, all) = (counted.counted.len(), counted.counted.len() + counted.silent.len());
    output::say(&match counted.agrees() {
        None => "counters: no rule on its way counts packets".to_owned(),
        Some(true) => format!("counters agree: {} on its way counted", rules(met)),
        Some(false) => format!("counters do not agree: of {} on its way {met} counted", rules(all)),
    });
    for rule in &counted.silent {
        output::say(&format!("  nothing came to {rule}"));
    }
}

#[cfg(test)]
mod tests {
    use super::destination;

    #[test]
    fn a_destination_has_an_address_and_a_port() {
        for good in ["192.0.2.1:80", "[::1]:80"] {
            assert_eq!(destination(good).unwrap().to_string(), good);
        }
        for bad in ["192.0.2.1:0", "192.0.2.1", "host:80", ""] {
            assert!(destination(bad).is_err(), "{bad}");
        }
    }
}
