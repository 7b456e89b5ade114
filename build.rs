//! Compiles `proto/cri.proto` for `crates/cri`, which names this file as its build script.
//!
//! protox stands in for protoc: the CRI uses the field option `debug_redact`, which the protoc of
//! Debian 12 (3.21) refuses, and a build must not need a tool on the host.
//!
//! Beside the messages it writes `schema.rs`, constant tables of all messages and their fields:
//! decoding descriptors when a program starts would cost every command milliseconds. The descriptor
//! set itself is for the fake runtime and for tests.

use std::{collections::BTreeMap, env, error::Error, fs, path::PathBuf};

use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

const PACKAGE: &str = ".runtime.v1.";

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
    fs::write(out_dir.join("schema.rs"), schema(&descriptors))?;
    let mut config = tonic_prost_build::Config::new();
    config.skip_debug(HAND_WRITTEN_DEBUG).enable_type_names().btree_map(["."]);
    tonic_prost_build::configure()
        .build_client(false)
        .build_server(false)
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}

/// The tables of all messages and enums, as constants of the types in `crates/cri/src/schema.rs`.
fn schema(set: &FileDescriptorSet) -> String {
    let outer = || set.file.iter().flat_map(|file| &file.message_type);
    let messages: BTreeMap<&str, &DescriptorProto> =
        outer().map(|message| (message.name(), message)).collect();
    let nested = outer().flat_map(|message| {
        message
            .enum_type
            .iter()
            .map(|named| (format!("{}.{}", message.name(), named.name()), named))
    });
    let enums: BTreeMap<String, &EnumDescriptorProto> = set
        .file
        .iter()
        .flat_map(|file| &file.enum_type)
        .map(|named| (named.name().to_owned(), named))
        .chain(nested)
        .collect();
    let mut tables: String = messages.values().map(|message| message_table(message)).collect();
    tables.extend(enums.iter().map(|(name, named)| enum_table(name, named)));
    let all: Vec<_> = messages.keys().map(|name| format!("&{}", constant(name))).collect();
    tables.push_str(
        format!("static MESSAGES: [&Message; {}] = [{}];\n", all.len(), all.join(", ")).as_str(),
    );
    tables
}

fn message_table(message: &DescriptorProto) -> String {
    let fields: String = message.field.iter().map(|field| field_entry(message, field)).collect();
    let name = message.name();
    format!(
        "pub(crate) static {}: Message = Message {{ name: {name:?}, fields: &[\n{fields}] }};\n",
        constant(name)
    )
}

fn field_entry(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let value = value_of(message, field);
    let count = match (value == field, field.label()) {
        (false, _) => "Map",
        (true, Label::Repeated) => "Many",
        (true, _) => "One",
    };
    format!(
        "    Field {{ name: {:?}, json_name: {:?}, number: {}, count: Count::{count}, kind: {} }},\n",
        field.name(),
        field.json_name(),
        field.number(),
        kind(value)
    )
}

/// The field itself, or the value of its entries if it is a map.
fn value_of<'a>(
    message: &'a DescriptorProto,
    field: &'a FieldDescriptorProto,
) -> &'a FieldDescriptorProto {
    let is_entry = |nested: &&DescriptorProto| {
        nested.options.as_ref().is_some_and(|options| options.map_entry())
            && field.type_name().ends_with(&format!(".{}.{}", message.name(), nested.name()))
    };
    let entry = message.nested_type.iter().find(is_entry);
    entry.and_then(|entry| entry.field.iter().find(|field| field.number() == 2)).unwrap_or(field)
}

fn kind(field: &FieldDescriptorProto) -> String {
    let table = || constant(field.type_name().strip_prefix(PACKAGE).unwrap_or_default());
    match field.r#type() {
        Type::String => "Kind::String".to_owned(),
        Type::Bytes => "Kind::Bytes".to_owned(),
        Type::Bool => "Kind::Bool".to_owned(),
        Type::Int32 => "Kind::Int32".to_owned(),
        Type::Uint32 => "Kind::Uint32".to_owned(),
        Type::Int64 => "Kind::Int64".to_owned(),
        Type::Uint64 => "Kind::Uint64".to_owned(),
        Type::Double => "Kind::Double".to_owned(),
        Type::Enum => format!("Kind::Enum(&{})", table()),
        Type::Message => format!("Kind::Message(&{})", table()),
        other => panic!("the CRI has had no field of type {other:?}; add it to `Kind`"),
    }
}

fn enum_table(name: &str, named: &EnumDescriptorProto) -> String {
    let values =
        named.value.iter().map(|value| format!("({:?}, {})", value.name(), value.number()));
    let values: Vec<_> = values.collect();
    let name = constant(name);
    format!("pub(crate) static {name}: Enum = Enum {{ values: &[{}] }};\n", values.join(", "))
}

/// `PodSandboxConfig` as `POD_SANDBOX_CONFIG`.
fn constant(name: &str) -> String {
    let mut constant = String::new();
    let mut after_lower = false;
    for letter in name.chars() {
        if after_lower && letter.is_uppercase() {
            constant.push('_');
        }
        after_lower = letter.is_alphanumeric() && !letter.is_uppercase();
        constant.push(if letter == '.' { '_' } else { letter.to_ascii_uppercase() });
    }
    constant
}
