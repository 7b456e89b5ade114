//! `macspoofchk`: packets of the pod with another source address are dropped on the bridge.

use std::{collections::HashSet, io};

use crate::{
    kernel::Netlink,
    lock::Lock,
    netfilter::{
        cleaner::clean,
        nft,
        rule::Rule,
        tables::{Table, TableFamily},
    },
    protocol::{Attachment, Call, PluginError},
};

pub(crate) const TABLE: Table = Table::new(TableFamily::Bridge, "nat");
pub(crate) const BASE: &str = "PREROUTING";
const CHAIN: &str = "cni-br-iface-";

fn chains(call: &Call) -> (String, String) {
    let chain = format!("{CHAIN}{}-{}", call.container_id(), call.link());
    let of_address = format!("{chain}-mac");
    (chain, of_address)
}

fn comment(call: &Call) -> String {
    format!("macspoofchk-{}-{}", call.container_id(), call.link())
}

/// Lets only packets from `mac` come in over the host's end of the pair.
pub(super) fn add(link: &str, mac: &str, call: &Call) -> Result<(), PluginError> {
    let ((chain, of_address), comment) = (chains(call), comment(call));
    let script = format!(
        "add table bridge nat\n\
         add chain bridge nat {BASE} {{ type filter hook prerouting priority -300 ; policy accept ; }}\n\
         add chain bridge nat {chain}\n\
         add chain bridge nat {of_address}\n\
         flush chain bridge nat {chain}\n\
         flush chain bridge nat {of_address}\n\
         add rule bridge nat {BASE} iifname \"{link}\" jump {chain} comment \"{comment}\"\n\
         add rule bridge nat {chain} jump {of_address} comment \"{comment}\"\n\
         add rule bridge nat {of_address} ether saddr {mac} return comment \"{comment}\"\n\
         add rule bridge nat {of_address} drop comment \"{comment}\"\n"
    );
    nft::run(&script).map_err(|error| PluginError::because("set up `macspoofchk`", &error))
}

/// Removes the rules, where there are any.
pub(super) fn remove(call: &Call) -> Result<(), PluginError> {
    let ((chain, of_address), comment) = (chains(call), comment(call));
    let _lock = Lock::acquire("netfilter")?;
    clean(&[], |cleaner| {
        cleaner.rules(TABLE, BASE, |rule| rule.comment.as_deref() == Some(&comment))?;
        cleaner.lone_chain(TABLE, &chain)?;
        cleaner.lone_chain(TABLE, &of_address)
    })
    .map(drop)
}

/// Removes the rules of pods that are not in `valid` and whose link on the host is gone.
///
/// Neither the chains nor the comments of the reference name a network, so a pod that is not in
/// `valid` may be another network's. But its rules name its link, and without that they match
/// nothing, whose they ever were; while it is there, they guard it until DEL takes both.
///
/// # Errors
/// When links or tables cannot be read, or the rules cannot be removed.
pub(super) fn keep_only(host: &Netlink, valid: &[Attachment]) -> Result<(), PluginError> {
    let kept: HashSet<String> =
        valid.iter().map(|pod| format!("{CHAIN}{}-{}", pod.container_id, pod.link)).collect();
    let _lock = Lock::acquire("netfilter")?;
    clean(&[], |cleaner| {
        let rules = cleaner.look_at(TABLE, BASE)?;
        // Links after rules: whoever makes both makes the link first, so a link that is missing
        // now was there and went.
        let links = host.links().map_err(io::Error::other)?;
        let links: HashSet<String> = links.into_iter().map(|link| link.name).collect();
        let gone: HashSet<String> =
            rules.iter().filter_map(|rule| orphan(rule, &kept, &links)).collect();
        cleaner.rules(TABLE, BASE, |rule| {
            rule.target.as_ref().is_some_and(|chain| gone.contains(chain))
        })?;
        for chain in &gone {
            cleaner.lone_chain(TABLE, chain)?;
            cleaner.lone_chain(TABLE, &format!("{chain}-mac"))?;
        }
        Ok(())
    })
    .map(drop)
}

/// The chain that a rule of the base chain leads to, if the pod is neither kept nor linked.
fn orphan(rule: &Rule, kept: &HashSet<String>, links: &HashSet<String>) -> Option<String> {
    let (link, chain) = (rule.input.as_ref()?, rule.target.as_ref()?);
    let is_gone = chain.starts_with(CHAIN) && !kept.contains(chain) && !links.contains(link);
    is_gone.then(|| chain.clone())
}
