//! Rules by `nft`.

use std::time::Duration;

use crilet_core::exec::{ExecError, Invocation};

const LIMIT: Duration = Duration::from_secs(30);

/// Makes one transaction of `script`, in nft's words.
///
/// # Errors
/// What the program says; then nothing was changed.
pub(crate) fn run(script: &str) -> Result<(), ExecError> {
    Invocation::find("nft")?.args(["-f", "-"]).input(script).limit(LIMIT).run_blocking().map(drop)
}
