//! `macspoofchk`: packets of the pod with another source address are dropped on the bridge.

use crate::{
    lock::Lock,
    netfilter::{
        cleaner::clean,
        nft,
        tables::{Table, TableFamily},
    },
    protocol::{Call, PluginError},
};

const TABLE: Table = Table::new(TableFamily::Bridge, "nat");
const BASE: &str = "PREROUTING";

fn chains(call: &Call) -> (String, String) {
    let chain = format!("cni-br-iface-{}-{}", call.container_id(), call.link());
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
