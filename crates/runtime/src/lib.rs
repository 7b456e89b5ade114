//! The embedded default runtime: a private containerd that crilet makes, watches and removes.
//!
//! - [`oci`] makes an image of a root file system.

mod digest;
pub mod oci;

pub use digest::{Digest, InvalidDigest};
