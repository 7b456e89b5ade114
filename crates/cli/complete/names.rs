//! Names of what there is now. Whoever does not answer has none.

use std::collections::BTreeSet;

use crilet_cri::{
    Client,
    inventory::{self, ContainerState, Detail, Pod, PodState},
};

use super::{
    Candidate,
    place::{Names, Place},
};
use crate::{connect, daemon, global::Global};

/// Names that may stand at a place.
pub(super) async fn read(global: &Global, place: &Place<'_>, names: Names) -> Vec<Candidate> {
    let endpoint = place.given("runtime_endpoint").and_then(|text| text.parse().ok());
    let socket = place.given("socket").map(Into::into);
    let global = Global {
        runtime_endpoint: endpoint.or_else(|| global.runtime_endpoint.clone()),
        image_endpoint: global.image_endpoint.clone(),
        socket: socket.or_else(|| global.socket.clone()),
        timeout: None,
        verbose: 0,
    };
    if place.is_of_daemon() {
        return kept(&global, place.value()).await;
    }
    let Ok(client) = connect::client(&global).await else { return Vec::new() };
    let mut found = Vec::new();
    if names != Names::Images {
        let pods = inventory::read(&client, Detail::Lists).await.unwrap_or_default();
        found.extend(of_pods(&pods, place.value(), names, place.is_of_running()));
    }
    if matches!(names, Names::Images | Names::All) {
        found.extend(of_images(&client).await);
    }
    for candidate in &mut found {
        candidate.word.insert_str(0, place.prefix());
    }
    found
}

/// Pods of the daemon.
async fn kept(global: &Global, word: &str) -> Vec<Candidate> {
    let Ok(list) = daemon::client(global).pods().await else { return Vec::new() };
    let names = list.items.iter().map(|pod| (pod.namespace.as_str(), pod.name.as_str()));
    let names: Vec<_> = names.collect();
    let called = |(namespace, name): &(&str, &str)| called(&names, namespace, name, word);
    let status = |at: usize| list.items.get(at).map(|pod| pod.phase.to_string());
    let pods = names.iter().enumerate();
    pods.map(|(at, pod)| Candidate::new(called(pod), status(at).unwrap_or_default())).collect()
}

/// Pods, and containers once a slash was written: few people want both at a time.
pub(super) fn of_pods(pods: &[Pod], word: &str, names: Names, running: bool) -> Found {
    let shown = |pod: &&Pod| !running || pod.state == PodState::Ready;
    let pods: Vec<&Pod> = pods.iter().filter(shown).collect();
    let all: Vec<_> = pods.iter().map(|pod| (pod.namespace.as_str(), pod.name.as_str())).collect();
    let end = if names == Names::Paths { ":" } else { "" };
    let mut found = Found::default();
    for pod in &pods {
        let called = called(&all, &pod.namespace, &pod.name, word);
        found.add(format!("{called}{end}"), pod.state.to_string());
        if names == Names::Pods || !word.contains('/') {
            continue;
        }
        for container in &pod.containers {
            if running && container.state != ContainerState::Running {
                continue;
            }
            let state = container.state.to_string();
            for pod in [pod.name.clone(), pod.full_name()] {
                found.add(format!("{pod}/{}{end}", container.name), state.clone());
            }
        }
    }
    found
}

/// Candidates, each once and in order.
#[derive(Debug, Default)]
pub(super) struct Found {
    words: BTreeSet<String>,
    all: Vec<Candidate>,
}

impl Found {
    fn add(&mut self, word: String, help: String) {
        if self.words.insert(word.clone()) {
            self.all.push(Candidate::new(word, help));
        }
    }
}

impl IntoIterator for Found {
    type Item = Candidate;
    type IntoIter = std::vec::IntoIter<Candidate>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.into_iter()
    }
}

/// What a pod is called: with its namespace where that was begun, or where the name alone is not enough.
fn called(all: &[(&str, &str)], namespace: &str, name: &str, word: &str) -> String {
    let others = |(other, same): &&(&str, &str)| *same == name && *other != namespace;
    match word.contains('/') || all.iter().any(|pod| others(&pod)) {
        true => format!("{namespace}/{name}"),
        false => name.to_owned(),
    }
}

/// Names of images; what has none is called by its id.
async fn of_images(client: &Client) -> Vec<Candidate> {
    let images = client.list_images(None).await.unwrap_or_default();
    let names = images.into_iter().flat_map(|image| image.repo_tags);
    names.map(|name| Candidate::new(name, "image")).collect()
}
