//! `ipvlan`: a link of the pod's own on a link of the host, which shares its hardware address.
//!
//! In a chain without `ipam` it stands on the link of the plugin before, and takes its addresses.

use rtnetlink::{
    LinkIpVlan, LinkMessageBuilder,
    packet_route::link::{InfoData, InfoIpVlan, IpVlanMode},
};
use serde::Deserialize;

use super::{
    endpoint,
    upper::{self, Kind, Upper},
};
use crate::protocol::{Call, CniResult, Plugin, PluginError};

const KIND: &str = "ipvlan";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Keys {
    mode: String,
    master: String,
}

pub(super) struct Ipvlan;

impl Plugin for Ipvlan {
    fn name(&self) -> &'static str {
        KIND
    }

    fn add(&self, call: &Call) -> Result<CniResult, PluginError> {
        let keys: Keys = call.config()?;
        let mode = mode(&keys.mode)?;
        let upper = Upper::open(call)?;
        let given = given(upper.ipam.is_none(), &keys, call)?;
        let build = |name: &str, master: u32| {
            LinkMessageBuilder::<LinkIpVlan>::new(name).link(master).mode(mode).build()
        };
        let settings = &endpoint::NOTIFY;
        let kind = Kind { name: KIND, module: KIND, build: &build, settings };
        upper.add(&kind, given, call)
    }

    fn del(&self, call: &Call) -> Result<(), PluginError> {
        upper::del(call)
    }

    fn check(&self, call: &Call) -> Result<(), PluginError> {
        let keys: Keys = call.config()?;
        let mode = mode(&keys.mode)?;
        let link = Upper::open(call)?.check(KIND, call)?;
        match &link.data {
            Some(InfoData::IpVlan(list)) if list.contains(&InfoIpVlan::Mode(mode)) => Ok(()),
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

/// What the plugin before gave, when addresses are to come from there.
fn given(is_chained: bool, keys: &Keys, call: &Call) -> Result<Option<CniResult>, PluginError> {
    let previous = call.previous()?.filter(|_| is_chained);
    let Some(previous) = previous.filter(|previous| !previous.ips.is_empty()) else {
        if is_chained {
            return Err(PluginError::config(
                "ipam",
                "is missing, and no plugin before gives addresses in `prevResult`",
            ));
        }
        return Ok(None);
    };
    if keys.master.is_empty() && previous.interfaces.len() != 1 {
        return Err(PluginError::config(
            "master",
            "is missing, and `prevResult.interfaces` has not just the one link to stand on",
        ));
    }
    Ok(Some(previous))
}

fn mode(text: &str) -> Result<IpVlanMode, PluginError> {
    match text {
        "" | "l2" => Ok(IpVlanMode::L2),
        "l3" => Ok(IpVlanMode::L3),
        "l3s" => Ok(IpVlanMode::L3S),
        other => Err(PluginError::config(
            "mode",
            format_args!("is \"{other}\", but must be \"l2\", \"l3\" or \"l3s\""),
        )),
    }
}
