//! The kernel's packet filter as plugins change it.
//!
//! Rules are added through the host's own tools, so that they are spelt as the reference plugins
//! spell theirs: [`iptables`] by one `iptables-restore --noflush`, [`nft`] by one `nft -f`, each a
//! transaction. [`names`] has the chains and comments.

pub(crate) mod iptables;
pub(crate) mod names;
pub(crate) mod nft;
