//! The short steps: renaming, reopening, removing.

use std::{future::Future, io};

use crilet_cri::CriError;

use super::Step;
use crate::{
    files::{Form, Kind, Stamp},
    read::{FORMS, LogFile},
};

/// Makes whoever writes a log write a new file.
pub trait Reopen: Send + Sync {
    /// Makes all writers open their files anew. When it returns, no more is written to the old one
    /// but what was on its way.
    ///
    /// # Errors
    /// The first writer that could not.
    fn reopen(&self) -> impl Future<Output = Result<(), CriError>> + Send;
}

/// Why a log could not be rotated. Nothing was lost.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The file cannot be renamed, or is not one that may be.
    #[error("cannot rename it")]
    Rename(#[source] io::Error),
    /// The runtime did not open a new file; the old one has its name again.
    #[error("the runtime does not reopen it")]
    Reopen(#[source] CriError),
    /// The runtime did not open a new file, and the old one could not get its name back.
    #[error("cannot give it its name back after the runtime did not reopen it")]
    Back(#[source] io::Error),
    /// It was ended between two instructions.
    #[error("interrupted")]
    Interrupted,
}

/// A place between two instructions, where a test may kill who executes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    Begin,
    Renamed,
    Reopened,
    NotReopened,
    Back,
    Created,
    Written,
    Flushed,
    Verified,
    Archived,
    Synced,
    Removed,
}

/// Is asked at every point whether to go on.
pub(crate) trait Hook: Send + Sync {
    /// Whether to be killed here.
    fn dies(&self, point: Point) -> bool;
}

/// Goes on everywhere.
#[derive(Debug)]
pub(crate) struct NoHook;

impl Hook for NoHook {
    fn dies(&self, _: Point) -> bool {
        false
    }
}

fn pass(hook: &impl Hook, point: Point) -> Result<(), RotateError> {
    if hook.dies(point) { Err(RotateError::Interrupted) } else { Ok(()) }
}

/// Renames the live file of a log and makes the runtime open a new one.
pub(crate) async fn rotate(
    log: &LogFile,
    stamp: Stamp,
    writers: &impl Reopen,
    hook: &impl Hook,
) -> Result<(), RotateError> {
    let directory = log.directory();
    let name = Form::Plain.name(log.name(), stamp);
    pass(hook, Point::Begin)?;
    directory.rename(log.name(), &name).map_err(RotateError::Rename)?;
    pass(hook, Point::Renamed)?;
    if let Err(error) = writers.reopen().await {
        pass(hook, Point::NotReopened)?;
        return match directory.rename(&name, log.name()) {
            Ok(()) => {
                pass(hook, Point::Back)?;
                Err(RotateError::Reopen(error))
            }
            // It did open a new file, whatever it said.
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(cause) => Err(RotateError::Back(cause)),
        };
    }
    // Not flushed: what a power cut takes with it is what the runtime had not flushed either, and the
    // journal keeps the order of names. A flush here would wait for all that is being written.
    pass(hook, Point::Reopened)
}

/// Gives a rotated file the live file's name back; where somebody writes a new one, that is as good.
pub(crate) fn put_back(log: &LogFile, stamp: Stamp) -> io::Result<()> {
    match log.directory().rename(&Form::Plain.name(log.name(), stamp), log.name()) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Removes what a step says. What was planted under one of these names is left where it is.
pub(crate) fn remove(log: &LogFile, step: Step) -> io::Result<()> {
    let names = match step {
        Step::RemoveUnfinished(stamp) => vec![Kind::temporary_name(log.name(), stamp)],
        // The plain file last: while it is there, nothing is lost.
        Step::Remove(stamp, _) => {
            FORMS.iter().rev().map(|form| form.name(log.name(), stamp)).collect()
        }
        _ => Vec::new(),
    };
    let directory = log.directory();
    for name in names {
        if directory.meta(&name)?.is_some_and(|meta| meta.strange().is_none()) {
            directory.remove(&name)?;
        }
    }
    Ok(())
}
