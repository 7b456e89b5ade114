# The first process of an isolated host. Runs in fresh namespaces; ends when its standard input
# does, and with it every process inside.
#
# HOST_NAME    the host's name
# HOST_KEEP    paths, one a line, that must be seen inside although they are covered
# HOST_CGROUPS hierarchies, one a line: type, mount point, options
set -eu

covers=/run/.covers
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
mkdir "$covers"
mount -t tmpfs tmpfs "$covers"

# What lies in a covered place and is still needed is put aside first, and back at the end.
mkdir "$covers/keep"
number=0
echo "$HOST_KEEP" | while read -r path; do
  [ -n "$path" ] || continue
  number=$((number + 1))
  mkdir "$covers/keep/$number"
  mount --rbind "$path" "$covers/keep/$number"
done

# Writable as ever, but no write reaches the machine.
for directory in etc var opt; do
  [ -d "/$directory" ] || continue
  mkdir -p "$covers/$directory/upper" "$covers/$directory/work"
  mount -t overlay -o "lowerdir=/$directory,upperdir=$covers/$directory/upper,workdir=$covers/$directory/work" \
    overlay "/$directory"
done

# The devices that every system has, and those alone: what is done to a node here is not done to the
# machine's. Terminals are the machine's, for those who run programs here have them from there.
mkdir "$covers/dev"
mount -t tmpfs -o mode=755 tmpfs "$covers/dev"
mkdir "$covers/dev/pts" "$covers/dev/shm" "$covers/dev/net"
for node in null zero full random urandom tty console ptmx kmsg fuse net/tun fd stdin stdout stderr; do
  [ -e "/dev/$node" ] || [ -L "/dev/$node" ] || continue
  cp -a "/dev/$node" "$covers/dev/$node"
done
mount --bind /dev/pts "$covers/dev/pts"
mount --rbind "$covers/dev" /dev

# Empty, whatever the machine has there. A runtime's root needs a file system that can hold an
# overlay, which another overlay cannot.
for directory in /root /dev/shm /etc/cni /etc/containerd /etc/containers /opt/cni /var/lib/cni \
  /var/lib/containerd /var/lib/containers /var/lib/crilet /var/lib/kubelet /var/lib/registry /var/log/pods; do
  mkdir -p "$directory"
  mount -t tmpfs -o mode=755 tmpfs "$directory"
done
rm -f /etc/crictl.yaml
[ "$(readlink -f /var/run)" = /run ] || mount --rbind /run /var/run

number=0
echo "$HOST_KEEP" | while read -r path; do
  [ -n "$path" ] || continue
  number=$((number + 1))
  mkdir -p "$path"
  mount --rbind "$covers/keep/$number" "$path"
done
umount --lazy --recursive "$covers"
rmdir "$covers"

# The host's own groups are the roots here.
mount_cgroups() {
  while read -r type target options; do
    [ -n "$type" ] || continue
    mkdir -p "$target"
    mount -t "$type" ${options:+-o "$options"} "$type" "$target"
    [ "$type" = cgroup2 ] || continue
    for controller in $(cat "$target/cgroup.controllers"); do
      echo "+$controller" >"$target/cgroup.subtree_control"
    done
  done
}
case $HOST_CGROUPS in
  'cgroup2 /sys/fs/cgroup'*) ;;
  *) mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup ;;
esac
echo "$HOST_CGROUPS" | mount_cgroups

hostname "$HOST_NAME"

# One uplink, to a neighbour that is the default gateway and the world outside.
ip link set lo up
ip netns add outside
ip link add uplink type veth peer name eth0 netns outside
ip address add 192.0.2.1/24 dev uplink
ip -netns outside address add 192.0.2.2/24 dev eth0
if [ -e /proc/net/if_inet6 ]; then
  # No address that comes by itself, some time later.
  ip link set uplink addrgenmode none
  ip -netns outside link set eth0 addrgenmode none
  ip address add 2001:db8::1/64 dev uplink nodad
  ip -netns outside address add 2001:db8::2/64 dev eth0 nodad
fi
ip link set uplink up
ip -netns outside link set lo up
ip -netns outside link set eth0 up
ip route add default via 192.0.2.2
# The neighbour knows the way to private addresses behind the host, and says of all others that
# nobody does: what looks for the internet fails at once instead of waiting.
ip netns exec outside sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
for network in 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16; do
  ip -netns outside route add "$network" via 192.0.2.1
done
ip -netns outside route add unreachable default
if [ -e /proc/net/if_inet6 ]; then
  ip netns exec outside sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
  ip -6 route add default via 2001:db8::2
  ip -6 -netns outside route add fc00::/7 via 2001:db8::1
  ip -6 -netns outside route add unreachable default
fi

echo ready
# A first process that ignores the end of its children has them reaped by the kernel.
exec env --ignore-signal=CHLD cat >/dev/null
