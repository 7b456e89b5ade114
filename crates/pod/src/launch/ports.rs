//! Host ports that other pods have.
//!
//! The portmap plugin lets two pods have one port: both start, and the older one gets every
//! connection until it goes. So the ports are compared before anything is made.

use crilet_cri::{
    Client,
    inventory::{self, Detail, Pod, PodState, PortMapping},
};

use crate::{
    Failure, PodSpec, Step,
    error::{AtStep, Cause},
};

/// Fails when one of the running pods among `others` has a port of this one.
pub(super) async fn check(
    client: &Client,
    spec: &PodSpec,
    mut others: Vec<Pod>,
) -> Result<(), Vec<Failure>> {
    let wanted: Vec<_> =
        spec.sandbox.port_mappings.iter().filter_map(PortMapping::published).collect();
    others.retain(|pod| pod.state == PodState::Ready);
    if wanted.is_empty() || others.is_empty() {
        return Ok(());
    }
    let others = inventory::describe(client, others, Detail::Pods).await.at(Step::Inspect);
    let failures = conflicts(&wanted, &others.map_err(|failure| vec![failure])?);
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

fn conflicts(wanted: &[PortMapping], pods: &[Pod]) -> Vec<Failure> {
    let taken = pods.iter().flat_map(|pod| {
        let ports = pod.details.iter().flat_map(|details| &details.ports);
        ports.map(move |port| (pod, *port))
    });
    let taken: Vec<_> = taken.collect();
    wanted
        .iter()
        .filter_map(|port| {
            let (pod, other) = taken.iter().find(|(_, other)| port.overlaps(other))?;
            let cause = Cause::PortTaken { pod: pod.full_name(), port: *other };
            Some(Failure { step: Step::PublishPort { port: *port }, cause })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crilet_cri::inventory::Protocol;

    use super::*;

    fn port(ip: Option<&str>, host_port: u16, protocol: Protocol) -> PortMapping {
        PortMapping {
            protocol,
            host_ip: ip.map(|ip| ip.parse().unwrap()),
            host_port,
            container_port: 1,
        }
    }

    #[test]
    fn ports_conflict_on_the_same_address_and_protocol_only() {
        let all = port(None, 80, Protocol::Tcp);
        let loopback = port(Some("127.0.0.1"), 80, Protocol::Tcp);
        let other = port(Some("10.0.0.1"), 80, Protocol::Tcp);
        assert!(all.overlaps(&loopback) && loopback.overlaps(&all) && other.overlaps(&other));
        assert!(!loopback.overlaps(&other));
        assert!(!all.overlaps(&port(None, 80, Protocol::Udp)));
        assert!(!all.overlaps(&port(None, 81, Protocol::Tcp)));
    }
}
