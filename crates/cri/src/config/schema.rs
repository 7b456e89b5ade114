//! The messages that configuration files hold.

use crate::schema::{CONTAINER_CONFIG, Field, Message, POD_SANDBOX_CONFIG};

/// What a configuration file describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Pod,
    Container,
}

impl Kind {
    pub(super) fn message(self) -> &'static Message {
        match self {
            Self::Pod => &POD_SANDBOX_CONFIG,
            Self::Container => &CONTAINER_CONFIG,
        }
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
pub(super) fn find_field(message: &Message, key: &str) -> Option<&'static Field> {
    let fields = message.fields;
    message
        .field(key)
        .or_else(|| fields.iter().find(|field| field.json_name == key))
        .or_else(|| fields.iter().find(|field| field.name.eq_ignore_ascii_case(key)))
}
