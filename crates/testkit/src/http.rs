use anyhow::{Context, Result};

use crate::host::{Host, Place};

/// An answer to an HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// Status code, such as 200.
    pub status: u16,
    /// Where the last redirection led, or the URL that was asked for.
    pub url: String,
    /// Body of the last answer.
    pub body: String,
}

pub(crate) fn get(host: &Host, place: Place, url: &str) -> Result<HttpResponse> {
    let output = host
        .command_in(place, "curl")
        .args(["--silent", "--show-error", "--location", "--noproxy", "*", "--max-time", "30"])
        .args(["--write-out", "\n%{http_code} %{url_effective}", url])
        .success()?;
    let (body, last) = output.rsplit_once('\n').context("curl wrote no status")?;
    let (status, url) = last.split_once(' ').context("curl wrote no status")?;
    Ok(HttpResponse { status: status.parse()?, url: url.to_owned(), body: body.to_owned() })
}
