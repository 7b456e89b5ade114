//! Flows that go to who no longer answers.

use std::{io, net::IpAddr};

use crate::{
    netfilter::{Filter, conntrack},
    protocol::PluginError,
};

/// Flows of UDP to a port of the host that are still led to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleFlow {
    /// The port of the host.
    pub port: u16,
    /// Who was to answer.
    pub answers: IpAddr,
}

/// Ends them; gives how many.
///
/// # Errors
/// When the kernel cannot be asked. Without tracking there are no flows, which is no error.
pub fn end_flows(flows: &[StaleFlow]) -> Result<usize, PluginError> {
    let end = || -> io::Result<usize> {
        let filter = Filter::open()?;
        let mut count = 0;
        for is_v4 in [true, false] {
            let own: Vec<(u16, IpAddr)> = flows
                .iter()
                .filter(|flow| flow.answers.is_ipv4() == is_v4)
                .map(|flow| (flow.port, flow.answers))
                .collect();
            if !own.is_empty() {
                count += conntrack::end_udp_answered_by(&filter, is_v4, &own)?;
            }
        }
        Ok(count)
    };
    end().map_err(|error| PluginError::because("end old flows", &error))
}
