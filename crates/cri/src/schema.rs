//! The CRI's messages as constant tables, made from `proto/cri.proto` by `build.rs`.
//!
//! Files are read and messages are shown along these tables: names, numbers and kinds of the fields
//! are known without anything to decode when a program starts.

/// A message.
#[derive(Debug)]
pub struct Message {
    /// Its name in the package, such as `PodSandboxConfig`.
    pub name: &'static str,
    /// Its fields in the order of the source.
    pub fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
pub struct Field {
    /// The name in snake_case.
    pub name: &'static str,
    /// The name in lowerCamelCase.
    pub json_name: &'static str,
    /// The number by which it goes on the wire.
    pub number: u32,
    /// How many values it has.
    pub count: Count,
    /// Of the value; of each value in a list or map.
    pub kind: Kind,
}

/// How many values a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// One, or none.
    One,
    /// A list.
    Many,
    /// Many by name; all keys of the CRI are strings.
    Map,
}

/// What a value is.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "each is the type of that name in the protocol buffers' language")]
pub enum Kind {
    String,
    Bytes,
    Bool,
    Int32,
    Uint32,
    Int64,
    Uint64,
    Double,
    Enum(&'static Enum),
    Message(&'static Message),
}

/// An enum.
#[derive(Debug)]
pub struct Enum {
    /// Names and numbers in the order of the source.
    pub values: &'static [(&'static str, i32)],
}

/// The table of a message.
///
/// # Panics
/// The message is none of the CRI's.
#[must_use]
pub fn of<M: prost::Name>() -> &'static Message {
    let found = MESSAGES.binary_search_by(|message| message.name.cmp(M::NAME));
    let found = found.ok().and_then(|at| MESSAGES.get(at));
    found.expect("all messages of the CRI have a table")
}

impl Message {
    /// A field by its name in snake_case.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

impl Enum {
    /// The name of a number; nothing for one that the source does not have.
    pub fn name(&self, number: i32) -> Option<&'static str> {
        self.values.iter().find(|(_, value)| *value == number).map(|(name, _)| *name)
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
