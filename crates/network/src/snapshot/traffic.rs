//! Filters of `tc` at links, which see packets before (`ingress`) and after (`egress`) all packet filters.
//!
//! Only links with a queue of kind `clsact` or `ingress` have some. The numbers are those of
//! linux/pkt_sched.h, linux/pkt_cls.h and linux/tc_act/*.h.

use std::io;

use crilet_cni::netfilter::{Filter, attributes, find, text};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::kernel::{list, u32_at};

const NEWQDISC: u16 = 36;
const GETQDISC: u16 = 38;
const NEWTFILTER: u16 = 44;
const GETTFILTER: u16 = 46;
/// `struct tcmsg`: family, link, handle, parent, and a word whose meaning depends on the message.
const HEADER: usize = 20;
const LINK: usize = 4;
const PARENT: usize = 12;
const INFO: usize = 16;
/// Parents of filters.
const INGRESS: u32 = 0xffff_fff2;
const EGRESS: u32 = 0xffff_fff3;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
/// `ETH_P_ALL`.
const ALL: u16 = 3;
const U32_DIVISOR: u16 = 4;
const BPF_NAME: u16 = 7;

/// A filter of `tc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficFilter {
    /// The link that it is at.
    pub link: u32,
    /// `ingress` or `egress`.
    pub hook: String,
    /// The lowest one is asked first.
    pub priority: u32,
    /// The kind of its condition: `matchall`, `u32`, `bpf` and so on.
    pub kind: String,
    /// What Ethernet calls the protocol of the packets that it is for, such as 0x0800; absent for all.
    pub protocol: Option<u16>,
    /// What it does with those that it matches.
    pub actions: Vec<TrafficAction>,
}

/// What a filter does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrafficAction {
    /// The packet goes on.
    Pass,
    /// It is gone.
    Drop,
    /// It leaves by the link of this number instead.
    Redirect(u32),
    /// A copy of it leaves by the link of this number.
    Mirror(u32),
    /// Something else, in `tc`'s words.
    Other(String),
}

/// Reads them, in the order in which the kernel tells them.
pub(super) fn read(kernel: &Filter) -> io::Result<Vec<TrafficFilter>> {
    let queues = list(kernel, GETQDISC, NEWQDISC, &[0; HEADER], queue)?;
    let mut found = Vec::new();
    for (link, kind) in queues {
        let hooks: &[(u32, &str)] = match kind.as_str() {
            "clsact" => &[(INGRESS, "ingress"), (EGRESS, "egress")],
            "ingress" => &[(INGRESS, "ingress")],
            _ => &[],
        };
        for (parent, hook) in hooks {
            let mut body = vec![0; LINK];
            body.extend(link.to_ne_bytes());
            body.resize(PARENT, 0);
            body.extend(parent.to_ne_bytes());
            body.resize(HEADER, 0);
            let read = |body: &[u8]| filter(body, link, hook);
            match list(kernel, GETTFILTER, NEWTFILTER, &body, read) {
                // The queue, or its link, went away meanwhile.
                Err(error) if is_gone(&error) => {}
                filters => found.extend(filters?),
            }
        }
    }
    Ok(found)
}

fn is_gone(error: &io::Error) -> bool {
    let numbers = [Errno::EINVAL, Errno::ENOENT, Errno::ENODEV];
    error.raw_os_error().is_some_and(|number| numbers.iter().any(|one| *one as i32 == number))
}

fn queue(body: &[u8]) -> Option<(u32, String)> {
    let kind = text(find(body.get(HEADER..)?, TCA_KIND)?);
    matches!(kind.as_str(), "clsact" | "ingress").then_some((u32_at(body, LINK)?, kind))
}

fn filter(body: &[u8], link: u32, hook: &str) -> Option<TrafficFilter> {
    let info = u32_at(body, INFO)?;
    let inside = body.get(HEADER..)?;
    let kind = text(find(inside, TCA_KIND)?);
    // Without options it is the head of the filters of a priority.
    let options = find(inside, TCA_OPTIONS)?;
    // u32 also tells its tables.
    if kind == "u32" && find(options, U32_DIVISOR).is_some() {
        return None;
    }
    let protocol = u16::from_be(u16::try_from(info & 0xffff).ok()?);
    Some(TrafficFilter {
        link,
        hook: hook.to_owned(),
        priority: info >> 16,
        protocol: Some(protocol).filter(|protocol| *protocol != ALL),
        actions: actions(&kind, options),
        kind,
    })
}

/// A condition without actions only sorts packets into classes, which there are none of here.
fn actions(kind: &str, options: &[u8]) -> Vec<TrafficAction> {
    let attribute = match kind {
        "matchall" => 2,
        "flower" | "basic" => 3,
        "fw" => 4,
        "u32" => 7,
        // The program says itself what becomes of the packet.
        "bpf" => {
            let name = find(options, BPF_NAME).map(text).unwrap_or_default();
            return vec![TrafficAction::Other(format!("program {name}"))];
        }
        other => return vec![TrafficAction::Other(other.to_owned())],
    };
    let listed = find(options, attribute).unwrap_or_default();
    attributes(listed).map(|(_, one)| action(one)).collect()
}

fn action(bytes: &[u8]) -> TrafficAction {
    let kind = find(bytes, 1).map(text).unwrap_or_default();
    let options = find(bytes, 2).unwrap_or_default();
    let known = match kind.as_str() {
        "gact" => control(options),
        "mirred" => elsewhere(options),
        _ => None,
    };
    known.unwrap_or(TrafficAction::Other(kind))
}

/// What comes after an action; `None` for what is not simply "go on" or "drop".
fn then(parameters: &[u8]) -> Option<TrafficAction> {
    match u32_at(parameters, 8)? {
        // TC_ACT_UNSPEC, TC_ACT_OK and TC_ACT_PIPE.
        u32::MAX | 0 | 3 => Some(TrafficAction::Pass),
        2 => Some(TrafficAction::Drop),
        _ => None,
    }
}

/// `struct tc_gact`; one that also throws dice is not known.
fn control(options: &[u8]) -> Option<TrafficAction> {
    const PARAMETERS: u16 = 2;
    const CHANCE: u16 = 3;
    then(find(options, PARAMETERS)?).filter(|_| find(options, CHANCE).is_none())
}

/// `struct tc_mirred`: the packet, or a copy of it, is sent by another link.
fn elsewhere(options: &[u8]) -> Option<TrafficAction> {
    const PARAMETERS: u16 = 2;
    let parameters = find(options, PARAMETERS)?;
    let link = u32_at(parameters, 24)?;
    match u32_at(parameters, 20)? {
        1 => Some(TrafficAction::Redirect(link)),
        2 => then(parameters)
            .filter(|then| *then == TrafficAction::Pass)
            .map(|_| TrafficAction::Mirror(link)),
        _ => None,
    }
}

impl TrafficFilter {
    /// Whether it may match packets of IPv4, or of IPv6, or those by which their neighbours are found.
    #[must_use]
    pub fn is_for(&self, v4: bool) -> bool {
        let own: &[u16] = if v4 { &[0x0800, 0x0806] } else { &[0x86dd] };
        self.protocol.is_none_or(|protocol| own.contains(&protocol))
    }
}

#[cfg(test)]
mod tests {
    use crilet_cni::netfilter::push;

    use super::*;

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    fn one(kind: &str, attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let (mut options, mut action, mut list) = (Vec::new(), Vec::new(), Vec::new());
        attributes.iter().for_each(|(number, value)| push(&mut options, *number, value));
        push(&mut action, 1, kind.as_bytes());
        push(&mut action, 2, &options);
        push(&mut list, 1, &action);
        list
    }

    fn read(kind: &str, attribute: u16, list: &[u8]) -> Option<TrafficFilter> {
        let mut options = Vec::new();
        push(&mut options, attribute, list);
        let mut body = words(&[0, 7, 0, INGRESS, 49152 << 16 | u32::from(0x0800_u16.to_be())]);
        push(&mut body, TCA_KIND, kind.as_bytes());
        push(&mut body, TCA_OPTIONS, &options);
        filter(&body, 7, "ingress")
    }

    #[test]
    fn actions_are_known_or_told_by_name() {
        use TrafficAction::{Drop, Mirror, Other, Pass, Redirect};
        let control = |what: u32| one("gact", &[(2, words(&[1, 0, what, 1, 1]))]);
        let mirred =
            |what: u32, then: u32| one("mirred", &[(2, words(&[1, 0, then, 1, 1, what, 9]))]);
        let dice = one("gact", &[(2, words(&[1, 0, 0, 1, 1])), (3, words(&[1, 1]))]);
        let cases = [
            (control(0), Pass),
            (control(u32::MAX), Pass),
            (control(2), Drop),
            (control(4), Other("gact".to_owned())),
            (dice, Other("gact".to_owned())),
            (mirred(1, 4), Redirect(9)),
            (mirred(2, 3), Mirror(9)),
            (mirred(2, 2), Other("mirred".to_owned())),
            (mirred(3, 4), Other("mirred".to_owned())),
            (one("police", &[]), Other("police".to_owned())),
        ];
        for (list, expected) in cases {
            let found = read("matchall", 2, &list).unwrap();
            assert_eq!(found.actions, [expected]);
            assert_eq!((found.link, found.priority, found.protocol), (7, 49152, Some(0x0800)));
        }
        assert_eq!(
            read("bpf", BPF_NAME, b"guard\0").unwrap().actions,
            [Other("program guard".to_owned())]
        );
        assert_eq!(read("rsvp", 1, &[]).unwrap().actions, [Other("rsvp".to_owned())]);
        assert_eq!(read("flower", 3, &[]).unwrap().actions, []);
        // A table of u32.
        assert_eq!(read("u32", U32_DIVISOR, &words(&[1])), None);
    }

    #[test]
    fn a_filter_is_for_its_protocol_only() {
        let of = |protocol| TrafficFilter { protocol, ..read("flower", 3, &[]).unwrap() };
        let both = |filter: TrafficFilter| (filter.is_for(true), filter.is_for(false));
        assert_eq!(both(of(None)), (true, true));
        assert_eq!(both(of(Some(0x0800))), (true, false));
        // Without ARP nobody finds a neighbour.
        assert_eq!(both(of(Some(0x0806))), (true, false));
        assert_eq!(both(of(Some(0x86dd))), (false, true));
        assert_eq!(both(of(Some(0x8100))), (false, false));
    }
}
