//! What scrapers of a kubelet read: `/healthz`, `/pods`, `/stats/summary`, `/metrics/resource`, in
//! the kubelet's own forms.

mod pods;
mod resource;
mod summary;

use std::fmt::Write;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use crilet_api::Health;

pub(super) use self::{pods::pod_list, resource::resource_metrics, summary::summary};

/// `ok`, or every check with its state, as the kubelet's `/healthz?verbose`.
pub(super) fn health(well: bool, health: &Health) -> Response {
    if well {
        return "ok".into_response();
    }
    let mut text = String::new();
    for check in &health.checks {
        let sign = if check.ok { '+' } else { '-' };
        let message = if check.message.is_empty() { "" } else { ": " };
        writeln!(text, "[{sign}]{}{message}{}", check.name, check.message).unwrap_or_default();
    }
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}
