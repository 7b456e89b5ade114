//! `crilet`: pods on one machine, without Kubernetes.

mod apply;
mod args;
mod attach;
mod cni;
mod connect;
mod cp;
mod crictl;
mod daemon;
mod delete;
mod describe;
mod errors;
mod events;
mod exec;
mod get;
mod global;
mod image;
mod image_gc;
mod install;
mod log;
mod logs;
mod manifests;
mod net;
mod output;
mod pods;
mod port_forward;
mod progress;
mod ps;
mod publish;
mod restart;
mod rm;
mod run;
mod runtime;
mod serve;
mod session;
mod start;
mod stop;
mod streams;
mod target;
mod terminal;
mod values;
mod version;
mod wait;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::{Cli, Verb},
    errors::CliError,
};

fn main() -> ExitCode {
    // Before the command line of crilet, which is not even made then.
    if let Some(line) = crictl::line(std::env::args_os()) {
        return crictl::main(&line);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return errors::usage(&error),
    };
    // The daemon logs in its own way, from its own first word on.
    if !matches!(cli.verb, Verb::Serve(_) | Verb::Crictl(_)) {
        start_tracing(cli.global.verbose);
    }
    // One thread: a command makes a handful of calls, and starting threads costs more than they do.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => return errors::report(&CliError::Start { cause }),
    };
    let result = runtime.block_on(Box::pin(dispatch(cli)));
    // What is still under way in the background, such as a signal handler, must not hold us up.
    runtime.shutdown_background();
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
        Verb::Exec(args) => exec::run(global, args).await,
        Verb::Attach(args) => attach::run(global, args).await,
        Verb::Cp(args) => cp::run(global, args).await,
        Verb::PortForward(args) => port_forward::run(global, args).await,
        Verb::Publish(args) => publish::run(global, args).await,
        Verb::Unpublish(args) => publish::run_unpublish(global, args).await,
        Verb::Net(args) => net::run(global, args).await,
        Verb::Cni(args) => cni::run(args),
        Verb::Image(args) => image::run(global, args).await,
        Verb::Runtime(args) => runtime::run(args).await,
        Verb::Crictl(args) => Ok(crictl::run(&args.line(global)).await),
        Verb::Version(args) => version::run(global, args).await,
    }
}

/// Words for people who look for a fault go to stderr; `CRILET_LOG` chooses more finely.
pub(crate) fn start_tracing(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "crilet=debug,warn",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("CRILET_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
