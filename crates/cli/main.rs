//! `crilet`: pods on one machine, without Kubernetes.

mod apply;
mod args;
mod attach;
mod cni;
mod complete;
mod connect;
mod cp;
mod credentials;
mod crictl;
mod daemon;
mod delete;
mod describe;
mod errors;
mod events;
mod exec;
mod faults;
mod get;
mod global;
// glibc's allocator needs no help: its small objects lie side by side as they are.
#[cfg(any(target_env = "musl", test))]
mod heap;
mod image;
mod image_gc;
mod images;
mod inspect;
mod install;
mod later;
mod log;
mod logs;
mod man;
mod manifests;
mod net;
mod output;
mod paint;
mod parse;
mod pods;
mod port_forward;
mod progress;
mod ps;
mod publish;
mod pull;
mod restart;
mod rm;
mod run;
mod runtime;
mod serve;
mod session;
mod sheet;
mod start;
mod stats;
mod stop;
mod streams;
mod target;
mod terminal;
mod top;
mod values;
mod version;
mod wait;
mod watch;

use std::{ffi::OsString, mem, process::ExitCode};

use crate::{
    args::{Cli, Verb},
    errors::CliError,
};

#[cfg(target_env = "musl")]
static PLACE: heap::Place = heap::Place::new();
#[cfg(target_env = "musl")]
#[global_allocator]
#[expect(unsafe_code, reason = "nobody else has the place")]
// SAFETY: the place is used here alone.
static HEAP: heap::Heap = unsafe { heap::Heap::new(&PLACE) };

fn main() -> ExitCode {
    // Before the command line of crilet, which is not even made then.
    if let Some(line) = crictl::line(std::env::args_os()) {
        return crictl::main(&line);
    }
    let line: Vec<OsString> = std::env::args_os().collect();
    let cli = match parse::parse(&line) {
        Ok(cli) => cli,
        Err(error) => return errors::usage(&error),
    };
    // The daemon logs in its own way, from its own first word on.
    if !matches!(cli.verb, Verb::Serve(_) | Verb::Crictl(_)) {
        faults::tell(cli.global.verbose);
    }
    // One thread: a command makes a handful of calls, and starting threads costs more than they do.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => return errors::report(&CliError::Start { cause }),
    };
    let result = runtime.block_on(Box::pin(dispatch(cli)));
    // What is still under way in the background, such as a signal handler, must not hold us up; the
    // kernel takes connections and memory apart faster than we would.
    mem::forget(runtime);
    match result {
        Ok(code) => code,
        Err(error) => errors::report(&error),
    }
}

async fn dispatch(cli: Cli) -> Result<ExitCode, CliError> {
    let global = &cli.global;
    match cli.verb {
        Verb::Run(args) => run::run(global, args).await,
        Verb::Ps(args) => ps::run(global, args).await,
        Verb::Stop(args) => stop::run(global, args).await,
        Verb::Rm(args) => rm::run(global, args).await,
        Verb::Serve(args) => serve::run(global, args, serve::start_logging(global.verbose)).await,
        Verb::Apply(args) => apply::run(global, args).await,
        Verb::Get(args) => get::run(global, args).await,
        Verb::Describe(args) => describe::run(global, args).await,
        Verb::Delete(args) => delete::run(global, args).await,
        Verb::Start(args) => start::run(global, args).await,
        Verb::Restart(args) => restart::run(global, args).await,
        Verb::Events(args) => events::run(global, args).await,
        Verb::Wait(args) => wait::run(global, args).await,
        Verb::Install(args) => install::run(&args),
        Verb::Logs(args) => logs::run(global, args).await,
        Verb::Log(args) => log::run(global, args).await,
        Verb::Stats(args) => stats::run(global, args).await,
        Verb::Top(args) => top::run(global, args).await,
        Verb::Inspect(args) => inspect::run(global, args).await,
        Verb::Exec(args) => exec::run(global, args).await,
        Verb::Attach(args) => attach::run(global, args).await,
        Verb::Cp(args) => cp::run(global, args).await,
        Verb::PortForward(args) => port_forward::run(global, args).await,
        Verb::Publish(args) => publish::run(global, args).await,
        Verb::Unpublish(args) => publish::run_unpublish(global, args).await,
        Verb::Net(args) => net::run(global, args).await,
        Verb::Cni(args) => cni::run(args),
        Verb::Images(args) => images::run(global, args).await,
        Verb::Pull(args) => pull::run(global, args).await,
        Verb::Image(args) => image::run(global, args).await,
        Verb::Runtime(args) => runtime::run(args).await,
        Verb::Crictl(args) => Ok(crictl::run(&args.line(global)).await),
        Verb::Completion(args) => complete::run(&args),
        Verb::Complete(args) => complete::complete(global, args).await,
        Verb::Man(args) => man::run(&args),
        Verb::Version(args) => version::run(global, args).await,
    }
}
