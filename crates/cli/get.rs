//! `crilet get`.

use std::{process::ExitCode, sync::Arc};

use clap::Args;
use crilet_api::{ContainerKind, ContainerState, Phase, Pod, PodList, Problem};

use crate::{
    daemon::{self, Follower, Seen},
    errors::CliError,
    global::Global,
    output::{self, GrowingTable},
    values::Form,
};

/// Options of `crilet get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Only these: NAME, NAMESPACE/NAME, or the beginning of a sandbox's id; `pods` is all of them
    #[arg(value_name = "POD")]
    pods: Vec<String>,
    /// How to print them
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    /// Go on with every change
    #[arg(short, long)]
    watch: bool,
}

/// Prints the pods that the daemon keeps.
pub(crate) async fn run(global: &Global, mut args: GetArgs) -> Result<ExitCode, CliError> {
    // A habit of people who know kubectl. A pod of that name is found by `default/pods`.
    if args.pods.first().is_some_and(|word| ["pod", "pods", "po"].contains(&word.as_str())) {
        args.pods.remove(0);
    }
    let client = daemon::client(global);
    if args.watch {
        return watch(Follower::start(client).await?, &args).await;
    }
    let list = client.pods().await?;
    let written = match (args.pods.as_slice(), args.output) {
        ([one], Form::Json) => output::json(&find(&list, one)?),
        ([one], Form::Yaml) => output::yaml(&find(&list, one)?),
        _ => print(&select(list, &args.pods)?, args.output),
    };
    written.map_err(CliError::Output)?;
    if args.pods.is_empty() && matches!(args.output, Form::Table | Form::Wide) {
        client.node().await?.problems.iter().for_each(warn);
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells what is wrong beside the pods, such as a manifest that none could be made of.
fn warn(problem: &Problem) {
    if problem.findings.is_empty() {
        output::say(&format!("warning: {}", problem.message));
    }
    for finding in &problem.findings {
        output::say(&format!("warning: {finding}"));
    }
}

fn find(list: &PodList, query: &str) -> Result<Arc<Pod>, CliError> {
    daemon::find(list, query).map_err(CliError::FindKept)
}

fn select(list: PodList, queries: &[String]) -> Result<PodList, CliError> {
    if queries.is_empty() {
        return Ok(list);
    }
    Ok(PodList { items: daemon::find_all(&list, queries)?, ..list })
}

fn print(list: &PodList, form: Form) -> std::io::Result<()> {
    match form {
        Form::Json => output::json(list),
        Form::Yaml => output::yaml(list),
        Form::Name => {
            output::data(&list.items.iter().map(|p| p.full_name() + "\n").collect::<String>())
        }
        Form::Table | Form::Wide => {
            if list.items.is_empty() {
                output::say("the daemon keeps no pods");
                return Ok(());
            }
            let rows: Vec<_> = list.items.iter().map(|pod| row(pod, false, form)).collect();
            output::data(&output::table(header(form), &rows))
        }
    }
}

/// Prints what is and then every change, over restarts of the daemon.
async fn watch(mut follower: Follower, args: &GetArgs) -> Result<ExitCode, CliError> {
    let mut table = GrowingTable::new(header(args.output));
    loop {
        let seen = follower.next().await?;
        let chosen: Vec<_> = seen.iter().filter(|seen| is_chosen(&seen.pod, &args.pods)).collect();
        let text = match args.output {
            Form::Table | Form::Wide => {
                table.add(chosen.iter().map(|seen| row(&seen.pod, seen.gone, args.output)))
            }
            form => chosen.iter().map(|seen| line(seen, form)).collect::<Result<_, _>>()?,
        };
        output::data(&text).map_err(CliError::Output)?;
        if output::reader_is_gone() {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn is_chosen(pod: &Arc<Pod>, queries: &[String]) -> bool {
    let list = PodList { revision: 0, items: vec![Arc::clone(pod)] };
    queries.is_empty() || queries.iter().any(|query| daemon::find(&list, query).is_ok())
}

fn line(seen: &Seen, form: Form) -> Result<String, CliError> {
    let pod = &seen.pod;
    let gone = serde_json::json!({ "gone": pod.reference() });
    let failed = |error: std::io::Error| CliError::Output(error);
    match form {
        Form::Name => Ok(pod.full_name() + "\n"),
        Form::Yaml if seen.gone => {
            output::yaml_text(&gone).map_err(failed).map(|t| format!("---\n{t}"))
        }
        Form::Yaml => output::yaml_text(pod).map_err(failed).map(|text| format!("---\n{text}")),
        _ if seen.gone => Ok(format!("{gone}\n")),
        _ => serde_json::to_string(pod).map(|text| text + "\n").map_err(|e| failed(e.into())),
    }
}

fn header(form: Form) -> &'static [&'static str] {
    match form {
        Form::Wide => {
            &["POD", "STATUS", "READY", "RESTARTS", "AGE", "IP", "PORTS", "IMAGES", "SOURCE"]
        }
        _ => &["POD", "STATUS", "READY", "RESTARTS", "AGE", "IP", "PORTS"],
    }
}

fn row(pod: &Pod, gone: bool, form: Form) -> Vec<String> {
    let regular = || pod.containers.iter().filter(|c| c.kind != ContainerKind::Init);
    let ready = regular().filter(|container| container.ready).count();
    let ports: Vec<_> =
        pod.ports.iter().filter(|port| port.host_port.is_some()).map(ToString::to_string).collect();
    let ip = match pod.ips.first() {
        _ if pod.host_network => "host".to_owned(),
        Some(ip) => ip.to_string(),
        None => "-".to_owned(),
    };
    let mut row = vec![
        pod.full_name(),
        if gone { "Deleted".to_owned() } else { status(pod) },
        format!("{ready}/{}", regular().count()),
        pod.restarts().to_string(),
        daemon::age(pod.created_at),
        ip,
        or_dash(ports.join(",")),
    ];
    if form == Form::Wide {
        let images: Vec<_> = pod.containers.iter().map(|c| c.image.as_str()).collect();
        row.extend([or_dash(images.join(",")), pod.source.place()]);
    }
    row
}

/// The phase, or what holds a container up, as kubectl's column has it.
pub(crate) fn status(pod: &Pod) -> String {
    let held_up = pod.containers.iter().find_map(|container| match &container.state {
        ContainerState::Waiting { reason, .. }
            if !["ContainerCreating", "PodInitializing"].contains(&reason.as_str()) =>
        {
            Some(reason.clone())
        }
        _ => None,
    });
    let mut status = match pod.phase {
        Phase::Pending | Phase::Running => held_up.unwrap_or_else(|| pod.phase.to_string()),
        phase => phase.to_string(),
    };
    if !pod.problems.is_empty() {
        status.push('!');
    }
    status
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}
