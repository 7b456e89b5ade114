//! `crilet net doctor`.

use std::{collections::BTreeSet, io::IsTerminal as _, process::ExitCode};

use clap::Args;
use crilet_core::ErrorChain;
use crilet_network::{
    config::Severity,
    doctor::{Finding, Mended, Repair, examine, mend, scope},
    snapshot::Snapshot,
};
use serde_json::json;

use super::{
    FINDINGS,
    source::{SourceArgs, tell_problems},
};
use crate::{errors::CliError, global::Global, output};

/// It could not be looked at everything.
const NOT_LOOKED: u8 = 2;
/// Pieces of evidence that are shown of one finding; JSON has all.
const SHOWN: usize = 5;
/// How often it is looked again when rules change between looking and mending.
const ATTEMPTS: u32 = 5;

/// Options of `crilet net doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "The status is 0 when nothing is wrong (notes do not count), 1 when something is, and \
    2 when it could not be looked.\n\n\
    crilet net doctor\n\
    crilet net doctor --from node.json\n\
    crilet net doctor --fix --dry-run\n\
    crilet net doctor --fix --yes"
)]
pub(super) struct DoctorArgs {
    /// Mend what can be mended without touching what a live pod owns, after showing it and asking
    #[arg(long, conflicts_with = "from")]
    fix: bool,
    /// Show what --fix would do, and do nothing
    #[arg(long, requires = "fix")]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long, requires = "fix")]
    yes: bool,
    /// How to print findings
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    #[command(flatten)]
    source: SourceArgs,
}

/// Forms of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Form {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

/// Tells what is wrong, and mends it where that is asked for.
pub(super) async fn run(global: &Global, args: &DoctorArgs) -> Result<ExitCode, CliError> {
    let snapshot = look(global, args).await?;
    tell_problems(&snapshot);
    let findings = examine(&snapshot);
    if args.fix {
        return fix(global, args, &snapshot, &findings).await;
    }
    match args.output {
        Form::Json => output::json(&findings),
        Form::Table => output::data(&table(&findings)),
    }
    .map_err(CliError::Output)?;
    if findings.is_empty() && args.output == Form::Table {
        output::say(&healthy(&snapshot));
    }
    let status = status(&findings);
    if status == ExitCode::SUCCESS && !snapshot.problems.is_empty() {
        return Ok(ExitCode::from(NOT_LOOKED));
    }
    Ok(status)
}

async fn look(global: &Global, args: &DoctorArgs) -> Result<Snapshot, CliError> {
    let taken = args.source.snapshot(global).await;
    taken.map_err(|error| CliError::NotLooked(Box::new(error)))
}

/// What a person hears when nothing is wrong: that something was looked at.
fn healthy(snapshot: &Snapshot) -> String {
    let read = if snapshot.problems.is_empty() { "" } else { " in what could be read" };
    format!("no findings{read}: {}", scope(snapshot))
}

fn status(findings: &[Finding]) -> ExitCode {
    let counts = findings.iter().any(|finding| finding.severity > Severity::Note);
    if counts { ExitCode::from(FINDINGS) } else { ExitCode::SUCCESS }
}

/// A line for each finding, and below it what was seen, why that matters and what to do.
fn table(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.id.len()).max().unwrap_or_default();
    let one = |finding: &Finding| {
        let Finding { id, severity, what, why, evidence, fix, .. } = finding;
        let mut lines = vec![format!("{severity:<8} {id:<width$}  {what}")];
        lines.extend(evidence.iter().take(SHOWN).map(|one| format!("  seen   {one}")));
        if evidence.len() > SHOWN {
            lines.push(format!("  seen   and {} more", evidence.len() - SHOWN));
        }
        lines.extend([format!("  why    {why}"), format!("  do     {fix}")]);
        lines.join("\n") + "\n"
    };
    findings.iter().map(one).collect()
}

/// What can be mended, each once.
fn plan(findings: &[Finding]) -> BTreeSet<Repair> {
    findings.iter().flat_map(|finding| finding.repairs.iter().cloned()).collect()
}

async fn fix(
    global: &Global,
    args: &DoctorArgs,
    snapshot: &Snapshot,
    findings: &[Finding],
) -> Result<ExitCode, CliError> {
    let plan = plan(findings);
    if args.dry_run || plan.is_empty() {
        show(args, &plan, findings)?;
        return Ok(status(findings));
    }
    // What could not be read may be a live pod's.
    if let Some(problem) = snapshot.problems.first() {
        return Err(CliError::Blind { problem: problem.clone() });
    }
    if !args.yes {
        agreed(&plan)?;
    }
    let (mended, after) = carry_out(global, args, &plan).await?;
    report(args, &plan, &mended, &after)?;
    if !mended.failed.is_empty() {
        return Ok(ExitCode::from(FINDINGS));
    }
    Ok(status(&after))
}

fn show(args: &DoctorArgs, plan: &BTreeSet<Repair>, findings: &[Finding]) -> Result<(), CliError> {
    match args.output {
        Form::Json => output::json(&json!({ "plan": plan, "findings": findings })),
        Form::Table => {
            let lines: String = plan.iter().map(|repair| format!("  {repair}\n")).collect();
            let head = if plan.is_empty() { "nothing to mend\n" } else { "would\n" };
            output::data(&format!("{}{head}{lines}", table(findings)))
        }
    }
    .map_err(CliError::Output)
}

/// Asks a person.
fn agreed(plan: &BTreeSet<Repair>) -> Result<(), CliError> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(CliError::NobodyToAsk);
    }
    for repair in plan {
        output::say(&format!("  {repair}"));
    }
    output::say(&format!("Make {} changes? Type yes:", plan.len()));
    let mut answer = String::new();
    stdin.read_line(&mut answer).map_err(CliError::Input)?;
    if answer.trim().eq_ignore_ascii_case("yes") { Ok(()) } else { Err(CliError::Declined) }
}

/// Looks again, and does of the plan what is still wrong; gives what is wrong afterwards.
async fn carry_out(
    global: &Global,
    args: &DoctorArgs,
    plan: &BTreeSet<Repair>,
) -> Result<(Mended, Vec<Finding>), CliError> {
    for _ in 0..ATTEMPTS {
        let now = look(global, args).await?;
        if let Some(problem) = now.problems.first() {
            return Err(CliError::Blind { problem: problem.clone() });
        }
        let still: Vec<Repair> = self::plan(&examine(&now)).intersection(plan).cloned().collect();
        let mending = tokio::task::spawn_blocking(move || mend(&still, &now));
        let mended = mending
            .await
            .map_err(|error| CliError::Start { cause: std::io::Error::other(error) })?;
        if !mended.changed {
            let after = examine(&look(global, args).await?);
            return Ok((mended, after));
        }
    }
    Err(CliError::RulesChange)
}

fn report(
    args: &DoctorArgs,
    plan: &BTreeSet<Repair>,
    mended: &Mended,
    after: &[Finding],
) -> Result<(), CliError> {
    for (repair, error) in &mended.failed {
        output::say(&format!("failed to {repair}: {}", ErrorChain(error)));
    }
    let failed = mended
        .failed
        .iter()
        .map(|(repair, error)| json!({ "repair": repair, "why": ErrorChain(error).to_string() }));
    match args.output {
        Form::Json => output::json(&json!({
            "plan": plan,
            "done": mended.done,
            "failed": failed.collect::<Vec<_>>(),
            "findings": after,
        })),
        Form::Table => {
            let done: String =
                mended.done.iter().map(|repair| format!("done: {repair}\n")).collect();
            output::data(&format!("{done}{}", table(after)))
        }
    }
    .map_err(CliError::Output)
}
