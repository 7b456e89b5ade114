//! Removing images that nobody needs, when the disk fills or they have been unused for long.
//!
//! Never touched: what a container, running or not, was made from; what a pod that is kept names;
//! the image of sandboxes; what the runtime has pinned. The rules are the kubelet's
//! (`pkg/kubelet/images/image_gc_manager.go`): above the high mark, the longest unused go first
//! until the low mark is reached; too young ones stay.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, SystemTime},
};

use crilet_api::{ApiError, ErrorCode, ImageGcReport, ImageGcRequest, RemovedImage};
use crilet_core::ErrorChain;
use crilet_cri::{Client, CriError, v1};
use tokio::time::Instant;

use super::{convert, manager::Manager, view::View};
use crate::{NewEvent, config::ImagesConfig};

/// What is remembered of images between two looks.
#[derive(Debug)]
pub(super) struct Images {
    config: ImagesConfig,
    /// When each image was seen first, and when a container last used it.
    seen: BTreeMap<String, Seen>,
    due: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    first: SystemTime,
    used: Option<SystemTime>,
}

/// How full the file system of images is, in bytes.
#[derive(Debug, Clone, Copy)]
struct Disk {
    capacity: u64,
    used: u64,
}

/// An image that could be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    id: String,
    size: u64,
    unused_since: SystemTime,
}

impl Images {
    pub(super) fn new(config: ImagesConfig) -> Self {
        Self { config, seen: BTreeMap::new(), due: None }
    }

    pub(super) fn configure(&mut self, config: ImagesConfig) {
        self.config = config;
    }

    /// Collects by itself when it is time.
    pub(super) async fn relisted(&mut self, client: &Client, view: &View) {
        let now = Instant::now();
        let due = *self.due.get_or_insert(now + self.config.gc_interval);
        if due > now {
            return;
        }
        self.due = Some(now + self.config.gc_interval);
        let pods = view.list().items;
        let containers = pods.iter().flat_map(|pod| &pod.containers);
        let named: BTreeSet<String> = containers.map(|found| found.image.clone()).collect();
        match self.collect(client, ImageGcRequest::default(), &named).await {
            Ok(report) if !report.removed.is_empty() => {
                let count = report.removed.len();
                let freed = report.freed_bytes;
                tracing::info!(count, freed, "images removed");
                view.events().record(NewEvent {
                    reason: "ImagesRemoved".to_owned(),
                    message: format!("removed {count} unused images, {freed} bytes"),
                    ..NewEvent::default()
                });
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "images cannot be collected"),
        }
    }

    /// Removes what is not needed, or says what would be; `named` are the images that pods name.
    pub(super) async fn collect(
        &mut self,
        client: &Client,
        request: ImageGcRequest,
        named: &BTreeSet<String>,
    ) -> Result<ImageGcReport, ApiError> {
        let images = client.list_images(None).await.map_err(|error| runtime(&error))?;
        let used = needed(client, named).await.map_err(|error| runtime(&error))?;
        let disk = disk(client).await?;
        let now = SystemTime::now();
        self.remember(&images, &used, now);
        let chosen =
            choose(&self.candidates(&images, &used, now), disk, &self.config, request, now);
        let mut report = ImageGcReport {
            dry_run: request.dry_run,
            used_percent: disk.percent(),
            ..ImageGcReport::default()
        };
        for candidate in chosen {
            let image = images.iter().find(|image| image.id == candidate.id);
            if !request.dry_run
                && let Err(error) = client.remove_image(&candidate.id).await
            {
                report.failures.push(ErrorChain(&error).to_string());
                continue;
            }
            report.freed_bytes += candidate.size;
            report.removed.push(RemovedImage {
                names: image.map(|image| image.repo_tags.clone()).unwrap_or_default(),
                size_bytes: candidate.size,
                last_used_at: self
                    .seen
                    .get(&candidate.id)
                    .and_then(|seen| seen.used)
                    .map(convert::time),
                id: candidate.id,
            });
        }
        Ok(report)
    }

    fn remember(&mut self, images: &[v1::Image], used: &BTreeSet<String>, now: SystemTime) {
        self.seen.retain(|id, _| images.iter().any(|image| image.id == *id));
        for image in images {
            let seen = self.seen.entry(image.id.clone()).or_insert(Seen { first: now, used: None });
            if used.contains(&image.id) {
                seen.used = Some(now);
            }
        }
    }

    fn candidates(
        &self,
        images: &[v1::Image],
        used: &BTreeSet<String>,
        now: SystemTime,
    ) -> Vec<Candidate> {
        let free = images.iter().filter(|image| !image.pinned && !used.contains(&image.id));
        let candidate = |image: &v1::Image| {
            let seen = self.seen.get(&image.id).copied();
            let unused_since = seen.map_or(now, |seen| seen.used.unwrap_or(seen.first));
            Candidate { id: image.id.clone(), size: image.size, unused_since }
        };
        free.map(candidate).collect()
    }
}

impl Manager {
    /// The images that pods name.
    pub(super) fn wanted_images(&self) -> BTreeSet<String> {
        let pods = self.workers.values().map(|worked| worked.keeper.wanted().pod);
        pods.flat_map(|pod| {
            let containers = pod.all_containers().map(|container| container.image.clone());
            let volumes = pod.volume_images().map(|(image, _)| image.to_owned());
            containers.chain(volumes).collect::<Vec<_>>()
        })
        .collect()
    }
}

/// The ids of images that containers were made from or that pods name, and of the one without which no
/// pod starts.
async fn needed(client: &Client, named: &BTreeSet<String>) -> Result<BTreeSet<String>, CriError> {
    let mut references = named.clone();
    references.extend(sandbox_image(&client.status(true).await?.info));
    for container in client.list_containers(None).await? {
        references.insert(container.image_ref);
        references.extend(container.image.map(|image| image.image));
    }
    let mut ids = BTreeSet::new();
    for reference in references.iter().filter(|reference| !reference.is_empty()) {
        ids.extend(client.image_status(reference, false).await?.image.map(|image| image.id));
    }
    Ok(ids)
}

/// The image of every sandbox, as containerd's verbose status has its configuration: no container is made
/// of it, and only newer versions pin it. CRI-O pins its own.
fn sandbox_image(info: &BTreeMap<String, String>) -> Option<String> {
    let config: serde_json::Value = serde_json::from_str(info.get("config")?).ok()?;
    config.get("sandboxImage")?.as_str().map(ToOwned::to_owned)
}

async fn disk(client: &Client) -> Result<Disk, ApiError> {
    let answer = client.image_fs_info().await.map_err(|error| runtime(&error))?;
    let system = answer.image_filesystems.into_iter().next().and_then(|usage| usage.fs_id);
    let mountpoint = system.map(|system| system.mountpoint).unwrap_or_default();
    let failed = |error: nix::Error| {
        let message = format!("cannot ask how full `{mountpoint}` is: {error}");
        ApiError::new(ErrorCode::Internal, message)
    };
    let stat = nix::sys::statvfs::statvfs(Path::new(&mountpoint)).map_err(failed)?;
    let size = stat.fragment_size();
    let capacity = stat.blocks().saturating_mul(size);
    // As df(1) has it: what root alone may still use counts as used.
    Ok(Disk {
        capacity,
        used: capacity.saturating_sub(stat.blocks_available().saturating_mul(size)),
    })
}

impl Disk {
    fn percent(self) -> u8 {
        let percent = u128::from(self.used) * 100 / u128::from(self.capacity.max(1));
        u8::try_from(percent).unwrap_or(100)
    }
}

/// Which images go, the longest unused first. Pure.
fn choose(
    candidates: &[Candidate],
    disk: Disk,
    config: &ImagesConfig,
    request: ImageGcRequest,
    now: SystemTime,
) -> Vec<Candidate> {
    let mut candidates = candidates.to_vec();
    candidates.sort_by_key(|candidate| candidate.unused_since);
    let low = u128::from(disk.capacity) * u128::from(config.gc_low_percent) / 100;
    let mut excess = match disk.percent() >= config.gc_high_percent {
        true => u128::from(disk.used).saturating_sub(low),
        false => 0,
    };
    let mut chosen = Vec::new();
    for candidate in candidates {
        let age = now.duration_since(candidate.unused_since).unwrap_or(Duration::ZERO);
        let old = config.gc_max_age.is_some_and(|limit| age >= limit);
        let surplus = excess > 0 && age >= config.gc_min_age;
        if request.all || old || surplus {
            excess = excess.saturating_sub(u128::from(candidate.size));
            chosen.push(candidate);
        }
    }
    chosen
}

fn runtime(error: &CriError) -> ApiError {
    let hint = error.hint();
    let error = ApiError::new(ErrorCode::RuntimeFailed, ErrorChain(error).to_string());
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use crilet_cri::fake::Fake;

    use super::*;

    #[tokio::test]
    async fn the_image_of_sandboxes_is_needed_though_no_container_is_made_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let fake = Fake::builder().image("fake.test/pause:1").image("fake.test/other:1");
        let fake = fake.start(&directory.path().join("cri.sock")).unwrap();
        let client = Client::connect(fake.endpoint()).await.unwrap();
        let pause = client.image_status("fake.test/pause:1", false).await.unwrap().image.unwrap();
        let needed = needed(&client, &BTreeSet::new()).await.unwrap();
        assert_eq!(needed, BTreeSet::from([pause.id]), "and nothing else");
    }

    fn chosen(percent: u64, request: ImageGcRequest, max_age: Option<u64>) -> Vec<String> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let candidate = |id: &str, size, age| Candidate {
            id: id.to_owned(),
            size,
            unused_since: now - Duration::from_secs(age),
        };
        let candidates =
            [candidate("young", 4, 10), candidate("old", 4, 9000), candidate("older", 4, 90_000)];
        let config = ImagesConfig {
            gc_max_age: max_age.map(Duration::from_secs),
            ..crate::Config::default().images
        };
        let disk = Disk { capacity: 100, used: percent };
        let chosen = choose(&candidates, disk, &config, request, now);
        chosen.into_iter().map(|candidate| candidate.id).collect()
    }

    #[test]
    fn the_longest_unused_go_until_the_low_mark_is_reached() {
        let by_itself = ImageGcRequest::default();
        assert_eq!(chosen(84, by_itself, None), [""; 0]);
        assert_eq!(chosen(86, by_itself, None), ["older", "old"]);
        assert_eq!(chosen(99, by_itself, None), ["older", "old"], "too young to go");
        let all = ImageGcRequest { all: true, ..by_itself };
        assert_eq!(chosen(1, all, None), ["older", "old", "young"]);
        assert_eq!(chosen(1, by_itself, Some(86_400)), ["older"]);
    }
}
