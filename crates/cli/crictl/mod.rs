//! `crilet crictl`, and crilet under the name `crictl`: crictl 1.36 from outside.
//!
//! `crilet_crictl` knows the command line and the forms of output; here the runtime is spoken to. What
//! goes wrong is told in crictl's words and with its statuses, which scripts know: 1, and 3 for a
//! command that does not exist.

mod change;
mod complete;
mod config;
mod events;
mod inspect;
mod list;
mod logs;
mod make;
mod reach;
mod report;
mod show;
mod stats;
mod streams;

use std::{ffi::OsString, path::Path, process::ExitCode, time::Duration};

use clap::Args;
use crilet_cri::Endpoint;
use crilet_crictl::{
    commands::{self, COMMANDS, GLOBAL, VERSION},
    flags::{self, Command, Parsed},
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

pub(crate) use self::complete::run as complete;
use self::report::{Fail, INTERRUPTED};
use crate::{connect, errors::CliError, global::Global, output};

/// The name under which crilet is crictl.
pub(crate) const NAME: &str = "crictl";

type Result<T, E = Fail> = std::result::Result<T, E>;

/// Arguments of `crilet crictl`, for help and for options of crilet's in front of it: everything else
/// goes past crilet's own command line.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct CrictlArgs {
    /// crictl's own command line; `--link DIR` makes DIR/crictl a link to crilet
    #[arg(value_name = "CRICTL ARGUMENTS", trailing_var_arg = true, allow_hyphen_values = true)]
    line: Vec<String>,
}

impl CrictlArgs {
    /// The line, behind the sockets that crilet was told.
    pub(crate) fn line(self, global: &Global) -> Vec<String> {
        let option = |name: &str, endpoint: &Option<Endpoint>| {
            let endpoint = endpoint.as_ref()?;
            Some([format!("--{name}"), endpoint.to_string()])
        };
        let runtime = option("runtime-endpoint", &global.runtime_endpoint);
        let images = option("image-endpoint", &global.image_endpoint);
        runtime.into_iter().chain(images).flatten().chain(self.line).collect()
    }
}

/// A command that is to be done.
#[derive(Debug)]
struct Call {
    /// Options in front of the command.
    global: Parsed,
    /// What crictl.yaml says.
    config: crilet_crictl::config::Config,
    /// Options and arguments of the command.
    line: Parsed,
    /// Whom the command speaks to.
    services: reach::Services,
    /// Whether a signal wants it to end.
    interrupt: watch::Sender<bool>,
}

impl Call {
    fn new(global: Parsed, config: crilet_crictl::config::Config) -> Self {
        let (line, services) = (Parsed::default(), reach::Services::Both);
        Self { global, config, line, services, interrupt: watch::Sender::new(false) }
    }
}

/// How long a command may take to say what a signal has ended.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The command line for crictl, if that is who is called: by its name, or as the first word.
pub(crate) fn line(words: impl IntoIterator<Item = OsString>) -> Option<Vec<String>> {
    let mut words = words.into_iter().map(|word| word.to_string_lossy().into_owned()).peekable();
    let program = words.next().unwrap_or_default();
    let by_name = Path::new(&program).file_name().is_some_and(|name| name == NAME);
    if !by_name {
        words.next_if(|word| word == NAME)?;
    }
    Some(words.collect())
}

/// Is crictl, to its end.
pub(crate) fn main(line: &[String]) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => return crate::errors::report(&CliError::Start { cause }),
    };
    let code = runtime.block_on(Box::pin(run(line)));
    runtime.shutdown_background();
    code
}

/// Is crictl, within a runtime that is there.
pub(crate) async fn run(line: &[String]) -> ExitCode {
    match Box::pin(dispatch(line)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fail) => fail.report(),
    }
}

async fn dispatch(line: &[String]) -> Result<()> {
    if let [option, directory] = line
        && option == "--link"
    {
        return link(Path::new(directory));
    }
    if let [option, shell, _dashes, program_and_words @ ..] = line
        && option == complete::ASKED_BY
        && let Some(shell) = complete::known(shell)
    {
        let words = program_and_words.get(1..).unwrap_or_default();
        return complete::run(shell, words).await.map(drop).map_err(Fail::from);
    }
    let global = flags::parse(GLOBAL, false, line, &connect::text_variable)
        .or_else(|error| misused(error, &help()))?;
    if global.wants_help() {
        return print(&help());
    }
    if global.bool("version") {
        return print(&format!(
            "crictl version {VERSION} (crilet {})\n",
            env!("CARGO_PKG_VERSION")
        ));
    }
    let config = config::load(&global)?;
    let Some((name, rest)) = global.arguments.split_first() else { return print(&help()) };
    if matches!(name.as_str(), "help" | "h") {
        return help_for("", &help(), rest, commands::find);
    }
    let command = commands::find(name).ok_or_else(|| Fail::no_topic(name))?;
    let path = format!("{NAME} {}", command.name());
    let rest = rest.to_vec();
    Box::pin(command_line(command, &path, &rest, Call::new(global, config))).await
}

/// Reads the command's own options, and does it.
async fn command_line(
    command: &'static Command,
    path: &str,
    line: &[String],
    mut call: Call,
) -> Result<()> {
    let shown = flags::command_help(path, command);
    call.line = flags::parse(command.flags, command.bundles, line, &connect::text_variable)
        .or_else(|error| misused(error, &shown))?;
    if call.line.wants_help() {
        return print(&shown);
    }
    if let Some((first, rest)) = call.line.arguments.split_first() {
        if matches!(first.as_str(), "help" | "h") {
            return help_for(path, &shown, rest, |topic| command.command(topic));
        }
        if let Some(inner) = command.command(first) {
            return schema(inner, &format!("{path} {}", inner.name()), rest);
        }
    }
    call.services = reach::Services::of(command.name(), call.line.bool("prune"));
    match Box::pin(unless_interrupted(command.name(), &call)).await {
        Err(Fail::Help) => print(&shown),
        other => other,
    }
}

/// Does a command until a signal wants it to end, which is a failure. What was asked of the runtime then
/// is taken back, and told as what has failed. Commands that go on until a signal have an end of their own.
async fn unless_interrupted(name: &str, call: &Call) -> Result<()> {
    if matches!(name, "logs" | "port-forward") || call.line.is_set("watch") {
        return act(name, call).await;
    }
    let start = |kind| signal(kind).map_err(|error| Fail::Fatal(error.to_string()));
    let (mut interrupt, mut terminate) =
        (start(SignalKind::interrupt())?, start(SignalKind::terminate())?);
    let mut acting = std::pin::pin!(act(name, call));
    tokio::select! {
        done = &mut acting => return done,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    call.interrupt.send_replace(true);
    let done = tokio::time::timeout(LAST_WORDS, acting).await;
    done.unwrap_or_else(|_| Err(Fail::fatal(INTERRUPTED)))
}

async fn act(name: &str, call: &Call) -> Result<()> {
    match name {
        "attach" => streams::attach(call).await,
        "checkpoint" => change::checkpoint(call).await,
        "completion" => complete::script(call),
        "config" => config::run(call),
        "create" => make::create(call).await,
        "events" => events::run(call).await,
        "exec" => streams::exec(call).await,
        "imagefsinfo" => inspect::image_fs_info(call).await,
        "images" => list::images(call).await,
        "info" => inspect::info(call).await,
        "inspect" => inspect::containers(call).await,
        "inspecti" => inspect::images(call).await,
        "inspectp" => inspect::pods(call).await,
        "logs" => logs::run(call).await,
        "metricdescs" => stats::metric_descriptors(call).await,
        "metricsp" => stats::metrics(call).await,
        "pods" => list::pods(call).await,
        "port-forward" => streams::port_forward(call).await,
        "ps" => list::containers(call).await,
        "pull" => make::pull(call).await,
        "rm" => change::remove(call).await,
        "rmi" => change::remove_images(call).await,
        "rmp" => change::remove_pods(call).await,
        "run" => make::run(call).await,
        "runp" => make::run_pod(call).await,
        "runtime-config" => inspect::runtime_config(call).await,
        "start" => change::start(call).await,
        "stats" => stats::containers(call).await,
        "statsp" => stats::pods(call).await,
        "stop" => change::stop(call).await,
        "stopp" => change::stop_pods(call).await,
        "update" => change::update(call).await,
        "update-runtime-config" => change::update_runtime_config(call).await,
        _ => inspect::version(call).await,
    }
}

fn help() -> String {
    flags::app_help(GLOBAL, COMMANDS, VERSION)
}

/// The command `help` of what is called by this path, the whole by none: shows what `shown` is, or the
/// help of one of its commands, which `help` is, too.
fn help_for(
    path: &str,
    shown: &str,
    line: &[String],
    find: impl Fn(&str) -> Option<&'static Command>,
) -> Result<()> {
    let own = format!("{path} help");
    let line = flags::parse(&[], false, line, &connect::text_variable)
        .or_else(|error| misused(error, &flags::help_help(&own, true)))?;
    let mut topics = line.arguments.iter().map(String::as_str).peekable();
    let mut is_about_itself = false;
    while topics.next_if(|topic| matches!(*topic, "help" | "h")).is_some() {
        is_about_itself = true;
    }
    match (topics.next(), is_about_itself) {
        (None, false) => print(shown),
        (None, true) => print(&flags::help_help(&own, false)),
        (Some(topic), true) => Err(Fail::no_topic(topic)),
        (Some(topic), false) => {
            let command = find(topic).ok_or_else(|| Fail::no_topic(topic))?;
            let path = if path.is_empty() { NAME } else { path };
            print(&flags::command_help(&format!("{path} {}", command.name()), command))
        }
    }
}

/// Shows help on stdout, and what is wrong with the line on both, as crictl does.
fn misused<T>(error: String, help: &str) -> Result<T> {
    print(&format!("Incorrect Usage: {error}\n\n{help}"))?;
    Err(Fail::Fatal(error))
}

/// The schemas of configurations, which is all that commands of commands are about.
fn schema(command: &'static Command, path: &str, line: &[String]) -> Result<()> {
    use crilet_cri::{schema, v1};
    let shown = flags::command_help(path, command);
    let line = flags::parse(command.flags, command.bundles, line, &connect::text_variable)
        .or_else(|error| misused(error, &shown))?;
    let (pod, container) = match command.flags.is_empty() {
        true => (true, false),
        false => (line.is_set("pod"), line.is_set("container")),
    };
    if line.wants_help() || !pod && !container {
        return print(&shown);
    }
    let wanted = [
        (pod, schema::of::<v1::PodSandboxConfig>()),
        (container, schema::of::<v1::ContainerConfig>()),
    ];
    for (_, message) in wanted.into_iter().filter(|(wanted, _)| *wanted) {
        let schema = crilet_crictl::schema::of(message);
        print(&format!("{}\n", schema.indented(crilet_crictl::json::Escapes::Html)))?;
    }
    Ok(())
}

/// Makes `DIR/crictl` a link to this program.
fn link(directory: &Path) -> Result<()> {
    let failed = |what: String, cause: std::io::Error| Fail::Fatal(format!("{what}: {cause}"));
    let own = std::env::current_exe().map_err(|cause| failed("find crilet".into(), cause))?;
    let link = directory.join(NAME);
    if link.read_link().is_ok_and(|target| target == own) {
        return Ok(());
    }
    std::os::unix::fs::symlink(&own, &link)
        .map_err(|cause| failed(format!("link {} to {}", link.display(), own.display()), cause))?;
    print(&format!("{} -> {}\n", link.display(), own.display()))
}

fn print(text: &str) -> Result<()> {
    output::data(text).map_err(|error| Fail::Fatal(format!("write to standard output: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_or_the_first_word_means_crictl() {
        let line = |words: &[&str]| line(words.iter().map(OsString::from));
        assert_eq!(line(&["/usr/bin/crictl", "ps", "-a"]).unwrap(), ["ps", "-a"]);
        assert_eq!(line(&["crilet", "crictl", "ps"]).unwrap(), ["ps"]);
        assert_eq!(line(&["crictl"]).unwrap(), Vec::<String>::new());
        assert_eq!(line(&["crictl", "crictl"]).unwrap(), ["crictl"]);
        assert!(line(&["crilet", "ps"]).is_none());
        assert!(line(&["crilet"]).is_none());
    }
}
