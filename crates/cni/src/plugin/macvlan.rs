//! `macvlan`: a link of the pod's own, with a hardware address of its own, on a link of the host.

use rtnetlink::{
    LinkMacVlan, LinkMessageBuilder,
    packet_route::link::{InfoData, InfoMacVlan, MacVlanMode},
};
use serde::Deserialize;

use super::{
    endpoint,
    upper::{self, Kind, Upper},
};
use crate::protocol::{Call, CniResult, Plugin, PluginError};

const KIND: &str = "macvlan";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Keys {
    mode: String,
    /// Packets to all that may wait; 0 leaves the kernel's.
    bcqueuelen: u32,
}

pub(super) struct Macvlan;

impl Plugin for Macvlan {
    fn name(&self) -> &'static str {
        KIND
    }

    fn add(&self, call: &Call) -> Result<CniResult, PluginError> {
        let keys: Keys = call.config()?;
        let mode = mode(&keys.mode)?;
        let mac = endpoint::wanted_mac(call)?;
        let build = |name: &str, master: u32| {
            let mut message = LinkMessageBuilder::<LinkMacVlan>::new(name).link(master).mode(mode);
            if keys.bcqueuelen != 0 {
                message = message.append_info_data(InfoMacVlan::BcQueueLen(keys.bcqueuelen));
            }
            if let Some(mac) = mac {
                message = message.address(mac.to_vec());
            }
            message.build()
        };
        let settings = &endpoint::NOTIFY;
        let kind = Kind { name: KIND, module: KIND, build: &build, settings };
        Upper::open(call)?.add(&kind, None, call)
    }

    fn del(&self, call: &Call) -> Result<(), PluginError> {
        upper::del(call)
    }

    fn check(&self, call: &Call) -> Result<(), PluginError> {
        let keys: Keys = call.config()?;
        let mode = mode(&keys.mode)?;
        let link = Upper::open(call)?.check(KIND, call)?;
        match &link.data {
            Some(InfoData::MacVlan(list)) if list.contains(&InfoMacVlan::Mode(mode)) => Ok(()),
            _ => Err(upper::wrong_mode(KIND, &link, &keys.mode)),
        }
    }

    fn gc(&self, call: &Call) -> Result<(), PluginError> {
        upper::gc(call)
    }

    fn status(&self, call: &Call) -> Result<(), PluginError> {
        mode(&call.config::<Keys>()?.mode)?;
        upper::status(call)
    }
}

fn mode(text: &str) -> Result<MacVlanMode, PluginError> {
    match text {
        "" | "bridge" => Ok(MacVlanMode::Bridge),
        "private" => Ok(MacVlanMode::Private),
        "vepa" => Ok(MacVlanMode::Vepa),
        "passthru" => Ok(MacVlanMode::Passthrough),
        other => Err(PluginError::config(
            "mode",
            format_args!(
                "is \"{other}\", but must be \"bridge\", \"private\", \"vepa\" or \"passthru\""
            ),
        )),
    }
}
