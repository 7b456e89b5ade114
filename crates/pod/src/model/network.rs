use std::net::IpAddr;

/// The names of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// The host name that its programs see; empty on the host's network, whose name it has then.
    pub hostname: String,
    /// The subdomain: other pods find it as `hostname.subdomain`.
    pub subdomain: Option<String>,
    /// The full name, `hostname.subdomain.namespace.svc.DOMAIN`, of a pod with a subdomain.
    pub fqdn: Option<String>,
}

/// Further names of an address, for `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAlias {
    /// The address.
    pub ip: IpAddr,
    /// Its names.
    pub names: Vec<String>,
}

/// How a pod resolves names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dns {
    /// What the settings below are added to.
    pub policy: DnsPolicy,
    /// Addresses of resolvers.
    pub nameservers: Vec<IpAddr>,
    /// Domains to complete short names with.
    pub searches: Vec<String>,
    /// Options as resolv.conf(5) has them: `ndots:2`, `edns0`.
    pub options: Vec<String>,
}

/// Where a pod's resolver settings begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DnsPolicy {
    /// `ClusterFirst`: crilet's own resolver where there is one, else the host's settings.
    #[default]
    ClusterFirst,
    /// `ClusterFirstWithHostNet`: the same for a pod on the host's network, which would have the
    /// host's settings otherwise.
    ClusterFirstWithHostNet,
    /// `Default`: the host's settings.
    Host,
    /// `None`: nothing.
    Nothing,
}
