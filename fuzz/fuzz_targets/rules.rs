//! A node's rules from untrusted text: the output of `iptables-save`, or of `nft -j` where it is JSON.
//!
//! Whatever comes, it is read, ports are looked for in it and a packet is sent through it, and nothing fails.
//! `cargo +nightly fuzz run rules fuzz/corpus/rules crates/network/tests/corpus`.
#![no_main]

use crilet_network::{
    ports::published,
    snapshot::{Firewall, Protocol, Saved, Snapshot},
    trace::{Node, Request, Sender, trace},
};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|text: &str| {
    let mut snapshot = Snapshot::default();
    snapshot.host.firewall = match RawValue::from_string(text.to_owned()) {
        Ok(json) => Firewall { nft: vec![json], ..Firewall::default() },
        Err(_) => {
            let saved = Saved { legacy: false, v4: true, text: text.to_owned() };
            Firewall { iptables: vec![saved], ..Firewall::default() }
        }
    };
    let node = Node::new(&snapshot);
    drop(published(&node));
    let to = [192, 0, 2, 1].into();
    let request = Request { from: Sender::Outside, to, port: 80, protocol: Protocol::Tcp };
    drop(trace(&node, &request));
});
