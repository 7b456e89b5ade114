//! The table itself, in the order of the documentation.

mod container;
mod objects;
mod pod;
mod volumes;

use super::Type;

/// All types that are read.
pub(in crate::manifest::kube) fn types() -> impl Iterator<Item = &'static Type> {
    [objects::TYPES, pod::TYPES, container::TYPES, volumes::TYPES].into_iter().flatten()
}
