//! systemd's notifications (`sd_notify(3)`); without systemd none of this does anything.

use std::{convert::Infallible, time::Duration};

use sd_notify::NotifyState;

use crate::Node;

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

/// The API answers.
pub(crate) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is being read again.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "no time for the service manager"),
    }
}

/// It has been read.
pub(crate) fn reloaded(status: &str) {
    ready(status);
}

/// The daemon ends.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Tells for as long as the node lives that it does; without a watchdog this waits for ever.
///
/// The daemon has one thread: that this runs shows that nothing holds it up.
pub(crate) async fn watchdog(node: &dyn Node) -> Infallible {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval((limit / 3).max(Duration::from_millis(1)));
    loop {
        ticks.tick().await;
        let health = node.health();
        if health.live {
            notify(&[NotifyState::Watchdog]);
        } else {
            tracing::error!(checks = ?health.checks, "the node is not well");
        }
    }
}
