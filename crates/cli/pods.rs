//! What verbs that act on existing pods share: resolving names, acting on several at once.

use std::{collections::BTreeMap, future::Future, process::ExitCode, time::Duration};

use clap::{ArgGroup, Args};
use crilet_cri::{
    Client,
    inventory::{self, Detail, Pod},
};
use crilet_pod::{Failure, find};
use futures_util::future::join_all;

use crate::{
    errors::{self, CliError},
    output, values,
};

/// Which pods, and how long they may take to end.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("targets").required(true))]
pub(crate) struct Targets {
    /// Pods: NAME, NAMESPACE/NAME, an id or its beginning
    #[arg(value_name = "POD", group = "targets")]
    pods: Vec<String>,
    /// All pods of the runtime, whoever made them
    #[arg(short, long, group = "targets")]
    all: bool,
    /// How long containers may take to end before they are killed
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = values::duration)]
    pub(crate) grace: Duration,
}

impl Targets {
    /// Finds every pod that is meant; a sandbox that two words mean is given once.
    async fn resolve(&self, client: &Client) -> Result<Vec<Pod>, CliError> {
        let pods = inventory::read(client, Detail::Lists).await?;
        if self.all {
            return Ok(pods);
        }
        let mut found = BTreeMap::new();
        for query in &self.pods {
            found.extend(find(&pods, query)?.into_iter().map(|pod| (pod.id.clone(), pod.clone())));
        }
        Ok(found.into_values().collect())
    }

    /// Does something to each of the pods side by side, prints the name of each for which it went
    /// well, and tells all failures.
    pub(crate) async fn for_each<'a, F, R>(
        &self,
        client: &'a Client,
        done: &'static str,
        act: F,
    ) -> Result<ExitCode, CliError>
    where
        F: Fn(&'a Client, Pod) -> R,
        R: Future<Output = Result<(), Vec<Failure>>>,
    {
        let pods = self.resolve(client).await?;
        let names: Vec<_> = pods.iter().map(Pod::full_name).collect();
        let results = join_all(pods.into_iter().map(|pod| act(client, pod))).await;
        let mut by_name: BTreeMap<&str, Vec<Failure>> = BTreeMap::new();
        for (name, result) in names.iter().zip(results) {
            by_name.entry(name).or_default().extend(result.err().unwrap_or_default());
        }
        let total = by_name.len();
        let mut failed = 0;
        for (name, failures) in by_name {
            if failures.is_empty() {
                output::line(name).map_err(CliError::Output)?;
            } else {
                failed += 1;
                failures.iter().for_each(errors::report_failure);
            }
        }
        if failed > 0 { Err(CliError::Some { failed, total, done }) } else { Ok(ExitCode::SUCCESS) }
    }
}
