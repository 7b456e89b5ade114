//! Flows that the kernel tracks.
//!
//! Only the first packet of a flow sees the rules; UDP has no end that could be seen, so that a
//! client that keeps sending reaches the pod that is gone, or nobody, for as long as it sends. Such
//! flows are ended after the rules have changed.

use std::io;

use crate::netfilter::{Filter, conntrack};

/// Ends flows of UDP to these ports of the host; one listing serves all ports and one family.
///
/// # Errors
/// When the kernel cannot be asked. Without tracking there are no flows, which is no error.
pub(crate) fn end_udp(ports: &[u16]) -> io::Result<()> {
    if ports.is_empty() {
        return Ok(());
    }
    let filter = Filter::open()?;
    for family in [conntrack::INET, conntrack::INET6] {
        conntrack::end_udp(&filter, family, ports)?;
    }
    Ok(())
}
