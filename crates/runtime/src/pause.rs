//! The pause program and the image that holds nothing else.

use std::io;

use crate::oci::ImageConfig;

/// Name of the image that every pod's sandbox container runs.
pub const PAUSE_IMAGE: &str = "crilet.dev/pause:0.1";

/// The program itself, for this machine's architecture: static, without a C library.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pause"));

/// Root file system of the pause image, as a tar.
pub(crate) fn rootfs() -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(u64::try_from(PROGRAM.len()).unwrap_or(u64::MAX));
    header.set_mode(0o555);
    header.set_mtime(0);
    archive.append_data(&mut header, "pause", PROGRAM)?;
    archive.into_inner()
}

/// How the pause image runs: as nobody in particular, for it needs no rights at all.
pub(crate) fn config() -> ImageConfig {
    ImageConfig {
        entrypoint: vec!["/pause".to_owned()],
        working_dir: "/".to_owned(),
        user: "65535:65535".to_owned(),
        ..ImageConfig::default()
    }
}

#[cfg(test)]
mod tests;
