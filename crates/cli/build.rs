//! Asks the linker for packed relocations (DT_RELR, glibc 2.36): the loader would read three quarters
//! of a megabyte of them otherwise, each time that crilet is started.

fn main() {
    println!("cargo::rerun-if-changed=crates/cli/build.rs");
    let gnu = std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu");
    let linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    if gnu && linux {
        println!("cargo::rustc-link-arg-bin=crilet=-Wl,-z,pack-relative-relocs");
    }
}
