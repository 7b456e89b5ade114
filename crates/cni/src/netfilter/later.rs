//! Sockets that are closed without waiting for it.

use std::{
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::libc;
use rtnetlink::sys::Socket;

/// Numbers of 32 bits in `struct io_uring_params`.
const PARAMETERS: usize = 30;
/// `IORING_REGISTER_FILES` and `IORING_REGISTER_FILES_UPDATE`.
const REGISTER_FILES: u32 = 2;
const UPDATE_FILES: u32 = 6;
/// Sockets that a shared ring holds; an ADD opens a dozen at most. What has no room gets a ring of its own.
const ROOM: usize = 32;

static SHARED: Mutex<Shared> = Mutex::new(Shared { is_wanted: false, ring: None });

/// What holds the sockets of a process that ends soon.
struct Shared {
    is_wanted: bool,
    ring: Option<Ring>,
}

/// A ring, and how many sockets it holds.
struct Ring {
    file: OwnedFd,
    held: u32,
}

/// `struct io_uring_files_update`.
#[repr(C)]
struct Update {
    place: u32,
    reserved: u32,
    /// Address of the file's number.
    files: u64,
}

/// Has one ring hold all sockets that are dropped during `work`, by whatever thread, until that is done: for a
/// process that ends then. Making a ring and giving it up takes longer than what most sockets are asked.
pub fn together<T>(work: impl FnOnce() -> T) -> T {
    shared().is_wanted = true;
    let done = work();
    *shared() = Shared { is_wanted: false, ring: None };
    done
}

fn shared() -> MutexGuard<'static, Shared> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has the kernel close a socket of the packet filter by a thread of its own: what is given, if anything, must
/// be dropped after the socket. Where the machine has no such thing or forbids it, closing waits.
///
/// Whoever closes such a socket waits until no packet can be in what was taken out of nf_tables before, by
/// anybody, some 10 ms; only then its memory is free (`nft_rcv_nl_event` in the kernel's
/// nf_tables_api.c). All else is done by the time a transaction is answered, so nobody needs to
/// wait. Files that are registered with an io_uring(7) outlive their numbers, and a ring that nobody
/// has any more is taken apart by a thread of the kernel.
pub(super) fn hold(socket: &Socket) -> Option<OwnedFd> {
    if shared().take(socket.as_raw_fd()) {
        return None;
    }
    let ring = make_ring()?;
    // Should it refuse, closing waits.
    register(&ring, &[socket.as_raw_fd()]);
    Some(ring)
}

impl Shared {
    fn take(&mut self, socket: RawFd) -> bool {
        if !self.is_wanted {
            return false;
        }
        if self.ring.is_none() {
            // Places without a file are known since Linux 5.5.
            let made = make_ring().filter(|ring| register(ring, &[-1; ROOM]));
            self.ring = made.map(|file| Ring { file, held: 0 });
        }
        let Some(ring) = &mut self.ring else { return false };
        let is_held = update(&ring.file, ring.held, socket);
        ring.held += u32::from(is_held);
        is_held
    }
}

#[expect(unsafe_code, reason = "no wrapper for this call is worth a dependency")]
fn make_ring() -> Option<OwnedFd> {
    let mut parameters = [0_u32; PARAMETERS];
    // SAFETY: the kernel reads and writes one `struct io_uring_params`, which the array has the size
    // and alignment of, and which outlives the call.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) };
    let ring = i32::try_from(ring).ok().filter(|ring| *ring >= 0)?;
    // SAFETY: the kernel has just given this number, and nobody else knows it.
    Some(unsafe { OwnedFd::from_raw_fd(ring) })
}

/// Gives a ring its files; -1 is a place for one.
#[expect(unsafe_code, reason = "no wrapper for this call is worth a dependency")]
fn register(ring: &OwnedFd, files: &[RawFd]) -> bool {
    let (number, count) = (ring.as_raw_fd(), files.len());
    // SAFETY: the kernel reads as many numbers as there are, and they outlive the call.
    let result = unsafe {
        libc::syscall(libc::SYS_io_uring_register, number, REGISTER_FILES, files.as_ptr(), count)
    };
    result == 0
}

/// Puts a file at a place of a ring.
#[expect(unsafe_code, reason = "no wrapper for this call is worth a dependency")]
fn update(ring: &OwnedFd, place: u32, file: RawFd) -> bool {
    let files = (&raw const file).expose_provenance() as u64;
    let update = Update { place, reserved: 0, files };
    let number = ring.as_raw_fd();
    // SAFETY: the kernel reads one `Update` and one number that it has the address of, and both outlive the
    // call.
    let result = unsafe {
        libc::syscall(libc::SYS_io_uring_register, number, UPDATE_FILES, &raw const update, 1)
    };
    result == 1
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

    use super::*;

    fn open_files() -> usize {
        fs::read_dir("/proc/self/fd").unwrap().count()
    }

    fn open_and_close() {
        let socket = Socket::new(NETLINK_NETFILTER).unwrap();
        socket.connect(&SocketAddr::new(0, 0)).unwrap();
        let holder = hold(&socket);
        drop(socket);
        drop(holder);
    }

    #[test]
    fn nothing_stays_open() {
        let before = open_files();
        (0..20).for_each(|_| open_and_close());
        assert_eq!(open_files(), before);
        let most = together(|| {
            // More than a shared ring has room for.
            let open = (0..2 * ROOM).map(|_| {
                open_and_close();
                open_files()
            });
            open.max().unwrap()
        });
        assert!(most <= before + 1, "{most} files are open instead of {before} and a ring");
        assert_eq!(open_files(), before);
    }
}
