//! The messages that configuration files hold, as `proto/cri.proto` describes them.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor};

/// Only what configurations need: decoding descriptors is most of what reading a file costs.
static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    decode(include_bytes!(concat!(env!("OUT_DIR"), "/configurations.descriptors")))
});

/// All messages and services of the CRI.
#[cfg(feature = "fake")]
pub(crate) fn descriptor_pool() -> &'static DescriptorPool {
    static ALL: LazyLock<DescriptorPool> =
        LazyLock::new(|| decode(include_bytes!(concat!(env!("OUT_DIR"), "/cri.descriptors"))));
    &ALL
}

fn decode(set: &[u8]) -> DescriptorPool {
    DescriptorPool::decode(set).expect("the build script wrote this descriptor set")
}

/// What a configuration file describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Pod,
    Container,
}

impl Kind {
    pub(super) fn message(self) -> MessageDescriptor {
        let name = match self {
            Self::Pod => "runtime.v1.PodSandboxConfig",
            Self::Container => "runtime.v1.ContainerConfig",
        };
        POOL.get_message_by_name(name).expect("the CRI has this message")
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Pod => Self::Container,
            Self::Container => Self::Pod,
        }
    }

    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Pod => "pod config",
            Self::Container => "container config",
        }
    }
}

/// Finds the field that a key names: by its proto name, its camelCase name, or, as crictl does, by
/// its proto name in any case.
pub(super) fn find_field(message: &MessageDescriptor, key: &str) -> Option<FieldDescriptor> {
    message
        .get_field_by_name(key)
        .or_else(|| message.get_field_by_json_name(key))
        .or_else(|| message.fields().find(|field| field.name().eq_ignore_ascii_case(key)))
}
