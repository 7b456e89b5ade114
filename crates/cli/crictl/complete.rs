//! Completion of crictl's words, in shells that speak of `crictl` and behind `crilet crictl`.

use std::process::ExitCode;

use crilet_cri::{Client, v1};
use crilet_crictl::{
    commands::GLOBAL,
    completion::{Names, Place, Wanted},
    flags,
};
use tokio::time::timeout;

use super::{Call, Fail, Result, config, print, reach, show::short};
use crate::{
    complete::{self, Candidate, PATIENCE, Shell},
    connect,
    errors::CliError,
    output,
};

/// The option by which a shell's script asks.
pub(super) const ASKED_BY: &str = "--complete";
/// Ids are as long as tables show them, unless more was written.
const SHOWN: usize = 13;

/// Prints the script for a shell.
pub(super) fn script(call: &Call) -> Result<()> {
    let shell = match call.line.arguments.as_slice() {
        [] => "bash",
        [shell] => shell,
        _ => return Err(Fail::Help),
    };
    let shell = known(shell).ok_or_else(|| Fail::fatal("only bash, zsh or fish are supported"))?;
    print(&complete::script(shell, super::NAME, ASKED_BY))
}

/// A shell by its name.
pub(super) fn known(name: &str) -> Option<Shell> {
    match name {
        "bash" => Some(Shell::Bash),
        "zsh" => Some(Shell::Zsh),
        "fish" => Some(Shell::Fish),
        _ => None,
    }
}

/// Prints what may stand where the last of these words is, which follow the program's name.
pub(crate) async fn run(shell: Shell, words: &[String]) -> Result<ExitCode, CliError> {
    let place = Place::find(words);
    let mut candidates: Vec<Candidate> =
        place.candidates().into_iter().map(|(word, help)| Candidate::new(word, help)).collect();
    if let Some(names) = place.names() {
        let found = timeout(PATIENCE, read(words, &place, names)).await;
        candidates.extend(found.ok().flatten().unwrap_or_default());
    }
    candidates.retain(|candidate| candidate.word.starts_with(place.beginning()));
    let text = complete::text(shell, &candidates, place.takes_files());
    output::data(&text).map_err(CliError::Output)?;
    Ok(ExitCode::SUCCESS)
}

/// Names of what there is now; nothing where nobody answers.
async fn read(words: &[String], place: &Place<'_>, names: Names) -> Option<Vec<Candidate>> {
    let before = words.split_last().map(|(_, before)| before).unwrap_or_default();
    let global = flags::parse(GLOBAL, false, before, &connect::text_variable).ok()?;
    let config = config::load(&global).ok()?;
    let mut call = Call::new(global, config);
    call.services = match names {
        Names::Images => reach::Services::Images,
        Names::Pods { .. } | Names::Containers(_) => reach::Services::Runtime,
    };
    let client = reach::client(&call).await.ok()?;
    let word = place.beginning().strip_prefix(place.prefix()).unwrap_or_default();
    let mut found = match names {
        Names::Pods { ready } => pods(&client, ready, word).await?,
        Names::Containers(wanted) => containers(&client, wanted, word).await?,
        Names::Images => images(&client, word).await?,
    };
    for candidate in &mut found {
        candidate.word.insert_str(0, place.prefix());
    }
    Some(found)
}

/// An id as long as it is needed.
fn shown(id: String, word: &str) -> String {
    if word.len() > SHOWN { id } else { short(&id, "") }
}

async fn pods(client: &Client, ready: bool, word: &str) -> Option<Vec<Candidate>> {
    let pods = client.list_pod_sandboxes(None).await.ok()?;
    let is_wanted =
        |pod: &v1::PodSandbox| !ready || pod.state() == v1::PodSandboxState::SandboxReady;
    let pods = pods.into_iter().filter(is_wanted).map(|pod| {
        let metadata = pod.metadata.unwrap_or_default();
        let help = format!("pod {}/{}", metadata.namespace, metadata.name);
        Candidate::new(shown(pod.id, word), help)
    });
    Some(pods.collect())
}

async fn containers(client: &Client, wanted: Wanted, word: &str) -> Option<Vec<Candidate>> {
    let state = match wanted {
        Wanted::Any => None,
        Wanted::Running => Some(v1::ContainerState::ContainerRunning),
        Wanted::Created => Some(v1::ContainerState::ContainerCreated),
    };
    let containers = client.list_containers(None).await.ok()?;
    let is_wanted = |one: &v1::Container| state.is_none_or(|state| state == one.state());
    let containers = containers.into_iter().filter(is_wanted).map(|one| {
        let name = one.metadata.unwrap_or_default().name;
        Candidate::new(shown(one.id, word), format!("container {name}"))
    });
    Some(containers.collect())
}

/// Images by name; by id where they have none, or where an id was begun.
async fn images(client: &Client, word: &str) -> Option<Vec<Candidate>> {
    let images = client.list_images(None).await.ok()?;
    let mut found = Vec::new();
    for image in images {
        let id = image.id.strip_prefix("sha256:").unwrap_or(&image.id).to_owned();
        if image.repo_tags.is_empty() || !word.is_empty() {
            let help = image.repo_tags.first().cloned();
            let help = help.unwrap_or_else(|| "image without a name".to_owned());
            found.push(Candidate::new(shown(id, word), help));
        }
        found.extend(image.repo_tags.into_iter().map(|name| Candidate::new(name, "image")));
    }
    Some(found)
}
