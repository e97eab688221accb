//! System calls, as far as the helper needs them: no C library, no `errno`, nothing that takes a lock.

use crate::helper::arch::{number, syscall};

/// Error numbers that are told apart.
pub(crate) const EINTR: i32 = 4;
pub(crate) const ENOMEM: i32 = 12;
pub(crate) const EMFILE: i32 = 24;
pub(crate) const ENFILE: i32 = 23;
pub(crate) const ESRCH: i32 = 3;

pub(crate) const SIGCHLD: usize = 17;
pub(crate) const O_ACCMODE: usize = 3;
pub(crate) const O_WRONLY: usize = 1;
pub(crate) const O_RDWR: usize = 2;
pub(crate) const O_APPEND: usize = 0o2000;
pub(crate) const O_NONBLOCK: usize = 0o4000;
pub(crate) const O_CLOEXEC: usize = 0o2000000;
pub(crate) const O_DIRECTORY: usize = 0o200000;

/// What a call returns, or its error number.
pub(crate) type Result<T = usize> = core::result::Result<T, i32>;

fn check(result: isize) -> Result {
    if (-4095..0).contains(&result) { Err(-result as i32) } else { Ok(result as usize) }
}

const fn six<const COUNT: usize>(given: [usize; COUNT]) -> [usize; 6] {
    let mut all = [0; 6];
    let mut at = 0;
    while at < COUNT {
        all[at] = given[at];
        at += 1;
    }
    all
}

macro_rules! call {
    ($number:ident $(, $argument:expr)* $(,)?) => {
        // SAFETY: each use hands over numbers, or addresses of values that live through the call and are of its kind.
        check(unsafe { syscall(number::$number, six([$($argument as usize),*])) })
    };
}

/// Ends the process: nothing is flushed, nothing is called.
pub(crate) fn exit(code: i32) -> ! {
    loop {
        _ = call!(EXIT_GROUP, code);
    }
}

/// The same, but what only one process can have, a port or a lock, goes first: to take its memory apart takes longer.
pub(crate) fn leave(code: i32) -> ! {
    _ = call!(CLOSE_RANGE, 0, u32::MAX, 0);
    exit(code)
}

/// Takes the blocked signals that wait for this thread or its process, and forgets them.
pub(crate) fn forget_signals() {
    let (all, now) = (!0u64, [0u64; 2]);
    while call!(RT_SIGTIMEDWAIT, &raw const all, 0, now.as_ptr(), 8).is_ok() {}
}

pub(crate) fn getpid() -> i32 {
    call!(GETPID).unwrap_or(0) as i32
}

pub(crate) fn gettid() -> i32 {
    call!(GETTID).unwrap_or(0) as i32
}

pub(crate) fn open(path: &core::ffi::CStr, flags: usize) -> Result<i32> {
    call!(OPENAT, -100isize, path.as_ptr(), flags | O_CLOEXEC, 0).map(|fd| fd as i32)
}

pub(crate) fn close(fd: i32) {
    _ = call!(CLOSE, fd);
}

pub(crate) fn read(fd: i32, buffer: &mut [u8]) -> Result {
    call!(READ, fd, buffer.as_mut_ptr(), buffer.len())
}

pub(crate) fn pread(fd: i32, buffer: &mut [u8], offset: usize) -> Result {
    call!(PREAD64, fd, buffer.as_mut_ptr(), buffer.len(), offset)
}

pub(crate) fn pwrite(fd: i32, bytes: &[u8], offset: usize) -> Result {
    call!(PWRITE64, fd, bytes.as_ptr(), bytes.len(), offset)
}

pub(crate) fn truncate(fd: i32, size: u64) -> Result {
    call!(FTRUNCATE, fd, size)
}

/// A file in memory. `name` ends with a zero. `may_be_sealed`: whether its owner may.
pub(crate) fn memory_file(name: &[u8], may_be_sealed: bool) -> Result<i32> {
    const MFD_CLOEXEC: usize = 1;
    const MFD_ALLOW_SEALING: usize = 2;
    let flags = MFD_CLOEXEC | if may_be_sealed { MFD_ALLOW_SEALING } else { 0 };
    call!(MEMFD_CREATE, name.as_ptr(), flags).map(|fd| fd as i32)
}

/// Whether a descriptor is a POSIX message queue.
pub(crate) fn is_message_queue(fd: i32) -> bool {
    const MQUEUE_MAGIC: u64 = 0x1980_0202;
    // struct statfs: its kind first, 120 bytes in all.
    let mut about = [0u64; 15];
    call!(FSTATFS, fd, about.as_mut_ptr()).is_ok() && about[0] == MQUEUE_MAGIC
}

pub(crate) fn write(fd: i32, bytes: &[u8]) -> Result {
    call!(WRITE, fd, bytes.as_ptr(), bytes.len())
}

pub(crate) fn readlink(path: &core::ffi::CStr, buffer: &mut [u8]) -> Result {
    call!(READLINKAT, -100isize, path.as_ptr(), buffer.as_mut_ptr(), buffer.len())
}

pub(crate) fn unlink(path: &core::ffi::CStr) -> Result {
    call!(UNLINK, path.as_ptr())
}

pub(crate) fn getdents(fd: i32, buffer: &mut [u8]) -> Result {
    call!(GETDENTS64, fd, buffer.as_mut_ptr(), buffer.len())
}

/// What `fstat` tells, as far as it is of interest.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Stat {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) nlink: u64,
    pub(crate) mode: u32,
    uid: u32,
    gid: u32,
    pad: u32,
    pub(crate) rdev: u64,
    pub(crate) size: u64,
    rest: [u64; 12],
}

pub(crate) const S_IFMT: u32 = 0o170000;
pub(crate) const S_IFREG: u32 = 0o100000;
pub(crate) const S_IFIFO: u32 = 0o010000;
pub(crate) const S_IFSOCK: u32 = 0o140000;
pub(crate) const S_IFCHR: u32 = 0o020000;

pub(crate) fn fstat(fd: i32) -> Result<Stat> {
    let mut stat = Stat { dev: 0, ino: 0, nlink: 0, mode: 0, uid: 0, gid: 0, pad: 0, rdev: 0, size: 0, rest: [0; 12] };
    call!(FSTAT, fd, &raw mut stat).map(|_| stat)
}

pub(crate) fn lseek(fd: i32, offset: u64, whence: usize) -> Result {
    call!(LSEEK, fd, offset, whence)
}

const F_GETFD: usize = 1;
const F_GETFL: usize = 3;
const F_SETFL: usize = 4;
const F_SETPIPE_SZ: usize = 1031;

pub(crate) fn flags(fd: i32) -> Result {
    call!(FCNTL, fd, F_GETFL)
}

pub(crate) fn set_flags(fd: i32, flags: usize) -> Result {
    call!(FCNTL, fd, F_SETFL, flags)
}

pub(crate) fn fcntl(fd: i32, what: usize, argument: usize) -> Result {
    call!(FCNTL, fd, what, argument)
}

pub(crate) fn set_pipe_size(fd: i32, size: usize) {
    // Where the user's limit on pipes is reached, it stays as it is.
    _ = call!(FCNTL, fd, F_SETPIPE_SZ, size);
}

pub(crate) fn duplicate(fd: i32) -> Result<i32> {
    call!(DUP, fd).map(|fd| fd as i32)
}

/// Puts `new` in the place of `fd`, which keeps its flag of being closed by `exec`.
pub(crate) fn replace(new: i32, fd: i32) -> Result {
    let closes = call!(FCNTL, fd, F_GETFD).unwrap_or(1) & 1;
    call!(DUP3, new, fd, closes * O_CLOEXEC)
}

/// The same, for a descriptor that a program executed has, or has not.
pub(crate) fn put(new: i32, fd: i32, closes: bool) -> Result {
    if new == fd {
        return Ok(0);
    }
    call!(DUP3, new, fd, usize::from(closes) * O_CLOEXEC)
}

pub(crate) fn ioctl(fd: i32, what: usize, argument: usize) -> Result {
    call!(IOCTL, fd, what, argument)
}

/// How many bytes wait to be read.
pub(crate) fn readable(fd: i32) -> usize {
    let mut count = 0i32;
    if ioctl(fd, 0x541b, &raw mut count as usize).is_err() {
        return 0;
    }
    count.max(0) as usize
}

pub(crate) fn pipe() -> Result<[i32; 2]> {
    let mut pair = [0i32; 2];
    call!(PIPE2, pair.as_mut_ptr(), O_CLOEXEC).map(|_| pair)
}

pub(crate) fn tee(from: i32, to: i32, size: usize) -> Result {
    call!(TEE, from, to, size, 2)
}

/// Whether two descriptors of this process are of one open file; None where the system does not tell.
pub(crate) fn are_one(one: i32, other: i32) -> Option<bool> {
    let pid = getpid();
    call!(KCMP, pid, pid, 0, one, other).ok().map(|order| order == 0)
}

pub(crate) const READ_WRITE: usize = 3;
pub(crate) const PRIVATE_ANONYMOUS: usize = 0x22;
pub(crate) const NORESERVE: usize = 0x4000;
pub(crate) const SHARED_ANONYMOUS_FIXED: usize = 0x31;

pub(crate) fn mmap(address: usize, length: usize, protection: usize, flags: usize) -> Result {
    call!(MMAP, address, length, protection, flags, -1isize, 0)
}

pub(crate) fn munmap(address: usize, length: usize) {
    _ = call!(MUNMAP, address, length);
}

/// Copies to memory of this process; an address that is not there is an error, not a signal.
pub(crate) fn copy_to(address: usize, from: usize, length: usize) -> Result {
    let (local, remote) = ([from, length], [address, length]);
    call!(PROCESS_VM_WRITEV, getpid(), local.as_ptr(), 1, remote.as_ptr(), 1, 0)
}

/// `struct kernel_sigaction`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Action {
    pub(crate) handler: usize,
    pub(crate) flags: usize,
    pub(crate) restorer: usize,
    pub(crate) mask: u64,
}

impl Action {
    pub(crate) const NONE: Action = Action { handler: 0, flags: 0, restorer: 0, mask: 0 };
}

pub(crate) fn sigaction(signal: usize, new: Option<&Action>, old: Option<&mut Action>) -> Result {
    let new = new.map_or(0, |action| core::ptr::from_ref(action) as usize);
    let old = old.map_or(0, |action| core::ptr::from_mut(action) as usize);
    call!(RT_SIGACTION, signal, new, old, 8)
}

/// Sets the calling thread's mask, and returns the one before.
pub(crate) fn set_mask(mask: u64) -> u64 {
    let mut before = 0u64;
    _ = call!(RT_SIGPROCMASK, 2, &raw const mask, &raw mut before, 8);
    before
}

/// Sends a signal with a word to a thread of this process.
pub(crate) fn queue_signal(pid: i32, tid: i32, signal: usize, word: usize) -> Result {
    // siginfo_t: number, error, code SI_QUEUE, then (after a gap) pid, uid, and the word.
    let mut info = [0u64; 16];
    info[0] = signal as u64;
    info[1] = u64::from(-1i32 as u32);
    info[2] = pid as u32 as u64;
    info[3] = word as u64;
    call!(RT_TGSIGQUEUEINFO, pid, tid, signal, info.as_ptr())
}

pub(crate) fn kill(pid: i32) {
    _ = call!(KILL, pid, 9);
}

/// The same of a process that a descriptor stands for.
pub(crate) fn kill_by(pidfd: i32) {
    _ = call!(PIDFD_SEND_SIGNAL, pidfd, 9, 0, 0);
}

pub(crate) fn has_children() -> bool {
    const P_ALL: usize = 0;
    const WNOHANG_WEXITED_WNOWAIT: usize = 1 | 4 | 0x0100_0000;
    call!(WAITID, P_ALL, 0, 0, WNOHANG_WEXITED_WNOWAIT, 0).is_ok()
}

pub(crate) fn is_thread(pid: i32, tid: i32) -> bool {
    call!(TGKILL, pid, tid, 0) != Err(ESRCH)
}

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

fn timespec(microseconds: u64) -> Timespec {
    Timespec { seconds: (microseconds / 1_000_000) as i64, nanoseconds: (microseconds % 1_000_000 * 1000) as i64 }
}

const FUTEX_WAIT_PRIVATE: usize = 128;
const FUTEX_WAKE_PRIVATE: usize = 129;

/// Waits while a word has this value, at most so long where that is said.
pub(crate) fn futex_wait(word: *const u32, value: u32, microseconds: Option<u64>) {
    let limit = timespec(microseconds.unwrap_or(0));
    let limit = if microseconds.is_some() { &raw const limit as usize } else { 0 };
    _ = call!(FUTEX, word, FUTEX_WAIT_PRIVATE, value, limit);
}

pub(crate) fn futex_wake(word: *const u32, count: usize) {
    _ = call!(FUTEX, word, FUTEX_WAKE_PRIVATE, count);
}

pub(crate) fn sleep(microseconds: u64) {
    let time = timespec(microseconds);
    _ = call!(NANOSLEEP, &raw const time, 0);
}

/// Microseconds of a clock that only goes on.
pub(crate) fn now() -> u64 {
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    _ = call!(CLOCK_GETTIME, 1, &raw mut time);
    time.seconds as u64 * 1_000_000 + time.nanoseconds as u64 / 1000
}

pub(crate) fn prctl(what: usize, argument: usize) -> Result {
    call!(PRCTL, what, argument, 0, 0, 0)
}

const PR_SET_NAME: usize = 15;
const PR_GET_NAME: usize = 16;
const PR_GET_TID_ADDRESS: usize = 40;

pub(crate) fn name() -> [u8; 16] {
    let mut name = [0; 16];
    _ = prctl(PR_GET_NAME, name.as_mut_ptr() as usize);
    name
}

pub(crate) fn set_name(name: &[u8; 16]) {
    _ = prctl(PR_SET_NAME, name.as_ptr() as usize);
}

/// Where the kernel writes a zero when the calling thread ends.
pub(crate) fn tid_address() -> usize {
    let mut address = 0usize;
    _ = prctl(PR_GET_TID_ADDRESS, &raw mut address as usize);
    address
}

pub(crate) fn robust_list() -> (usize, usize) {
    let (mut head, mut length) = (0usize, 0usize);
    _ = call!(GET_ROBUST_LIST, 0, &raw mut head, &raw mut length);
    (head, length)
}

pub(crate) fn set_robust_list(head: usize, length: usize) {
    if head != 0 {
        _ = call!(SET_ROBUST_LIST, head, length);
    }
}

pub(crate) fn register_rseq(area: usize, length: usize, signature: usize) {
    _ = call!(RSEQ, area, length, 0, signature);
}

pub(crate) fn affinity() -> [u64; 16] {
    let mut mask = [0; 16];
    _ = call!(SCHED_GETAFFINITY, 0, 128, mask.as_mut_ptr());
    mask
}

pub(crate) fn set_affinity(mask: &[u64; 16]) {
    _ = call!(SCHED_SETAFFINITY, 0, 128, mask.as_ptr());
}

/// Policy, niceness and priority: `struct sched_attr`.
pub(crate) fn scheduling() -> [u64; 7] {
    let mut attributes = [0; 7];
    _ = call!(SCHED_GETATTR, 0, attributes.as_mut_ptr(), 56, 0);
    attributes
}

pub(crate) fn set_scheduling(attributes: &[u64; 7]) {
    _ = call!(SCHED_SETATTR, 0, attributes.as_ptr(), 0);
}

/// Lets what waits for this processor go first.
pub(crate) fn give_way() {
    _ = call!(SCHED_YIELD);
}

pub(crate) fn set_process_group() {
    _ = call!(SETPGID, 0, 0);
}

/// Soft and hard limit of a resource; sets both where they are given.
pub(crate) fn limit(resource: usize, new: Option<[u64; 2]>) -> [u64; 2] {
    let mut old = [0u64; 2];
    let new = new.as_ref().map_or(0, |pair| pair.as_ptr() as usize);
    _ = call!(PRLIMIT64, 0, resource, new, old.as_mut_ptr());
    old
}

/// Waits until one of these has something; true where it has. Interruptions do not count.
pub(crate) fn poll(fd: i32, events: i16, milliseconds: i32) -> bool {
    #[repr(C)]
    struct PollFd {
        fd: i32,
        events: i16,
        found: i16,
    }
    let mut one = PollFd { fd, events, found: 0 };
    loop {
        match call!(POLL, &raw mut one, 1, milliseconds) {
            Ok(count) => return count > 0,
            Err(EINTR) => {}
            Err(_) => return false,
        }
    }
}

// ---- sockets ----

pub(crate) const AF_UNIX: usize = 1;
pub(crate) const SOCK_STREAM: usize = 1;
pub(crate) const SOCK_CLOEXEC: usize = 0o2000000;
const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;

pub(crate) fn socket(domain: usize, kind: usize, protocol: usize) -> Result<i32> {
    call!(SOCKET, domain, kind | SOCK_CLOEXEC, protocol).map(|fd| fd as i32)
}

pub(crate) fn socket_pair(domain: usize, kind: usize) -> Result<[i32; 2]> {
    let mut pair = [0i32; 2];
    call!(SOCKETPAIR, domain, kind | SOCK_CLOEXEC, 0, pair.as_mut_ptr()).map(|_| pair)
}

pub(crate) fn option(fd: i32, level: usize, name: usize, value: &mut [u8]) -> Result {
    let mut length = value.len() as u32;
    call!(GETSOCKOPT, fd, level, name, value.as_mut_ptr(), &raw mut length).map(|_| length as usize)
}

pub(crate) fn set_option(fd: i32, level: usize, name: usize, value: &[u8]) -> Result {
    call!(SETSOCKOPT, fd, level, name, value.as_ptr(), value.len())
}

/// 0: nothing can be received any more, 1: nothing can be sent, 2: both.
pub(crate) fn shutdown(fd: i32, how: usize) -> Result {
    call!(SHUTDOWN, fd, how)
}

/// A descriptor of a process.
pub(crate) fn process(pid: i32) -> Result<i32> {
    call!(PIDFD_OPEN, pid, 0).map(|fd| fd as i32)
}

pub(crate) fn socket_name(fd: i32, address: &mut [u8]) -> Result {
    let mut length = address.len() as u32;
    call!(GETSOCKNAME, fd, address.as_mut_ptr(), &raw mut length).map(|_| (length as usize).min(address.len()))
}

/// Whether a socket is connected.
pub(crate) fn has_peer(fd: i32) -> bool {
    let (mut address, mut length) = ([0u8; 128], 128u32);
    call!(GETPEERNAME, fd, address.as_mut_ptr(), &raw mut length).is_ok()
}

pub(crate) fn bind(fd: i32, address: &[u8]) -> Result {
    call!(BIND, fd, address.as_ptr(), address.len())
}

pub(crate) fn listen(fd: i32, backlog: usize) -> Result {
    call!(LISTEN, fd, backlog)
}

pub(crate) fn send(fd: i32, bytes: &[u8], flags: usize) -> Result {
    call!(SENDTO, fd, bytes.as_ptr(), bytes.len(), flags, 0, 0)
}

pub(crate) fn receive(fd: i32, bytes: &mut [u8], flags: usize) -> Result {
    call!(RECVFROM, fd, bytes.as_mut_ptr(), bytes.len(), flags, 0, 0)
}

#[repr(C)]
struct Message {
    name: usize,
    name_length: usize,
    vectors: usize,
    count: usize,
    control: usize,
    control_length: usize,
    flags: usize,
}

const MSG_CTRUNC: usize = 8;
pub(crate) const MSG_DONTWAIT: usize = 0x40;
pub(crate) const MSG_NOSIGNAL: usize = 0x4000;
const MSG_CMSG_CLOEXEC: usize = 0x4000_0000;

/// Receives bytes, and descriptors into `fds`: how many of each. Where not all descriptors had room, the count of them is `None`.
pub(crate) fn receive_with(
    fd: i32,
    bytes: &mut [u8],
    fds: &mut [i32; crate::wake::FDS],
) -> Result<(usize, Option<usize>)> {
    let vector = [bytes.as_mut_ptr() as usize, bytes.len()];
    // struct cmsghdr: length, level and type; then descriptors.
    let mut control = [0u64; 2 + crate::wake::FDS / 2];
    let mut message = Message {
        name: 0,
        name_length: 0,
        vectors: vector.as_ptr() as usize,
        count: 1,
        control: control.as_mut_ptr() as usize,
        control_length: size_of_val(&control),
        flags: 0,
    };
    let count = loop {
        match call!(RECVMSG, fd, &raw mut message, MSG_CMSG_CLOEXEC) {
            Err(EINTR) => {}
            other => break other?,
        }
    };
    let mut found = 0;
    if message.control_length >= 16 && control[1] == (SOL_SOCKET as u64 | (SCM_RIGHTS as u64) << 32) {
        found = ((control[0] as usize).saturating_sub(16) / 4).min(fds.len());
        for (at, place) in fds.iter_mut().take(found).enumerate() {
            *place = (control[2 + at / 2] >> (at % 2 * 32)) as i32;
        }
    }
    Ok((count, (message.flags & MSG_CTRUNC == 0).then_some(found)))
}

/// Sends bytes and one descriptor.
pub(crate) fn send_with(fd: i32, bytes: &[u8], one: i32) -> Result {
    let vector = [bytes.as_ptr() as usize, bytes.len()];
    let control = [20u64, SOL_SOCKET as u64 | (SCM_RIGHTS as u64) << 32, u64::from(one as u32)];
    let message = Message {
        name: 0,
        name_length: 0,
        vectors: vector.as_ptr() as usize,
        count: 1,
        control: control.as_ptr() as usize,
        control_length: size_of_val(&control),
        flags: 0,
    };
    call!(SENDMSG, fd, &raw const message, MSG_NOSIGNAL)
}

/// Sends all bytes, without a signal where nobody reads.
pub(crate) fn send_all(fd: i32, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match send(fd, bytes, MSG_NOSIGNAL) {
            Ok(count) => bytes = &bytes[count.min(bytes.len())..],
            Err(EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

// ---- epoll, eventfd, timers ----

/// `struct epoll_event`, which is packed on x86-64.
#[repr(C, packed)]
pub(crate) struct EpollEvent {
    pub(crate) events: u32,
    pub(crate) data: u64,
}

pub(crate) fn epoll_create() -> Result<i32> {
    call!(EPOLL_CREATE1, O_CLOEXEC).map(|fd| fd as i32)
}

pub(crate) fn epoll_add(set: i32, fd: i32, events: u32, data: u64) -> Result {
    let event = EpollEvent { events, data };
    call!(EPOLL_CTL, set, 1, fd, &raw const event)
}

pub(crate) fn eventfd(count: u32, flags: usize) -> Result<i32> {
    call!(EVENTFD2, count, flags | O_CLOEXEC).map(|fd| fd as i32)
}

pub(crate) fn timerfd(clock: usize, flags: usize) -> Result<i32> {
    call!(TIMERFD_CREATE, clock, flags | O_CLOEXEC).map(|fd| fd as i32)
}

/// Interval, then time until the end: seconds and nanoseconds of each.
pub(crate) fn set_timerfd(fd: i32, times: &[i64; 4]) -> Result {
    call!(TIMERFD_SETTIME, fd, 0, times.as_ptr(), 0)
}

/// Interval, then time until the end: seconds and microseconds of each.
pub(crate) fn interval_timer(which: usize) -> [i64; 4] {
    let mut times = [0; 4];
    _ = call!(GETITIMER, which, times.as_mut_ptr());
    times
}

pub(crate) fn set_interval_timer(which: usize, times: &[i64; 4]) -> Result {
    call!(SETITIMER, which, times.as_ptr(), 0)
}

pub(crate) fn flock(fd: i32, operation: usize) -> Result {
    call!(FLOCK, fd, operation)
}
