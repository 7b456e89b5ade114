//! crilet's plugins on hosts of their own, beside Debian's reference plugins.

mod bed;
mod chain;
mod host_local;
mod loopback;
mod protocol;
