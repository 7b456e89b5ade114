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

use crate::{Counts, LogError, Query, Renderer, files::Family, read};

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
        if chosen.log.family()? == Family::default() {
            missing.push(LogError::Missing { path: chosen.log.path() });
            continue;
        }
        if !several {
            chosen.narrow(&mut query.filter);
        }
        renderer.add(&chosen.name);
        logs.push(chosen.log);
    }
    for error in &missing {
        tracing::debug!(%error, "left out");
    }
    match missing.pop() {
        Some(error) if logs.is_empty() => Err(error),
        _ => read(&logs, &query, &mut renderer, out),
    }
}
