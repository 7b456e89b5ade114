use std::{fmt, io, time::Duration};

use crate::{Endpoint, is_full_id};

/// A gRPC status code, as the runtime answered it.
///
/// The names are those of the gRPC specification (doc/statuscodes.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the gRPC specification says what each code means")]
pub enum Code {
    Cancelled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

impl From<tonic::Code> for Code {
    fn from(code: tonic::Code) -> Self {
        match code {
            tonic::Code::Cancelled => Self::Cancelled,
            tonic::Code::InvalidArgument => Self::InvalidArgument,
            tonic::Code::DeadlineExceeded => Self::DeadlineExceeded,
            tonic::Code::NotFound => Self::NotFound,
            tonic::Code::AlreadyExists => Self::AlreadyExists,
            tonic::Code::PermissionDenied => Self::PermissionDenied,
            tonic::Code::ResourceExhausted => Self::ResourceExhausted,
            tonic::Code::FailedPrecondition => Self::FailedPrecondition,
            tonic::Code::Aborted => Self::Aborted,
            tonic::Code::OutOfRange => Self::OutOfRange,
            tonic::Code::Unimplemented => Self::Unimplemented,
            tonic::Code::Internal => Self::Internal,
            tonic::Code::Unavailable => Self::Unavailable,
            tonic::Code::DataLoss => Self::DataLoss,
            tonic::Code::Unauthenticated => Self::Unauthenticated,
            // `Ok` never stands in an error; a runtime that sends it has answered nonsense.
            tonic::Code::Ok | tonic::Code::Unknown => Self::Unknown,
        }
    }
}

/// What a call concerned, for messages: `sandbox 0a1b…`, `image docker.io/library/busybox`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The kind of object, a noun in the singular.
    pub kind: &'static str,
    /// Its id, name or reference.
    pub id: String,
}

impl fmt::Display for Object {
    /// A full id, which nobody reads to its end, is cut to the 13 characters that lists show of it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if is_full_id(&self.id) { self.id.get(..13) } else { None };
        write!(formatter, "{} `{}`", self.kind, shown.unwrap_or(&self.id))
    }
}

/// Why the runtime could not be reached or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CriError {
    /// No connection to the runtime's socket.
    #[error("cannot connect to the runtime at {endpoint}")]
    Connect {
        /// Where the runtime was expected.
        endpoint: Endpoint,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// The connection ended before there was an answer; whether the call was done is not known.
    #[error("{method}{}: the runtime at {endpoint} went away", ForObject(.object))]
    Lost {
        /// The CRI method.
        method: &'static str,
        /// What it was called on.
        object: Option<Object>,
        /// Where the runtime was.
        endpoint: Endpoint,
        /// What the kernel, or HTTP/2, said.
        #[source]
        cause: io::Error,
    },
    /// The runtime answered a call with an error.
    #[error("{method}{}: {message} ({code})", ForObject(.object))]
    Call {
        /// The CRI method.
        method: &'static str,
        /// What it was called on.
        object: Option<Object>,
        /// The gRPC code.
        code: Code,
        /// The runtime's own words.
        message: String,
    },
    /// A call took longer than is sensible for its kind.
    #[error("{method}{}: no answer within {} s", ForObject(.object), .after.as_secs_f32())]
    Deadline {
        /// The CRI method.
        method: &'static str,
        /// What it was called on.
        object: Option<Object>,
        /// How long the call was waited for.
        after: Duration,
    },
    /// The call was given up because the user wants to leave; the runtime was told.
    #[error("{method}{}: interrupted", ForObject(.object))]
    Interrupted {
        /// The CRI method.
        method: &'static str,
        /// What it was called on.
        object: Option<Object>,
    },
    /// Neither version of the CRI is served on the socket.
    #[error("the service at {endpoint} speaks neither CRI v1 nor v1alpha2")]
    NotCri {
        /// Which socket was asked.
        endpoint: Endpoint,
    },
    /// The runtime's answer could not be read.
    #[error("{method}{}: read the runtime's answer", ForObject(.object))]
    Malformed {
        /// The CRI method.
        method: &'static str,
        /// What it was called on.
        object: Option<Object>,
        /// Where the answer breaks the wire format.
        #[source]
        cause: prost::DecodeError,
    },
    /// The runtime left out what the CRI requires in an answer.
    #[error("{method}{}: the runtime's answer has no {field}", ForObject(.object))]
    Incomplete {
        /// The CRI method.
        method: &'static str,
        /// What it was called on.
        object: Option<Object>,
        /// The field that is missing.
        field: &'static str,
    },
}

/// Writes ` for OBJECT`, or nothing.
struct ForObject<'a>(&'a Option<Object>);

impl fmt::Display for ForObject<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |object| write!(formatter, " for {object}"))
    }
}

impl CriError {
    /// The gRPC code, when the runtime gave one; a deadline of ours counts as one of its own.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Call { code, .. } => Some(*code),
            Self::Deadline { .. } => Some(Code::DeadlineExceeded),
            Self::Interrupted { .. } => Some(Code::Cancelled),
            Self::NotCri { .. } => Some(Code::Unimplemented),
            Self::Connect { .. }
            | Self::Lost { .. }
            | Self::Malformed { .. }
            | Self::Incomplete { .. } => None,
        }
    }

    /// Whether the runtime says that the object does not exist.
    ///
    /// containerd wraps some of its "not found" answers in code `Unknown`, CRI-O too; the text
    /// is looked at for those.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Call { code: Code::NotFound, .. } => true,
            Self::Call { code: Code::Unknown, message, .. } => message.ends_with("not found"),
            _ => false,
        }
    }

    /// Whether the runtime lost its connection to the container's shim during the call: the
    /// container has just ended, or somebody killed the shim. containerd's words; the code is `Unknown`.
    pub fn is_shim_gone(&self) -> bool {
        matches!(self, Self::Call { message, .. } if message.contains("ttrpc: closed"))
    }

    /// Whether it took too long, by our clock or the runtime's.
    pub fn is_deadline(&self) -> bool {
        self.code() == Some(Code::DeadlineExceeded)
    }

    /// Whether the runtime is not there, as opposed to unwilling.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. } | Self::Lost { .. } | Self::Call { code: Code::Unavailable, .. }
        )
    }

    /// What the reader can do about it, where there is such a thing.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Connect { cause, .. } => connect_hint(cause),
            Self::Lost { .. } => Some(
                "it was restarted, or it crashed, or it is no CRI runtime: its log says more"
                    .to_owned(),
            ),
            Self::NotCri { .. } => Some(
                "containerd answers so when its CRI plugin is off: take \"cri\" out of \
                 disabled_plugins in /etc/containerd/config.toml and restart it"
                    .to_owned(),
            ),
            Self::Call { message, .. } => call_hint(message),
            Self::Deadline { .. } => {
                Some("the runtime may be overloaded or stuck; --timeout gives it longer".to_owned())
            }
            Self::Interrupted { .. } | Self::Malformed { .. } | Self::Incomplete { .. } => None,
        }
    }

    /// The id that holds a name which could not be reserved.
    ///
    /// containerd says `name "x" is reserved for "ID"` (pkg/cri/store, registrar), CRI-O `the
    /// sandbox name x is already in use by ID` or `… reserved for "ID"`.
    pub fn name_holder(&self) -> Option<&str> {
        match self {
            Self::Call { message, .. } => name_holder(message),
            _ => None,
        }
    }
}

fn connect_hint(cause: &io::Error) -> Option<String> {
    let hint = match cause.kind() {
        io::ErrorKind::NotFound => {
            "there is no such socket; start the runtime, or `crilet runtime up` for crilet's own"
        }
        io::ErrorKind::PermissionDenied => "runtimes listen for root only; try again with sudo",
        io::ErrorKind::ConnectionRefused => {
            "nothing listens there: the runtime that made the socket has ended; start it again"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

fn call_hint(message: &str) -> Option<String> {
    if let Some(holder) = name_holder(message) {
        return Some(format!(
            "`{holder}` has this name; remove it with `crilet rm {holder}`, or use another attempt"
        ));
    }
    let lower = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["unauthorized", "authorization failed", "authentication required", "403 forbidden"]) {
        Some(
            "the registry wants other credentials: --creds USER:PASSWORD, or docker's config.json"
                .into(),
        )
    } else if says(&["server gave http response to https client"]) {
        Some(
            "that registry speaks plain http: `crilet runtime up --mirror HOST=http://HOST`".into(),
        )
    } else if says(&["failed to resolve reference", "pull access denied", "manifest unknown"])
        && says(&["not found", "access denied", "manifest unknown"])
    {
        Some("check the image's name and tag; a private image needs credentials".into())
    } else if says(&["connection refused", "no such host", "i/o timeout", "network is unreachable"])
        && says(&["failed to do request", "pinging container registry", "dial tcp"])
    {
        Some("the registry cannot be reached; is it up, and is a --mirror set for it?".into())
    } else if says(&["failed to resolve image", "image not known", "no such image"]) {
        Some("the image is not on this machine; pull it, or `crilet image load` it".into())
    } else if says(&["cni plugin not initialized", "cni config uninitialized"]) {
        Some(
            "the runtime has no network configuration: put a conflist into its CNI directory"
                .into(),
        )
    } else if says(&["can't get final child's pid from pipe"]) {
        Some("this host lacks CAP_SYS_RESOURCE: set restrict_oom_score_adj = true in containerd's CRI section".into())
    } else {
        None
    }
}

fn name_holder(message: &str) -> Option<&str> {
    let rest = message
        .split_once("reserved for \"")
        .map(|(_, rest)| rest)
        .or_else(|| message.split_once("already in use by ").map(|(_, rest)| rest))?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    rest.get(..end).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(code: Code, message: &str) -> CriError {
        let object = Some(Object { kind: "sandbox", id: "blog-sandbox".into() });
        CriError::Call { method: "RunPodSandbox", object, code, message: message.into() }
    }

    #[test]
    fn a_reserved_name_names_its_holder() {
        let containerd = call(
            Code::Unknown,
            "failed to reserve sandbox name \"a_b_c_0\": name \"a_b_c_0\" is reserved for \"0123abcd\"",
        );
        assert_eq!(containerd.name_holder(), Some("0123abcd"));
        assert!(containerd.hint().unwrap().contains("crilet rm 0123abcd"));
        let crio =
            call(Code::Unknown, "the sandbox name \"x\" is already in use by 99ff, remove it");
        assert_eq!(crio.name_holder(), Some("99ff"));
        assert_eq!(call(Code::Unknown, "reserved for \"").name_holder(), None);
    }

    #[test]
    fn the_message_has_method_object_and_code() {
        let error = call(Code::NotFound, "an error occurred");
        assert_eq!(
            error.to_string(),
            "RunPodSandbox for sandbox `blog-sandbox`: an error occurred (NotFound)"
        );
        assert!(error.is_not_found());
    }

    #[test]
    fn registry_troubles_are_told_apart() {
        let hint = |message| call(Code::Unknown, message).hint().unwrap();
        assert!(
            hint("failed to resolve reference \"x\": unexpected status code: 401 Unauthorized")
                .contains("--creds")
        );
        assert!(hint("failed to resolve reference \"x\": x: not found").contains("name and tag"));
        assert!(
            hint(
                "failed to do request: Head \"http://127.0.0.1:1/v2\": dial tcp: connection refused"
            )
            .contains("cannot be reached")
        );
    }
}
