//! The kernel's packet filter as plugins change it.
//!
//! Rules are added in the words of the host's own tools, so that they are spelt as the reference
//! plugins spell theirs: `iptables` by one `iptables-restore --noflush`, `nft` by one `nft -f`, each
//! a transaction. A pod's rules of `iptables` are made without that program (`batch`) where it would
//! send the very same bytes. Rules are read and taken away over netlink (`tables`), whoever made
//! them, but for the legacy tables. `names` has the chains and comments.

mod batch;
pub(crate) mod cleaner;
pub(crate) mod conntrack;
pub(crate) mod iptables;
mod later;
pub(crate) mod maker;
pub(crate) mod masquerade;
pub(crate) mod names;
pub(crate) mod nft;
pub(crate) mod rule;
pub(crate) mod tables;
mod wire;

pub use later::together;
pub use masquerade::masquerade_mark;
pub use names::{dnat_chain, masquerade_chain};
pub use rule::split_words;
pub use wire::{Filter, Kind, Message, attributes, find, number, push, text};
