//! Flows that the kernel tracks.
//!
//! Only the first packet of a flow sees the rules; UDP has no end that could be seen, so that a
//! client that keeps sending reaches the pod that is gone, or nobody, for as long as it sends. Such
//! flows are ended after the rules have changed. Flows to the same port of others, such as of pods
//! to servers of names elsewhere, are none of them.

use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    io,
    net::IpAddr,
};

use crate::{
    kernel::Netlink,
    netfilter::{Filter, conntrack},
};

pub(crate) use conntrack::Flows;

/// Ends flows of UDP of both families.
///
/// # Errors
/// When the kernel cannot be asked. Without tracking there are no flows, which is no error.
pub(crate) fn end_udp(four: &[Flows], six: &[Flows]) -> io::Result<()> {
    let host = Addresses::default();
    let mut filter = None;
    for (is_v4, wanted) in [(true, four), (false, six)] {
        if wanted.is_empty() {
            continue;
        }
        if filter.is_none() {
            filter = Some(Filter::open()?);
        }
        if let Some(filter) = &filter {
            conntrack::end_udp(filter, is_v4, wanted, &|address| host.has(address))?;
        }
    }
    Ok(())
}

/// The host's own addresses, as the kernel's routes have them; asked for when they are wanted.
#[derive(Default)]
struct Addresses {
    netlink: OnceCell<Option<Netlink>>,
    known: RefCell<HashMap<IpAddr, bool>>,
}

impl Addresses {
    fn has(&self, address: IpAddr) -> bool {
        let netlink = self.netlink.get_or_init(|| Netlink::open().ok());
        let ask = || netlink.as_ref().is_some_and(|netlink| netlink.is_own(address));
        *self.known.borrow_mut().entry(address).or_insert_with(ask)
    }
}
