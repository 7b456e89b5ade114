//! crilet's plugins on hosts of their own, beside Debian's reference plugins.

mod bed;
mod loopback;
mod protocol;
