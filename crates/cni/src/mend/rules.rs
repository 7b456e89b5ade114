//! Rules of pods that are gone.

use std::{cell::Cell, io, net::IpAddr};

use crate::{
    lock::Lock,
    netfilter::{
        cleaner::{Cleaner, NAT, NAT6, clean},
        masquerade::{NFT_CHAIN, NFT_TABLE},
        tables::{Table, TableFamily},
    },
    plugin::{SPOOF_BASE, SPOOF_TABLE},
    ports::rules::{NFT, NFT_CHAINS, NFT6},
    protocol::PluginError,
};

const FILTER: Table = Table::new(TableFamily::Ip, "filter");
const FILTER6: Table = Table::new(TableFamily::Ip6, "filter");
const FORWARD: &str = "CNI-FORWARD";

/// What one pod left, of one kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum StaleRules {
    /// A chain of a pod in iptables' nat table, and the rules of `from` that lead to it.
    Chain {
        /// Whether it is of IPv4.
        v4: bool,
        /// `POSTROUTING`, `CNI-HOSTPORT-DNAT` or `CNI-HOSTPORT-SNAT`.
        from: String,
        /// Its name.
        chain: String,
    },
    /// Host ports by nft, which carry the container's id.
    NftPorts {
        /// The container.
        container: String,
    },
    /// Masquerading by nft, by its comment.
    NftMasquerade {
        /// The whole comment.
        comment: String,
    },
    /// What `macspoofchk` made for a link that is gone.
    Spoof {
        /// The first of its two chains.
        chain: String,
    },
    /// What `firewall` made for an address.
    Forward {
        /// The address.
        address: IpAddr,
    },
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// All of it was removed.
    Done,
    /// There was nothing of it.
    Nothing,
    /// Somebody changed the rules since they were looked at; nothing was removed.
    Changed,
}

/// Removes all of it in one transaction. `generation` is nf_tables' number from the moment in which the
/// caller looked; when it is another one by now, nothing is done. Legacy tables have no such number, and
/// are changed by one run of their own tool for each table, which holds their lock.
///
/// # Errors
/// When the tables cannot be read or changed.
pub fn remove_rules(stale: &[StaleRules], generation: u32) -> Result<Removed, PluginError> {
    let _lock = Lock::acquire("netfilter")?;
    let has_changed = Cell::new(false);
    let legacy = [NAT, NAT6, FILTER, FILTER6];
    let wanted: Vec<Table> =
        legacy.into_iter().filter(|table| stale.iter().any(|one| one.is_in(*table))).collect();
    let done = clean(&wanted, |cleaner| {
        if cleaner.nf_tables().is_some_and(|(_, now)| now != generation) {
            has_changed.set(true);
            return Ok(());
        }
        stale.iter().try_for_each(|one| one.mark(cleaner))
    });
    match (has_changed.get(), done?) {
        (true, _) => Ok(Removed::Changed),
        (false, true) => Ok(Removed::Done),
        (false, false) => Ok(Removed::Nothing),
    }
}

impl StaleRules {
    fn is_in(&self, table: Table) -> bool {
        match self {
            Self::Chain { v4, .. } => table == if *v4 { NAT } else { NAT6 },
            Self::Forward { address } => table == filter_of(*address),
            _ => false,
        }
    }

    fn mark(&self, cleaner: &mut Cleaner) -> io::Result<()> {
        match self {
            Self::Chain { v4, from, chain } => {
                cleaner.chain(if *v4 { NAT } else { NAT6 }, from, chain).map(drop)
            }
            Self::NftPorts { container } => {
                for (table, chain) in [NFT, NFT6]
                    .into_iter()
                    .flat_map(|table| NFT_CHAINS.into_iter().map(move |chain| (table, chain)))
                {
                    cleaner.rules(table, chain, |rule| {
                        rule.comment.as_deref() == Some(container.as_str())
                    })?;
                }
                Ok(())
            }
            Self::NftMasquerade { comment } => cleaner.rules(NFT_TABLE, NFT_CHAIN, |rule| {
                rule.comment.as_deref() == Some(comment.as_str())
            }),
            Self::Spoof { chain } => {
                cleaner.rules(SPOOF_TABLE, SPOOF_BASE, |rule| {
                    rule.target.as_deref() == Some(chain.as_str())
                })?;
                cleaner.lone_chain(SPOOF_TABLE, chain)?;
                cleaner.lone_chain(SPOOF_TABLE, &format!("{chain}-mac"))
            }
            Self::Forward { address } => cleaner.rules(filter_of(*address), FORWARD, |rule| {
                rule.target.as_deref().is_none_or(|target| target == "ACCEPT")
                    && (rule.source == Some(*address) || rule.destination == Some(*address))
            }),
        }
    }
}

fn filter_of(address: IpAddr) -> Table {
    if address.is_ipv4() { FILTER } else { FILTER6 }
}
