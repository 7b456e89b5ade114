//! Words that every crilet crate shares.
//!
//! - [`ErrorChain`] prints an error with all its causes on one line.

mod error_chain;

pub use error_chain::ErrorChain;
