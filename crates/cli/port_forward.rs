//! `crilet port-forward`.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use crilet_core::{ErrorChain, limits};
use crilet_stream::{Forwarder, Route};
use nix::libc;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    connect,
    errors::CliError,
    global::Global,
    output,
    streams::{TlsArgs, TransportArg},
    target,
};

/// How often a port is looked for that is free on all addresses.
const ATTEMPTS: usize = 20;
/// How long nothing is accepted when no more can be.
const BREATH: Duration = Duration::from_millis(100);

/// Options of `crilet port-forward`.
#[derive(Debug, Args)]
#[command(after_help = "Ends with the pod, or by Ctrl-C.")]
pub(crate) struct PortForwardArgs {
    /// Pod: NAME, NAMESPACE/NAME, an id or its beginning
    #[arg(value_name = "POD")]
    pod: String,
    /// Ports: of this machine and of the pod; one for both; 0 or nothing before the colon for any that
    /// is free
    #[arg(value_name = "[LOCAL:]REMOTE", required = true)]
    ports: Vec<Ports>,
    /// Addresses to listen on; by default 127.0.0.1 and ::1
    #[arg(long, value_name = "IP", value_delimiter = ',')]
    address: Vec<Address>,
    /// How to get to the pod
    #[arg(long, value_enum, default_value_t)]
    transport: RouteArg,
    #[command(flatten)]
    tls: TlsArgs,
}

/// How to get to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum RouteArg {
    /// The pod's network namespace, or the runtime's streams where that is not on this machine
    #[default]
    Auto,
    /// The pod's network namespace
    Namespace,
    /// The runtime's streams over SPDY/3.1; the end of one side ends the other a second later
    Spdy,
    /// The runtime's streams over WebSocket
    Websocket,
}

/// A local port, 0 for any, and one of the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    local: u16,
    remote: u16,
}

impl std::str::FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((port, protocol)) = text.split_once('/') {
            return Err(format!(
                "`{protocol}` is not forwarded: expected a port of TCP without a word for it, such as \
                 {port}; `crilet publish` knows UDP"
            ));
        }
        let (local, remote) = match text.split_once(':') {
            Some(("", remote)) => ("0", remote),
            Some(pair) => pair,
            None => (text, text),
        };
        let port = |text: &str| {
            // A sign is no digit.
            let number =
                text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u16>());
            number.and_then(Result::ok).ok_or_else(|| {
                format!(
                    "`{text}` is no port: expected a number between 1 and 65535, for the local \
                         one also 0"
                )
            })
        };
        let (local, remote) = (port(local)?, port(remote)?);
        if remote == 0 {
            return Err("port 0 of a pod cannot be connected to".to_owned());
        }
        Ok(Self { local, remote })
    }
}

/// An address of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Address {
    Localhost,
    Ip(IpAddr),
}

impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "localhost" => Ok(Self::Localhost),
            text => text.parse().map(Self::Ip).map_err(|_| "expected an IP address".to_owned()),
        }
    }
}

/// Leads local ports to a pod until it ends.
pub(crate) async fn run(global: &Global, args: PortForwardArgs) -> Result<ExitCode, CliError> {
    if let Some(twice) = given_twice(&args.ports) {
        return Err(CliError::PortTwice { port: twice });
    }
    let client = connect::client(global).await?;
    let pod = target::running_pod(&client, &args.pod).await?;
    let route = match args.transport {
        RouteArg::Auto => Route::Auto,
        RouteArg::Namespace => Route::Namespace,
        RouteArg::Spdy => Route::Spdy,
        RouteArg::Websocket => Route::WebSocket,
    };
    let streamer = args.tls.streamer(client, TransportArg::Auto);
    let forwarder = streamer.forward(&pod.id, route).await?;
    until_it_ends(forwarder, &args.ports, &args.address).await?;
    Err(CliError::PodEnded { pod: pod.full_name() })
}

/// Leads local ports on these addresses, or else on localhost, to a pod until it ends.
pub(crate) async fn until_it_ends(
    forwarder: Forwarder,
    ports: &[Ports],
    addresses: &[Address],
) -> Result<(), CliError> {
    let forwarder = Arc::new(forwarder);
    let mut accepting = JoinSet::new();
    limits::allow_many_files();
    for ports in ports {
        for listener in listen(addresses, ports.local).await? {
            let address = listener.local_addr().map_err(|cause| CliError::Start { cause })?;
            output::line(&format!("Forwarding from {address} -> {}", ports.remote))
                .map_err(CliError::Output)?;
            accepting.spawn(accept(listener, Arc::clone(&forwarder), ports.remote));
        }
    }
    forwarder.pod_ended().await;
    Ok(())
}

fn given_twice(ports: &[Ports]) -> Option<u16> {
    let mut seen = BTreeSet::new();
    let local = ports.iter().map(|ports| ports.local).filter(|local| *local != 0);
    local.into_iter().find(|local| !seen.insert(*local))
}

/// Listens on a port of all addresses, on the same one if any will do.
async fn listen(addresses: &[Address], port: u16) -> Result<Vec<TcpListener>, CliError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match listen_once(addresses, port).await {
            Err(CliError::Listen { cause, .. })
                if port == 0 && attempt < ATTEMPTS && cause.kind() == io::ErrorKind::AddrInUse => {}
            other => return other,
        }
    }
}

async fn listen_once(addresses: &[Address], port: u16) -> Result<Vec<TcpListener>, CliError> {
    let localhost = [Address::Localhost];
    let addresses = if addresses.is_empty() { &localhost } else { addresses };
    let (mut listeners, mut port): (Vec<TcpListener>, u16) = (Vec::new(), port);
    for (ip, optional) in addresses.iter().flat_map(|address| address.ips()) {
        let address = SocketAddr::from((ip, port));
        match TcpListener::bind(address).await {
            Ok(listener) => {
                port = listener.local_addr().map_or(port, |address| address.port());
                listeners.push(listener);
            }
            Err(cause) if optional && is_without_ipv6(&cause) => {}
            Err(cause) => return Err(CliError::Listen { address, cause }),
        }
    }
    Ok(listeners)
}

impl Address {
    /// The addresses, and whether each may be missing.
    fn ips(self) -> Vec<(IpAddr, bool)> {
        match self {
            Self::Localhost => {
                vec![(Ipv4Addr::LOCALHOST.into(), false), (Ipv6Addr::LOCALHOST.into(), true)]
            }
            Self::Ip(ip) => vec![(ip, false)],
        }
    }
}

fn is_without_ipv6(cause: &io::Error) -> bool {
    matches!(cause.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT))
}

/// Takes connections for ever; each is carried by a task of its own.
async fn accept(listener: TcpListener, forwarder: Arc<Forwarder>, port: u16) {
    let mut carrying = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    carrying.spawn(carry(stream, Arc::clone(&forwarder), port));
                }
                Err(error) => {
                    // Of a client that went away, or out of files: others come and go.
                    tracing::debug!(%error, "a connection was not accepted");
                    tokio::time::sleep(BREATH).await;
                }
            },
            Some(_) = carrying.join_next() => {}
        }
    }
}

async fn carry(stream: TcpStream, forwarder: Arc<Forwarder>, port: u16) {
    let carried = async {
        stream.set_nodelay(true).unwrap_or_default();
        forwarder.open(port).await?.carry(stream).await
    };
    match carried.await {
        Ok(()) => {}
        // Ends that break off are everyday.
        Err(error @ crilet_stream::StreamError::Carry { .. }) => {
            tracing::debug!(error = %ErrorChain(&error), "a connection broke off");
        }
        Err(error) => output::say(&format!("error: {}", ErrorChain(&error))),
    }
}

/// What can be done about a local port that cannot be had.
pub(crate) fn hint(address: SocketAddr, cause: &io::Error) -> Option<String> {
    match cause.kind() {
        io::ErrorKind::PermissionDenied => Some(format!(
            "ports below 1024 are for root (or CAP_NET_BIND_SERVICE): take another local port, such as \
             {}:PORT",
            8000 + u32::from(address.port())
        )),
        io::ErrorKind::AddrInUse => Some(
            "something else listens there: LOCAL:PORT takes another local port, 0 a free one"
                .to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read() {
        let read = |text: &str| text.parse::<Ports>().map(|ports| (ports.local, ports.remote));
        assert_eq!(read("80"), Ok((80, 80)));
        assert_eq!(read("8080:80"), Ok((8080, 80)));
        assert_eq!(read("0:80"), Ok((0, 80)));
        assert_eq!(read(":80"), Ok((0, 80)));
        for wrong in
            ["", ":", "80:", "0", "8080:0", "65536", "1:65536", "-1", "+80", "a", "1:2:3", "80/udp"]
        {
            assert!(read(wrong).is_err(), "{wrong:?} is no port");
        }
    }

    #[test]
    fn one_local_port_leads_to_one_place() {
        let ports = |texts: &[&str]| -> Vec<Ports> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        assert_eq!(given_twice(&ports(&["80", "80:81"])), Some(80));
        assert_eq!(given_twice(&ports(&["0:80", "0:80", "81:80"])), None);
    }

    #[tokio::test]
    async fn any_port_is_the_same_on_both_localhosts() {
        let listeners = listen(&[], 0).await.unwrap();
        let ports: BTreeSet<u16> =
            listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        assert_eq!(ports.len(), 1);
        let taken = ports.into_iter().next().unwrap();
        let error = listen(&[], taken).await.unwrap_err();
        assert!(error.to_string().contains(&format!("127.0.0.1:{taken}")), "{error}");
    }
}
