//! Prepares what the crate embeds.

fn main() {}
