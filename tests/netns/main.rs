//! Tests in network namespaces of their own; they need root, iproute2 and iptables.

mod cni;
