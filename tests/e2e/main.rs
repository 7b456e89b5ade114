//! crilet on real parts: containerd, runc, CNI plugins, iptables, a registry, all of them in
//! isolated hosts.
#![expect(clippy::unwrap_used, reason = "the helpers of tests fail like tests")]

mod blog;
mod cri;
mod crictl;
mod image;
mod images;
mod logs;
mod logs_against;
mod manifests;
mod net;
mod publish;
mod pull;
mod runtime;
mod serve;
mod streams;
mod streams_tls;
mod support;
mod verbs;
