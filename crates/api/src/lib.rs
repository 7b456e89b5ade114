//! The API of `crilet serve`, as daemon and clients both see it.
//!
//! - Wire types: [`Pod`], [`Event`], [`ApplyRequest`], [`Stats`] and what they are made of; JSON with
//!   names in camelCase, times in RFC 3339.
//! - [`ApiError`], the body of every answer that is no success, with a stable [`ErrorCode`].
//! - [`OPERATIONS`], the one table that the daemon's router, the [`Client`] and the OpenAPI document
//!   ([`OPENAPI`]) are made from.
//! - [`Client`] talks to a daemon over its unix socket.
//!
//! Within a version of the path (`/v1`), fields are added and never taken away. Daemons refuse
//! fields of a request that they do not know; clients pass over fields of an answer.

/// These are words for people as they are for machines.
macro_rules! display_as_debug {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, formatter)
            }
        }
    )*};
}

mod actions;
mod apply;
pub mod client;
mod container;
mod error;
mod event;
mod images;
mod node;
#[cfg(feature = "schema")]
pub mod openapi;
mod operations;
mod pod;
mod stats;

pub use self::{
    actions::{Accepted, RestartRequest, StopRequest},
    apply::{
        Action, AppliedPod, ApplyReport, ApplyRequest, ContainerAction, ContainerChange,
        ManifestFile, ManifestSource,
    },
    client::{Client, ClientError},
    container::{
        Container, ContainerKind, ContainerState, Mount, ProbeKind, ProbeResult, ProbeStatus,
        Resources, Terminated,
    },
    error::{ApiError, ErrorCode, Finding, Severity},
    event::{Event, EventKind, EventList},
    images::{ImageGcReport, ImageGcRequest, RemovedImage},
    node::{Check, Health, NodeInfo, RuntimeInfo},
    operations::{Answer, Method, OPERATIONS, Operation, OperationId, Parameter, PodEvent},
    pod::{
        Condition, ConditionStatus, Desired, Phase, Pod, PodList, PodRef, Port, Problem, Protocol,
        QosClass, RestartPolicy, Sandbox, Source, Volume,
    },
    stats::{ContainerStats, InterfaceStats, PodStats, Stats, Usage},
};

/// The OpenAPI document of the API, JSON; a test compares it with [`OPERATIONS`] and the types.
pub const OPENAPI: &str = include_str!("../openapi.json");
