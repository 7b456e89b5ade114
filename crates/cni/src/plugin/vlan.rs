//! `vlan`: a link of the pod's own for one VLAN of a link of the host.

use rtnetlink::{
    LinkMessageBuilder, LinkVlan,
    packet_route::link::{InfoData, InfoVlan},
};
use serde::Deserialize;

use super::upper::{self, Kind, Upper};
use crate::{
    delegate,
    protocol::{Call, CniResult, Plugin, PluginError},
};

const KIND: &str = "vlan";
const LARGEST: u16 = 4094;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    master: String,
    vlan_id: u16,
}

impl Keys {
    fn read(call: &Call) -> Result<Self, PluginError> {
        let keys: Self = call.config()?;
        if keys.master.is_empty() {
            let problem = "is missing: name the link that the VLAN is on";
            return Err(PluginError::config("master", problem));
        }
        if keys.vlan_id > LARGEST {
            let problem = format!("is {}, but must be between 0 and {LARGEST}", keys.vlan_id);
            return Err(PluginError::config("vlanId", problem));
        }
        if delegate::address_management(call)?.is_none() {
            return Err(PluginError::config("ipam", "is missing: the pod needs an address"));
        }
        Ok(keys)
    }
}

pub(super) struct Vlan;

impl Plugin for Vlan {
    fn name(&self) -> &'static str {
        KIND
    }

    fn add(&self, call: &Call) -> Result<CniResult, PluginError> {
        let keys = Keys::read(call)?;
        let build = |name: &str, master: u32| {
            LinkMessageBuilder::<LinkVlan>::new(name).link(master).id(keys.vlan_id).build()
        };
        let kind = Kind { name: KIND, module: "8021q", build: &build, settings: &[] };
        Upper::open(call)?.add(&kind, None, call)
    }

    fn del(&self, call: &Call) -> Result<(), PluginError> {
        upper::del(call)
    }

    fn check(&self, call: &Call) -> Result<(), PluginError> {
        let keys = Keys::read(call)?;
        let link = Upper::open(call)?.check(KIND, call)?;
        match &link.data {
            Some(InfoData::Vlan(list)) if list.contains(&InfoVlan::Id(keys.vlan_id)) => Ok(()),
            _ => Err(PluginError::internal(format!(
                "link `{}` of the pod is not of VLAN {}",
                link.name, keys.vlan_id
            ))),
        }
    }

    fn gc(&self, call: &Call) -> Result<(), PluginError> {
        upper::gc(call)
    }

    fn status(&self, call: &Call) -> Result<(), PluginError> {
        Keys::read(call)?;
        upper::status(call)
    }
}
