//! Sockets in a pod's network namespace.
//!
//! A socket belongs to the namespace that its thread is in when it is made, and stays there. So a
//! thread of its own enters the namespace and makes sockets for others, who connect and use them
//! anywhere.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    thread,
};

use nix::{
    sched::{CloneFlags, setns},
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::{mpsc, oneshot},
};

use crate::StreamError;

/// A socket that is wanted, and where to.
type Wish = (AddressFamily, oneshot::Sender<io::Result<OwnedFd>>);

/// A network namespace that sockets can be made in.
#[derive(Debug, Clone)]
pub(crate) struct Namespace {
    wishes: mpsc::UnboundedSender<Wish>,
}

impl Namespace {
    /// Enters a namespace, once and for good.
    pub(crate) async fn enter(path: &Path) -> Result<Self, StreamError> {
        let failed = |cause| StreamError::Namespace { path: path.to_owned(), cause };
        let (wishes, orders) = mpsc::unbounded_channel();
        let (entered, is_in) = oneshot::channel();
        let file: PathBuf = path.to_owned();
        let work = move || serve(&file, entered, orders);
        thread::Builder::new().name("pod-network".into()).spawn(work).map_err(failed)?;
        is_in.await.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())).map_err(failed)?;
        Ok(Self { wishes })
    }

    /// Connects to a port of the pod's own, by IPv4 or else by IPv6.
    pub(crate) async fn connect(&self, port: u16) -> Result<TcpStream, StreamError> {
        let addresses = [
            (AddressFamily::Inet, SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            (AddressFamily::Inet6, SocketAddr::from((Ipv6Addr::LOCALHOST, port))),
        ];
        let mut outcome = Err(StreamError::NoListener { port });
        for (family, address) in addresses {
            match self.connect_to(family, address).await {
                Ok(stream) => return Ok(stream),
                // A kernel or a pod may be without IPv6.
                Err(cause) if is_absent(&cause) => {}
                Err(cause) => outcome = Err(StreamError::Carry { port, cause }),
            }
        }
        outcome
    }

    async fn connect_to(&self, family: AddressFamily, to: SocketAddr) -> io::Result<TcpStream> {
        let (made, is_made) = oneshot::channel();
        let gone = |()| io::Error::from(io::ErrorKind::BrokenPipe);
        self.wishes.send((family, made)).map_err(|_| gone(()))?;
        let socket = is_made.await.map_err(|_| gone(()))??;
        let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

fn is_absent(cause: &io::Error) -> bool {
    use nix::libc::{EADDRNOTAVAIL, EAFNOSUPPORT, ECONNREFUSED, ENETUNREACH};
    let code = cause.raw_os_error();
    [ECONNREFUSED, EADDRNOTAVAIL, EAFNOSUPPORT, ENETUNREACH].map(Some).contains(&code)
}

/// Makes sockets until nobody wants any.
fn serve(
    path: &Path,
    entered: oneshot::Sender<io::Result<()>>,
    mut wishes: mpsc::UnboundedReceiver<Wish>,
) {
    let enter = File::open(path)
        .and_then(|file| setns(file, CloneFlags::CLONE_NEWNET).map_err(io::Error::from));
    let is_in = enter.is_ok();
    // Whoever does not wait any more needs no answer.
    drop(entered.send(enter));
    if !is_in {
        return;
    }
    while let Some((family, made)) = wishes.blocking_recv() {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(family, SockType::Stream, flags, None).map_err(io::Error::from);
        drop(made.send(socket));
    }
}
