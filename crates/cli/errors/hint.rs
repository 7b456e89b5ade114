//! What to do about an error.

use std::io;

use crilet_log::LogError;
use crilet_pod::FindError;

use super::CliError;

impl CliError {
    /// What to do about it, where that is known.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Discovery(error) => error.hint(),
            Self::Runtime(error) => error.hint(),
            Self::Stream(error) => error.hint(),
            Self::NotLooked(error) => error.hint(),
            Self::NobodyToAsk => {
                Some("--dry-run shows what would be done, --yes does it".to_owned())
            }
            Self::SeveralContainers { pod, names } => {
                Some(format!("write {pod}/{}", names.first().map_or("CONTAINER", |name| name)))
            }
            Self::NothingNamed { kind: "image", .. } => {
                Some("`crilet images` lists every image".to_owned())
            }
            Self::NothingNamed { .. } => {
                Some("`crilet ps --all` lists every pod, `crilet images` every image".to_owned())
            }
            Self::Listen { address, cause } => crate::port_forward::hint(*address, cause),
            Self::NoScreen => Some("`crilet stats` prints a table anywhere".to_owned()),
            Self::NoTerminal => Some("leave out --tty where input comes from elsewhere".to_owned()),
            Self::NoContainerPath { .. } => {
                Some("write POD[/CONTAINER]:PATH for a path in a container".to_owned())
            }
            Self::Credentials(error) => error.hint(),
            Self::Pull(failure) => failure.hint(),
            Self::Embedded(error) => error.hint(),
            Self::Load(error) => error.hint(),
            Self::Plugins(error) => error.hint().map(str::to_owned),
            Self::Log { cause, .. } if cause.kind() == io::ErrorKind::NotFound => {
                Some("`crilet runtime up` starts the embedded runtime".to_owned())
            }
            Self::Find(FindError::NotFound { suggestion: None, .. }) => {
                Some("`crilet ps --all` lists every pod".to_owned())
            }
            Self::Find(FindError::Ambiguous { .. }) => {
                Some("write NAMESPACE/NAME, or more of the id".to_owned())
            }
            Self::FindKept(FindError::NotFound { suggestion: None, .. }) => {
                Some("`crilet get` lists every pod that the daemon keeps".to_owned())
            }
            Self::FindKept(FindError::Ambiguous { .. }) => Some("write NAMESPACE/NAME".to_owned()),
            Self::Daemon(error) => error.hint(),
            Self::Url { .. } => Some("fetch it, look at it, then apply the file".to_owned()),
            Self::Never { pod, .. } => Some(format!("`crilet describe {pod}` tells more")),
            Self::Late { .. } => Some("--timeout waits longer".to_owned()),
            Self::Sightless => {
                Some("try again with sudo, or read a snapshot with --from".to_owned())
            }
            Self::Leaving { pod } => {
                Some(format!("`crilet wait --for deleted {pod}` waits until it is gone"))
            }
            Self::NotTheDaemons { pod } => {
                Some(format!("`crilet rm {pod}` takes it down; then it can be handed over"))
            }
            Self::Kept { hint, .. } => Some(hint.clone()),
            Self::Serve(error) => error.hint(),
            Self::KubeletsPod { .. } => Some("--kubelet-pods rotates them nevertheless".to_owned()),
            Self::NoLog { previous: false, .. } | Self::Logs(LogError::Missing { .. }) => Some(
                "a log needs log_directory in the pod's file and log_path in the container's"
                    .to_owned(),
            ),
            Self::Exists { .. } => {
                Some("--replace takes it down and brings up the new one".to_owned())
            }
            _ => None,
        }
    }
}
