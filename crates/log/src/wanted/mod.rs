//! From containers to their logs: which files are wanted, read or followed over restarts.
//!
//! Who asks finds the pods; what is theirs is found here, for `crilet logs` and the daemon alike.

mod choose;
mod gone;
mod track;

pub use choose::{Chosen, generations, of_pod, set_prefixes};
pub use gone::{of_directory, of_target};
pub use track::Tracker;

use std::io::Write;

use crate::{
    Counts, LogError, Query, Renderer,
    read::{Snapshot, read_snapshots},
};

/// Leaves out logs that cannot be opened, such as one in whose place a link was put, while there are
/// others; with what the kernel said of them.
pub fn readable(chosen: Vec<Chosen>) -> (Vec<Chosen>, Vec<LogError>) {
    let mut refused = Vec::new();
    if chosen.len() < 2 {
        return (chosen, refused);
    }
    let mut kept = Vec::new();
    for chosen in chosen {
        match Snapshot::of_log(&chosen.log) {
            // What is not there may come.
            Ok(_) | Err(LogError::Missing { .. }) => kept.push(chosen),
            Err(error) => refused.push(error),
        }
    }
    (kept, refused)
}

/// Reads what was chosen. A log that is not there is left out, and the others are read.
///
/// # Errors
/// As [`crate::read()`]; [`LogError::Missing`] when none is there.
pub fn read_chosen(
    chosen: Vec<Chosen>,
    query: &Query,
    mut renderer: Renderer,
    out: &mut dyn Write,
) -> Result<Counts, LogError> {
    let several = chosen.len() > 1;
    let (mut logs, mut missing) = (Vec::new(), Vec::new());
    let mut query = query.clone();
    for chosen in chosen {
        let snapshot = match Snapshot::of_log(&chosen.log) {
            Err(error @ LogError::Missing { .. }) => {
                missing.push(error);
                continue;
            }
            other => other?,
        };
        if !several {
            chosen.narrow(&mut query.filter);
        }
        renderer.add(&chosen.name);
        logs.push(snapshot);
    }
    for error in &missing {
        tracing::debug!(%error, "left out");
    }
    match missing.pop() {
        Some(error) if logs.is_empty() => Err(error),
        _ => read_snapshots(&logs, &query, &mut renderer, out),
    }
}
