//! Sockets that are closed without waiting for it.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::libc;
use rtnetlink::sys::Socket;

/// Numbers of 32 bits in `struct io_uring_params`.
const PARAMETERS: usize = 30;
/// `IORING_REGISTER_FILES`.
const REGISTER_FILES: u32 = 2;

/// Has the kernel close a socket of the packet filter by a thread of its own: what is given must be dropped
/// after the socket. `None` where the machine has no such thing or forbids it; then closing waits.
///
/// Whoever closes such a socket waits until no packet can be in what was taken out of nf_tables before, by
/// anybody, some 10 ms; only then its memory is free (`nft_rcv_nl_event` in the kernel's
/// nf_tables_api.c). All else is done by the time a transaction is answered, so nobody needs to
/// wait. Files that are registered with an io_uring(7) outlive their numbers, and a ring that nobody
/// has any more is taken apart by a thread of the kernel.
#[expect(unsafe_code, reason = "no wrapper for these two calls is worth a dependency")]
pub(super) fn hold(socket: &Socket) -> Option<OwnedFd> {
    let mut parameters = [0_u32; PARAMETERS];
    // SAFETY: the kernel reads and writes one `struct io_uring_params`, which the array has the size
    // and alignment of, and which outlives the call.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) };
    let ring = i32::try_from(ring).ok().filter(|ring| *ring >= 0)?;
    // SAFETY: the kernel has just given this number, and nobody else knows it.
    let ring = unsafe { OwnedFd::from_raw_fd(ring) };
    let number = socket.as_raw_fd();
    // SAFETY: the kernel reads one number, which outlives the call. Should it refuse, closing waits.
    unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            ring.as_raw_fd(),
            REGISTER_FILES,
            &raw const number,
            1,
        )
    };
    Some(ring)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

    use super::*;

    fn open_files() -> usize {
        fs::read_dir("/proc/self/fd").unwrap().count()
    }

    #[test]
    fn nothing_stays_open() {
        let before = open_files();
        for _ in 0..20 {
            let socket = Socket::new(NETLINK_NETFILTER).unwrap();
            socket.connect(&SocketAddr::new(0, 0)).unwrap();
            let holder = hold(&socket);
            drop(socket);
            drop(holder);
        }
        assert_eq!(open_files(), before);
    }
}
