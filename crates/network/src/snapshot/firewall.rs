//! Packet filters, listed by their own tools.
//!
//! Which tables there are is asked over netlink; tools are run only for those. `iptables-legacy-save`
//! loads modules of the kernel for tables that it is asked for, so it is run only where legacy tables
//! are in use.

use std::{fs, io, path::Path};

use crilet_cni::netfilter::{Filter, Kind, Message, find, text};
use crilet_core::{
    ErrorChain,
    exec::{ExecError, Invocation},
};
use serde_json::value::RawValue;

use super::{Firewall, Saved};

const SUBSYSTEM: u16 = 10;
const NEWTABLE: u16 = 0;
const GETTABLE: u16 = 1;
const TABLE_NAME: u16 = 1;
/// Tables that iptables makes.
const IPTABLES: [&str; 5] = ["raw", "mangle", "nat", "filter", "security"];
/// The kernel's number before any transaction: there are no tables.
const FIRST: u32 = 1;
/// How often the rules are read again because they changed meanwhile.
const ATTEMPTS: u32 = 3;

/// What there is to list.
#[derive(Debug, Default)]
struct Plan {
    generation: u32,
    /// Which of iptables' tools: legacy or not, IPv4 or not.
    tools: Vec<(bool, bool)>,
    /// Families and names of tables of nft.
    tables: Vec<(&'static str, String)>,
}

fn family_name(family: u8) -> Option<&'static str> {
    Some(match family {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => return None,
    })
}

/// Where the kernel names the legacy tables of a namespace, by family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Legacy {
    file: &'static str,
    v4: bool,
}

impl Legacy {
    const ALL: [Self; 2] = [
        Self { file: "/proc/thread-self/net/ip_tables_names", v4: true },
        Self { file: "/proc/thread-self/net/ip6_tables_names", v4: false },
    ];

    /// Those that the kernel has: it makes these files in all namespaces, or, as long as nobody has
    /// loaded the legacy tables, in none.
    pub(super) fn known() -> Vec<Self> {
        Self::ALL.into_iter().filter(|one| Path::new(one.file).exists()).collect()
    }

    /// Whether the thread's namespace has tables.
    fn is_used(self) -> bool {
        fs::read_to_string(self.file).is_ok_and(|names| !names.trim().is_empty())
    }
}

/// Asks the kernel which tables there are in the thread's namespace.
fn plan(legacy: &[Legacy]) -> Plan {
    let used = legacy.iter().filter(|one| one.is_used()).map(|one| (true, one.v4));
    let mut plan = Plan { tools: used.collect(), ..Plan::default() };
    let Ok(kernel) = Filter::open() else { return plan };
    plan.generation = kernel.generation().unwrap_or_default();
    if plan.generation == FIRST {
        return plan;
    }
    let mut tables = Vec::new();
    let question = Message::new(SUBSYSTEM << 8 | GETTABLE, Kind::Dump, 0, 0);
    let asked = kernel.ask_whole(question, |number, body| {
        let family = body.first().copied().and_then(family_name);
        let name = body.get(4..).and_then(|inside| find(inside, TABLE_NAME)).map(text);
        if let (true, Some(family), Some(name)) =
            (number == SUBSYSTEM << 8 | NEWTABLE, family, name)
        {
            tables.push((family, name));
        }
    });
    if asked.is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
        // The generation has changed, so all of it is read again.
        plan.generation = plan.generation.wrapping_sub(1);
    }
    for (family, name) in tables {
        let is_iptables = IPTABLES.contains(&name.as_str());
        match family {
            "ip" if is_iptables => add(&mut plan.tools, (false, true)),
            "ip6" if is_iptables => add(&mut plan.tools, (false, false)),
            _ => plan.tables.push((family, name)),
        }
    }
    plan
}

fn add(tools: &mut Vec<(bool, bool)>, tool: (bool, bool)) {
    if !tools.contains(&tool) {
        tools.push(tool);
    }
}

fn generation() -> u32 {
    Filter::open().and_then(|kernel| kernel.generation()).unwrap_or_default()
}

/// Reads the packet filter of the host.
pub(super) async fn read(problems: &mut Vec<String>) -> Firewall {
    let mut attempt = 1;
    loop {
        let plan = plan(&Legacy::ALL);
        let mut failures = Vec::new();
        let firewall = list(&plan, &mut failures).await;
        if generation() == plan.generation || attempt == ATTEMPTS {
            if attempt == ATTEMPTS {
                failures.push(
                    "the packet filter changes all the time: rules may be of two moments"
                        .to_owned(),
                );
            }
            problems.extend(failures);
            return firewall;
        }
        attempt += 1;
    }
}

/// Reads the packet filter of the thread's namespace, on a thread without a runtime.
pub(super) fn read_blocking(
    legacy: &[Legacy],
    firewall: &mut Firewall,
    problems: &mut Vec<String>,
) {
    let plan = plan(legacy);
    firewall.generation = plan.generation;
    // Most pods have no rules, and no runtime is made for them.
    if plan.tools.is_empty() && plan.tables.is_empty() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => *firewall = runtime.block_on(list(&plan, problems)),
        Err(cause) => problems.push(format!("cannot list rules: {cause}")),
    }
}

async fn list(plan: &Plan, problems: &mut Vec<String>) -> Firewall {
    let mut firewall = Firewall { generation: plan.generation, ..Firewall::default() };
    let (saved, tables) = tokio::join!(all_saved(plan), native(&plan.tables));
    for one in saved {
        match one {
            Ok(saved) => firewall.iptables.push(saved),
            Err(error) => problems.push(ErrorChain(&error).to_string()),
        }
    }
    let mut tables = tables;
    // A table of that name that nft made is one that iptables cannot list.
    let strange: Vec<(&'static str, String)> =
        firewall.iptables.iter().filter(|saved| !saved.legacy).flat_map(incompatible).collect();
    if !strange.is_empty() {
        tables.extend(native(&strange).await);
    }
    for one in tables {
        match one {
            Ok(found) => firewall.nft.extend(found),
            Err(error) => problems.push(error),
        }
    }
    firewall
}

async fn all_saved(plan: &Plan) -> Vec<Result<Saved, ExecError>> {
    let mut running = Vec::new();
    for (legacy, v4) in &plan.tools {
        running.push(save(*legacy, *v4));
    }
    let mut found = Vec::new();
    // Side by side: the kernel lists for one while the other is being started.
    match running.len() {
        2 => {
            let (second, first) = (running.pop(), running.pop());
            if let (Some(first), Some(second)) = (first, second) {
                let (first, second) = tokio::join!(first, second);
                found.extend([first, second]);
            }
        }
        _ => {
            for one in running {
                found.push(one.await);
            }
        }
    }
    found
}

async fn save(legacy: bool, v4: bool) -> Result<Saved, ExecError> {
    let kind = if legacy { "legacy" } else { "nft" };
    let base = if v4 { "iptables" } else { "ip6tables" };
    let found = Invocation::find(&format!("{base}-{kind}-save"));
    // Hosts with one backend only have one name only.
    let invocation = found.or_else(|_| Invocation::find(&format!("{base}-save")))?;
    let output = invocation.arg("-c").run().await?;
    Ok(Saved { legacy, v4, text: String::from_utf8_lossy(&output.stdout).into_owned() })
}

/// Tables that `iptables-nft-save` says it cannot read.
fn incompatible(saved: &Saved) -> Vec<(&'static str, String)> {
    let lines =
        saved.text.lines().filter(|line| line.starts_with('#') && line.contains("incompatible"));
    let names = lines.filter_map(|line| line.split(['`', '\'']).nth(1));
    let family = if saved.v4 { "ip" } else { "ip6" };
    names.map(|name| (family, name.to_owned())).collect()
}

async fn native(tables: &[(&'static str, String)]) -> Vec<Result<Vec<Box<RawValue>>, String>> {
    let mut found = Vec::new();
    for (family, name) in tables {
        found.push(native_one(family, name).await);
    }
    found
}

async fn native_one(family: &str, name: &str) -> Result<Vec<Box<RawValue>>, String> {
    let run = async {
        let nft = Invocation::find("nft")?;
        nft.args(["-j", "list", "table", family, name]).run().await
    };
    let output = run.await.map_err(|error| ErrorChain(&error).to_string())?;
    let documents =
        serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Box<RawValue>>();
    let documents: Result<Vec<_>, _> = documents.collect();
    documents.map_err(|error| format!("nft's list of table {family} {name} is no JSON: {error}"))
}
