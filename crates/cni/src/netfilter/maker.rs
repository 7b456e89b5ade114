//! Who makes rules: the backend's program, got ready early.

use crilet_core::exec::ExecError;
use serde::Deserialize;

use super::iptables::{Restore, Tools};
use crate::Family;

/// Which of the kernel's two packet filters rules are made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Backend {
    Iptables,
    Nftables,
}

impl Backend {
    /// The backend that a configuration names, or else iptables where it is installed.
    pub(crate) fn choose(named: Option<Self>) -> Self {
        named.unwrap_or_else(|| match Tools::find(Family::Ipv4) {
            Ok(_) => Self::Iptables,
            Err(_) => Self::Nftables,
        })
    }
}

/// A backend whose program, where one is needed, gets ready while it is still looked up what rules it
/// is to make.
#[derive(Debug)]
pub(crate) struct Maker {
    backend: Backend,
    /// The tools for IPv4, which nearly every pod has; `nft` takes its rules as it starts.
    tools: Option<Tools>,
    started: Option<Restore>,
}

impl Maker {
    /// Starts the backend's program. What keeps it from starting is told when rules are made.
    pub(crate) fn start(backend: Backend) -> Self {
        let find = || Tools::find(Family::Ipv4).ok();
        let tools = (backend == Backend::Iptables).then(find).flatten();
        let needed = tools.as_ref().filter(|tools| !tools.are_spared());
        let started = needed.and_then(|tools| tools.start().ok());
        Self { backend, tools, started }
    }

    pub(crate) fn backend(&self) -> Backend {
        self.backend
    }

    /// The tools of iptables for a family.
    ///
    /// # Errors
    /// When one is not installed.
    pub(crate) fn tools(&self, family: Family) -> Result<Tools, ExecError> {
        match &self.tools {
            Some(tools) if tools.family == family => Ok(tools.clone()),
            _ => Tools::find(family),
        }
    }

    /// Makes one transaction of a script of iptables by the started program, or by another one when
    /// that has made one already.
    ///
    /// # Errors
    /// As [`Tools::restore`].
    pub(crate) fn restore(&mut self, tools: &Tools, script: &str) -> Result<(), ExecError> {
        tools.restore_by(self.started.take_if(|_| tools.family == Family::Ipv4), script)
    }
}
