//! What a grant says: the address, the ways, and for how long.

use std::{net::Ipv4Addr, time::Duration};

use super::{
    client::Grant,
    config::Config,
    gob::Value,
    packet::{Message, option},
};

/// A lease of this many seconds has no end.
const FOR_EVER: u32 = u32::MAX;

/// When a lease is to be prolonged, and when it ends, counted from its grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) renewal: Duration,
    pub(super) rebinding: Duration,
    pub(super) end: Duration,
}

/// The times of a lease; `Ok(None)` when it has no end.
pub(super) fn times(message: &Message) -> Result<Option<Times>, &'static str> {
    let lease = message.seconds(option::LEASE_TIME);
    let lease = lease.ok_or("the DHCP server gave no lease time")?;
    if lease == FOR_EVER {
        return Ok(None);
    }
    // RFC 2131, 4.4.5.
    let or = |number: u8, most: u32, usual: u64| {
        let told = message.seconds(number).filter(|told| *told <= most).map(u64::from);
        told.unwrap_or(usual)
    };
    let rebinding = or(option::REBINDING_TIME, lease, u64::from(lease) * 85 / 100);
    let most = u32::try_from(rebinding).unwrap_or(lease);
    let renewal = or(option::RENEWAL_TIME, most, u64::from(lease / 2).min(rebinding));
    let seconds = Duration::from_secs;
    Ok(Some(Times {
        renewal: seconds(renewal),
        rebinding: seconds(rebinding),
        end: seconds(lease.into()),
    }))
}

/// A destination with its prefix's length, and the next hop.
type Way = (Ipv4Addr, u8, Ipv4Addr);

/// The result of an allocation, as the reference's daemon sends it.
pub(super) fn result(grant: &Grant, config: &Config) -> Result<Value, String> {
    let message = &grant.message;
    let mask = message.option(option::SUBNET_MASK).filter(|mask| mask.len() == 4);
    let mask = mask.ok_or("DHCP option Subnet Mask not found in DHCPACK")?;
    let mut gateway = message.address(option::ROUTER);
    let mut ways = ways(message, gateway);
    if config.is_without_gateway {
        gateway = None;
        ways.retain(|(_, length, _)| *length > 0);
    }
    let bytes = |address: Ipv4Addr| Value::Bytes(address.octets().to_vec());
    let address =
        Value::fields([("IP", bytes(message.given)), ("Mask", Value::Bytes(mask.to_vec()))]);
    let ip =
        Value::fields([("Address", address), ("Gateway", gateway.map_or(Value::Other, bytes))]);
    let route = |(destination, length, hop): &Way| {
        let mask = u32::MAX.checked_shl(32 - u32::from(*length)).unwrap_or_default();
        let destination = Value::fields([
            ("IP", bytes(*destination)),
            ("Mask", Value::Bytes(mask.to_be_bytes().to_vec())),
        ]);
        Value::fields([
            ("Dst", destination),
            ("GW", if hop.is_unspecified() { Value::Other } else { bytes(*hop) }),
            ("Priority", Value::Int(config.priority.into())),
        ])
    };
    Ok(Value::fields([
        ("CNIVersion", Value::text("1.0.0")),
        ("IPs", Value::List(vec![ip])),
        ("Routes", Value::List(ways.iter().map(route).collect())),
    ]))
}

/// Where there are classless routes, nothing else counts (RFC 3442).
fn ways(message: &Message, gateway: Option<Ipv4Addr>) -> Vec<Way> {
    let classless = classless(message.option(option::CLASSLESS_ROUTES).unwrap_or_default());
    if !classless.is_empty() {
        return classless;
    }
    let pairs = message.option(option::STATIC_ROUTES).unwrap_or_default().chunks_exact(8);
    let mut ways: Vec<Way> = pairs
        .filter_map(|pair| {
            let destination = Ipv4Addr::from(<[u8; 4]>::try_from(pair.get(..4)?).ok()?);
            let hop = Ipv4Addr::from(<[u8; 4]>::try_from(pair.get(4..)?).ok()?);
            Some((destination, class(destination), hop))
        })
        .collect();
    ways.extend(gateway.map(|gateway| (Ipv4Addr::UNSPECIFIED, 0, gateway)));
    ways
}

/// Length of the network's prefix in the days of classes.
fn class(address: Ipv4Addr) -> u8 {
    match address.octets() {
        [0, 0, 0, 0] => 0,
        [0..=127, ..] => 8,
        [128..=191, ..] => 16,
        _ => 24,
    }
}

/// Each route is the prefix's length, as many bytes of the destination as it needs, the next hop.
fn classless(mut rest: &[u8]) -> Vec<Way> {
    let mut ways = Vec::new();
    while let Some((length, after)) = rest.split_first().filter(|(length, _)| **length <= 32) {
        let Some((significant, after)) = after.split_at_checked(usize::from(length.div_ceil(8)))
        else {
            break;
        };
        let Some((hop, after)) = after.split_first_chunk::<4>() else { break };
        let mut destination = [0; 4];
        destination.iter_mut().zip(significant).for_each(|(place, byte)| *place = *byte);
        ways.push((destination.into(), *length, Ipv4Addr::from(*hop)));
        rest = after;
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(options: &[(u8, &[u8])]) -> Message {
        Message {
            exchange: 1,
            is_broadcast: false,
            client: Ipv4Addr::UNSPECIFIED,
            given: [10, 1, 0, 5].into(),
            mac: [0; 6],
            options: options.iter().map(|(number, value)| (*number, value.to_vec())).collect(),
        }
    }

    #[test]
    fn times_that_are_not_told_are_those_of_the_standard() {
        let minutes = |seconds: u64| Duration::from_secs(seconds);
        let given = message(&[(51, &[0, 0, 0, 100])]);
        let usual = Times { renewal: minutes(50), rebinding: minutes(85), end: minutes(100) };
        assert_eq!(times(&given), Ok(Some(usual)));
        let given = message(&[(51, &[0, 0, 0, 100]), (58, &[0, 0, 0, 10]), (59, &[0, 0, 1, 0])]);
        assert_eq!(times(&given), Ok(Some(Times { renewal: minutes(10), ..usual })));
        assert_eq!(times(&message(&[(51, &[255; 4])])), Ok(None));
        assert!(times(&message(&[])).is_err());
    }

    #[test]
    fn classless_routes_outdo_all_others() {
        let router: (u8, &[u8]) = (3, &[10, 1, 0, 1]);
        let old: (u8, &[u8]) = (33, &[172, 16, 0, 0, 10, 1, 0, 2]);
        let ten: Ipv4Addr = [10, 1, 0, 1].into();
        let default = (Ipv4Addr::UNSPECIFIED, 0, ten);
        assert_eq!(ways(&message(&[router]), Some(ten)), [default]);
        let static_way = ([172, 16, 0, 0].into(), 16, [10, 1, 0, 2].into());
        assert_eq!(ways(&message(&[old]), Some(ten)), [static_way, default]);
        let new: (u8, &[u8]) = (121, &[24, 192, 168, 7, 10, 1, 0, 3, 0, 10, 1, 0, 4, 40]);
        let expected = [
            ([192, 168, 7, 0].into(), 24, [10, 1, 0, 3].into()),
            (Ipv4Addr::UNSPECIFIED, 0, [10, 1, 0, 4].into()),
        ];
        assert_eq!(ways(&message(&[router, old, new]), Some(ten)), expected);
    }
}
