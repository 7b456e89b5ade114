//! A plugin's call from untrusted bytes: `CNI_ARGS` in the first line, configuration in the rest.
//!
//! Whatever comes, the frame gives a call or the specification's error, and touches nothing.
//! `cargo +nightly fuzz run cni_call`; the property tests of crates/cni call the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| crilet_cni::protocol::probe(bytes));
