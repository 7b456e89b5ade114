//! Links crilet at a fixed address, as the Go programs of this field are (containerd, runc, crictl).
//!
//! A position-independent program of this size has 25,000 pointers that the loader must write each time
//! that it starts: more than half of all instructions of `crilet --version`, and 160 pages that no
//! two processes can share. Stack, heap, libraries and kernel mappings stay at random addresses.

fn main() {
    println!("cargo::rerun-if-changed=crates/cli/build.rs");
    let gnu = std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu");
    let linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    if gnu && linux {
        println!("cargo::rustc-link-arg-bin=crilet=-no-pie");
    }
}
