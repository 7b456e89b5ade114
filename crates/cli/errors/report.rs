//! How an error is told.

use std::process::ExitCode;

use crilet_api::ClientError;
use crilet_core::ErrorChain;
use crilet_daemon::{ConfigError, RunError};
use crilet_pod::{Failure, LaunchError};

use super::{CliError, code::USAGE};
use crate::output;

/// Tells an error and its hint, and gives the status to end with.
pub(crate) fn report(error: &CliError) -> ExitCode {
    tell(error);
    ExitCode::from(error.code())
}

/// Tells an error and its hint.
pub(crate) fn tell(error: &CliError) {
    match error {
        CliError::Launch(launch) => report_launch(launch),
        CliError::Findings(findings) => report_findings(&findings.0),
        CliError::Serve(RunError::Config(ConfigError::Invalid { findings }))
        | CliError::Config(ConfigError::Invalid { findings }) => {
            report_findings(findings);
        }
        CliError::Daemon(ClientError::Refused(error)) if !error.details.is_empty() => {
            report_findings(&error.details);
        }
        _ => output::say(&format!("error: {}", ErrorChain(error))),
    }
    if let Some(hint) = error.hint() {
        output::say(&format!("hint: {hint}"));
    }
}

fn report_launch(error: &LaunchError) {
    if error.is_interrupted() {
        output::say(&format!("interrupted while bringing up pod `{}`", error.pod));
    } else {
        for failure in &error.failures {
            report_failure(failure);
        }
    }
    for failure in &error.left {
        report_failure(failure);
    }
    let former = if error.former_removed { "; the former pod is gone" } else { "" };
    if error.left.is_empty() {
        output::say(&format!("nothing of pod `{}` was left behind{former}", error.pod));
    } else {
        output::say(&format!(
            "error: pod `{pod}` could not be undone completely{former}\n\
             hint: `crilet rm {pod}` removes what is left",
            pod = error.pod
        ));
    }
}

/// Findings stand for themselves, at their places.
fn report_findings(findings: &[impl std::fmt::Display]) {
    for finding in findings {
        output::say(&finding.to_string());
    }
    let count = findings.len();
    let plural = if count == 1 { "" } else { "s" };
    output::say(&format!("error: {count} finding{plural} in the input; nothing was touched"));
}

/// Tells one failed step with its hint.
pub(crate) fn report_failure(failure: &Failure) {
    output::say(&format!("error: failed to {}", ErrorChain(failure)));
    if let Some(hint) = failure.hint() {
        output::say(&format!("hint: {hint}"));
    }
}

/// Tells what clap found wrong, or the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // Nobody listening is no reason to fail.
    drop(error.print());
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}
