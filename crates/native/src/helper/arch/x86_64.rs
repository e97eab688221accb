//! x86-64: system calls, the signal frame, and the way into a new thread.

use core::arch::{asm, global_asm};

/// Numbers of system calls.
pub(crate) mod number {
    pub(crate) const READ: usize = 0;
    pub(crate) const WRITE: usize = 1;
    pub(crate) const CLOSE: usize = 3;
    pub(crate) const FSTAT: usize = 5;
    pub(crate) const POLL: usize = 7;
    pub(crate) const LSEEK: usize = 8;
    pub(crate) const MMAP: usize = 9;
    pub(crate) const MPROTECT: usize = 10;
    pub(crate) const MUNMAP: usize = 11;
    pub(crate) const BRK: usize = 12;
    pub(crate) const RT_SIGACTION: usize = 13;
    pub(crate) const RT_SIGPROCMASK: usize = 14;
    pub(crate) const IOCTL: usize = 16;
    pub(crate) const PREAD64: usize = 17;
    pub(crate) const MREMAP: usize = 25;
    pub(crate) const MADVISE: usize = 28;
    pub(crate) const DUP: usize = 32;
    pub(crate) const NANOSLEEP: usize = 35;
    pub(crate) const GETITIMER: usize = 36;
    pub(crate) const SETITIMER: usize = 38;
    pub(crate) const GETPID: usize = 39;
    pub(crate) const SOCKET: usize = 41;
    pub(crate) const SENDTO: usize = 44;
    pub(crate) const RECVFROM: usize = 45;
    pub(crate) const SENDMSG: usize = 46;
    pub(crate) const RECVMSG: usize = 47;
    pub(crate) const BIND: usize = 49;
    pub(crate) const LISTEN: usize = 50;
    pub(crate) const GETSOCKNAME: usize = 51;
    pub(crate) const GETPEERNAME: usize = 52;
    pub(crate) const SOCKETPAIR: usize = 53;
    pub(crate) const SETSOCKOPT: usize = 54;
    pub(crate) const SHUTDOWN: usize = 48;
    pub(crate) const PIDFD_SEND_SIGNAL: usize = 424;
    pub(crate) const CLOSE_RANGE: usize = 436;
    pub(crate) const RT_SIGTIMEDWAIT: usize = 128;
    pub(crate) const PIDFD_OPEN: usize = 434;
    pub(crate) const GETSOCKOPT: usize = 55;
    pub(crate) const CLONE: usize = 56;
    pub(crate) const KILL: usize = 62;
    pub(crate) const FCNTL: usize = 72;
    pub(crate) const FLOCK: usize = 73;
    pub(crate) const UNLINK: usize = 87;
    pub(crate) const SETPGID: usize = 109;
    pub(crate) const PWRITE64: usize = 18;
    pub(crate) const FTRUNCATE: usize = 77;
    pub(crate) const FSTATFS: usize = 138;
    pub(crate) const MEMFD_CREATE: usize = 319;
    pub(crate) const PRCTL: usize = 157;
    pub(crate) const ARCH_PRCTL: usize = 158;
    pub(crate) const GETTID: usize = 186;
    pub(crate) const FUTEX: usize = 202;
    pub(crate) const SCHED_YIELD: usize = 24;
    pub(crate) const SCHED_SETAFFINITY: usize = 203;
    pub(crate) const SCHED_GETAFFINITY: usize = 204;
    pub(crate) const GETDENTS64: usize = 217;
    pub(crate) const CLOCK_GETTIME: usize = 228;
    pub(crate) const EXIT_GROUP: usize = 231;
    pub(crate) const EPOLL_CTL: usize = 233;
    pub(crate) const TGKILL: usize = 234;
    pub(crate) const WAITID: usize = 247;
    pub(crate) const OPENAT: usize = 257;
    pub(crate) const READLINKAT: usize = 267;
    pub(crate) const SET_ROBUST_LIST: usize = 273;
    pub(crate) const GET_ROBUST_LIST: usize = 274;
    pub(crate) const TEE: usize = 276;
    pub(crate) const TIMERFD_CREATE: usize = 283;
    pub(crate) const TIMERFD_SETTIME: usize = 286;
    pub(crate) const EVENTFD2: usize = 290;
    pub(crate) const EPOLL_CREATE1: usize = 291;
    pub(crate) const DUP3: usize = 292;
    pub(crate) const PIPE2: usize = 293;
    pub(crate) const RT_TGSIGQUEUEINFO: usize = 297;
    pub(crate) const PRLIMIT64: usize = 302;
    pub(crate) const PROCESS_VM_WRITEV: usize = 311;
    pub(crate) const KCMP: usize = 312;
    pub(crate) const SCHED_SETATTR: usize = 314;
    pub(crate) const SCHED_GETATTR: usize = 315;
    pub(crate) const RSEQ: usize = 334;
}

/// A system call: what the kernel returns, a negative error number included.
///
/// # Safety
/// That of the call: pointers among the arguments must be good for what it does.
#[inline(always)]
pub(crate) unsafe fn syscall(number: usize, arguments: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the caller vouches for the arguments; the kernel changes `rcx`, `r11` and memory only.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

const ARCH_GET_FS: usize = 0x1003;
const ARCH_SHSTK_STATUS: usize = 0x5005;

/// The thread pointer of the calling thread.
pub(crate) fn thread_pointer() -> usize {
    let mut pointer = 0usize;
    // SAFETY: the kernel writes one word there.
    unsafe { syscall(number::ARCH_PRCTL, [ARCH_GET_FS, &raw mut pointer as usize, 0, 0, 0, 0]) };
    pointer
}

/// Whether the calling thread has a shadow stack, which a new thread cannot be given.
pub(crate) fn has_shadow_stack() -> bool {
    let mut features = 0u64;
    // SAFETY: the kernel writes one word there.
    let result = unsafe { syscall(number::ARCH_PRCTL, [ARCH_SHSTK_STATUS, &raw mut features as usize, 0, 0, 0, 0]) };
    result == 0 && features & 1 != 0
}

// man 2 sigreturn: what a handler returns to. The unwinder of the C library is not involved.
global_asm!(
    ".hidden pyrepl3_restorer",
    ".globl pyrepl3_restorer",
    ".type pyrepl3_restorer,@function",
    "pyrepl3_restorer:",
    "mov eax, 15",
    "syscall",
    "ud2",
);

unsafe extern "C" {
    fn pyrepl3_restorer();
}

/// What the kernel calls when a handler returns.
pub(crate) fn restorer() -> usize {
    pyrepl3_restorer as *const () as usize
}

/// Goes on where a signal has interrupted a thread: registers, floating point state, signal mask and alternative stack come
/// from the frame, whose address is that of its `ucontext`.
///
/// # Safety
/// The frame is one that the kernel made, in this address space or in one that this is a copy of, and nobody else uses it.
pub(crate) unsafe fn return_from_signal(frame: usize) -> ! {
    // SAFETY: the kernel looks for the frame at the stack pointer; nothing of this function's is needed after.
    unsafe { asm!("mov rsp, {0}", "mov eax, 15", "syscall", "ud2", in(reg) frame, options(noreturn)) }
}

/// `rip`, `rax` and `rsp` as they were when a signal came. `context` is the handler's third argument.
///
/// # Safety
/// `context` is what the kernel has given to a handler.
pub(crate) unsafe fn interrupted(context: usize) -> (usize, usize, usize) {
    // SAFETY: `struct ucontext` of the kernel: 40 bytes, then the registers r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip.
    unsafe {
        let registers = (context + 40) as *const usize;
        (*registers.add(16), *registers.add(13), *registers.add(15))
    }
}

/// Whether code that was interrupted at this address is behind a system call, or is about to begin one again; with its
/// number where the instruction before loads it.
///
/// # Safety
/// The address is that of code which was running: the bytes just before it can be read.
pub(crate) unsafe fn system_call_at(rip: usize, rax: usize) -> Option<Option<usize>> {
    // SAFETY: see above; an instruction that is about to begin again has its two bytes at `rip`.
    unsafe {
        let byte = |at: usize| (at as *const u8).read();
        let is_syscall = |at: usize| byte(at) == 0x0f && byte(at + 1) == 0x05;
        if is_syscall(rip) {
            return Some(Some(rax));
        }
        if !is_syscall(rip - 2) {
            return None;
        }
        // mov eax, imm32
        if byte(rip - 7) == 0xb8 { Some(Some(((rip - 6) as *const u32).read_unaligned() as usize)) } else { Some(None) }
    }
}

/// Calls by which an allocator gets and gives back memory: who is in one of them may hold the allocator's locks.
pub(crate) const MEMORY_CALLS: [usize; 6] =
    [number::MMAP, number::MUNMAP, number::MPROTECT, number::BRK, number::MADVISE, number::MREMAP];

/// Makes a thread that calls `entry` with `argument` on a stack. Returns its id, or a negative error number.
///
/// # Safety
/// The stack, the thread pointer and the address of the id are of memory that stays, and no other thread uses them.
pub(crate) unsafe fn clone_thread(
    flags: usize,
    stack: usize,
    tid_address: usize,
    pointer: usize,
    entry: unsafe extern "C" fn(usize) -> !,
    argument: usize,
) -> isize {
    let result: isize;
    // SAFETY: the new thread starts with these registers and the stack it is given, and never returns here.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "and rsp, -16",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") number::CLONE as isize => result,
            in("rdi") flags,
            in("rsi") stack,
            in("rdx") 0usize,
            in("r10") tid_address,
            in("r8") pointer,
            in("r12") argument,
            in("r13") entry as *const () as usize,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// Forks this process. The child goes on, on a copy of this stack, with one thread.
///
/// # Safety
/// The address of the id is one that the kernel may write to in the child, or 0.
pub(crate) unsafe fn clone_process(flags: usize, tid_address: usize) -> isize {
    // SAFETY: a stack of 0 is the caller's own, in the child's copy of memory.
    unsafe { syscall(number::CLONE, [flags, 0, 0, tid_address, 0, 0]) }
}
