//! Memory of a process that runs for months.
//!
//! glibc keeps what was freed, and keeps an arena for each thread that ever needed something
//! (mallopt(3), malloc_trim(3)). A daemon that has its bursts and then idles gives it back. musl has
//! one heap for all threads and gives back by itself.

use std::{fs, io, path::Path};

use nix::libc;

/// Has all threads share one heap, and large blocks go back to the kernel when they are freed. To
/// be called before threads are started; does nothing with other C libraries than glibc.
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    {
        /// Bytes from which on a block is mapped by itself.
        const LARGE: libc::c_int = 64 * 1024;
        // SAFETY: both take two integers, and nothing else runs yet that allocates.
        #[expect(unsafe_code, reason = "the allocator is C's")]
        let _set = unsafe {
            (libc::mallopt(libc::M_ARENA_MAX, 1), libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE))
        };
    }
}

/// Gives memory that is free back to the kernel; does nothing with other C libraries than glibc.
/// Takes a fraction of a millisecond for a heap of some megabytes.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: the allocator locks itself, and free memory is nobody's.
        #[expect(unsafe_code, reason = "the allocator is C's")]
        let _released = unsafe { libc::malloc_trim(0) };
    }
}

/// Takes the program's code out of the process: what is still run comes back from the page cache
/// when it is, what only the start ran does not.
///
/// # Errors
/// When `/proc` does not tell where the code is; then all stays as it is.
pub fn forget_code() -> io::Result<()> {
    let own = fs::read_link("/proc/self/exe")?;
    let maps = fs::read_to_string("/proc/self/maps")?;
    for (start, length) in maps.lines().filter_map(|line| code(line, &own)) {
        // SAFETY: the range is a private mapping of a file, readable and executable and not
        // writable, so its pages are those of the file and nothing is lost with them.
        #[expect(unsafe_code, reason = "neither std nor the features we use of nix have madvise")]
        let _advised = unsafe {
            libc::madvise(std::ptr::with_exposed_provenance_mut(start), length, libc::MADV_DONTNEED)
        };
    }
    Ok(())
}

/// Start and length of the mapping that a line of proc_pid_maps(5) tells of, if it is code of `own`.
fn code(line: &str, own: &Path) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (range, permissions) = (fields.next()?, fields.next()?);
    let path = fields.nth(3)?;
    if permissions != "r-xp" || Path::new(path) != own {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    let (start, end) = (address(start)?, address(end)?);
    Some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_program_is_meant() {
        let of = |line: String| code(&line, Path::new("/usr/bin/crilet"));
        let rest = "00001000 fe:00 17 ";
        let line =
            |permissions: &str, path: &str| format!("400000-401000 {permissions} {rest}{path}");
        assert_eq!(of(line("r-xp", "/usr/bin/crilet")), Some((0x40_0000, 0x1000)));
        assert_eq!(of(line("r--p", "/usr/bin/crilet")), None, "relocated data are of this kind");
        assert_eq!(of(line("r-xp", "/usr/lib/libc.so.6")), None);
        assert_eq!(of(line("r-xp", "")), None);
        assert_eq!(of(String::new()), None);
    }

    #[test]
    fn the_program_goes_on() {
        for _ in 0..3 {
            forget_code().unwrap();
            assert_eq!("a b".split(' ').count(), 2);
        }
    }

    #[cfg(target_env = "gnu")]
    fn resident() -> usize {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    #[cfg(target_env = "gnu")]
    #[test]
    fn what_is_free_goes_back() {
        let before = resident();
        // Small blocks, one of which stays at the end, so that the heap cannot simply shrink.
        let mut blocks: Vec<Box<[u8; 4000]>> = (0..10_000).map(|_| Box::new([1; 4000])).collect();
        let last = blocks.pop();
        drop(blocks);
        give_back();
        let left = resident().saturating_sub(before);
        assert!(left < 20_000_000, "{left} bytes of 40 million are still there");
        drop(last);
    }
}
