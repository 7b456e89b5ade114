//! Transactions of iptables' rules, made without iptables.
//!
//! Where the host's iptables keeps its rules in nf_tables, `iptables-restore` turns the words of a
//! script into one batch of netlink messages, after it was linked, asked which modules there are, and
//! read what is there. The words that plugins use for a pod are turned into messages here, byte for
//! byte as the host's program would have it: [`script`] reads the words, [`encode`] has the bytes.
//!
//! Which bytes these are depends on the version of iptables, and what another version has written
//! it may not be able to list or delete. So nothing is taken for granted: [`proof`] has the host's
//! own program write all kinds of rules in a network namespace of nobody, and compares. Whatever
//! differs, whatever words are not known here, and whatever the kernel refuses goes to the program.

mod encode;
pub(super) mod proof;
mod script;

use std::io;

use super::wire::{Filter, Kind, Message};
use crate::Family;

use encode::{BATCH_BEGIN, BATCH_END, SUBSYSTEM};
use script::Script;

/// Makes one transaction of a script in `iptables-restore`'s words; `false` when nothing was changed,
/// because the words are not known, or the kernel refused.
pub(super) fn make(family: Family, script: &str) -> bool {
    let Some(script) = Script::parse(family, script) else { return false };
    send(&script).is_ok()
}

/// Nothing in a batch rests on what was there before, so it names no generation: a chain that is
/// declared is empty afterwards, whether it was there or not, and rules come last in theirs.
fn send(script: &Script) -> io::Result<()> {
    let edge = |number| Message::new(number, Kind::Part { acknowledged: false }, 0, SUBSYSTEM);
    let mut messages = vec![edge(BATCH_BEGIN)];
    messages.extend(encode::messages(script));
    messages.push(edge(BATCH_END));
    Filter::open()?.send_all(messages)
}

#[cfg(test)]
mod tests;
