//! `tuning`: settings of the pod's network, and of its link.
//!
//! What a link was before is kept in a file beside those of the reference plugin, in its form, so
//! that either puts it back on DEL. A link that goes with its pod needs none of that; one that goes
//! back to the host does.

mod backup;
mod config;
mod link;
mod sysctl;

use crate::{
    kernel::{Link, Namespace, Netlink},
    protocol::{Call, CniResult, Plugin, PluginError},
};

use config::Config;
use link::Aspects;

pub(super) struct Tuning;

impl Plugin for Tuning {
    fn name(&self) -> &'static str {
        "tuning"
    }

    fn add(&self, call: &Call) -> Result<CniResult, PluginError> {
        let config = Config::read(call)?;
        config.check_allowed()?;
        let mut result = call.required_previous()?;
        let pod = Pod::open(call)?;
        let link = pod.link(call)?;
        let before = Aspects::of(&link, &config.wanted);
        let old = pod.namespace.run(|| sysctl::apply(&config.settings))??;
        let tuned = backup::write(&config.directory, &before, call)
            .and_then(|()| link::apply(&pod.netlink, &link, &config.wanted));
        if let Err(failure) = tuned {
            // Back to what was, as far as it goes; the failure is what to tell.
            drop(link::apply(&pod.netlink, &link, &before));
            drop(pod.namespace.run(|| sysctl::restore(&old)));
            drop(backup::remove(&config.directory, call));
            return Err(failure);
        }
        if let Some(mac) = &config.wanted.mac {
            let own = result.interfaces.iter_mut().filter(|link| link.name == call.link());
            own.for_each(|link| link.mac.clone_from(mac));
        }
        Ok(result)
    }

    fn del(&self, call: &Call) -> Result<(), PluginError> {
        let directory = config::directory(call)?;
        let Some(before) = backup::read(&directory, call)? else { return Ok(()) };
        if let Some(path) = call.environment.namespace()
            && let Some(namespace) = Namespace::open_existing(path)?
        {
            let netlink = Netlink::inside(&namespace)?;
            if let Some(link) = netlink.link(call.link())? {
                link::apply(&netlink, &link, &before)?;
            }
        }
        backup::remove(&directory, call)
    }

    fn check(&self, call: &Call) -> Result<(), PluginError> {
        let config = Config::read(call)?;
        call.required_previous()?;
        let pod = Pod::open(call)?;
        pod.namespace.run(|| sysctl::check(&config.settings))??;
        link::check(&pod.link(call)?, &config.wanted)
    }

    fn gc(&self, call: &Call) -> Result<(), PluginError> {
        let valid = call.valid_attachments()?;
        backup::keep_only(&config::directory(call)?, &call.network, &valid)
    }

    fn status(&self, call: &Call) -> Result<(), PluginError> {
        Config::read(call)?.check_allowed()
    }
}

/// The pod's namespace, from without.
struct Pod {
    namespace: Namespace,
    netlink: Netlink,
}

impl Pod {
    fn open(call: &Call) -> Result<Self, PluginError> {
        let path = call.environment.namespace().unwrap_or_else(|| "".as_ref());
        let namespace = Namespace::open(path)?;
        let netlink = Netlink::inside(&namespace)?;
        Ok(Self { namespace, netlink })
    }

    fn link(&self, call: &Call) -> Result<Link, PluginError> {
        self.netlink.link(call.link())?.ok_or_else(|| {
            PluginError::internal(format!(
                "link `{}` is not in the pod's network namespace `{}`: chain the plugin after one \
                 that makes it",
                call.link(),
                call.environment.namespace
            ))
        })
    }
}
