//! Chains and rules that the plugins leave in the nat table.
//!
//! Each pod has a chain `CNI-<hash>` for masquerading and, with mapped ports, one `CNI-DN-<hash>`.
//! Their entry rules carry the network's name in a comment, by which the chains of one network are
//! told from another's. Plugins leave them behind when they are called for a pod whose network
//! namespace is gone. The chains `CNI-HOSTPORT-*` are shared by all networks of a host and removed
//! by no plugin; crilet removes them only when they are empty and were not there before it came.
//!
//! `net.ipv4.ip_forward` and its IPv6 counterpart, which the bridge plugin switches on, stay on:
//! who else came to rely on them meanwhile cannot be known.

use std::{collections::BTreeSet, sync::OnceLock};

use crilet_core::exec::{ExecError, Invocation, find_program};
use serde::{Deserialize, Serialize};

use crate::{CniError, ports::localnet};

/// Chains that portmap shares among networks; the first one leads to the others.
const SHARED: [&str; 3] = ["CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ"];
const DISPATCH: &str = "CNI-HOSTPORT-DNAT";

/// A plugin may change the table between listing and removing; then both are done again.
const ATTEMPTS: u32 = 4;

/// An address family, each with a nat table of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `iptables`.
    Ipv4,
    /// `ip6tables`.
    Ipv6,
}

/// Which of the families had portmap's shared chains, and so another user of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedChains {
    /// In `iptables`.
    pub ipv4: bool,
    /// In `ip6tables`.
    pub ipv6: bool,
}

impl Family {
    fn program(self) -> &'static str {
        match self {
            Self::Ipv4 => "iptables",
            Self::Ipv6 => "ip6tables",
        }
    }

    /// Where the program is; found once.
    fn path(self) -> Result<&'static str, ExecError> {
        static PATHS: [OnceLock<String>; 2] = [OnceLock::new(), OnceLock::new()];
        let [four, six] = &PATHS;
        let cell = if self == Self::Ipv4 { four } else { six };
        if let Some(path) = cell.get() {
            return Ok(path);
        }
        let path = find_program(self.program())?.to_string_lossy().into_owned();
        Ok(cell.get_or_init(|| path))
    }

    fn restore_program(self) -> &'static str {
        match self {
            Self::Ipv4 => "iptables-restore",
            Self::Ipv6 => "ip6tables-restore",
        }
    }
}

/// Whether the nat table of a family can be listed.
pub async fn nat_works(family: Family) -> bool {
    list(family).await.is_ok()
}

/// Looks whether portmap's shared chains exist; to be called before the first pod.
pub async fn shared_chains() -> SharedChains {
    let has = async |family| {
        let listing = list(family).await.unwrap_or_default();
        listing.iter().any(|line| line == &format!("-N {DISPATCH}"))
    };
    SharedChains { ipv4: has(Family::Ipv4).await, ipv6: has(Family::Ipv6).await }
}

/// Removes all chains of a network's pods, and the shared chains where they are empty and `before`
/// says that they were not there; gives the names of the removed ones.
///
/// To be called when the network has no pod any more.
///
/// # Errors
/// When the rules cannot be listed or removed.
pub async fn clean_chains(network: &str, before: SharedChains) -> Result<Vec<String>, CniError> {
    let mut removed = Vec::new();
    for (family, foreign) in [(Family::Ipv4, before.ipv4), (Family::Ipv6, before.ipv6)] {
        removed.extend(clean_family(family, network, foreign).await?);
    }
    // The guard of 127.0.0.0/8 goes with the last bridge that routes it.
    let closed = tokio::task::spawn_blocking(localnet::close).await;
    let closed = closed.map_err(|error| CniError::Guard { cause: error.into() })?;
    if closed.map_err(|error| CniError::Guard { cause: error.into() })? {
        removed.push(localnet::GUARD.to_owned());
    }
    Ok(removed)
}

async fn clean_family(
    family: Family,
    network: &str,
    keep_shared: bool,
) -> Result<Vec<String>, CniError> {
    let mut attempt = 1;
    loop {
        let listing = match list(family).await {
            Ok(listing) => listing,
            // Without the program or the table, no plugin can have made rules.
            Err(_) if family == Family::Ipv6 || family.path().is_err() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let plan = plan(&listing, network, keep_shared);
        if plan.is_empty() {
            return Ok(Vec::new());
        }
        match restore(family, &plan).await {
            Ok(()) => return Ok(plan.chains),
            Err(_) if attempt < ATTEMPTS => attempt += 1,
            Err(cause) => return Err(CniError::RemoveRules { cause }),
        }
    }
}

async fn list(family: Family) -> Result<Vec<String>, CniError> {
    let program = family.program();
    let failed = |cause| CniError::ListRules { program, cause };
    let path = family.path().map_err(|error| failed(error.into()))?;
    let blocking = tokio::task::spawn_blocking(move || {
        // Asked for by its path, since a root shell may lack /usr/sbin. It waits for the lock, as
        // it can since 1.4.20.
        let tables =
            iptables::IPTables { cmd: path, has_check: true, has_wait: true, is_numeric: false };
        tables.list_table("nat").map_err(|error| error.to_string())
    });
    blocking.await.map_err(|error| failed(error.into()))?.map_err(|text| failed(text.into()))
}

async fn restore(family: Family, plan: &Plan) -> Result<(), ExecError> {
    let restore = Invocation::find(family.restore_program())?;
    restore.args(["--noflush", "--wait"]).input(plan.transaction()).run().await.map(drop)
}

/// Rules to delete, in the words that add them, and chains to empty and remove.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    rules: Vec<String>,
    chains: Vec<String>,
}

impl Plan {
    fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.chains.is_empty()
    }

    /// Input of `iptables-restore`: all or nothing. Chains are emptied before any is removed, for
    /// one may lead to another.
    fn transaction(&self) -> String {
        let deletions = self.rules.iter().map(|rule| rule.replacen("-A ", "-D ", 1));
        let flushes = self.chains.iter().map(|chain| format!("-F {chain}"));
        let removals = self.chains.iter().map(|chain| format!("-X {chain}"));
        let lines = deletions.chain(flushes).chain(removals).collect::<Vec<_>>().join("\n");
        format!("*nat\n{lines}\nCOMMIT\n")
    }
}

fn plan(listing: &[String], network: &str, keep_shared: bool) -> Plan {
    let rules: Vec<Rule<'_>> = listing.iter().filter_map(|line| Rule::parse(line)).collect();
    let exists = |chain: &str| listing.iter().any(|line| line.strip_prefix("-N ") == Some(chain));
    let own_entries = rules
        .iter()
        .filter(|rule| rule.target.is_some_and(is_pod_chain) && rule.names_network(network));
    let mut plan = Plan::default();
    let mut pod_chains = BTreeSet::new();
    for entry in own_entries {
        // A masquerade chain's own rules carry the comment, too, but lead to no chain.
        plan.rules.push(entry.line.to_owned());
        pod_chains.extend(entry.target.map(str::to_owned));
    }
    plan.chains.extend(pod_chains.into_iter().filter(|chain| exists(chain)));

    let remaining = rules.iter().filter(|rule| !plan.rules.iter().any(|gone| gone == rule.line));
    let is_used = remaining.clone().any(|rule| rule.chain == DISPATCH);
    if keep_shared || is_used {
        return plan;
    }
    let jumps = remaining.filter(|rule| {
        let from_shared = SHARED.contains(&rule.chain);
        !from_shared && rule.target.is_some_and(|target| SHARED.contains(&target))
    });
    let jumps: Vec<&Rule<'_>> = jumps.collect();
    // A chain of another network that marks through SETMARK needs all of them.
    if jumps
        .iter()
        .any(|rule| rule.chain.starts_with("CNI-") && !plan.chains.contains(&rule.chain.to_owned()))
    {
        return plan;
    }
    let builtin = jumps.iter().filter(|rule| !rule.chain.starts_with("CNI-"));
    plan.rules.extend(builtin.map(|rule| rule.line.to_owned()));
    plan.chains.extend(SHARED.iter().filter(|chain| exists(chain)).map(|&chain| chain.to_owned()));
    plan
}

/// A chain of one pod, not one of the shared ones.
fn is_pod_chain(chain: &str) -> bool {
    let Some(rest) = chain.strip_prefix("CNI-") else { return false };
    let hash = rest.strip_prefix("DN-").or_else(|| rest.strip_prefix("SN-")).unwrap_or(rest);
    hash.len() >= 21 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A rule as `-S` prints it.
#[derive(Debug, Clone, Copy)]
struct Rule<'a> {
    line: &'a str,
    chain: &'a str,
    target: Option<&'a str>,
}

impl<'a> Rule<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let rest = line.strip_prefix("-A ")?;
        let chain = rest.split(' ').next()?;
        // Comments can hold anything, but the target comes after them.
        let target = rest.rsplit_once(" -j ").map(|(_, target)| target);
        let target = target.and_then(|target| target.split(' ').next());
        Some(Self { line, chain, target })
    }

    /// Whether the comment is a plugin's `name: "NETWORK" id: "…"`, quotes escaped as `-S` does.
    fn names_network(&self, network: &str) -> bool {
        self.line.contains(&format!(r#"name: \"{network}\" id: \""#))
    }
}

#[cfg(test)]
mod tests;
