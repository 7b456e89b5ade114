//! `bandwidth`: limits what a pod receives and sends.
//!
//! What it receives leaves the host by the pod's veth, which gets a token bucket. What it sends is
//! redirected to a link of its own, an `ifb`, which gets another one. Names and numbers are the
//! reference's, so that either takes away the other's. The link carries a note of whose it is, by
//! which GC tells networks apart: its name is a hash of network and container.

mod config;
mod shape;

use nix::errno::Errno;
use rtnetlink::{LinkIfb, LinkMessageBuilder, LinkUnspec};

use crate::{
    kernel::{Link, Namespace, Netlink, TokenBucket},
    netfilter::names,
    protocol::{Attachment, Call, CniResult, Interface, Plugin, PluginError, Version, all},
};

use config::{Config, Limit};

const KIND: &str = "ifb";
const NOTE: &str = "crilet bandwidth ";
/// Longest note of a link, in bytes.
const LONGEST_NOTE: usize = 255;

pub(super) struct Bandwidth;

impl Plugin for Bandwidth {
    fn name(&self) -> &'static str {
        "bandwidth"
    }

    fn versions(&self) -> &'static [Version] {
        const VERSIONS: [Version; 5] =
            [Version::V0_3_0, Version::V0_3_1, Version::V0_4_0, Version::V1_0_0, Version::V1_1_0];
        &VERSIONS
    }

    fn add(&self, call: &Call) -> Result<CniResult, PluginError> {
        let config = Config::read(call)?;
        let mut result = call.required_previous()?;
        if config.is_empty() {
            return Ok(result);
        }
        let netlink = Netlink::open()?;
        let veth = host_link(&netlink, &result, call)?;
        let mut made = Made::default();
        match limit(&netlink, &veth, &config, call, &mut made) {
            Ok(()) => {
                if let Some(link) = made.link {
                    let (name, mac) = (link.name, link.mac);
                    result.interfaces.push(Interface { name, mac, ..Interface::default() });
                }
                Ok(result)
            }
            Err(failure) => {
                // The failure is what to tell.
                drop(made.undo(&netlink, &veth));
                Err(failure)
            }
        }
    }

    fn del(&self, call: &Call) -> Result<(), PluginError> {
        let netlink = Netlink::open()?;
        match netlink.link(&name(call))? {
            Some(link) if link.kind == KIND => Ok(netlink.delete_link(&link).map(drop)?),
            _ => Ok(()),
        }
    }

    fn check(&self, call: &Call) -> Result<(), PluginError> {
        let config = Config::read(call)?;
        let result = call.required_previous()?;
        let netlink = Netlink::open()?;
        let veth = host_link(&netlink, &result, call)?;
        if let Some(limit) = config.ingress {
            check_bucket(&netlink, &veth, limit)?;
        }
        let Some(limit) = config.egress else { return Ok(()) };
        let name = name(call);
        let link = netlink.link(&name)?.filter(|link| link.kind == KIND).ok_or_else(|| {
            PluginError::internal(format!("link `{name}` that limits what the pod sends is gone"))
        })?;
        if !netlink.redirections(&veth)?.contains(&link.index) {
            let message = format!("what link `{}` receives is not sent to `{name}`", veth.name);
            return Err(PluginError::internal(message));
        }
        check_bucket(&netlink, &link, limit)
    }

    fn gc(&self, call: &Call) -> Result<(), PluginError> {
        let valid = call.valid_attachments()?;
        let netlink = Netlink::open()?;
        let links = netlink.links()?.into_iter().filter(|link| {
            let owner = (link.kind == KIND).then(|| owner(&link.alias)).flatten();
            owner.is_some_and(|(network, attachment)| {
                network == call.network && !valid.contains(&attachment)
            })
        });
        let removed = links.map(|link| netlink.delete_link(&link).map_err(PluginError::from));
        all(removed.filter_map(Result::err).collect())
    }

    fn status(&self, call: &Call) -> Result<(), PluginError> {
        Config::read(call).map(drop)
    }
}

/// What an attempt made, to be taken away when it fails.
#[derive(Debug, Default)]
struct Made {
    bucket: bool,
    redirection: bool,
    link: Option<Link>,
}

impl Made {
    fn undo(self, netlink: &Netlink, veth: &Link) -> Result<(), PluginError> {
        let mut errors = Vec::new();
        if self.redirection {
            errors.extend(netlink.remove_redirection(veth).err());
        }
        if let Some(link) = self.link {
            errors.extend(netlink.delete_link(&link).err());
        }
        if self.bucket {
            errors.extend(netlink.remove_token_bucket(veth).err());
        }
        all(errors.into_iter().map(Into::into).collect())
    }
}

fn limit(
    netlink: &Netlink,
    veth: &Link,
    config: &Config,
    call: &Call,
    made: &mut Made,
) -> Result<(), PluginError> {
    if let Some(limit) = config.ingress {
        made.bucket = netlink.token_bucket(veth)?.is_none();
        set_bucket(netlink, veth, limit)?;
    }
    if let Some(limit) = config.egress {
        let link = made.link.insert(add_link(netlink, veth, call)?).clone();
        // What DEL leaves on a veth that stays: a redirection to a link that is gone.
        let old = netlink.redirections(veth)?;
        if !old.is_empty() && old.iter().all(|index| *index == 0) {
            netlink.remove_redirection(veth)?;
        }
        let taken = netlink.redirect(veth, &link);
        made.redirection = !matches!(&taken, Err(error) if error.is(&[Errno::EEXIST]));
        taken?;
        set_bucket(netlink, &link, limit)?;
    }
    Ok(())
}

fn set_bucket(netlink: &Netlink, link: &Link, limit: Limit) -> Result<(), PluginError> {
    Ok(netlink.set_token_bucket(link, shape::bucket(limit))?)
}

fn check_bucket(netlink: &Netlink, link: &Link, limit: Limit) -> Result<(), PluginError> {
    let Some(now) = netlink.token_bucket(link)? else {
        let message = format!("link `{}` has no limit of its rate", link.name);
        return Err(PluginError::internal(message));
    };
    let differs = |what: &str, wanted: u64, now: u64| {
        let message = format!("{what} of link `{}` is {now} but should be {wanted}", link.name);
        Err(PluginError::internal(message))
    };
    // What the reference makes of a burst that nobody chose is right too.
    let wanted = [shape::bucket(limit), shape::bucket(limit.literal())];
    let TokenBucket { rate, limit, buffer } = wanted[0];
    if now.rate != rate {
        return differs("rate in bytes a second", rate, now.rate);
    }
    if wanted.iter().all(|wanted| wanted.limit != now.limit) {
        return differs("limit in bytes", limit.into(), now.limit.into());
    }
    if wanted.iter().all(|wanted| wanted.buffer != now.buffer) {
        return differs("burst in ticks", buffer.into(), now.buffer.into());
    }
    Ok(())
}

/// Makes the link that what the pod sends goes through. One that is there already is what an ADD
/// left that nobody took away, unless something is still redirected to it.
fn add_link(netlink: &Netlink, veth: &Link, call: &Call) -> Result<Link, PluginError> {
    let name = name(call);
    if let Some(old) = netlink.link(&name)? {
        remove_stale(netlink, veth, &old)?;
    }
    let message = LinkIfb::new(&name).mtu(veth.mtu).txqueuelen(0).up().build();
    netlink.add_link(message, &name)?;
    let link = netlink.link(&name)?.ok_or_else(|| {
        PluginError::internal(format!("link `{name}` vanished while it was made"))
    })?;
    let note = note(call);
    if note.len() <= LONGEST_NOTE {
        let message = LinkMessageBuilder::<LinkUnspec>::new().index(link.index).alias(note);
        let noted = netlink.change_link(message.build(), || format!("note whose link `{name}` is"));
        if let Err(failure) = noted {
            // The failure is what to tell.
            drop(netlink.delete_link(&link));
            return Err(failure.into());
        }
    }
    Ok(link)
}

fn remove_stale(netlink: &Netlink, veth: &Link, old: &Link) -> Result<(), PluginError> {
    if old.kind != KIND {
        let message = format!("link `{}` is there but limits nothing: remove it", old.name);
        return Err(PluginError::internal(message));
    }
    for link in netlink.links()?.iter().filter(|link| link.kind == "veth") {
        if !netlink.redirections(link)?.contains(&old.index) {
            continue;
        }
        if link.index != veth.index {
            return Err(PluginError::internal(format!(
                "link `{}` limits what comes from link `{}`: a container can have one attachment \
                 with `egressRate` in a network",
                old.name, link.name
            )));
        }
        netlink.remove_redirection(link)?;
    }
    netlink.delete_link(old)?;
    Ok(())
}

/// The pod's veth on the host, by its other end.
fn host_link(netlink: &Netlink, result: &CniResult, call: &Call) -> Result<Link, PluginError> {
    let path = call.environment.namespace().unwrap_or_else(|| "".as_ref());
    let inside = Netlink::inside(&Namespace::open(path)?)?.link(call.link())?;
    let missing = |why: String| {
        PluginError::internal(format!(
            "link `{}` of the pod has no veth on the host: {why}; chain the plugin after one that \
             makes it, such as `bridge` or `ptp`",
            call.link()
        ))
    };
    let inside = inside.ok_or_else(|| missing("it is not there".to_owned()))?;
    let outside = match inside.lower {
        Some(index) if inside.kind == "veth" => netlink.link_at(index)?,
        _ => return Err(missing(format!("it is of kind `{}`", inside.kind))),
    };
    let is_peer = |link: &Link| link.kind == "veth" && link.lower == Some(inside.index);
    let outside = outside.filter(is_peer).ok_or_else(|| missing("its peer is elsewhere".into()))?;
    let is_known = |link: &Interface| link.sandbox.is_empty() && link.name == outside.name;
    if !result.interfaces.iter().any(is_known) {
        let why = format!("`prevResult.interfaces` has no `{}`", outside.name);
        return Err(missing(why));
    }
    Ok(outside)
}

/// Name of the link, as the reference makes it.
fn name(call: &Call) -> String {
    names::limiting_link(&call.network, call.container_id())
}

/// None of the three parts can hold a slash.
fn note(call: &Call) -> String {
    format!("{NOTE}{}/{}/{}", call.network, call.container_id(), call.link())
}

fn owner(note: &str) -> Option<(&str, Attachment)> {
    let mut parts = note.strip_prefix(NOTE)?.split('/');
    let (network, container, link) = (parts.next()?, parts.next()?, parts.next()?);
    let attachment = Attachment { container_id: container.to_owned(), link: link.to_owned() };
    Some((network, attachment))
}
