//! What the worker calls.

use crate::helper::frozen::Outcome;
use crate::helper::interpreter::Interpreters;
use crate::helper::park::{self, Platform};
use crate::helper::writes::{Watched, Written};
use crate::helper::{freeze, sys};

/// Of what is called, and how. The worker asks before anything else.
pub const INTERFACE: u32 = 3;

/// Why a process could not be frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A thread was not parked within the limit.
    Late(i32),
    TooManyThreads,
    /// A ring of io_uring is open.
    Ring(i32),
    /// A device of a GPU is open.
    Gpu(i32),
    /// Threads of libzmq compare pids, and spin where they differ.
    Zmq,
    ShadowStack,
    /// There is no room for the descriptors that a frozen process needs.
    NoRoom,
    Fork(i32),
    System(i32),
    /// The frozen process did not say that it is frozen.
    Died,
    /// Buffers of files that are only appended to are to be flushed first. No refusal: the worker does so, and asks again.
    NeedsFlush,
    /// Records found no room.
    Full,
    /// There is something that the interpreter has to look at first: libraries that were loaded since, or children. No refusal either.
    NeedsLook,
}

impl Refusal {
    fn code(self) -> (i32, i32) {
        match self {
            Refusal::Late(tid) => (-1, tid),
            Refusal::TooManyThreads => (-2, 0),
            Refusal::Ring(fd) => (-3, fd),
            Refusal::Gpu(fd) => (-4, fd),
            Refusal::Zmq => (-5, 0),
            Refusal::ShadowStack => (-6, 0),
            Refusal::NoRoom => (-7, 0),
            Refusal::Fork(error) => (-8, error),
            Refusal::System(error) => (-9, error),
            Refusal::Died => (-10, 0),
            Refusal::NeedsFlush => (-11, 0),
            Refusal::Full => (-12, 0),
            Refusal::NeedsLook => (-13, 0),
        }
    }
}

type Hook = unsafe extern "C" fn();

/// What is asked for, and what came of it. The worker has the same layout (`worker/py/native.py`).
#[repr(C)]
pub struct Freeze {
    // What is asked for.
    pub(crate) wake: i32,
    pub(crate) control: i32,
    pub(crate) line: i32,
    pub(crate) has_sqlite: u32,
    pub(crate) is_flushed: u32,
    pub(crate) prefers_to_die: u32,
    has_looked: u32,
    pub(crate) is_plain: u32,
    pub(crate) limit: u64,
    pub(crate) branch_base: u64,
    /// How many libraries the interpreter has seen loaded, and whom to ask for that.
    loads: u64,
    iterate: Option<Iterate>,
    own: [usize; 2],
    close: [usize; 2],
    inherited: [usize; 2],
    elsewhere: [usize; 2],
    said: [usize; 2],
    spare: [usize; 2],
    answer: [usize; 2],
    pids: [usize; 2],
    kept: [usize; 2],
    sentinels: [usize; 2],
    walk: [usize; 2],
    greeting: [usize; 2],
    watched: [usize; 2],
    written: [usize; 2],
    before: Option<Hook>,
    after_in_parent: Option<Hook>,
    after_in_child: Option<Hook>,
    // What came of it.
    pub(crate) error: i32,
    pub(crate) threads: u32,
    pub(crate) warns: u32,
    pub(crate) index: u32,
    pub(crate) member: u32,
    pub(crate) split: u32,
    pub(crate) salvage: i32,
    pub(crate) channel: i32,
    pub(crate) spare_used: u32,
    pub(crate) parent: i32,
    pub(crate) answered: u32,
    pub(crate) mask: u64,
    pub(crate) parked_for: u64,
    pub(crate) records: usize,
    pub(crate) record_count: usize,
    pub(crate) text: usize,
    pub(crate) arena: usize,
    pub(crate) arena_length: usize,
    pub(crate) present: usize,
    known: [usize; 2],
    unbound: usize,
    pub(crate) written_count: usize,
}

macro_rules! lists {
    ($($name:ident => $field:ident: $kind:ty,)*) => {
        $(
            pub(crate) fn $name<'a>(&self) -> &'a [$kind] {
                let [first, count] = self.$field;
                if count == 0 {
                    return &[];
                }
                // SAFETY: the worker has said that so many are there, and they stay while the call lasts.
                unsafe { core::slice::from_raw_parts(first as *const $kind, count) }
            }
        )*
    };
}

impl Freeze {
    lists! {
        own => own: i32,
        to_close => close: i32,
        inherited => inherited: [u64; 2],
        elsewhere => elsewhere: u64,
        said => said: u8,
        spare => spare: i32,
        answer => answer: u8,
        pids => pids: usize,
        kept => kept: [usize; 2],
        sentinels => sentinels: [u64; 2],
        walk => walk: usize,
        greeting => greeting: u8,
    }

    /// Memory that is watched for writes, and room for what was written of it.
    pub(crate) fn writes<'a>(&self) -> (&'a mut [Watched], &'a mut [Written]) {
        if self.watched[1] == 0 {
            return (&mut [], &mut []);
        }
        // SAFETY: the worker has said that so many are there, and they stay while the call lasts; nobody else has them.
        unsafe {
            (
                core::slice::from_raw_parts_mut(self.watched[0] as *mut Watched, self.watched[1]),
                core::slice::from_raw_parts_mut(self.written[0] as *mut Written, self.written[1]),
            )
        }
    }
}

/// The number of this interface.
#[cfg_attr(pyrepl3_image, unsafe(no_mangle))]
pub extern "C" fn pyrepl3_interface() -> u32 {
    INTERFACE
}

/// Tells what the C library has, once.
///
/// # Safety
/// The pointer is to a [`Platform`].
#[cfg_attr(pyrepl3_image, unsafe(no_mangle))]
pub unsafe extern "C" fn pyrepl3_platform(platform: *const Platform) {
    // SAFETY: see above.
    park::set_platform(unsafe { &*platform });
}

type Iterate = unsafe extern "C" fn(unsafe extern "C" fn(*const u8, usize, *mut u64) -> i32, *mut u64) -> i32;

/// How many libraries the process has loaded so far, by the C library's `dl_iterate_phdr`.
///
/// # Safety
/// The pointer is to that function.
#[cfg_attr(pyrepl3_image, unsafe(no_mangle))]
pub unsafe extern "C" fn pyrepl3_loads(iterate: Iterate) -> u64 {
    unsafe extern "C" fn take(info: *const u8, size: usize, loads: *mut u64) -> i32 {
        // struct dl_phdr_info: 32 bytes, then how often something was loaded: the same in every entry.
        if size >= 40 {
            // SAFETY: the C library says that so many bytes are there; the other pointer is the caller's.
            unsafe { *loads = *info.add(32).cast::<u64>() };
        }
        1
    }
    let mut loads = 0;
    // SAFETY: see above.
    unsafe { iterate(take, &raw mut loads) };
    loads
}

/// While nothing is asked for: what the next freeze needs, and what it would find, where that cannot change meanwhile.
///
/// # Safety
/// The pointer is to a [`Freeze`] whose lists are there. Until it is frozen with, or released, the process opens and closes nothing.
#[cfg_attr(pyrepl3_image, unsafe(no_mangle))]
pub unsafe extern "C" fn pyrepl3_prepare(request: *mut Freeze) {
    // SAFETY: see above.
    freeze::prepare(unsafe { &mut *request });
}

/// Freezes the process. What it returns is what the calling process is then: 0, the one that goes on; or another one, which may be much
/// later: 1 woken, 2 a branch, 3 a saver, 4 one that answers. Negative where it was not frozen: see `Refusal`.
///
/// # Safety
/// The pointer is to a [`Freeze`] whose lists are there. Called by the main thread, with the interpreter's lock held; the hooks may be
/// called so.
#[cfg_attr(pyrepl3_image, unsafe(no_mangle))]
pub unsafe extern "C" fn pyrepl3_freeze(request: *mut Freeze) -> i32 {
    // SAFETY: see above.
    let request = unsafe { &mut *request };
    request.parent = sys::getpid();
    request.error = 0;
    if needs_look(request) {
        return Refusal::NeedsLook.code().0;
    }
    if let Some(interpreters) = Interpreters::of(request.walk()) {
        interpreters.await_newborn();
    }
    request.mask = sys::set_mask(!0);
    call(request.before);
    let outcome = freeze::freeze(request);
    match outcome {
        Ok(Outcome::Saver | Outcome::Answer) => {
            forget_threads(request);
            // Its signals stay blocked until the worker has taken away what they could reach.
            return if outcome == Ok(Outcome::Saver) { 3 } else { 4 };
        }
        _ => call(request.after_in_parent),
    }
    sys::set_mask(request.mask);
    match outcome {
        Ok(outcome) => {
            if outcome != Outcome::Live {
                tell_records(request);
            }
            outcome as i32
        }
        Err(why) => {
            let (code, detail) = why.code();
            request.error = detail;
            code
        }
    }
}

/// Whether the interpreter has to look first. It would touch more of its memory to find out, at each snapshot.
fn needs_look(request: &Freeze) -> bool {
    // SAFETY: the worker has said that it is this function.
    request.iterate.is_some_and(|iterate| unsafe { pyrepl3_loads(iterate) } != request.loads)
        || request.has_looked == 0 && sys::has_children()
}

/// Gives the memory of a freeze back, once its records were read.
///
/// # Safety
/// The pointer is to a [`Freeze`].
#[cfg_attr(pyrepl3_image, unsafe(no_mangle))]
pub unsafe extern "C" fn pyrepl3_release(request: *mut Freeze) {
    // SAFETY: see above.
    freeze::release(unsafe { &mut *request });
}

/// In a saver: the threads that the interpreter did not know go on. `before`: thread pointers of those that it knew shortly before the
/// fork; one that has ended since is on its way out of the interpreter. `elder`: the ids of all that there were then, if that was looked
/// at: others have begun since, and may have ended. How many are back, or a negative error number.
///
/// # Safety
/// The first pointer is to the [`Freeze`] that made this process a saver, the others to so many numbers.
#[cfg_attr(pyrepl3_image, unsafe(no_mangle))]
pub unsafe extern "C" fn pyrepl3_thaw_unknown(
    request: *mut Freeze,
    before: *const usize,
    before_count: usize,
    elder: *const usize,
    elder_count: usize,
) -> isize {
    // SAFETY: see above.
    let (request, before, elder) = unsafe {
        (
            &mut *request,
            core::slice::from_raw_parts(before, before_count),
            core::slice::from_raw_parts(elder, elder_count),
        )
    };
    let [first, count] = request.known;
    if request.present == 0 || first == 0 {
        return 0;
    }
    // SAFETY: `know_threads` has written so many.
    let known = unsafe { core::slice::from_raw_parts(first as *const usize, count) };
    // SAFETY: the freeze has put it there, and nobody has released it.
    let present = unsafe { &mut *(request.present as *mut freeze::Present) };
    let threads = &mut present.threads;
    threads.leave(|pointer, _| known.contains(&pointer));
    // A state that has the pointer of a thread that has ended is of one that this thread had made.
    let orphans = known.iter().filter(|pointer| !threads.has(**pointer)).count();
    threads.leave_youngest(request.unbound + orphans);
    threads.leave(|pointer, tid| before.contains(&pointer) || !elder.is_empty() && !elder.contains(&(tid as usize)));
    threads.thaw().map_or_else(|error| -(error as isize), |count| count as isize)
}

fn call(hook: Option<Hook>) {
    if let Some(hook) = hook {
        // SAFETY: the worker vouches for it.
        unsafe { hook() };
    }
}

/// The interpreter forgets its other threads; what is to stay as it is, does.
fn forget_threads(request: &mut Freeze) {
    tell_records(request);
    (request.known, request.unbound) = Interpreters::of(request.walk()).map_or(([0; 2], 0), |all| all.know());
    let size: usize = request.kept().iter().map(|part| part[1]).sum();
    let room = sys::mmap(0, size.max(1), sys::READ_WRITE, sys::PRIVATE_ANONYMOUS).unwrap_or(0);
    let copy = |back: bool| {
        let mut at = room;
        for [start, length] in request.kept().iter().filter(|_| room != 0) {
            let (from, to) = if back { (at, *start) } else { (*start, at) };
            // SAFETY: the worker vouches for the parts; the room is as large as all of them.
            unsafe { core::ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, *length) };
            at += length;
        }
    };
    copy(false);
    call(request.after_in_child);
    copy(true);
    if room != 0 {
        sys::munmap(room, size.max(1));
    }
}

fn tell_records(request: &mut Freeze) {
    // SAFETY: the freeze has put it there.
    let present = unsafe { &*(request.present as *const freeze::Present) };
    (request.records, request.record_count, request.text) = present.all.records.extent();
}
