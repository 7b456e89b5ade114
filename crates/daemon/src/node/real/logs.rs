//! Rotating the logs of all containers, whoever made them.

use std::{path::Path, sync::Arc, time::Duration};

use crilet_api::EventKind;
use crilet_core::{read_age, read_size};
use crilet_cri::Client;
use crilet_log::{Config as RotatorConfig, Event, LogError, Rotator, Watch};
use tokio::sync::{Notify, broadcast::error::RecvError};

use super::view::View;
use crate::{NewEvent, config::LogsConfig};

/// How often the rotator asks the runtime by itself: for containers of others, since of its own
/// the node hears at once. Every question costs as much as there are pods.
const RELIST: Duration = Duration::from_secs(5);
/// How long starts are gathered until the rotator asks again.
const GATHER: Duration = Duration::from_secs(1);

/// Makes what keeps the logs within their limits.
///
/// # Errors
/// When the file by which rotators take turns cannot be used, or no directory be watched.
pub(super) fn rotator(
    client: Client,
    config: &LogsConfig,
    state: &Path,
    view: Arc<View>,
) -> Result<Rotator, LogError> {
    // The same file that `crilet log rotate` takes turns by.
    let lock = state.join("logs.lock");
    let watch = Watch::start()
        .map_err(|cause| LogError::Lock { path: lock.clone(), cause })
        .map(Arc::new)?;
    let mut rotator = RotatorConfig::new(lock);
    rotator.relist = RELIST;
    rotator.policy = config.settings().over(rotator.policy);
    rotator.budget = config.budget.as_deref().and_then(read_size);
    rotator.keep_gone = read_age(&config.keep_gone);
    rotator.min_free = config.min_free.as_deref().and_then(read_size);
    Rotator::try_new(client, rotator, watch, move |event| tell(&view, &event))
}

/// Tells the rotator of containers that were started, for ever. Safe to drop between two events.
pub(super) async fn tell_of_starts(view: Arc<View>, rotator: Arc<Notify>) {
    let (_, mut events) = view.events().subscribe(None);
    let is_start = |event: &crilet_api::Event| event.reason == "Started";
    loop {
        let mut started = match events.recv().await {
            Ok(event) => is_start(&event),
            Err(RecvError::Lagged(_)) => true,
            Err(RecvError::Closed) => return,
        };
        while let Ok(event) = events.try_recv() {
            started |= is_start(&event);
        }
        if started {
            rotator.notify_one();
            tokio::time::sleep(GATHER).await;
        }
    }
}

/// Rotations are daily bread; what is lost or wrong is for people.
fn tell(view: &View, event: &Event) {
    let removed = matches!(event, Event::Removed { .. } | Event::Forgotten { .. });
    let problem = event.is_problem();
    tracing::debug!(%event, "log");
    if removed || problem {
        view.events().record(NewEvent {
            kind: if problem { EventKind::Warning } else { EventKind::Normal },
            reason: if problem { "LogProblem" } else { "LogRemoved" }.to_owned(),
            message: event.to_string(),
            ..NewEvent::default()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_what_rotators_go_by() {
        let config = LogsConfig {
            max_size: "1Mi".to_owned(),
            max_files: "3".to_owned(),
            ..crate::Config::default().logs
        };
        let policy = config.settings().over(crilet_log::Policy::default());
        assert_eq!((policy.max_size, policy.max_files), (Some(1 << 20), 3));
        let default = crate::Config::default().logs.settings();
        assert_eq!(default.over(crilet_log::Policy::default()), crilet_log::Policy::default());
    }
}
