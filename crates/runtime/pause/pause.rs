//! The program that holds a pod's namespaces open and reaps what is orphaned in them.
//!
//! It runs in an image that holds nothing else, so it has no C library and no dynamic loader: three
//! system calls in a loop. As process 1 of a pod's process namespace it inherits every orphan and
//! must wait for each, or the pod fills with zombies. SIGINT and SIGTERM end it with status 0.
//!
//! ```text
//! block INT, TERM, CHLD -> reap all that died -> wait for one of the three -> CHLD: reap again
//!                                                                         `-> INT, TERM: exit 0
//! ```
//!
//! The kernel drops signals to process 1 that have no handler, but never blocked ones; so blocking
//! them and asking for them synchronously is enough, and no handler has to be installed.

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};

const SIGINT: usize = 2;
const SIGTERM: usize = 15;
const SIGCHLD: usize = 17;
const SIG_BLOCK: usize = 0;
const WNOHANG: usize = 1;
const ANY_CHILD: usize = usize::MAX;
/// Bytes in the kernel's signal set, not the C library's.
const SIGNAL_SET_SIZE: usize = 8;

#[cfg(target_arch = "x86_64")]
mod number {
    pub const RT_SIGPROCMASK: usize = 14;
    pub const WAIT4: usize = 61;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const EXIT_GROUP: usize = 231;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const RT_SIGPROCMASK: usize = 135;
    pub const WAIT4: usize = 260;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const EXIT_GROUP: usize = 94;
}

// The kernel enters with arguments on the stack and no return address; both calling conventions
// want the stack aligned to 16 bytes at a call.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {main}", "ud2", main = sym main);

#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, #0", "mov x30, #0", "bl {main}", "brk #1", main = sym main);

extern "C" fn main() -> ! {
    let signals: u64 = bit(SIGINT) | bit(SIGTERM) | bit(SIGCHLD);
    let set = &raw const signals as usize;
    // SAFETY: `set` points to eight readable bytes that outlive the call; no old set is asked for.
    unsafe { system_call(number::RT_SIGPROCMASK, [SIG_BLOCK, set, 0, SIGNAL_SET_SIZE]) };
    loop {
        // SAFETY: WAIT4 with null status and usage pointers writes nowhere.
        while unsafe { system_call(number::WAIT4, [ANY_CHILD, 0, WNOHANG, 0]) } > 0 {}
        // SAFETY: `set` is valid as above; neither details nor a time limit are asked for.
        let signal = unsafe { system_call(number::RT_SIGTIMEDWAIT, [set, 0, 0, SIGNAL_SET_SIZE]) };
        if signal == SIGINT as isize || signal == SIGTERM as isize {
            exit(0);
        }
    }
}

const fn bit(signal: usize) -> u64 {
    1 << (signal - 1)
}

fn exit(status: usize) -> ! {
    loop {
        // SAFETY: takes no pointer, and does not return.
        unsafe { system_call(number::EXIT_GROUP, [status, 0, 0, 0]) };
    }
}

/// Calls the kernel; a negative result is an error number.
///
/// # Safety
/// Pointers among the arguments must be valid for what the kernel does with them.
#[cfg(target_arch = "x86_64")]
unsafe fn system_call(number: usize, arguments: [usize; 4]) -> isize {
    let result: isize;
    // SAFETY: the registers are those of the kernel's x86-64 convention; it destroys rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") arguments[0], in("rsi") arguments[1],
            in("rdx") arguments[2], in("r10") arguments[3],
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// Calls the kernel; a negative result is an error number.
///
/// # Safety
/// Pointers among the arguments must be valid for what the kernel does with them.
#[cfg(target_arch = "aarch64")]
unsafe fn system_call(number: usize, arguments: [usize; 4]) -> isize {
    let result: isize;
    // SAFETY: the registers are those of the kernel's 64-bit ARM convention; it keeps all others.
    unsafe {
        asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") arguments[0] => result,
            in("x1") arguments[1], in("x2") arguments[2], in("x3") arguments[3],
            options(nostack),
        );
    }
    result
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(1)
}
