//! `dhcp`: addresses from a DHCP server of the pod's network.
//!
//! A lease has to be prolonged long after the plugin's program has ended, so a daemon asks for it
//! and keeps it: `crilet-cni dhcp daemon`. Plugin and daemon speak the reference's protocol, and
//! either may be the reference's.

mod client;
mod config;
mod daemon;
mod flags;
mod gob;
mod lease;
mod packet;
mod rpc;
mod terms;

use std::{
    net::{IpAddr, Ipv4Addr},
    os::unix::net::UnixStream,
};

use ipnet::{IpNet, Ipv4Net};

use crate::protocol::{Call, CniResult, Code, IpConfig, Plugin, PluginError, Route};
use config::Config;
use flags::Flags;
use gob::Value;
use rpc::{Arguments, CallError};

/// Name of the plugin.
pub(super) const NAME: &str = "dhcp";
/// Ends leases of attachments that are gone. The reference's daemon has no such method.
const COLLECT: &str = "DHCP.Collect";

pub(super) struct Dhcp;

impl Plugin for Dhcp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn add(&self, call: &Call) -> Result<CniResult, PluginError> {
        result(&ask("DHCP.Allocate", call)?)
    }

    fn del(&self, call: &Call) -> Result<(), PluginError> {
        ask("DHCP.Release", call).map(drop)
    }

    fn check(&self, call: &Call) -> Result<(), PluginError> {
        // Beyond the reference: the lease is looked at, too.
        let leased = result(&ask("DHCP.Allocate", call)?)?;
        let Some(previous) = call.previous()? else { return Ok(()) };
        let is_known = |ip: &IpConfig| previous.ips.iter().any(|one| one.address == ip.address);
        match leased.ips.iter().find(|ip| !is_known(ip)) {
            Some(ip) => Err(PluginError::internal(format!(
                "{} is leased to the pod, but is not in `prevResult.ips`",
                ip.address
            ))),
            None => Ok(()),
        }
    }

    fn gc(&self, call: &Call) -> Result<(), PluginError> {
        call.valid_attachments()?;
        let config = Config::read(call.config.clone(), "")?;
        match rpc::call(&config.socket, COLLECT, &arguments(call)) {
            // Without a daemon there are no leases; that of the reference tells nothing of them.
            Err(CallError::Dial(_)) => Ok(()),
            Err(CallError::Refused(text)) if text.contains("can't find method") => Ok(()),
            other => other.map(drop).map_err(|error| failed(COLLECT, error)),
        }
    }

    fn status(&self, call: &Call) -> Result<(), PluginError> {
        let config = Config::read(call.config.clone(), &call.environment.args)?;
        UnixStream::connect(&config.socket).map(drop).map_err(|error| {
            let text = format!("no dhcp daemon listens on `{}`: {error}", config.socket.display());
            PluginError::new(Code::NotAvailable, text).details(HINT)
        })
    }

    fn probe(&self, call: &Call) -> Result<(), PluginError> {
        Config::read(call.config.clone(), &call.environment.args).map(drop)
    }
}

const HINT: &str = "start one by `crilet-cni dhcp daemon`";

fn arguments(call: &Call) -> Arguments {
    let environment = &call.environment;
    Arguments {
        container: environment.container_id.clone(),
        // The daemon has a working directory of its own.
        namespace: environment.namespace().map_or_else(String::new, |path| {
            std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
        }),
        link: environment.link.clone(),
        args: environment.args.clone(),
        path: environment.path.clone(),
        config: call.config.to_string().into_bytes(),
    }
}

fn ask(method: &str, call: &Call) -> Result<Value, PluginError> {
    let config = Config::read(call.config.clone(), &call.environment.args)?;
    rpc::call(&config.socket, method, &arguments(call)).map_err(|error| {
        let is_unheard = matches!(error, CallError::Dial(_));
        let error = failed(method, error);
        if is_unheard { error.details(HINT) } else { error }
    })
}

/// In the reference's words.
fn failed(method: &str, error: CallError) -> PluginError {
    PluginError::internal(match error {
        CallError::Dial(cause) => format!("error dialing DHCP daemon: {cause}"),
        CallError::Talk(cause) => format!("error calling {method}: {cause}"),
        CallError::Refused(text) => format!("error calling {method}: {text}"),
    })
}

/// The result of an allocation as either daemon sends it.
fn result(value: &Value) -> Result<CniResult, PluginError> {
    let wrong = || PluginError::internal("the DHCP daemon sent an address that is none");
    let ips = value.list("IPs").iter().map(|ip| {
        let net = ip.get("Address").and_then(net).ok_or_else(wrong)?;
        let gateway = address(ip.bytes("Gateway")).map(IpAddr::V4);
        Ok(IpConfig { interface: None, address: net, gateway })
    });
    let routes = value.list("Routes").iter().map(|route| {
        let dst = route.get("Dst").and_then(net).ok_or_else(wrong)?.trunc();
        let priority = u32::try_from(route.number("Priority")).ok().filter(|number| *number > 0);
        Ok(Route {
            dst,
            gw: address(route.bytes("GW")).map(IpAddr::V4),
            mtu: None,
            advmss: None,
            priority,
            table: None,
            scope: None,
        })
    });
    Ok(CniResult {
        ips: ips.collect::<Result<_, PluginError>>()?,
        routes: routes.collect::<Result<_, PluginError>>()?,
        ..CniResult::default()
    })
}

fn net(value: &Value) -> Option<IpNet> {
    let mask = address(value.bytes("Mask")).unwrap_or(Ipv4Addr::UNSPECIFIED);
    // An address of zeros only may come as nothing.
    let ip = address(value.bytes("IP")).unwrap_or(Ipv4Addr::UNSPECIFIED);
    Ipv4Net::with_netmask(ip, mask).ok().map(IpNet::V4)
}

/// Go may put an address of IPv4 into the last bytes of one of IPv6.
fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    let four: [u8; 4] = match bytes {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, four @ ..] => four.try_into().ok()?,
        four => four.try_into().ok()?,
    };
    Some(four.into())
}

/// Runs the daemon with the words that follow `daemon` on the command line; gives the exit status.
/// `is_passed` says that systemd passes the socket, and `say` gets words for a person.
pub fn daemon(words: impl Iterator<Item = String>, is_passed: bool, say: fn(&str)) -> u8 {
    let flags = match Flags::parse(words) {
        Ok(Some(flags)) => flags,
        Ok(None) => {
            say(flags::USAGE.trim_end());
            return 0;
        }
        Err(problem) => {
            say(&format!("{problem}\n{}", flags::USAGE.trim_end()));
            return 64;
        }
    };
    match daemon::run(flags, is_passed, say) {
        Ok(()) => 0,
        Err(error) => {
            say(&format!("failed to start: {error}"));
            1
        }
    }
}
