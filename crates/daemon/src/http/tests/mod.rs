//! The API against a fake node, over real sockets.

mod bed;
mod forms;
mod logs;
mod requests;
mod sockets;
mod streams;
mod tls;
mod ways;
