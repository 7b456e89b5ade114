//! Compiles `proto/cri.proto` for `crates/cri`, which names this file as its build script.
//!
//! protox stands in for protoc: the CRI uses the field option `debug_redact`, which the protoc of
//! Debian 12 (3.21) refuses, and a build must not need a tool on the host. The descriptor set is
//! kept beside the generated code, because configuration files are read by reflection.

use std::{collections::BTreeSet, env, error::Error, fs, path::PathBuf};

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorSet};

const PACKAGE: &str = ".runtime.v1.";

/// Messages that configuration files hold.
const CONFIGURATIONS: [&str; 2] = ["PodSandboxConfig", "ContainerConfig"];

/// Messages whose generated `Debug` would print secrets or file contents; `crates/cri` writes its
/// own for them.
const HAND_WRITTEN_DEBUG: [&str; 1] = [".runtime.v1.AuthConfig"];

fn main() -> Result<(), Box<dyn Error>> {
    let manifest_dir = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let proto_dir = manifest_dir.join("../../proto").canonicalize()?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed={}", proto_dir.join("cri.proto").display());

    // Without comments and places: they are half of the embedded set, and rustdoc would read them.
    let descriptors = protox::Compiler::new([&proto_dir])?
        .include_source_info(false)
        .include_imports(true)
        .open_files(["cri.proto"])?
        .file_descriptor_set();
    fs::write(out_dir.join("cri.descriptors"), descriptors.encode_to_vec())?;
    let configurations = only_configurations(descriptors.clone());
    fs::write(out_dir.join("configurations.descriptors"), configurations.encode_to_vec())?;
    let mut config = tonic_prost_build::Config::new();
    config.skip_debug(HAND_WRITTEN_DEBUG).enable_type_names().btree_map(["."]);
    tonic_prost_build::configure()
        .build_client(false)
        .build_server(false)
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}

/// The part of the set that configuration files need. Taking in all of it costs each run of a pod
/// some milliseconds.
fn only_configurations(mut set: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut set.file {
        let mut kept: BTreeSet<String> = CONFIGURATIONS.map(String::from).into();
        let mut before = 0;
        while kept.len() > before {
            before = kept.len();
            let reached = file.message_type.iter().filter(|message| kept.contains(message.name()));
            kept.extend(reached.flat_map(types_named).collect::<Vec<_>>());
        }
        file.service.clear();
        file.message_type.retain(|message| kept.contains(message.name()));
        file.enum_type.retain(|named| kept.contains(named.name()));
    }
    set
}

/// The outermost types that a message's fields name, those of messages within it as well.
fn types_named(message: &DescriptorProto) -> Vec<String> {
    let own = message.field.iter().filter_map(|field| {
        let path = field.type_name().strip_prefix(PACKAGE)?;
        path.split('.').next().map(ToOwned::to_owned)
    });
    own.chain(message.nested_type.iter().flat_map(types_named)).collect()
}
