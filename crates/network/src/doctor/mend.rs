//! Carrying repairs out.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use crilet_cni::{
    mend::{
        Again, Removed, StaleFlow, StaleLease, StaleRules, attach_again, end_flows, free_leases,
        guard_localnet, remove_limiting_link, remove_rules, share_again,
    },
    protocol::PluginError,
};

use super::{Repair, YOUNGEST};
use crate::snapshot::Snapshot;

/// What became of repairs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// What was done.
    pub done: Vec<Repair>,
    /// What was not, and why.
    pub failed: Vec<(Repair, MendError)>,
    /// Whether somebody changed the rules since the snapshot was taken: then nothing was done, and
    /// another snapshot is to be taken.
    pub changed: bool,
}

/// Why something could not be mended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MendError {
    /// What plugins know could not be used.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The snapshot has no such attachment.
    #[error("container {container} has no attachment that could be made again")]
    NoAttachment {
        /// The container.
        container: String,
    },
}

/// Carries out repairs that [`examine`](super::examine) gave for this very snapshot, the rules of all
/// pods that are gone in one transaction. It blocks, and may start programs.
#[must_use]
pub fn mend(repairs: &[Repair], snapshot: &Snapshot) -> Mended {
    let mut mended = Mended::default();
    if !rules(repairs, snapshot, &mut mended) {
        mended.changed = true;
        return mended;
    }
    leases(repairs, &mut mended);
    let (mut again, mut later) = (Vec::new(), Vec::new());
    for repair in repairs {
        match repair {
            Repair::Attach { .. } | Repair::Share { .. } => again.push(repair),
            Repair::Link { .. } | Repair::Guard => later.push(repair),
            _ => {}
        }
    }
    for repair in again.into_iter().chain(later) {
        mended.note(repair, single(repair, snapshot));
    }
    // Last: only what is sent after the rules are right is led by them.
    flows(repairs, &mut mended);
    mended
}

impl Mended {
    fn note(&mut self, repair: &Repair, result: Result<(), MendError>) {
        match result {
            Ok(()) => self.done.push(repair.clone()),
            Err(error) => self.failed.push((repair.clone(), error)),
        }
    }
}

/// `false` when nothing was done because the rules are others by now.
fn rules(repairs: &[Repair], snapshot: &Snapshot, mended: &mut Mended) -> bool {
    let of_rules: Vec<(&Repair, StaleRules)> = repairs
        .iter()
        .filter_map(|repair| match repair {
            Repair::Rules(stale) => Some((repair, stale.clone())),
            _ => None,
        })
        .collect();
    if of_rules.is_empty() {
        return true;
    }
    let stale: Vec<StaleRules> = of_rules.iter().map(|(_, stale)| stale.clone()).collect();
    match remove_rules(&stale, snapshot.host.firewall.generation) {
        Ok(Removed::Changed) => return false,
        Ok(_) => mended.done.extend(of_rules.into_iter().map(|(repair, _)| repair.clone())),
        Err(error) => {
            let failed =
                of_rules.into_iter().map(|(repair, _)| (repair.clone(), error.clone().into()));
            mended.failed.extend(failed);
        }
    }
    true
}

fn leases(repairs: &[Repair], mended: &mut Mended) {
    let mut stores: BTreeMap<&PathBuf, Vec<(&Repair, IpAddr, &String)>> = BTreeMap::new();
    for repair in repairs {
        if let Repair::Lease { directory, address, container } = repair {
            stores.entry(directory).or_default().push((repair, *address, container));
        }
    }
    for (directory, leases) in stores {
        let stale: Vec<StaleLease> = leases
            .iter()
            .map(|(_, address, container)| StaleLease {
                address: *address,
                container: (*container).clone(),
            })
            .collect();
        match free_leases(directory, &stale, YOUNGEST) {
            Ok(freed) => {
                let done = leases.iter().filter(|(_, address, _)| freed.contains(address));
                mended.done.extend(done.map(|(repair, _, _)| (*repair).clone()));
            }
            Err(error) => {
                let failed =
                    leases.iter().map(|(repair, _, _)| ((*repair).clone(), error.clone().into()));
                mended.failed.extend(failed);
            }
        }
    }
}

fn flows(repairs: &[Repair], mended: &mut Mended) {
    let own = |repair: &&Repair| matches!(repair, Repair::Flow { .. });
    let of_flows: Vec<&Repair> = repairs.iter().filter(own).collect();
    let stale: Vec<StaleFlow> = of_flows
        .iter()
        .filter_map(|repair| match repair {
            Repair::Flow { port, answers } => Some(StaleFlow { port: *port, answers: *answers }),
            _ => None,
        })
        .collect();
    if stale.is_empty() {
        return;
    }
    let ended = end_flows(&stale).map(drop).map_err(MendError::from);
    for repair in of_flows {
        mended.note(repair, ended.clone());
    }
}

fn single(repair: &Repair, snapshot: &Snapshot) -> Result<(), MendError> {
    match repair {
        Repair::Attach { network, container, link } => attach(network, container, link, snapshot),
        Repair::Share { v4 } => Ok(share_again(*v4)?),
        Repair::Link { name } => Ok(remove_limiting_link(name).map(drop)?),
        Repair::Guard => Ok(guard_localnet()?),
        Repair::Lease { .. } | Repair::Rules(_) | Repair::Flow { .. } => Ok(()),
    }
}

fn attach(
    network: &str,
    container: &str,
    link: &str,
    snapshot: &Snapshot,
) -> Result<(), MendError> {
    let none = || MendError::NoAttachment { container: container.to_owned() };
    let mut all = snapshot.attachments.iter();
    let one =
        all.find(|one| one.network == network && one.container == container && one.link == link);
    let one = one.ok_or_else(none)?;
    let sandboxes = snapshot.sandboxes.iter().filter(|sandbox| sandbox.id == container);
    let known = sandboxes.filter_map(|sandbox| sandbox.namespace.as_deref());
    let namespace = one.namespace.as_deref().into_iter().chain(known).next();
    let (Some(config), Some(result), Some(namespace)) = (&one.config, &one.result, namespace)
    else {
        return Err(none());
    };
    let capabilities = one.capabilities.as_ref();
    Ok(attach_again(&Again { container, link, namespace, config, result, capabilities })?)
}
