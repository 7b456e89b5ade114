//! How a command ended, as the channel for errors tells it.
//!
//! From `v4.channel.k8s.io` on, that is a Kubernetes `Status` in JSON. A command that ended with another
//! code than 0 has the reason `NonZeroExitCode`, and the code as text in a cause.

use serde::{Deserialize, Serialize};

use crate::StreamError;

const NON_ZERO: &str = "NonZeroExitCode";
const EXIT_CODE: &str = "ExitCode";

/// What runtimes say when there is no such program: runc, crun, the kernel.
const NOT_FOUND: [&str; 3] =
    ["executable file not found", "no such file or directory", "executable file `"];
/// What they say when there is one that cannot be run.
const NOT_EXECUTABLE: [&str; 4] =
    ["permission denied", "is a directory", "exec format error", "not a directory"];

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Status {
    metadata: Metadata,
    status: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
    #[serde(skip_serializing_if = "is_zero")]
    code: i32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields by reference")]
fn is_zero(code: &i32) -> bool {
    *code == 0
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Metadata {}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Details {
    causes: Vec<Cause>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
}

/// Reads what came on the channel for errors: the command's exit code, 0 to 255.
///
/// # Errors
/// [`StreamError::Lost`] for nothing at all, [`StreamError::Start`] when there was no command to run,
/// [`StreamError::Failed`] with the runtime's words for everything else.
pub fn read(bytes: &[u8]) -> Result<u8, StreamError> {
    if bytes.is_empty() {
        return Err(StreamError::Lost);
    }
    let Ok(status) = serde_json::from_slice::<Status>(bytes) else {
        // Before v4, it is words.
        return Err(failure(String::from_utf8_lossy(bytes).into_owned()));
    };
    if status.status == "Success" {
        return Ok(0);
    }
    let causes = status.details.unwrap_or_default().causes;
    let code = causes.iter().find(|cause| cause.reason == EXIT_CODE);
    let code = code.and_then(|cause| cause.message.parse::<i64>().ok());
    match code {
        Some(code) if status.reason == NON_ZERO => Ok(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
        _ => Err(failure(status.message)),
    }
}

/// Tells how a command ended, as runtimes do.
pub fn write(code: u8) -> Vec<u8> {
    let status = match code {
        0 => Status { status: "Success".to_owned(), ..Status::default() },
        code => Status {
            status: "Failure".to_owned(),
            message: format!("command terminated with non-zero exit code: exit status {code}"),
            reason: NON_ZERO.to_owned(),
            details: Some(Details {
                causes: vec![Cause { reason: EXIT_CODE.to_owned(), message: code.to_string() }],
            }),
            ..Status::default()
        },
    };
    serde_json::to_vec(&status).unwrap_or_default()
}

/// Tells that there is no exit code to tell, and why.
pub fn write_failure(message: &str) -> Vec<u8> {
    let status = Status {
        status: "Failure".to_owned(),
        message: message.to_owned(),
        reason: "InternalError".to_owned(),
        code: 500,
        ..Status::default()
    };
    serde_json::to_vec(&status).unwrap_or_default()
}

/// Sorts the runtime's words: a program that is not there is the caller's to mend.
fn failure(message: String) -> StreamError {
    let lower = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    // The same words are about other files elsewhere.
    let starting = ["exec failed", "unable to start container process", "executable file"];
    let starting = says(&starting);
    match starting {
        true if says(&NOT_EXECUTABLE) => StreamError::Start { code: 126, message },
        true if says(&NOT_FOUND) => StreamError::Start { code: 127, message },
        _ => StreamError::Failed { message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for code in 0..=255 {
            assert_eq!(read(&write(code)).unwrap(), code);
        }
        let failed = read(&write_failure("no such thing")).unwrap_err();
        assert_eq!(failed.to_string(), "no such thing");
    }

    /// As containerd 1.6 sent them.
    #[test]
    fn programs_that_cannot_be_run_are_told_apart() {
        let code = |message: &str| match read(&write_failure(message)).unwrap_err() {
            StreamError::Start { code, .. } => code,
            other => panic!("{other:?}"),
        };
        let exec = "error executing command in container: failed to exec in container: failed to \
                    start exec \"x\": OCI runtime exec failed: exec failed: unable to start \
                    container process: exec: ";
        let of = |rest: &str| code(&format!("{exec}{rest}: unknown"));
        assert_eq!(of("\"nope\": executable file not found in $PATH"), 127);
        assert_eq!(of("\"/nope\": stat /nope: no such file or directory"), 127);
        assert_eq!(of("\"/etc/passwd\": permission denied"), 126);
        assert_eq!(of("\"/etc\": is a directory"), 126);
        let crun = "executable file `nope` not found in $PATH: No such file or directory";
        assert_eq!(code(crun), 127);
    }

    #[test]
    fn other_failures_stay_what_they_are() {
        let other = read(&write_failure("container is in CONTAINER_EXITED state")).unwrap_err();
        assert!(matches!(other, StreamError::Failed { .. }));
        assert!(
            matches!(read(b"plain words"), Err(StreamError::Failed { message }) if message == "plain words")
        );
        assert!(matches!(read(b""), Err(StreamError::Lost)));
        let no_code = br#"{"status":"Failure","reason":"NonZeroExitCode","message":"m"}"#;
        assert!(matches!(read(no_code), Err(StreamError::Failed { .. })));
    }
}
