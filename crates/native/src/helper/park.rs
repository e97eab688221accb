//! Parking all other threads of the process, and bringing them back: in the process that went on, or in a copy of it where they do
//! not exist yet.
//!
//! A thread is interrupted by a signal that C libraries never block (33). Its handler writes down what the kernel keeps for a
//! thread and no signal frame holds, and waits. The signal frame on the thread's own stack is its context: the kernel restores
//! from it in a new thread as well.

use crate::helper::arch;
use crate::helper::arena::Arena;
use crate::helper::sys::{self, Action};
use crate::helper::text;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering::SeqCst};

/// SIGSETXID of glibc, which `pthread_sigmask` cannot block; its own handler is put back after each freeze.
const SIGNAL: usize = 33;
const SA_SIGINFO: usize = 4;
const SA_RESTORER: usize = 0x0400_0000;
const SA_ONSTACK: usize = 0x0800_0000;
const SA_RESTART: usize = 0x1000_0000;
/// In the upper half of the word that comes with the signal: it is ours.
const COOKIE: usize = 0x5079_5233;
const SI_QUEUE: i32 = -1;

const CLONE_THREAD_FLAGS: usize = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000 | 0x8_0000 | 0x20_0000;
//                                VM      FS      FILES   SIGHAND THREAD    SYSVSEM    SETTLS     CHILD_CLEARTID

/// Threads of one process at most.
pub(crate) const MOST: usize = 8192;
/// How often a thread may say that it is in the middle of the allocator, in microseconds from the first time.
const PATIENCE: u64 = 20_000;
const RSEQ_SIGNATURE: usize = 0x5305_3053;

/// What is written down of a parked thread.
#[repr(C)]
pub(crate) struct Slot {
    is_parked: AtomicU32,
    tid: i32,
    pub(crate) pointer: usize,
    frame: usize,
    stack: usize,
    tid_address: usize,
    robust: (usize, usize),
    has_rseq: bool,
    differs: bool,
    is_back: bool,
    name: [u8; 16],
    scheduling: [u64; 7],
    affinity: [u64; 16],
}

/// What the C library has told of itself.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Platform {
    /// Offset of the area for restartable sequences from the thread pointer, and its size; 0 where it has none.
    pub rseq_offset: isize,
    /// Its size; 0 where there is none.
    pub rseq_size: usize,
    /// The code of the C library: start.
    pub code_start: usize,
    /// End.
    pub code_end: usize,
}

/// What a look at the list of threads has found.
struct Found {
    /// So many that were not signalled before.
    new: usize,
    /// One has ended while it was looked at. The kernel's list stops at such a one: others may come after it.
    ended: bool,
}

/// The threads of one freeze.
pub(crate) struct Threads {
    slots: *mut Slot,
    asked: *mut i32,
    declined: *const AtomicI32,
    capacity: usize,
    count: usize,
    /// Made anew, and perhaps still reading what is here.
    coming: usize,
}

/// Why not all could be parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unparked {
    /// One did not come within the limit: its id.
    Late(i32),
    TooMany,
    /// A system call failed.
    System(i32),
}

// The handler has nothing but these.
static PLATFORM: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];
static SLOTS: AtomicUsize = AtomicUsize::new(0);
static DECLINED: AtomicUsize = AtomicUsize::new(0);
static GENERATION: AtomicU32 = AtomicU32::new(1);
static FOUND: AtomicU32 = AtomicU32::new(0);
static PARKED: AtomicU32 = AtomicU32::new(0);
static AWAITED: AtomicU32 = AtomicU32::new(0);
static DECLINES: AtomicU32 = AtomicU32::new(0);
static TAKEN: AtomicU32 = AtomicU32::new(0);
static MINDS_ALLOCATOR: AtomicU32 = AtomicU32::new(0);
static GONE_ON: AtomicU32 = AtomicU32::new(0);
static BEFORE: AtomicUsize = AtomicUsize::new(0);
static LEADER: AtomicUsize = AtomicUsize::new(0);

/// What the leading thread has: others are compared with it.
struct Leader {
    scheduling: [u64; 7],
    affinity: [u64; 16],
}

pub(crate) fn set_platform(platform: &Platform) {
    PLATFORM[0].store(platform.rseq_offset as usize, SeqCst);
    PLATFORM[1].store(platform.rseq_size, SeqCst);
    PLATFORM[2].store(platform.code_start, SeqCst);
    PLATFORM[3].store(platform.code_end, SeqCst);
}

impl Threads {
    /// Bytes of an arena for so many threads.
    pub(crate) fn size(capacity: usize) -> usize {
        capacity * (size_of::<Slot>() + 8) + DECLINE_ROOM * 4 + size_of::<Leader>() + 128
    }

    pub(crate) fn new(arena: &mut Arena, capacity: usize) -> Threads {
        let leader: *mut Leader = arena.take(1);
        LEADER.store(leader as usize, SeqCst);
        // SAFETY: the arena has just given it out.
        unsafe { leader.write(Leader { scheduling: sys::scheduling(), affinity: sys::affinity() }) };
        Threads {
            slots: arena.take(capacity),
            asked: arena.take(capacity),
            declined: arena.take::<AtomicI32>(DECLINE_ROOM),
            capacity,
            count: 0,
            coming: 0,
        }
    }

    /// How many are parked.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    fn slot(&self, at: usize) -> &Slot {
        // SAFETY: within the capacity; a thread writes to its own before it says so, and not after.
        unsafe { &*self.slots.add(at) }
    }

    /// Whether one of them has a name that begins so.
    pub(crate) fn any_named(&self, prefix: &str) -> bool {
        (0..self.count).any(|at| self.slot(at).name.starts_with(prefix.as_bytes()))
    }

    /// Interrupts all other threads, until no new one is found. All signals are blocked in the calling thread.
    pub(crate) fn park(&mut self, limit: u64) -> Result<(), Unparked> {
        let (me, pid) = (sys::gettid(), sys::getpid());
        let (mut asked, mut is_ours, mut sent) = (0, false, 0);
        begin(self);
        let end = sys::now() + limit;
        let found = loop {
            let looked = match self.ask_new(me, pid, &mut asked, &mut is_ours, &mut sent) {
                Ok(looked) => looked,
                Err(why) => break Err(why),
            };
            match looked {
                Found { new: 0, ended: false } => break Ok(()),
                Found { new: 0, ended: true } if sys::now() >= end => break Err(Unparked::Late(0)),
                _ => {}
            }
            if let Err(why) = self.await_all(pid, asked, end, &mut sent) {
                break Err(why);
            }
        };
        self.count = FOUND.load(SeqCst) as usize;
        if is_ours && found.is_ok() && TAKEN.load(SeqCst) == sent {
            // Where a signal is still on its way, the handler stays for it.
            put_back();
        }
        if found.is_err() {
            self.resume();
        }
        found
    }

    /// Signals those that were not signalled yet.
    fn ask_new(
        &mut self,
        me: i32,
        pid: i32,
        asked: &mut usize,
        is_ours: &mut bool,
        sent: &mut u32,
    ) -> Result<Found, Unparked> {
        let (mut new, mut ended) = (0, false);
        let listed = each_entry(c"/proc/self/task", |tid, _| {
            if tid == me || self.was_asked(tid, *asked) {
                return Ok(());
            }
            if *asked == self.capacity {
                return Err(Unparked::TooMany);
            }
            if !*is_ours {
                install().map_err(Unparked::System)?;
                *is_ours = true;
            }
            // SAFETY: within the capacity.
            unsafe { self.asked.add(*asked).write(tid) };
            match sys::queue_signal(pid, tid, SIGNAL, word()) {
                Ok(_) => {
                    *asked += 1;
                    *sent += 1;
                    new += 1;
                    Ok(())
                }
                Err(sys::ESRCH) => {
                    ended = true;
                    Ok(())
                }
                Err(error) => Err(Unparked::System(error)),
            }
        });
        match listed {
            Ok(Ok(())) => Ok(Found { new, ended }),
            Ok(Err(why)) => Err(why),
            Err(error) => Err(Unparked::System(error)),
        }
    }

    fn was_asked(&self, tid: i32, asked: usize) -> bool {
        // SAFETY: so many were written.
        (0..asked).any(|at| unsafe { self.asked.add(at).read() } == tid)
    }

    /// Waits until all that were signalled are parked, or have ended.
    fn await_all(&mut self, pid: i32, asked: usize, end: u64, sent: &mut u32) -> Result<(), Unparked> {
        let (mut ended, mut answered, mut impatient) = (0, 0, 0);
        loop {
            AWAITED.store((asked - ended) as u32, SeqCst);
            let parked = PARKED.load(SeqCst);
            if parked as usize + ended >= asked {
                return Ok(());
            }
            let now = sys::now();
            if now >= end {
                return Err(Unparked::Late(self.missing(asked).unwrap_or(0)));
            }
            let declines = DECLINES.load(SeqCst) as usize;
            if answered < declines {
                if impatient == 0 {
                    impatient = now + PATIENCE;
                }
                if now >= impatient || declines > DECLINE_ROOM - asked - 8 {
                    MINDS_ALLOCATOR.store(0, SeqCst);
                }
                // For what it is in the middle of.
                sys::sleep(30);
                while answered < declines {
                    // SAFETY: within the room; the handler writes there after it has counted itself.
                    let tid = unsafe { (*self.declined.add(answered)).load(SeqCst) };
                    if tid == 0 {
                        break; // it is about to
                    }
                    answered += 1;
                    if sys::queue_signal(pid, tid, SIGNAL, word()).is_ok() {
                        *sent += 1;
                    }
                }
                continue;
            }
            sys::futex_wait(PARKED.as_ptr(), parked, Some(1000));
            if PARKED.load(SeqCst) == parked && DECLINES.load(SeqCst) as usize == answered {
                ended = self.count_ended(pid, asked);
            }
        }
    }

    fn is_parked(&self, tid: i32) -> bool {
        let found = (FOUND.load(SeqCst) as usize).min(self.capacity);
        (0..found).any(|at| self.slot(at).is_parked.load(SeqCst) == 1 && self.slot(at).tid == tid)
    }

    fn missing(&self, asked: usize) -> Option<i32> {
        // SAFETY: so many were written.
        (0..asked).map(|at| unsafe { self.asked.add(at).read() }).find(|tid| !self.is_parked(*tid))
    }

    fn count_ended(&self, pid: i32, asked: usize) -> usize {
        // SAFETY: so many were written.
        let all = (0..asked).map(|at| unsafe { self.asked.add(at).read() });
        all.filter(|tid| !self.is_parked(*tid) && !sys::is_thread(pid, *tid)).count()
    }

    /// In the process in which they are parked: they go on.
    pub(crate) fn resume(&mut self) {
        GENERATION.fetch_add(1, SeqCst);
        if self.count > 0 || FOUND.load(SeqCst) > 0 {
            sys::futex_wake(GENERATION.as_ptr(), usize::MAX >> 33);
        }
    }

    /// In a copy of that process: some are not to come back, by thread pointer and id.
    pub(crate) fn leave(&mut self, is_left: impl Fn(usize, i32) -> bool) {
        for at in 0..self.count {
            // SAFETY: within the count, and the threads that could write to it do not exist here.
            let slot = unsafe { &mut *self.slots.add(at) };
            slot.is_back |= is_left(slot.pointer, slot.tid);
        }
    }

    /// Whether there is a thread with this pointer: the leading one, or one that was parked.
    pub(crate) fn has(&self, pointer: usize) -> bool {
        pointer == arch::thread_pointer() || (0..self.count).any(|at| self.slot(at).pointer == pointer)
    }

    /// So many of the others neither: the youngest.
    pub(crate) fn leave_youngest(&mut self, count: usize) {
        for _ in 0..count {
            let others = (0..self.count).map(|at| self.slot(at)).filter(|slot| !slot.is_back);
            let Some(youngest) = others.map(|slot| slot.tid).max() else { return };
            self.leave(|_, tid| tid == youngest);
        }
    }

    /// In a copy of that process: makes them anew, each where it was. How many. They go on when a processor has time for them.
    pub(crate) fn thaw(&mut self) -> sys::Result<usize> {
        GENERATION.fetch_add(1, SeqCst);
        GONE_ON.store(0, SeqCst);
        for at in 0..self.count {
            // SAFETY: within the count, and the threads that could write to it do not exist here.
            let slot = unsafe { &mut *self.slots.add(at) };
            if slot.is_back {
                continue;
            }
            slot.is_back = true;
            let argument = core::ptr::from_mut(slot) as usize;
            // SAFETY: its stack below the signal frame is not used by anybody, nor is its thread pointer.
            let tid = unsafe {
                arch::clone_thread(CLONE_THREAD_FLAGS, slot.stack, slot.tid_address, slot.pointer, go_on, argument)
            };
            if tid < 0 {
                return Err(-tid as i32);
            }
            self.coming += 1;
        }
        Ok(self.coming)
    }

    /// Before what they read goes: waits until each has gone on.
    pub(crate) fn await_thawed(&mut self) {
        loop {
            let seen = GONE_ON.load(SeqCst);
            if seen as usize >= self.coming {
                break;
            }
            sys::futex_wait(GONE_ON.as_ptr(), seen, Some(1000));
        }
        self.coming = 0;
    }
}

/// Room for threads that were in the middle of the allocator.
const DECLINE_ROOM: usize = 32768;

fn word() -> usize {
    COOKIE << 32 | GENERATION.load(SeqCst) as usize
}

fn begin(threads: &Threads) {
    SLOTS.store(threads.slots as usize, SeqCst);
    DECLINED.store(threads.declined as usize, SeqCst);
    FOUND.store(0, SeqCst);
    PARKED.store(0, SeqCst);
    AWAITED.store(u32::MAX, SeqCst);
    DECLINES.store(0, SeqCst);
    TAKEN.store(0, SeqCst);
    MINDS_ALLOCATOR.store(u32::from(PLATFORM[3].load(SeqCst) != 0), SeqCst);
}

fn install() -> sys::Result<()> {
    let ours = Action {
        handler: park_here as *const () as usize,
        flags: SA_SIGINFO | SA_RESTART | SA_ONSTACK | SA_RESTORER,
        restorer: arch::restorer(),
        mask: !0,
    };
    let mut before = Action::NONE;
    sys::sigaction(SIGNAL, Some(&ours), Some(&mut before))?;
    if before.handler != ours.handler {
        let saved = SAVED.as_ptr();
        // SAFETY: one freeze happens at a time, and only this function and the next use it.
        unsafe { saved.write(before) };
        BEFORE.store(before.handler, SeqCst);
    }
    Ok(())
}

fn put_back() {
    // SAFETY: see above.
    let before = unsafe { SAVED.as_ptr().read() };
    _ = sys::sigaction(SIGNAL, Some(&before), None);
}

struct Saved(core::cell::UnsafeCell<Action>);

// SAFETY: only the thread that freezes uses it, and there is one.
unsafe impl Sync for Saved {}

impl Saved {
    fn as_ptr(&self) -> *mut Action {
        self.0.get()
    }
}

static SAVED: Saved = Saved(core::cell::UnsafeCell::new(Action::NONE));

/// The handler: the calling thread waits here, if it is asked to.
unsafe extern "C" fn park_here(signal: i32, info: usize, context: usize) {
    // SAFETY: the kernel has given both: siginfo_t has the code at 8, the word at 24.
    let (code, word) = unsafe { (*((info + 8) as *const i32), *((info + 24) as *const usize)) };
    if code != SI_QUEUE || word >> 32 != COOKIE {
        // SAFETY: these are the arguments of that handler's own signal.
        unsafe { pass_on(signal, info, context) };
        return;
    }
    TAKEN.fetch_add(1, SeqCst);
    let generation = GENERATION.load(SeqCst);
    if word as u32 != generation {
        return; // of a freeze that is over
    }
    // SAFETY: the context is the handler's own.
    if MINDS_ALLOCATOR.load(SeqCst) != 0 && unsafe { is_in_allocator(context) } {
        let at = DECLINES.fetch_add(1, SeqCst) as usize;
        if at < DECLINE_ROOM {
            // SAFETY: within the room that the freeze has made.
            unsafe { (*(DECLINED.load(SeqCst) as *const AtomicI32).add(at)).store(sys::gettid(), SeqCst) };
            sys::futex_wake(PARKED.as_ptr(), 1);
            return;
        }
    }
    let at = FOUND.fetch_add(1, SeqCst) as usize;
    // SAFETY: as many slots were made as threads were asked; each asks for one, once.
    let slot = unsafe { &mut *(SLOTS.load(SeqCst) as *mut Slot).add(at) };
    slot.tid = sys::gettid();
    slot.pointer = arch::thread_pointer();
    slot.frame = context;
    slot.stack = (core::ptr::from_ref(&at) as usize) - 256;
    slot.tid_address = sys::tid_address();
    slot.robust = sys::robust_list();
    slot.name = sys::name();
    slot.is_back = false;
    // SAFETY: its thread pointer is that of a thread of the C library's.
    slot.has_rseq = unsafe { has_rseq(slot.pointer) };
    slot.scheduling = sys::scheduling();
    slot.affinity = sys::affinity();
    // SAFETY: the freeze has written it before it asked.
    let leader = unsafe { &*(LEADER.load(SeqCst) as *const Leader) };
    slot.differs = slot.scheduling != leader.scheduling || slot.affinity != leader.affinity;
    slot.is_parked.store(1, SeqCst);
    let parked = PARKED.fetch_add(1, SeqCst) + 1;
    if parked >= AWAITED.load(SeqCst) {
        sys::futex_wake(PARKED.as_ptr(), 1);
    }
    while GENERATION.load(SeqCst) == generation {
        sys::futex_wait(GENERATION.as_ptr(), generation, None);
    }
}

/// A signal of this number that is not ours goes to the handler that was there.
unsafe fn pass_on(signal: i32, info: usize, context: usize) {
    let handler = BEFORE.load(SeqCst);
    if handler > 1 {
        // SAFETY: it is a handler that the process had installed, with the arguments that the kernel gives one.
        unsafe {
            core::mem::transmute::<usize, unsafe extern "C" fn(i32, usize, usize)>(handler)(signal, info, context);
        };
    }
}

/// Whether a thread may hold the allocator's locks: it was interrupted inside the C library, and does not wait in a system call,
/// or in one of those by which memory is got.
unsafe fn is_in_allocator(context: usize) -> bool {
    // SAFETY: see the caller.
    let (rip, rax, _) = unsafe { arch::interrupted(context) };
    if rip < PLATFORM[2].load(SeqCst) + 8 || rip >= PLATFORM[3].load(SeqCst) {
        return false;
    }
    // SAFETY: the C library's code, not its first bytes.
    match unsafe { arch::system_call_at(rip, rax) } {
        None => true,
        Some(Some(number)) => arch::MEMORY_CALLS.contains(&number),
        Some(None) => false,
    }
}

unsafe fn has_rseq(pointer: usize) -> bool {
    if PLATFORM[1].load(SeqCst) == 0 || pointer == 0 {
        return false;
    }
    let area = pointer.wrapping_add(PLATFORM[0].load(SeqCst));
    // SAFETY: `struct rseq` has the processor's number at 4; negative where it is not registered.
    unsafe { *((area + 4) as *const i32) >= 0 }
}

pub(crate) fn register_rseq(pointer: usize) {
    let area = pointer.wrapping_add(PLATFORM[0].load(SeqCst));
    sys::register_rseq(area, PLATFORM[1].load(SeqCst).max(32), RSEQ_SIGNATURE);
}

/// The first words of a thread that is made anew. It goes on in the middle of what it did.
unsafe extern "C" fn go_on(slot: usize) -> ! {
    // SAFETY: `thaw` has given its own slot, which it does not touch before this has counted itself.
    let slot = unsafe { &*(slot as *const Slot) };
    sys::set_robust_list(slot.robust.0, slot.robust.1);
    if slot.has_rseq {
        register_rseq(slot.pointer);
    }
    sys::set_name(&slot.name);
    if slot.differs {
        sys::set_affinity(&slot.affinity);
        sys::set_scheduling(&slot.scheduling);
    }
    let frame = slot.frame;
    GONE_ON.fetch_add(1, SeqCst);
    sys::futex_wake(GONE_ON.as_ptr(), 1);
    // SAFETY: the frame that the kernel made when it was parked.
    unsafe { arch::return_from_signal(frame) }
}

/// How many entries of a directory of `/proc` are numbers; none where it cannot be listed.
pub(crate) fn count_entries(path: &core::ffi::CStr) -> usize {
    let mut count = 0;
    _ = each_entry(path, |_, _| {
        count += 1;
        Ok::<_, ()>(())
    });
    count
}

/// Calls `each` with every entry of a directory of `/proc` that is a number, and the descriptor of the listing, until it fails.
pub(crate) fn each_entry<E>(
    path: &core::ffi::CStr,
    mut each: impl FnMut(i32, i32) -> Result<(), E>,
) -> sys::Result<Result<(), E>> {
    let directory = sys::open(path, sys::O_DIRECTORY)?;
    let mut buffer = [0u64; 512];
    let outcome = 'all: loop {
        // SAFETY: the same bytes, seen as bytes.
        let bytes = unsafe { core::slice::from_raw_parts_mut(buffer.as_mut_ptr().cast::<u8>(), size_of_val(&buffer)) };
        let count = match sys::getdents(directory, bytes) {
            Ok(0) => break Ok(Ok(())),
            Ok(count) => count,
            Err(error) => break Err(error),
        };
        let mut rest = &bytes[..count];
        // struct linux_dirent64: inode, offset, length of the record (at 16), type, name (at 19).
        while rest.len() > 19 {
            let length = usize::from(u16::from_le_bytes([rest[16], rest[17]]));
            let entry = &rest[..length.clamp(19, rest.len())];
            if let Some(value) = text::number(&entry[19..], 10)
                && let Ok(value) = i32::try_from(value)
                && let Err(why) = each(value, directory)
            {
                break 'all Ok(Err(why));
            }
            rest = &rest[entry.len()..];
        }
    };
    sys::close(directory);
    outcome
}
