//! Which logs of a pod's containers are wanted.

use crilet_cri::inventory::{Container, Pod};

use super::gone;
use crate::{Filter, LogError, LogFile, Name, locate};

/// Colours of names, in turns: those that can be read on dark and on light.
const COLORS: [u8; 6] = [36, 33, 32, 35, 34, 31];

/// A log that is wanted.
#[derive(Debug)]
pub struct Chosen {
    /// Its files.
    pub log: LogFile,
    /// What is written with its lines.
    pub name: Name,
    /// The container, while the runtime knows it.
    pub container: Option<Container>,
    /// The sandbox's id.
    pub pod: Option<String>,
    /// Whether only lines of this container's own life are wanted, for others share its file.
    shared: bool,
}

impl Chosen {
    /// A log of which the runtime knows nothing.
    pub fn of_files(log: LogFile, pod: &str, container: &str) -> Self {
        let name = name(pod, container);
        Self { log, name, container: None, pod: None, shared: false }
    }

    /// Whether another container writes into the same files.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// Leaves out what other containers wrote into the same file.
    pub(super) fn narrow(&self, filter: &mut Filter) {
        let details = self.container.as_ref().and_then(|container| container.details.as_ref());
        let Some(details) = details.filter(|_| self.shared) else { return };
        let nanoseconds = |time: std::time::SystemTime| {
            let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
        };
        filter.since = filter.since.max(details.started_at.map(nanoseconds));
        let ended = details.finished_at.map(nanoseconds);
        filter.until = match (filter.until, ended) {
            (Some(until), Some(ended)) => Some(until.min(ended)),
            (until, ended) => until.or(ended),
        };
    }
}

fn name(pod: &str, container: &str) -> Name {
    Name { prefix: String::new(), pod: pod.to_owned(), container: container.to_owned() }
}

/// The containers whose logs are looked for: of each name the newest, or with `previous` the two
/// newest, for the older one's log may only be found beside the newer one's.
pub fn generations(containers: &[&Container], previous: bool) -> Vec<Container> {
    let mut kept: Vec<Container> = Vec::new();
    for container in containers.iter().rev() {
        let have = kept.iter().filter(|other| other.name == container.name).count();
        if have < 1 + usize::from(previous) {
            kept.push((*container).clone());
        }
    }
    kept.reverse();
    kept
}

/// The logs of a pod's containers as [`generations`] chose them, described with
/// [`crilet_cri::inventory::Detail::Logs`], or with [`crilet_cri::inventory::Detail::LogPaths`], which
/// does where there is no symbolic link on the way.
///
/// # Errors
/// [`LogError::Directory`] when a log's directory is there and cannot be opened.
pub fn of_pod(pod: &Pod, previous: bool) -> Result<Vec<Chosen>, LogError> {
    let mut chosen = Vec::new();
    for (number, container) in pod.containers.iter().enumerate() {
        let newer = pod.containers.get(number + 1).filter(|next| next.name == container.name);
        let older = number.checked_sub(1).and_then(|before| pod.containers.get(before));
        let older = older.filter(|older| older.name == container.name);
        let log = match (previous, newer, older) {
            // The newest of two is there for its place only.
            (true, None, Some(_)) => continue,
            (true, None, None) => {
                // The runtime has forgotten the one before.
                let here = located(pod, container)?;
                match here.and_then(|log| gone::before(&log, container.attempt)) {
                    Some(log) => {
                        chosen.push(Chosen::of_files(log, &pod.full_name(), &container.name));
                        continue;
                    }
                    None => continue,
                }
            }
            _ => located(pod, container)?,
        };
        let Some(log) = log else { continue };
        let path = |container: &Container| container.details.as_ref()?.log_path.clone();
        let shared = newer.is_some_and(|newer| path(newer) == path(container));
        chosen.push(Chosen {
            log,
            name: name(&pod.full_name(), &container.name),
            container: Some(container.clone()),
            pod: Some(pod.id.clone()),
            shared,
        });
    }
    Ok(chosen)
}

fn located(pod: &Pod, container: &Container) -> Result<Option<LogFile>, LogError> {
    match locate(pod, container) {
        None => Ok(None),
        Some(Ok(log)) => Ok(Some(log)),
        // What has no directory has written nothing.
        Some(Err(skipped)) if skipped.cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Some(Err(skipped)) => {
            let path =
                skipped.path.parent().map_or_else(|| skipped.path.clone(), ToOwned::to_owned);
            Err(LogError::Directory { path, cause: skipped.cause })
        }
    }
}

/// Gives every log a name of the same width, as short as tells them apart.
pub fn set_prefixes(chosen: &mut [Chosen], colors: bool) {
    if chosen.len() < 2 {
        return;
    }
    let all_equal = |of: &dyn Fn(&Name) -> String| {
        let first = chosen.first().map(|chosen| of(&chosen.name));
        chosen.iter().all(|chosen| Some(of(&chosen.name)) == first)
    };
    let split = |name: &Name| -> (String, String) {
        let (namespace, pod) = name.pod.split_once('/').unwrap_or(("", &name.pod));
        (namespace.to_owned(), pod.to_owned())
    };
    let one_pod = all_equal(&|name| name.pod.clone());
    let one_namespace = all_equal(&|name| split(name).0);
    let labels: Vec<String> = chosen
        .iter()
        .map(|Chosen { name, .. }| match (one_pod, one_namespace) {
            (true, _) => name.container.clone(),
            (false, true) => format!("{}/{}", split(name).1, name.container),
            (false, false) => format!("{}/{}", name.pod, name.container),
        })
        .collect();
    let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or_default();
    for ((chosen, label), color) in chosen.iter_mut().zip(labels).zip(COLORS.iter().cycle()) {
        chosen.name.prefix = match colors {
            true => format!("\x1b[{color}m{label:width$}\x1b[0m | "),
            false => format!("{label:width$} | "),
        };
    }
}
