//! Keys that the reference plugins know, of releases up to 1.9. Go matches them without case.

/// Keys of a list.
pub(super) const LIST: &[&str] = &[
    "cniVersion",
    "cniVersions",
    "name",
    "disableCheck",
    "disableGC",
    "loadOnlyInlinedPlugins",
    "plugins",
];

/// Keys of every plugin.
pub(super) const COMMON: &[&str] = &[
    "type",
    "capabilities",
    "ipam",
    "dns",
    "args",
    "cniVersion",
    "name",
    "prevResult",
    "runtimeConfig",
];

/// Keys of a plugin beside those of every one; `None` for a plugin of somebody else.
pub(super) fn of_plugin(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "bridge" => &[
            "bridge",
            "isGateway",
            "isDefaultGateway",
            "forceAddress",
            "ipMasq",
            "ipMasqBackend",
            "mtu",
            "hairpinMode",
            "promiscMode",
            "vlan",
            "vlanTrunk",
            "preserveDefaultVlan",
            "macspoofchk",
            "enabledad",
            "disableContainerInterface",
            "portIsolation",
            "mac",
        ],
        "ptp" => &["ipMasq", "ipMasqBackend", "mtu"],
        "macvlan" => &["master", "mode", "mtu", "mac", "linkInContainer", "bcqueuelen"],
        "ipvlan" => &["master", "mode", "mtu", "linkInContainer"],
        "vlan" => &["master", "vlanId", "mtu", "linkInContainer"],
        "host-device" => &["device", "hwaddr", "kernelpath", "pciBusID", "runtimeConfig"],
        "loopback" | "dummy" => &[],
        "portmap" => &[
            "backend",
            "snat",
            "masqAll",
            "markMasqBit",
            "externalSetMarkChain",
            "conditionsV4",
            "conditionsV6",
        ],
        "bandwidth" => &[
            "ingressRate",
            "ingressBurst",
            "egressRate",
            "egressBurst",
            "unshapedSubnets",
            "shapedSubnets",
        ],
        "firewall" => &["backend", "iptablesAdminChainName", "firewalldZone", "ingressPolicy"],
        "tuning" => &["sysctl", "mac", "promisc", "mtu", "allmulti", "txQLen", "dataDir"],
        "sbr" => &["table", "gateways", "addSourceHints"],
        "flannel" => &["subnetFile", "dataDir", "delegate"],
        "vrf" => &["vrfname", "table"],
        "tap" => &["mac", "mtu", "selinuxcontext", "multiQueue", "owner", "group", "bridge"],
        _ => return None,
    })
}

/// Keys of address management; `None` for one of somebody else.
pub(super) fn of_ipam(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "host-local" => &[
            "type",
            "ranges",
            "subnet",
            "rangeStart",
            "rangeEnd",
            "gateway",
            "routes",
            "dataDir",
            "resolvConf",
            "name",
        ],
        "static" => &["type", "addresses", "routes", "dns"],
        "dhcp" => &["type", "daemonSocketPath", "provide", "request", "priority", "routes"],
        _ => return None,
    })
}

/// Keys of a range of host-local.
pub(super) const RANGE: &[&str] = &["subnet", "rangeStart", "rangeEnd", "gateway"];
