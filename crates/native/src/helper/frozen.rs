//! The life of a frozen process: it waits for its supervisor, forks what it is asked for, and becomes the live worker in the end.
//! Nothing of the interpreter runs in it.

use crate::helper::arch;
use crate::helper::entry::Freeze;
use crate::helper::inventory::Inventory;
use crate::helper::mend;
use crate::helper::park::Threads;
use crate::helper::sys;
use crate::wake::{Event, FDS, Request, SIZE};

const NAME: &[u8; 16] = b"pyrepl3-frozen\0\0";
/// When memory runs out, the kernel is to end the process that filled it, not the one that can undo that.
const SURVIVES: &[u8] = b"0";
const DIES_FIRST: &[u8] = b"300";
/// Microseconds between two channels: one that ends at once must not make this process spin.
const PAUSE: u64 = 50_000;
const RLIMIT_NOFILE: usize = 7;
const RLIMIT_MSGQUEUE: usize = 12;

const CLONE_PARENT: usize = 0x8000;
const CLONE_CHILD_CLEARTID: usize = 0x20_0000;

/// What the process is when it returns to the interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Outcome {
    /// It is the one that was frozen, and goes on.
    Live = 0,
    /// It was woken.
    Woken = 1,
    /// It is a session of its own.
    Branch = 2,
    /// It writes the state down.
    Saver = 3,
    /// It answers questions.
    Answer = 4,
}

/// Forks this process, as a sibling in a process group of its own: user code cannot wait for it, and gets no signal when it ends.
///
/// The C library's own field of a thread's id keeps the old one, the leading thread's too: with another, what the thread holds, a
/// recursive mutex or a lock of readers and writers, would not be its own any more.
pub(crate) fn fork() -> sys::Result<i32> {
    let (address, robust) = (sys::tid_address(), sys::robust_list());
    let clears = if address == 0 { 0 } else { CLONE_CHILD_CLEARTID };
    // SAFETY: the address is the C library's own for this.
    let pid = unsafe { arch::clone_process(CLONE_PARENT | sys::SIGCHLD | clears, address) };
    if pid < 0 {
        return Err(-pid as i32);
    }
    if pid == 0 {
        sys::set_process_group();
        sys::set_robust_list(robust.0, robust.1);
    }
    Ok(pid as i32)
}

/// A frozen process.
pub(crate) struct Frozen<'a> {
    pub(crate) request: &'a mut Freeze,
    pub(crate) all: &'a mut Inventory,
    pub(crate) threads: &'a mut Threads,
    name: [u8; 16],
    next: u64,
}

impl<'a> Frozen<'a> {
    /// In the child of the fork.
    pub(crate) fn begin(
        request: &'a mut Freeze,
        all: &'a mut Inventory,
        threads: &'a mut Threads,
        ready: [i32; 2],
    ) -> Self {
        for fd in request.to_close() {
            sys::close(*fd);
        }
        mend::give_up(all);
        mend::keep_own(all);
        let frozen = Frozen { request, all, threads, name: sys::name(), next: 0 };
        // Before anybody can drop it: session init knows by it that this was no process of the user's.
        sys::set_name(NAME);
        _ = sys::write(ready[1], &[1]);
        frozen.say_hello();
        // From here on nobody waits, unless it is for this processor.
        sys::give_way();
        sys::close(ready[0]);
        sys::close(ready[1]);
        if let Ok(null) = sys::open(c"/dev/null", sys::O_RDWR) {
            // Its number stays taken: the channel of the next life goes there.
            _ = sys::put(null, frozen.request.control, true);
            sys::close(null);
        }
        set_oom_score(SURVIVES);
        frozen
    }

    fn say_hello(&self) {
        // Where the supervisor is gone, the next read says so.
        _ = sys::send_all(self.request.wake, &Event::Frozen.encode());
    }

    /// Until it is to be something else.
    pub(crate) fn wait(&mut self) -> Outcome {
        let mut fds = [-1; FDS];
        loop {
            let Some(request) = self.receive(&mut fds) else {
                self.fetch();
                continue;
            };
            let fds = &fds[..request.descriptors()];
            match request {
                Request::Leave => sys::leave(0),
                Request::Wake { keep, predecessor, salvage } => {
                    if keep && self.replace(fds) {
                        continue;
                    }
                    self.request.salvage = if salvage { fds[fds.len() - 1] } else { -1 };
                    let predecessor = predecessor.then(|| fds[1 + usize::from(keep)]);
                    self.take_over(fds, None, predecessor);
                    return Outcome::Woken;
                }
                Request::Branch { index, member, split } => {
                    if fork() == Ok(0) {
                        (self.request.index, self.request.split) = (index, u32::from(split));
                        self.take_over(fds, Some(member), None);
                        return Outcome::Branch;
                    }
                }
                Request::Save | Request::Answer => {
                    if fork() == Ok(0) {
                        sys::close(self.request.wake);
                        self.request.channel = fds[0];
                        return if request == Request::Save { Outcome::Saver } else { Outcome::Answer };
                    }
                }
            }
            // Where it could not be forked, the end of its channel says so.
            for fd in fds {
                sys::close(*fd);
            }
        }
    }

    /// Forks the process that waits in this one's place. True in that.
    fn replace(&mut self, fds: &[i32]) -> bool {
        let spare = fds[1];
        match fork() {
            Ok(0) => {
                for fd in fds.iter().filter(|fd| **fd != spare) {
                    sys::close(*fd);
                }
                sys::close(self.request.wake);
                self.request.wake = spare;
                self.say_hello();
                return true;
            }
            Ok(_) => {}
            Err(error) => self.request.error = error,
        }
        sys::close(spare);
        false
    }

    /// The next request. None at the end of the channel.
    fn receive(&mut self, fds: &mut [i32; FDS]) -> Option<Request> {
        let mut frame = [0; SIZE];
        let (mut count, given) = sys::receive_with(self.request.wake, &mut frame, fds).ok()?;
        let Some(given) = given else { sys::exit(71) }; // a channel that it needs is missing
        while count > 0 && count < SIZE {
            match sys::receive(self.request.wake, &mut frame[count..], 0) {
                Ok(0) | Err(_) => count = 0,
                Ok(more) => count += more,
            }
        }
        if count == 0 {
            for fd in &fds[..given] {
                sys::close(*fd);
            }
            return None;
        }
        match Request::decode(&frame) {
            Some(request) if request.descriptors() == given => Some(request),
            // Whoever speaks another version is not served by guesses.
            _ => sys::exit(71),
        }
    }

    /// Another channel, from session init; where there is none, the end.
    fn fetch(&mut self) {
        if self.request.line < 0 {
            sys::leave(0);
        }
        let now = sys::now();
        if now < self.next {
            sys::sleep(self.next - now);
        }
        self.next = sys::now() + PAUSE;
        let is_full = |found: &sys::Result<[i32; 2]>| matches!(found, Err(sys::EMFILE | sys::ENFILE));
        let mut pair = sys::socket_pair(sys::AF_UNIX, sys::SOCK_STREAM);
        if is_full(&pair) {
            self.request.spare_used = 1;
            for fd in self.request.spare() {
                sys::close(*fd);
            }
            pair = sys::socket_pair(sys::AF_UNIX, sys::SOCK_STREAM);
        }
        sys::close(self.request.wake);
        if is_full(&pair) {
            pair = sys::socket_pair(sys::AF_UNIX, sys::SOCK_STREAM);
        }
        let Ok([mine, theirs]) = pair else { sys::exit(0) };
        if sys::send_with(self.request.line, self.request.said(), theirs).is_err() {
            sys::exit(0);
        }
        sys::close(theirs);
        self.request.wake = mine;
        self.say_hello();
    }

    /// Becomes the live worker of a new incarnation: everything that can be put right is, then its threads go on.
    fn take_over(&mut self, fds: &[i32], branch: Option<u32>, predecessor: Option<i32>) {
        let request = &mut *self.request;
        sys::close(request.wake);
        if !attach(fds[0], request.control) {
            // The number is out of reach: the worker learns the other one.
            request.control = fds[0];
        }
        if let Some(member) = branch {
            for (fd, place) in fds[1..4].iter().zip([1, 2, 0]) {
                _ = sys::put(*fd, place, false);
                sys::close(*fd);
            }
            let [_, hard] = sys::limit(RLIMIT_MSGQUEUE, None);
            sys::limit(RLIMIT_MSGQUEUE, Some([request.branch_base - u64::from(member), hard]));
            request.member = member;
        }
        // They were sent to a process that nobody is to see: by user code, or to let it go on if somebody had stopped it.
        sys::forget_signals();
        set_oom_score(DIES_FIRST);
        sys::set_name(&self.name);
        // What a process that was forked from this one has, too.
        if mend::copy_own(self.all).is_ok() {
            mend::keep_own(self.all);
        }
        mend::mend(self.all, branch.is_some(), predecessor, request.sentinels());
        if let Some(process) = predecessor {
            sys::close(process);
        }
        for word in request.pids() {
            // SAFETY: the worker says that these are places of a pid, in memory that stays.
            unsafe { (*word as *mut i32).write(sys::getpid()) };
        }
        if self.threads.thaw().is_err() {
            // A process without all of its threads is none that anybody was promised.
            sys::exit(72);
        }
        if branch.is_none() {
            self.greet();
        }
    }

    /// Says that it is awake where that is all there is to say: nobody has to wait until the interpreter has written to its memory,
    /// each page of which is copied.
    fn greet(&mut self) {
        let request = &mut *self.request;
        let frame = request.greeting();
        if !frame.is_empty() && request.error == 0 && request.salvage < 0 && self.all.records.is_all_there() {
            request.answered =
                sys::send(request.control, frame, sys::MSG_DONTWAIT | sys::MSG_NOSIGNAL).unwrap_or(0) as u32;
            // Whoever hears it may have been put behind this process.
            sys::give_way();
        }
    }
}

/// Puts the new channel in the place of the one before. False where that is out of reach.
fn attach(new: i32, place: i32) -> bool {
    if new == place {
        return true;
    }
    let mut is_there = sys::put(new, place, true).is_ok();
    if !is_there {
        // User code has lowered the limit on descriptors below it.
        let [soft, hard] = sys::limit(RLIMIT_NOFILE, None);
        sys::limit(RLIMIT_NOFILE, Some([hard, hard]));
        is_there = sys::put(new, place, true).is_ok();
        sys::limit(RLIMIT_NOFILE, Some([soft, hard]));
    }
    if is_there {
        sys::close(new);
    }
    is_there
}

fn set_oom_score(value: &[u8]) {
    // Where it is not allowed, the kernel chooses by size alone.
    if let Ok(file) = sys::open(c"/proc/self/oom_score_adj", sys::O_WRONLY) {
        _ = sys::write(file, value);
        sys::close(file);
    }
}

/// The first snapshot: there is somebody now who can undo what fills the memory.
pub(crate) fn prefer_to_die() {
    set_oom_score(DIES_FIRST);
}
