//! `crilet net` on hosts of their own.

mod bed;
mod ports;
mod trace;
