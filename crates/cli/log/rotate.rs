//! `crilet log rotate`.

use std::{collections::BTreeSet, process::ExitCode, sync::Arc};

use clap::Args;
use crilet_core::read_size;
use crilet_cri::{
    Client,
    inventory::{self, Detail, Pod},
};
use crilet_log::{Config, Event, Rotator, Selection, Settings, Watch, is_kubelets};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Configured, is_up, select};
use crate::{connect, errors::CliError, output, values};

/// Options of `crilet log rotate`.
#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// Only logs of these: NAME, NAMESPACE/NAME, an id or its beginning
    #[arg(value_name = "POD")]
    pods: Vec<String>,
    /// One pass over all logs, as for cron; without it, until Ctrl-C
    #[arg(long)]
    once: bool,
    /// Size at which a log is rotated, or none; 10Mi unless the daemon's configuration says otherwise
    #[arg(long, value_name = "SIZE")]
    max_size: Option<String>,
    /// Files that are kept of a log, the one that is written among them; 5 likewise
    #[arg(long, value_name = "COUNT")]
    max_files: Option<String>,
    /// How old lines may get, such as 36h or 14d; as old as it takes by default
    #[arg(long, value_name = "TIME")]
    max_age: Option<String>,
    /// How rotated files are compressed: gzip, zstd or none; gzip by default
    #[arg(long, value_name = "FORM")]
    compression: Option<String>,
    /// What all logs of the node may take; the oldest files go first
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    budget: Option<u64>,
    /// What stays free on file systems with logs; 2 % and at most 256Mi by default
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    min_free: Option<u64>,
    /// Logs of a kubelet's pods as well, which it rotates itself
    #[arg(long)]
    kubelet_pods: bool,
    #[command(flatten)]
    configured: Configured,
}

impl RotateArgs {
    fn config(&self, selection: Selection) -> Result<Config, CliError> {
        let mut settings = Settings::default();
        let given = [
            ("max-size", &self.max_size),
            ("max-files", &self.max_files),
            ("max-age", &self.max_age),
            ("compression", &self.compression),
        ];
        for (name, value) in given {
            if let Some(value) = value {
                let set = settings.set(name, value);
                set.map_err(|cause| CliError::Setting { option: name, cause })?;
            }
        }
        let mut config = Config::new(connect::state_root().join("logs.lock"));
        let daemons = self.configured.logs()?;
        config.policy = settings.over(daemons.settings().over(config.policy));
        config.budget = self.budget.or_else(|| read_size(daemons.budget.as_deref()?));
        config.min_free = self.min_free.or_else(|| read_size(daemons.min_free.as_deref()?));
        config.kubelets = self.kubelet_pods;
        config.selection = selection;
        Ok(config)
    }
}

/// Rotates until it is told to end, or once.
pub(super) async fn run(client: Client, args: RotateArgs) -> Result<ExitCode, CliError> {
    // What is wrong with the options is told before the runtime is asked.
    args.config(Selection::All)?;
    let selection = selection(&client, &args).await?;
    let config = args.config(selection)?;
    let watch = Watch::start().map_err(|cause| CliError::Start { cause })?;
    let rotator = Rotator::try_new(client, config, Arc::new(watch), tell)?;
    if args.once {
        let problems = rotator.once().await;
        return Ok(if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let cancel = CancellationToken::new();
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(|cause| CliError::Start { cause })?;
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|cause| CliError::Start { cause })?;
    let ended = cancel.clone();
    let signals = tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        ended.cancel();
    });
    rotator.run(cancel).await;
    signals.abort();
    Ok(ExitCode::SUCCESS)
}

/// What happens is data: a line for each event. What is wrong goes to stderr.
fn tell(event: Event) {
    let text = event.to_string();
    if event.is_problem() {
        output::say(&format!("warning: {text}"));
    } else {
        // Nobody who reads is no reason not to rotate.
        output::line(&text).unwrap_or_default();
    }
}

/// Finds the pods that are named. A kubelet's are refused without the option that wants them.
async fn selection(client: &Client, args: &RotateArgs) -> Result<Selection, CliError> {
    let pods = inventory::read(client, Detail::Lists).await?;
    let kubelets: Vec<Pod> =
        pods.iter().filter(|pod| is_up(pod) && is_kubelets(pod)).cloned().collect();
    if args.pods.is_empty() {
        if !kubelets.is_empty() && !args.kubelet_pods {
            let names: Vec<_> = kubelets.iter().map(Pod::full_name).collect();
            output::say(&format!(
                "left to their kubelet: {} (--kubelet-pods rotates them nevertheless)",
                names.join(", ")
            ));
        }
        return Ok(Selection::All);
    }
    let chosen = select(pods, &args.pods)?;
    if let Some(pod) = chosen.iter().find(|pod| is_kubelets(pod)).filter(|_| !args.kubelet_pods) {
        return Err(CliError::KubeletsPod { pod: pod.full_name() });
    }
    let names: BTreeSet<String> = chosen.iter().map(Pod::full_name).collect();
    Ok(Selection::Pods(names))
}
