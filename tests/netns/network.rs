//! `crilet net` on hosts of their own.

mod bed;
mod trace;
