//! From errors to answers; nowhere else is a status chosen.

use axum::{
    Json,
    extract::rejection::{BytesRejection, PathRejection, QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use crilet_api::{ApiError, ErrorCode};
use crilet_core::ErrorChain;

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct Failure(ApiError);

impl Failure {
    pub(super) fn no_such_path() -> Self {
        let error = ApiError::new(ErrorCode::NoSuchPath, "no such path");
        Self(error.hint("`/v1/openapi.json` has all there are"))
    }

    pub(super) fn method_not_allowed() -> Self {
        Self(ApiError::new(ErrorCode::MethodNotAllowed, "this path does not take this method"))
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self(ApiError::new(ErrorCode::BadRequest, message))
    }

    pub(super) fn unauthorized() -> Self {
        let error = ApiError::new(ErrorCode::Unauthorized, "no token, or a wrong one");
        Self(error.hint("send `Authorization: Bearer TOKEN`, or use a client certificate"))
    }

    /// Something that should not happen; who looks for it finds more in the log.
    pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = %ErrorChain(error), "a request failed");
        Self(ApiError::new(ErrorCode::Internal, "the daemon failed; its log says more"))
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<PathRejection> for Failure {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl From<BytesRejection> for Failure {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let message = format!("more than {} MiB", super::LARGEST_BODY / (1024 * 1024));
            return Self(ApiError::new(ErrorCode::TooLarge, message));
        }
        Self::bad_request(rejection.body_text())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = status(self.0.code);
        let mut response = (status, Json(self.0)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let demand = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, demand);
        }
        response
    }
}

fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BadRequest => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorCode::NoSuchPath
        | ErrorCode::NoSuchPod
        | ErrorCode::NoSuchContainer
        | ErrorCode::NoLog => StatusCode::NOT_FOUND,
        ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::OwnedByFile | ErrorCode::Conflict => StatusCode::CONFLICT,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::InvalidManifest => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::RuntimeFailed => StatusCode::BAD_GATEWAY,
        ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
