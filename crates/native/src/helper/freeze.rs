//! One freeze: all threads are parked, what a fork does not keep is written down, the process is forked, the threads go on.
//!
//! ```text
//! live      park ─ look ─ clone ─ resume ─ wait for its word ──► goes on
//!                           │                 ▲
//! frozen                    └─ give up ─ hello┘ ─ wait ─► mend ─ thaw ─► goes on, later
//! ```

use crate::helper::arch;
use crate::helper::arena::Arena;
use crate::helper::entry::{Freeze, Refusal};
use crate::helper::frozen::{self, Frozen, Outcome};
use crate::helper::inventory::{Inventory, Known, Obstacle};
use crate::helper::mend;
use crate::helper::park::{MOST, Threads, Unparked, count_entries};
use crate::helper::records::Kind;
use crate::helper::{sys, writes};

/// How long the frozen process may take to say that it is frozen, in milliseconds.
const READY_LIMIT: i32 = 10_000;
/// Microseconds for which its word is asked for before this process sleeps: it comes within them mostly, and to be woken on a
/// processor that has gone idle takes as long again.
const ASKING: u64 = 300;
/// Descriptors that a frozen process needs when it is woken.
const ROOM: usize = 6;
/// Records beside those of descriptors: mappings, timers, what could not be put right.
const MORE: usize = 512;
/// How often records that found no room are taken again, with more.
const ATTEMPTS: usize = 4;

/// All that one freeze has in memory.
pub(crate) struct Present {
    pub(crate) all: Inventory,
    pub(crate) threads: Threads,
}

/// Freezes the present. In the process that goes on: `Live`; in the other one, when it is woken, what it is.
pub(crate) fn freeze(request: &mut Freeze) -> Result<Outcome, Refusal> {
    if arch::has_shadow_stack() {
        return Err(Refusal::ShadowStack);
    }
    check_room(request.wake)?;
    let began = sys::now();
    let mut capacity = if request.present == 0 { capacity() } else { MORE };
    for _ in 0..ATTEMPTS {
        let present =
            if request.present == 0 { make_room(request, capacity)? } else { request.present as *mut Present };
        // SAFETY: the arena is this freeze's own until it is released.
        let present = unsafe { &mut *present };
        let outcome = with(request, present, began);
        if outcome != Err(Refusal::Full) {
            return outcome;
        }
        release(request);
        capacity *= 8;
    }
    Err(Refusal::System(sys::ENOMEM))
}

/// While nobody waits: makes room, and looks. Where there is nothing to write down, and no other thread that could change that, the
/// freeze itself need not look again: this process does nothing until then.
pub(crate) fn prepare(request: &mut Freeze) {
    let Ok(present) = make_room(request, capacity()) else { return };
    // SAFETY: the arena is this freeze's own until it is released.
    let Present { all, threads } = unsafe { &mut *present };
    if count_entries(c"/proc/self/task") == 1 && look(request, all, threads).is_ok() && all.is_empty() {
        request.is_plain = 1;
    } else {
        mend::close_copies(all);
        release(request);
    }
}

fn capacity() -> usize {
    count_entries(c"/proc/self/fd") * 4 + MORE
}

fn make_room(request: &mut Freeze, capacity: usize) -> Result<*mut Present, Refusal> {
    let threads = count_entries(c"/proc/self/task") * 2 + 64;
    if threads > MOST {
        return Err(Refusal::TooManyThreads);
    }
    let size = Inventory::size(capacity) + Threads::size(threads) + size_of::<Present>() + 256;
    let mut arena = Arena::new(size).map_err(Refusal::System)?;
    let place: *mut Present = arena.take(1);
    // SAFETY: the arena has just given it out.
    unsafe {
        place.write(Present { all: Inventory::new(&mut arena, capacity), threads: Threads::new(&mut arena, threads) });
    };
    (request.arena, request.arena_length) = arena.extent();
    request.present = place as usize;
    Ok(place)
}

/// Gives a freeze's memory back.
pub(crate) fn release(request: &mut Freeze) {
    if request.arena != 0 {
        if request.present != 0 {
            // SAFETY: the freeze has put it there.
            unsafe { &mut *(request.present as *mut Present) }.threads.await_thawed();
        }
        sys::munmap(request.arena, request.arena_length);
        (request.arena, request.present, request.record_count) = (0, 0, 0);
    }
}

fn check_room(like: i32) -> Result<(), Refusal> {
    let mut room = [-1; ROOM];
    let mut outcome = Ok(());
    for place in &mut room {
        match sys::duplicate(like) {
            Ok(fd) => *place = fd,
            Err(error) => {
                outcome = Err(refusal_of(error));
                break;
            }
        }
    }
    for fd in room.into_iter().filter(|fd| *fd >= 0) {
        sys::close(fd);
    }
    outcome
}

fn refusal_of(error: i32) -> Refusal {
    if matches!(error, sys::EMFILE | sys::ENFILE) { Refusal::NoRoom } else { Refusal::System(error) }
}

fn with(request: &mut Freeze, present: &mut Present, began: u64) -> Result<Outcome, Refusal> {
    let Present { all, threads } = present;
    threads.park(request.limit).map_err(|why| match why {
        Unparked::Late(tid) => Refusal::Late(tid),
        Unparked::TooMany => Refusal::TooManyThreads,
        Unparked::System(error) => Refusal::System(error),
    })?;
    request.threads = threads.count() as u32;
    let is_looked_at = request.is_plain != 0 && threads.count() == 0;
    let looked = if is_looked_at { Ok(()) } else { look(request, all, threads) };
    let forked = looked.and_then(|()| {
        let ready = sys::pipe().map_err(refusal_of)?;
        let (watched, written) = request.writes();
        request.written_count = writes::collect(watched, written);
        match frozen::fork() {
            Ok(pid) => Ok((pid, ready)),
            Err(error) => {
                sys::close(ready[0]);
                sys::close(ready[1]);
                Err(Refusal::Fork(error))
            }
        }
    });
    if let Ok((0, ready)) = forked {
        return Ok(Frozen::begin(request, all, threads, ready).wait());
    }
    threads.resume();
    request.parked_for = sys::now() - began;
    mend::close_copies(all);
    let (records, count, text) = all.records.extent();
    (request.records, request.record_count, request.text) = (records, count, text);
    let (pid, ready) = forked?;
    sys::close(ready[1]);
    let mut word = [0];
    let asked = sys::now();
    while !sys::poll(ready[0], 1, 0) && sys::now() - asked < ASKING {
        sys::give_way();
    }
    let is_there = sys::poll(ready[0], 1, READY_LIMIT) && sys::read(ready[0], &mut word) == Ok(1);
    sys::close(ready[0]);
    if !is_there {
        sys::kill(pid);
        return Err(Refusal::Died);
    }
    if request.prefers_to_die == 0 {
        request.prefers_to_die = 1;
        frozen::prefer_to_die();
    }
    request.warns = u32::from(all.warns);
    if !all.warns && !request.answer().is_empty() {
        // All that the interpreter does from here on is to write to pages that are shared now: nobody has to wait for that.
        request.answered =
            sys::send(request.control, request.answer(), sys::MSG_DONTWAIT | sys::MSG_NOSIGNAL).unwrap_or(0) as u32;
        // Whoever hears it may have been put behind this process.
        sys::give_way();
    }
    Ok(Outcome::Live)
}

fn look(request: &mut Freeze, all: &mut Inventory, threads: &Threads) -> Result<(), Refusal> {
    if threads.any_named("ZMQbg/") {
        return Err(Refusal::Zmq);
    }
    let known = Known {
        own: request.own(),
        wake: request.wake,
        closed: request.to_close(),
        inherited: request.inherited(),
        elsewhere: request.elsewhere(),
        has_sqlite: request.has_sqlite != 0,
    };
    all.look(&known).map_err(|why| match why {
        Obstacle::Ring(fd) => Refusal::Ring(fd),
        Obstacle::Gpu(fd) => Refusal::Gpu(fd),
        Obstacle::System(error) => refusal_of(error),
    })?;
    if all.appends && request.is_flushed == 0 {
        return Err(Refusal::NeedsFlush);
    }
    if threads.count() > 0 {
        all.look_at_children();
    }
    for one in all.records.of(Kind::Database) {
        all.warns |= crate::helper::files::is_unsafe(all, &one);
    }
    mend::copy_own(all).map_err(refusal_of)?;
    if all.records.full { Err(Refusal::Full) } else { Ok(()) }
}
