//! The uid of a pod whose file gives none.

use std::{fs, io};

use crate::v1;

/// Where the kernel gives a fresh random UUID with every read (random(4)).
const KERNEL_UUID: &str = "/proc/sys/kernel/random/uuid";

/// Gives a pod config without a uid a random one, as crictl does since 1.36.
///
/// This is a step of its own because the uid is part of what tells pods apart: two readings of one
/// file must compare equal until somebody decides to run it. Tells whether a uid was filled in.
///
/// # Errors
/// /proc cannot be read.
pub fn fill_uid(config: &mut v1::PodSandboxConfig) -> io::Result<bool> {
    let metadata = config.metadata.get_or_insert_default();
    if !metadata.uid.is_empty() {
        return Ok(false);
    }
    fs::read_to_string(KERNEL_UUID)?.trim().clone_into(&mut metadata.uid);
    Ok(true)
}
