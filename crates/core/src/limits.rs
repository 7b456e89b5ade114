//! What the kernel allows this process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Lets this process open as many files as the machine allows: a connection that is forwarded takes two, and
/// each file that a follower of logs has still to read takes one. A refusal leaves things as they are.
///
/// Not for what starts containers: these would inherit it.
pub fn allow_many_files() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap_or_default();
    }
}
