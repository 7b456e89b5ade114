//! A host with pods that plugins made, and what `crilet net` says of it.

use std::{path::Path, time::Duration};

use crilet_testkit::{Host, Output, Service, wait_until};
use serde_json::{Value, json};

use crate::plugins::bed::{Bed, Maker};

/// crilet on a host without a runtime.
pub(crate) fn net(host: &Host, arguments: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_crilet"));
    host.command(program).args(["net"]).args(arguments.split_whitespace()).output().unwrap()
}

/// What `-o json` says.
#[track_caller]
pub(crate) fn json_of(host: &Host, arguments: &str) -> Value {
    let output = net(host, &format!("{arguments} -o json"));
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

/// A list of bridge and portmap, whose rules are made by iptables or nft.
pub(crate) fn list(backend: &str, hairpin: bool, mappings: &Value) -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "net",
        "plugins": [
            {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true,
             "ipMasqBackend": backend, "hairpinMode": hairpin,
             "ipam": {"type": "host-local",
                "ranges": [[{"subnet": "10.88.0.0/16"}], [{"subnet": "fd00:88::/64"}]],
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}},
            {"type": "portmap", "snat": true, "backend": backend,
             "capabilities": {"portMappings": true},
             "runtimeConfig": {"portMappings": mappings}},
        ],
    })
}

/// Adds a pod with its ports.
pub(crate) fn add(bed: &Bed, backend: &str, pod: &str, hairpin: bool, mappings: Value) {
    bed.pod(pod);
    bed.in_pod(pod, "ip link set lo up");
    bed.add(&[Maker::Ours], pod, &list(backend, hairpin, &mappings));
}

/// Serves on a port, of both families, in a pod or on the host with an empty name: who connects is
/// told the word and its own address.
pub(crate) fn serve(bed: &Bed, pod: &str, port: u16, word: &str) -> Service {
    let script = format!(
        "import socket
s = socket.create_server(('', {port}), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    c, peer = s.accept()
    c.sendall(('{word} ' + peer[0].replace('::ffff:', '')).encode())
    c.close()"
    );
    let inside = |program: &str| match pod {
        "" => bed.host.command(program),
        pod => bed.host.command("ip").args(["netns", "exec", pod, program]),
    };
    let service = inside("python3").args(["-c", &script]).spawn().unwrap();
    wait_until("the server", Duration::from_secs(100), || {
        let seen = inside("ss").args(["-Hltn", &format!("sport = {port}")]).success().unwrap();
        if seen.is_empty() { Err("not listening".to_owned()) } else { Ok(()) }
    })
    .unwrap();
    service
}
