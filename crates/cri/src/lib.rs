//! The Container Runtime Interface (CRI) for crilet.

mod generated;

pub use generated::v1;
