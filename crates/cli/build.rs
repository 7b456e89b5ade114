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
//!
//! Where it is linked with musl, what commands run lies together, as `order.txt` lists it
//! (`scripts/order` writes it). A command runs a megabyte of a program of fourteen, and where that is
//! strewn over all of it the kernel maps nearly a hundred pieces of sixteen pages one by one, at two
//! microseconds each.

use std::{env, error::Error, fmt::Write, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=crates/cli/build.rs");
    println!("cargo::rerun-if-changed=crates/cli/order.txt");
    let is = |key: &str, value: &str| env::var(key).is_ok_and(|found| found == value);
    let directory = PathBuf::from(env::var("OUT_DIR")?);
    if is("CARGO_CFG_TARGET_ENV", "musl") {
        let script = directory.join("order.ld");
        fs::write(&script, in_order(&fs::read_to_string("crates/cli/order.txt")?)?)?;
        println!("cargo::rustc-link-arg-bin=crilet=-Wl,-T,{}", script.display());
    }
    if is("CARGO_CFG_TARGET_ENV", "gnu") && is("CARGO_CFG_TARGET_OS", "linux") {
        // A linker takes a text of this kind for the library of that name.
        fs::write(directory.join("libgcc_s.so"), "INPUT(-lgcc_eh -lgcc)\n")?;
        println!("cargo::rustc-link-arg-bin=crilet=-L{}", directory.display());
        println!("cargo::rustc-link-arg-bin=crilet=-no-pie");
    }
    Ok(())
}

/// What has GNU ld and lld place the functions of the list before all others: their sections bear their
/// names, and a number of LLVM's behind it where it made a function visible to other units.
fn in_order(list: &str) -> Result<String, std::fmt::Error> {
    let mut script = String::from("SECTIONS {\n  .text.ordered : {\n");
    for name in list.lines() {
        writeln!(script, "    *(.text.{name} .text.{name}.llvm.*)")?;
    }
    script.push_str("  }\n}\nINSERT BEFORE .text;\n");
    Ok(script)
}
