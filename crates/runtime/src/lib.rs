//! The embedded default runtime: a private containerd that crilet makes, watches and removes.
//!
//! - [`oci`] makes an image of a root file system.
//! - [`ImageName`] completes image names as docker does.

mod digest;
mod image_name;
pub mod oci;

pub use digest::{Digest, InvalidDigest};
pub use image_name::{ImageName, InvalidImageName};
