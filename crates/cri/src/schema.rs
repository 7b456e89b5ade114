//! The CRI's configuration messages as constant tables, made from `proto/cri.proto` by `build.rs`.
//!
//! Files are read along these tables: names, numbers and kinds of the fields are known without
//! anything to decode when a program starts.

/// A message.
#[derive(Debug)]
pub(crate) struct Message {
    /// Its name in the package, such as `PodSandboxConfig`.
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    /// The name in snake_case.
    pub(crate) name: &'static str,
    /// The name in lowerCamelCase.
    pub(crate) json_name: &'static str,
    pub(crate) number: u32,
    pub(crate) count: Count,
    /// Of the value; of each value in a list or map.
    pub(crate) kind: Kind,
}

/// How many values a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    One,
    Many,
    /// Many by name; all keys of the CRI are strings.
    Map,
}

/// What a value is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    String,
    Bytes,
    Bool,
    Int32,
    Uint32,
    Int64,
    Uint64,
    Enum(&'static Enum),
    Message(&'static Message),
}

/// An enum.
#[derive(Debug)]
pub(crate) struct Enum {
    /// Names and numbers in the order of the source.
    pub(crate) values: &'static [(&'static str, i32)],
}

impl Message {
    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// All messages and services of the CRI, for what needs reflection: the fake runtime and tests.
#[cfg(any(test, feature = "fake"))]
pub(crate) fn descriptor_pool() -> &'static prost_reflect::DescriptorPool {
    use std::sync::LazyLock;

    use prost_reflect::DescriptorPool;

    static ALL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        let set = include_bytes!(concat!(env!("OUT_DIR"), "/cri.descriptors"));
        DescriptorPool::decode(set.as_slice()).expect("the build script wrote this set")
    });
    &ALL
}

include!(concat!(env!("OUT_DIR"), "/schema.rs"));
