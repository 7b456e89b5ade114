//! Named steps at which a process can be made to end, as by `kill -9` or a power cut.
//!
//! Only with the feature `failpoints`, which what is shipped is built without: what a program does
//! between two steps that are not one can then be tested at the very place, and not by luck.

/// The variable that names the step.
#[cfg(feature = "failpoints")]
const VARIABLE: &str = "CRILET_FAILPOINT";

/// Passes a step. With the feature, a process whose environment says `CRILET_FAILPOINT=STEP` does
/// not come beyond it; with `CRILET_FAILPOINT=panic:STEP` it panics there.
///
/// # Panics
/// When it is told to.
#[cfg(feature = "failpoints")]
pub fn pass(step: &str) {
    let Some(named) = std::env::var_os(VARIABLE) else { return };
    assert!(named != *format!("panic:{step}"), "told to panic at {step}");
    if named == step {
        // Nothing is flushed, dropped or told; the kernel alone cleans up.
        let _unreachable = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    }
}

/// Passes a step.
#[cfg(not(feature = "failpoints"))]
pub fn pass(_step: &str) {}
