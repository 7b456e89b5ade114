//! Ranges of addresses, and the order in which they are handed out.

use std::{collections::HashSet, fmt, net::IpAddr};

use ipnet::IpNet;

use crate::protocol::IpConfig;

/// Addresses from `start` to `end`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) subnet: IpNet,
    pub(super) start: IpAddr,
    pub(super) end: IpAddr,
    pub(super) gateway: IpAddr,
}

/// Ranges that one address is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RangeSet {
    pub(super) ranges: Vec<Range>,
}

impl Range {
    /// A range of a subnet; what is not given is the first and the last usable address.
    pub(super) fn new(
        subnet: IpNet,
        start: Option<IpAddr>,
        end: Option<IpAddr>,
        gateway: Option<IpAddr>,
    ) -> Result<Self, (&'static str, String)> {
        if subnet.trunc() != subnet {
            let problem = format!("has host bits set: write {}", subnet.trunc());
            return Err(("subnet", format!("{subnet} {problem}")));
        }
        if subnet.prefix_len() > subnet.max_prefix_len() - 2 {
            return Err(("subnet", format!("{subnet} is too small to allocate from")));
        }
        let first = step(subnet.network());
        let within = |key, address: Option<IpAddr>| match address {
            Some(address) if !subnet.contains(&address) => {
                Err((key, format!("{address} is not in {subnet}")))
            }
            other => Ok(other),
        };
        let start = within("rangeStart", start)?.unwrap_or(first);
        let end = within("rangeEnd", end)?.unwrap_or_else(|| last_usable(subnet));
        if start > end {
            return Err(("rangeEnd", format!("{end} is before rangeStart {start}")));
        }
        if let Some(gateway) = gateway
            && gateway.is_ipv4() != subnet.addr().is_ipv4()
        {
            return Err(("gateway", format!("{gateway} is of another family than {subnet}")));
        }
        Ok(Self { subnet, start, end, gateway: gateway.unwrap_or(first) })
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.subnet.contains(&address) && self.start <= address && address <= self.end
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.subnet.addr().is_ipv4() == other.subnet.addr().is_ipv4()
            && (self.contains(other.start) || other.contains(self.start))
    }

    /// An address of the range as results have it.
    pub(super) fn ip(&self, address: IpAddr) -> IpConfig {
        let address = IpNet::new(address, self.subnet.prefix_len());
        IpConfig {
            interface: None,
            // The prefix is the subnet's, so it fits the family.
            address: address.unwrap_or(self.subnet),
            gateway: Some(self.gateway),
        }
    }

    /// Number of addresses, gateway included; the largest number when there are more.
    fn size(&self) -> u128 {
        number(self.end).saturating_sub(number(self.start)).saturating_add(1)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.start, self.end)
    }
}

impl RangeSet {
    /// Index of a range that overlaps one of another set.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.ranges.iter().any(|one| other.ranges.iter().any(|two| one.overlaps(two)))
    }

    /// Two ranges of this set that overlap.
    pub(super) fn overlaps_itself(&self) -> Option<(Range, Range)> {
        let pairs = self.ranges.iter().enumerate().flat_map(|(index, one)| {
            self.ranges.iter().skip(index + 1).map(move |two| (*one, *two))
        });
        pairs.into_iter().find(|(one, two)| one.overlaps(two))
    }

    /// The range that an address is in.
    pub(super) fn range_of(&self, address: IpAddr) -> Option<&Range> {
        self.ranges.iter().find(|range| range.contains(address))
    }

    /// All addresses but gateways, each once, beginning after `last`.
    pub(super) fn round(&self, last: Option<IpAddr>) -> impl Iterator<Item = (&Range, IpAddr)> {
        let begin = last.and_then(|last| {
            let index = self.ranges.iter().position(|range| range.contains(last))?;
            Some((index, last))
        });
        let count = self.ranges.len();
        let (first, after) = match begin {
            Some((index, last)) => (index, Some(last)),
            None => (0, None),
        };
        // The rest of the range that `last` is in, then the other ranges, then its beginning.
        let parts = (0..=count).filter_map(move |offset| {
            let range = self.ranges.get((first + offset) % count)?;
            match (offset, after) {
                (0, Some(last)) if last == range.end => None,
                (0, Some(last)) => Some((range, step(last), range.end)),
                (offset, Some(last)) if offset == count => Some((range, range.start, last)),
                (offset, None) if offset == count => None,
                _ => Some((range, range.start, range.end)),
            }
        });
        parts.flat_map(|(range, from, to)| {
            let mut next = Some(from);
            std::iter::from_fn(move || {
                let address = next?;
                next = (address < to).then(|| step(address));
                Some((range, address))
            })
            .filter(|(range, address)| *address != range.gateway)
        })
    }

    /// Whether an address is free beside those that are taken.
    pub(super) fn has_free(&self, taken: &HashSet<IpAddr>) -> bool {
        let size = self.ranges.iter().fold(0u128, |sum, range| sum.saturating_add(range.size()));
        // So many that the taken ones cannot fill them.
        let count = u128::try_from(taken.len() + self.ranges.len()).unwrap_or(u128::MAX);
        size > count || self.round(None).any(|(_, address)| !taken.contains(&address))
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges: Vec<_> = self.ranges.iter().map(ToString::to_string).collect();
        formatter.write_str(&ranges.join(","))
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// The next address; the last one of all stays.
fn step(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(u32::from(address).saturating_add(1).into()),
        IpAddr::V6(address) => IpAddr::V6(u128::from(address).saturating_add(1).into()),
    }
}

/// IPv4 keeps the last address for broadcasts; IPv6 has none.
fn last_usable(subnet: IpNet) -> IpAddr {
    match subnet {
        IpNet::V4(net) => IpAddr::V4((u32::from(net.broadcast()).saturating_sub(1)).into()),
        IpNet::V6(net) => IpAddr::V6(net.broadcast()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(subnet: &str, start: &str, end: &str) -> Range {
        let parse = |text: &str| text.parse().ok();
        Range::new(subnet.parse().unwrap(), parse(start), parse(end), None).unwrap()
    }

    fn order(set: &RangeSet, last: Option<&str>) -> Vec<String> {
        let last = last.map(|last| last.parse().unwrap());
        set.round(last).map(|(_, address)| address.to_string()).collect()
    }

    #[test]
    fn defaults_leave_out_what_the_family_reserves() {
        assert_eq!(range("10.1.0.0/30", "", "").to_string(), "10.1.0.1-10.1.0.2");
        assert_eq!(range("fd00::/126", "", "").to_string(), "fd00::1-fd00::3");
    }

    #[test]
    fn every_address_comes_once_and_after_the_last() {
        let set = RangeSet {
            ranges: vec![
                range("10.1.0.0/24", "10.1.0.1", "10.1.0.4"),
                range("10.2.0.0/24", "10.2.0.7", "10.2.0.8"),
            ],
        };
        let all = ["10.1.0.2", "10.1.0.3", "10.1.0.4", "10.2.0.7", "10.2.0.8"];
        assert_eq!(order(&set, None), all);
        let after = ["10.1.0.4", "10.2.0.7", "10.2.0.8", "10.1.0.2", "10.1.0.3"];
        assert_eq!(order(&set, Some("10.1.0.3")), after);
        let end = ["10.1.0.2", "10.1.0.3", "10.1.0.4", "10.2.0.7", "10.2.0.8"];
        assert_eq!(order(&set, Some("10.2.0.8")), end);
        assert_eq!(order(&set, Some("192.0.2.1")), all, "of another configuration");
    }

    #[test]
    fn mistakes_name_the_key() {
        let new = |subnet: &str, start: Option<&str>, end: Option<&str>| {
            let parse = |text: Option<&str>| text.map(|text| text.parse().unwrap());
            Range::new(subnet.parse().unwrap(), parse(start), parse(end), None).unwrap_err()
        };
        let (key, problem) = new("10.1.0.5/24", None, None);
        assert_eq!(
            (key, &*problem),
            ("subnet", "10.1.0.5/24 has host bits set: write 10.1.0.0/24")
        );
        assert_eq!(new("10.1.0.0/31", None, None).0, "subnet");
        assert_eq!(new("10.1.0.0/24", Some("10.2.0.1"), None).0, "rangeStart");
        assert_eq!(new("10.1.0.0/24", Some("10.1.0.9"), Some("10.1.0.8")).0, "rangeEnd");
    }

    #[test]
    fn a_full_set_is_told_from_a_large_one() {
        let set = RangeSet { ranges: vec![range("10.1.0.0/29", "", "")] };
        let mut taken: HashSet<IpAddr> = set.round(None).map(|(_, address)| address).collect();
        assert!(!set.has_free(&taken));
        taken.remove(&"10.1.0.4".parse().unwrap());
        assert!(set.has_free(&taken));
        let large = RangeSet { ranges: vec![range("fd00::/64", "", "")] };
        assert!(large.has_free(&taken));
    }
}
