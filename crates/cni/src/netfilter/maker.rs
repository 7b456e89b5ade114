//! Who makes rules: the backend's program, got ready early.

use std::{
    convert::Infallible,
    sync::mpsc::{Receiver, Sender, channel},
};

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
        Chosen::new(named).backend
    }
}

/// A backend, with the tools of iptables where it is that; these are looked for once.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) backend: Backend,
    /// The tools for IPv4, which nearly every pod has.
    tools: Option<Tools>,
}

impl Chosen {
    /// As [`Backend::choose`].
    pub(crate) fn new(named: Option<Backend>) -> Self {
        let tools = match named {
            Some(Backend::Nftables) => None,
            _ => Tools::find(Family::Ipv4).ok(),
        };
        let usual = if tools.is_some() { Backend::Iptables } else { Backend::Nftables };
        Self { backend: named.unwrap_or(usual), tools }
    }
}

/// A backend whose program, where one is needed, gets ready while it is still looked up what rules it
/// is to make.
#[derive(Debug)]
pub(crate) struct Maker {
    chosen: Chosen,
    started: Option<Restore>,
    /// What the first transaction waits for: that the other end is gone.
    turn: Option<Receiver<Infallible>>,
}

impl Maker {
    /// Starts the backend's program; `nft` takes its rules as it starts. What keeps it from starting is told
    /// when rules are made.
    pub(crate) fn start(chosen: Chosen) -> Self {
        let needed = chosen.tools.as_ref().filter(|tools| !tools.are_spared());
        let started = needed.and_then(|tools| tools.start().ok());
        Self { chosen, started, turn: None }
    }

    /// Has the first transaction of iptables wait until what is given is dropped. Since Linux 6.16 whoever makes a
    /// link waits for the same lock as who makes a transaction (`nf_tables_netdev_event` in the kernel's
    /// nft_chain_filter.c); a link is made in a tenth of the time of a transaction beside a thousand pods.
    pub(crate) fn after(&mut self) -> Sender<Infallible> {
        let (first, turn) = channel();
        self.turn = Some(turn);
        first
    }

    pub(crate) fn backend(&self) -> Backend {
        self.chosen.backend
    }

    /// The tools of iptables for a family.
    ///
    /// # Errors
    /// When one is not installed.
    pub(crate) fn tools(&self, family: Family) -> Result<Tools, ExecError> {
        match &self.chosen.tools {
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
        if let Some(Ok(never)) = self.turn.take().map(|turn| turn.recv()) {
            match never {}
        }
        tools.restore_by(self.started.take_if(|_| tools.family == Family::Ipv4), script)
    }
}
