use std::{error::Error, path::PathBuf};

use crilet_core::exec::ExecError;

/// Why the host's network could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CniError {
    /// The kernel could not be asked about links, addresses or routes.
    #[error("read this host's {what}")]
    Read {
        /// What was asked for.
        what: &'static str,
        /// The kernel's answer.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// A link could not be removed.
    #[error("remove link `{link}`")]
    RemoveLink {
        /// Name of the link.
        link: String,
        /// The kernel's answer.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// All subnets that crilet would use are taken.
    #[error(
        "every subnet that pods could have overlaps a route or an address of this host: {candidates}"
    )]
    NoSubnet {
        /// The subnets that were tried.
        candidates: String,
    },
    /// The table of address translation could not be listed.
    #[error("list the rules of `{program}`")]
    ListRules {
        /// `iptables` or `ip6tables`.
        program: &'static str,
        /// What the program said.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// The rules that pods left could not be removed.
    #[error("remove what pods left in the nat table")]
    RemoveRules {
        /// What the program said.
        #[source]
        cause: ExecError,
    },
    /// The guard of 127.0.0.0/8 could not be removed.
    #[error("remove the guard of 127.0.0.0/8")]
    Guard {
        /// What refused.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// Randomness for an own IPv6 prefix could not be had.
    #[error("read `{}`", path.display())]
    Random {
        /// The device.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        cause: std::io::Error,
    },
}
