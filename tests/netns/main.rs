//! Tests in network namespaces of their own; they need root, iproute2 and iptables.
#![expect(clippy::unwrap_used, reason = "the helpers of tests fail like tests")]

mod cni;
mod network;
mod plugins;
