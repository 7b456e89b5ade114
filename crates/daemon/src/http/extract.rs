//! What handlers take from requests; what is wrong with it is told as every other error.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{header, request::Parts},
};
use crilet_api::PodRef;
use serde::de::DeserializeOwned;

use super::failure::Failure;

/// The pod that the path names.
pub(super) struct Target(pub(super) PodRef);

/// Query parameters.
pub(super) struct Params<T>(pub(super) T);

/// A body of JSON; nothing at all is the type's default.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Path(pod) = Path::from_request_parts(parts, state).await?;
        Ok(Self(pod))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Query(params) = Query::from_request_parts(parts, state).await?;
        Ok(Self(params))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let content_type = request.headers().get(header::CONTENT_TYPE).cloned();
        let bytes = Bytes::from_request(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        // A page in somebody's browser can send anything but this without being asked for leave.
        let json = content_type.as_ref().and_then(|value| value.to_str().ok());
        if !json.is_some_and(|value| value.trim_start().starts_with("application/json")) {
            return Err(Failure::bad_request("the content type is not `application/json`"));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            Failure::bad_request(format!("the body is not what it takes: {error}"))
        })
    }
}
