//! The embedded default runtime: a private containerd that crilet makes, watches and removes.
//!
//! - [`oci`] makes an image of a root file system.
//! - [`PAUSE_IMAGE`] is the image that holds each pod's namespaces open.

mod digest;
pub mod oci;
mod pause;

pub use digest::{Digest, InvalidDigest};
pub use pause::PAUSE_IMAGE;
