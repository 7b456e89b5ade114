//! Masquerading of what a pod sends out of its network (`ipMasq` of bridge and ptp).

use std::io;

use ipnet::IpNet;

use super::{
    Filter,
    cleaner::{Cleaner, NAT, NAT6, clean},
    iptables::quoted,
    maker::{Backend, Maker},
    names::{comment, hash, masquerade_chain},
    nft,
    tables::{Table, TableFamily},
};
use crate::{
    Family,
    lock::Lock,
    ports::known::unchanged,
    protocol::{Attachment, PluginError},
};

pub(crate) const NFT_TABLE: Table = Table::new(TableFamily::Inet, "cni_plugins_masquerade");
pub(crate) const NFT_CHAIN: &str = "masq_checks";
/// Longest comment that nft takes, in bytes.
const NFT_COMMENT: usize = 128;

/// A pod's link in a network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pod<'a> {
    pub(crate) network: &'a str,
    pub(crate) container: &'a str,
    pub(crate) link: &'a str,
}

impl Pod<'_> {
    fn nft_prefix(&self) -> String {
        masquerade_mark(self.network, self.container, self.link)
    }

    fn nft_comment(&self) -> String {
        let whole = format!(
            "{}, net: {}, if: {}, id: {}",
            self.nft_prefix(),
            self.network,
            self.link,
            self.container
        );
        whole.get(..NFT_COMMENT).map_or_else(|| whole.clone(), str::to_owned)
    }
}

/// What the comment of nft's masquerading of an attachment begins with.
#[must_use]
pub fn masquerade_mark(network: &str, container: &str, link: &str) -> String {
    let instance = format!("{link}:{container}");
    format!("{}-{}", hash(network, 16), hash(&instance, 16))
}

/// Makes the rules for a pod's addresses; those that it had before go.
///
/// # Errors
/// When a tool is missing or refuses.
pub(crate) fn add(pod: Pod<'_>, addresses: &[IpNet], mut by: Maker) -> Result<(), PluginError> {
    let _lock = Lock::acquire("netfilter")?;
    let filter = Filter::open().ok();
    unchanged(filter.as_ref(), || clean(&[], |cleaner| mark(cleaner, pod)))?;
    if by.backend() == Backend::Nftables {
        return unchanged(filter.as_ref(), || nft::run(&nft_script(pod, addresses)).map(|()| true))
            .map_err(|error| PluginError::because("set up masquerading by nft", &error));
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        let of_family = |net: &&IpNet| net.addr().is_ipv4() == (family == Family::Ipv4);
        let own: Vec<IpNet> = addresses.iter().filter(of_family).copied().collect();
        if own.is_empty() {
            continue;
        }
        let tools = by
            .tools(family)
            .map_err(|error| PluginError::because("set up masquerading", &error))?;
        let script = iptables_script(pod, &own);
        unchanged(filter.as_ref(), || by.restore(&tools, &script).map(|()| true))
            .map_err(|error| PluginError::because("set up masquerading", &error))?;
    }
    Ok(())
}

pub(super) fn iptables_script(pod: Pod<'_>, addresses: &[IpNet]) -> String {
    let chain = masquerade_chain(pod.network, pod.container);
    let comment = quoted(&comment(pod.network, pod.container));
    let mut entries = Vec::new();
    let mut rules: Vec<String> = Vec::new();
    for net in addresses {
        let (host, multicast) = match net {
            IpNet::V4(net) => (format!("{}/32", net.addr()), "224.0.0.0/4"),
            IpNet::V6(net) => (format!("{}/128", net.addr()), "ff00::/8"),
        };
        let own = [
            format!("-A {chain} -d {} -m comment --comment {comment} -j ACCEPT", net.trunc()),
            format!("-A {chain} ! -d {multicast} -m comment --comment {comment} -j MASQUERADE"),
        ];
        for rule in own {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        entries.push(format!("-A POSTROUTING -s {host} -m comment --comment {comment} -j {chain}"));
    }
    // The entries come first, so that they are found by their numbers.
    let lines = entries.into_iter().chain(rules).collect::<Vec<_>>().join("\n");
    format!("*nat\n:{chain} - [0:0]\n{lines}\nCOMMIT\n")
}

fn nft_script(pod: Pod<'_>, addresses: &[IpNet]) -> String {
    let (table, comment) = (NFT_TABLE.name, pod.nft_comment());
    let mut lines = vec![
        format!(
            "add table inet {table} {{ comment \"Masquerading for plugins from \
             github.com/containernetworking/plugins\" ; }}"
        ),
        format!(
            "add chain inet {table} {NFT_CHAIN} {{ comment \"Masquerade traffic from certain IPs \
             to any (non-multicast) IP outside their subnet\" ; }}"
        ),
        format!(
            "add chain inet {table} postrouting {{ type nat hook postrouting priority 100 ; }}"
        ),
        format!("flush chain inet {table} postrouting"),
        format!("add rule inet {table} postrouting ip daddr == 224.0.0.0/4 return"),
        format!("add rule inet {table} postrouting ip6 daddr == ff00::/8 return"),
        format!("add rule inet {table} postrouting goto {NFT_CHAIN}"),
    ];
    lines.extend(addresses.iter().map(|net| {
        let ip = if net.addr().is_ipv4() { "ip" } else { "ip6" };
        format!(
            "add rule inet {table} {NFT_CHAIN} {ip} saddr == {} {ip} daddr != {} masquerade \
             comment \"{comment}\"",
            net.addr(),
            net.trunc()
        )
    }));
    lines.join("\n") + "\n"
}

/// Marks all rules of a pod, of both backends and families; its addresses need not be known.
pub(crate) fn mark(cleaner: &mut Cleaner, pod: Pod<'_>) -> io::Result<()> {
    let chain = masquerade_chain(pod.network, pod.container);
    for table in [NAT, NAT6] {
        cleaner.chain(table, "POSTROUTING", &chain)?;
    }
    let prefix = pod.nft_prefix();
    cleaner.rules(NFT_TABLE, NFT_CHAIN, |rule| {
        rule.comment.as_deref().is_some_and(|comment| comment.starts_with(&prefix))
    })
}

/// Removes the rules of a pod.
///
/// # Errors
/// When the tables cannot be read or changed.
pub(crate) fn remove(pod: Pod<'_>) -> Result<(), PluginError> {
    let _lock = Lock::acquire("netfilter")?;
    let filter = Filter::open().ok();
    unchanged(filter.as_ref(), || clean(&[NAT, NAT6], |cleaner| mark(cleaner, pod)))
}

/// Removes the rules of the network's pods that are not among `valid`.
///
/// # Errors
/// When the tables cannot be read or changed.
pub(crate) fn keep_only(network: &str, valid: &[Attachment]) -> Result<(), PluginError> {
    let _lock = Lock::acquire("netfilter")?;
    let kept: Vec<String> =
        valid.iter().map(|pod| masquerade_chain(network, &pod.container_id)).collect();
    let kept_prefixes: Vec<String> = valid
        .iter()
        .map(|pod| Pod { network, container: &pod.container_id, link: &pod.link }.nft_prefix())
        .collect();
    let own = format!("name: \"{network}\" id: \"");
    let nft_own = format!("{}-", hash(network, 16));
    clean(&[NAT, NAT6], |cleaner| {
        for table in [NAT, NAT6] {
            let mut gone: Vec<String> = cleaner
                .look_at(table, "POSTROUTING")?
                .into_iter()
                .filter(|rule| rule.comment.as_deref().is_some_and(|c| c.starts_with(&own)))
                .filter_map(|rule| rule.target)
                .filter(|chain| is_masquerade_chain(chain) && !kept.contains(chain))
                .collect();
            gone.sort();
            gone.dedup();
            for chain in gone {
                cleaner.chain(table, "POSTROUTING", &chain)?;
            }
        }
        cleaner.rules(NFT_TABLE, NFT_CHAIN, |rule| {
            rule.comment.as_deref().is_some_and(|comment| {
                comment.starts_with(&nft_own)
                    && !kept_prefixes.iter().any(|prefix| comment.starts_with(prefix.as_str()))
            })
        })
    })
    .map(drop)
}

/// Whether the rules of a pod's addresses are there, as CHECK asks.
///
/// # Errors
/// When the tables cannot be read.
pub(crate) fn check(pod: Pod<'_>, addresses: &[IpNet]) -> Result<(), PluginError> {
    let chain = masquerade_chain(pod.network, pod.container);
    let prefix = pod.nft_prefix();
    let found = std::cell::RefCell::new(Vec::new());
    clean(&[NAT, NAT6], |cleaner| {
        let mut found = found.borrow_mut();
        found.clear();
        for table in [NAT, NAT6] {
            let entries = cleaner.look_at(table, "POSTROUTING")?.into_iter();
            let own = entries.filter(|rule| rule.target.as_deref() == Some(&chain));
            found.extend(own.filter_map(|rule| rule.source));
        }
        let rules = cleaner.look_at(NFT_TABLE, NFT_CHAIN)?.into_iter();
        let own = rules.filter(|rule| {
            rule.comment.as_deref().is_some_and(|comment| comment.starts_with(&prefix))
        });
        // A table of both families: the address is not where those of one family have it.
        found.extend(own.flat_map(|_| addresses.iter().map(IpNet::addr)));
        Ok(())
    })?;
    let found = found.into_inner();
    match addresses.iter().find(|net| !found.contains(&net.addr())) {
        None => Ok(()),
        Some(net) => Err(PluginError::internal(format!(
            "masquerading of {net} is missing: no rule of POSTROUTING leads to chain {chain}"
        ))),
    }
}

fn is_masquerade_chain(chain: &str) -> bool {
    let hash = chain.strip_prefix("CNI-").unwrap_or_default();
    hash.len() == 24 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
}
