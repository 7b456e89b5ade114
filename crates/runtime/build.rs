//! Builds the pause program that the crate embeds, and compiles containerd's own services.
//!
//! Cargo cannot build a program for another crate to embed on a stable toolchain, so the compiler
//! that builds the crate is called directly.

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    process::Command,
};

/// Architectures that `pause/pause.rs` has system calls for.
const PAUSE_ARCHITECTURES: [&str; 2] = ["aarch64", "x86_64"];

const SERVICES: [&str; 5] =
    ["containers.proto", "content.proto", "events.proto", "images.proto", "leases.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    build_pause(&out_dir.join("pause"))?;
    compile_services()
}

fn build_pause(out: &Path) -> Result<(), Box<dyn Error>> {
    let source = "pause/pause.rs";
    println!("cargo::rerun-if-changed={source}");
    let architecture = env::var("CARGO_CFG_TARGET_ARCH")?;
    let system = env::var("CARGO_CFG_TARGET_OS")?;
    if system != "linux" || !PAUSE_ARCHITECTURES.contains(&architecture.as_str()) {
        let known = PAUSE_ARCHITECTURES.join(" and ");
        let wanted = format!("{system} on {architecture}");
        return Err(
            format!("{source} knows the system calls of linux on {known}, not {wanted}").into()
        );
    }
    let status = pause_compiler(out)?.arg(source).status()?;
    if status.success() { Ok(()) } else { Err(format!("compile {source}: rustc {status}").into()) }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a build script cannot use the crates it helps build"
)]
fn pause_compiler(out: &Path) -> Result<Command, Box<dyn Error>> {
    let mut rustc = Command::new(env::var("RUSTC")?);
    rustc.args(["--edition=2024", "--crate-name=pause", "--crate-type=bin"]);
    rustc.args(["--target", &env::var("TARGET")?]);
    for option in ["opt-level=s", "panic=abort", "relocation-model=static", "strip=symbols"] {
        rustc.args(["-C", option]);
    }
    for option in ["-nostartfiles", "-nostdlib", "-static", "-Wl,--build-id=none", "-Wl,-n"] {
        rustc.args(["-C", &format!("link-arg={option}")]);
    }
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|found| found == "musl") {
        // The target brings start files of its own, which would start a C library that is not there.
        rustc.args(["-C", "link-self-contained=no"]);
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    rustc.arg("-o").arg(out);
    Ok(rustc)
}

fn compile_services() -> Result<(), Box<dyn Error>> {
    let manifest_dir = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let proto_dir = manifest_dir.join("../../proto/containerd").canonicalize()?;
    println!("cargo::rerun-if-changed={}", proto_dir.display());
    let descriptors = protox::compile(SERVICES, [&proto_dir])?;
    let mut config = tonic_prost_build::Config::new();
    config.btree_map(["."]);
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}
