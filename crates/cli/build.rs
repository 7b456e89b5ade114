//! Links crilet so that it starts fast where it is linked with glibc: at a fixed address, and without
//! libgcc_s. `.cargo/config.toml` does as much for musl, with which it is shipped.
//!
//! A position-independent program of this size has 25,000 pointers that the loader must write each time
//! that it starts: more than half of all instructions of `crilet --version`, and 160 pages that no
//! two processes can share. The Go programs of this field (containerd, runc, crictl) have a fixed
//! address, too. Stack, heap, libraries and kernel mappings stay at random ones.
//!
//! Rust's standard library asks for libgcc_s, of which it needs the unwinder for backtraces. The same
//! is in gcc's static libgcc_eh, and the loader has a library less to open, map and search.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=crates/cli/build.rs");
    let is = |key: &str, value: &str| env::var(key).is_ok_and(|found| found == value);
    if is("CARGO_CFG_TARGET_ENV", "gnu") && is("CARGO_CFG_TARGET_OS", "linux") {
        let directory = PathBuf::from(env::var("OUT_DIR")?);
        // A linker takes a text of this kind for the library of that name.
        fs::write(directory.join("libgcc_s.so"), "INPUT(-lgcc_eh -lgcc)\n")?;
        println!("cargo::rustc-link-arg-bin=crilet=-L{}", directory.display());
        println!("cargo::rustc-link-arg-bin=crilet=-no-pie");
    }
    Ok(())
}
