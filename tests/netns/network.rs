//! `crilet net` on hosts of their own.

mod bed;
mod doctor;
mod ports;
mod show;
mod trace;
