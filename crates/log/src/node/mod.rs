//! All logs of a node: finding them, and keeping them within their limits.

mod compressor;
mod discover;
mod event;
mod gone;
mod growth;
mod rotator;

pub use discover::{ContainerLog, Skipped, Writer, discover, is_kubelets, locate};
pub use event::{Event, Problem};
pub use gone::{GonePod, GonePods};
pub use growth::{Growth, rate_of};
pub use rotator::{Config, Rotator, Selection};
