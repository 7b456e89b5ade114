//! Logs as the body of an answer.

use std::io;

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use crilet_core::ErrorChain;
use crilet_log::{Filter, Form, Query, format::Stream, read_when};
use futures_util::stream;
use jiff::Zoned;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use crate::node::{LogRequest, LogStream};

/// Query parameters, as the table of operations describes them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct LogParams {
    container: Option<String>,
    follow: bool,
    previous: bool,
    tail: Option<u64>,
    since: Option<String>,
    until: Option<String>,
    stream: Option<StreamName>,
    timestamps: bool,
    limit_bytes: Option<u64>,
    format: FormName,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StreamName {
    Stdout,
    Stderr,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormName {
    #[default]
    Text,
    Raw,
    Json,
    Cri,
}

impl LogParams {
    pub(super) fn request(self) -> Result<LogRequest, Failure> {
        if self.follow && self.previous {
            return Err(Failure::bad_request("`previous` logs have ended; `follow` is for others"));
        }
        let stream = self.stream.map(|stream| match stream {
            StreamName::Stdout => Stream::Stdout,
            StreamName::Stderr => Stream::Stderr,
        });
        let filter = Filter {
            stream,
            since: self.since.as_deref().map(|text| time("since", text)).transpose()?,
            until: self.until.as_deref().map(|text| time("until", text)).transpose()?,
            grep: None,
        };
        Ok(LogRequest {
            container: self.container,
            previous: self.previous,
            follow: self.follow,
            query: Query { filter, tail: self.tail, limit: self.limit_bytes },
            form: match self.format {
                FormName::Text => Form::Text,
                FormName::Raw => Form::Raw,
                FormName::Json => Form::Json,
                FormName::Cri => Form::Cri,
            },
            timestamps: self.timestamps,
        })
    }
}

fn time(name: &str, text: &str) -> Result<i64, Failure> {
    let wrong = |error| Failure::bad_request(format!("`{name}`: {error}"));
    read_when(text, &Zoned::now()).map_err(wrong)
}

/// An answer of chunks: each is read when the client has taken the one before. What goes wrong on
/// the way breaks it off, so that no client takes it for the whole.
pub(super) fn answer(log: LogStream, form: Form, closing: CancellationToken) -> Response {
    log.end_with(closing);
    let chunks = stream::unfold(log, |mut log| async move {
        let next = log.next().await?.map_err(|error| {
            tracing::warn!(error = %ErrorChain(&error), "a log cannot be read on");
            io::Error::other(error)
        });
        Some((next, log))
    });
    let kind = match form {
        Form::Json => "application/x-ndjson",
        _ => "text/plain; charset=utf-8",
    };
    let headers = [(header::CONTENT_TYPE, kind), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, Body::from_stream(chunks)).into_response()
}
