//! Putting right what a fork does not keep, in a process that is about to live, before any of its threads runs.

use crate::helper::inventory::Inventory;
use crate::helper::records::{Kind, Record};
use crate::helper::{files, memory_files, pipes, process, shared, sockets, special, sys, timers};

/// How long a process that was killed may take to give up what only one can have, in milliseconds.
const GONE_LIMIT: i32 = 2000;

/// One line of the session, about to go on.
pub(crate) struct Line<'a> {
    pub(crate) all: &'a mut Inventory,
    /// Whether the line that it was copied from lives on.
    pub(crate) is_branch: bool,
}

impl Line<'_> {
    /// Something could not be put right.
    pub(crate) fn lost(&mut self, kind: Kind, fd: i32, value: u64, text: &[u8]) {
        self.all.records.push(kind, fd, [value, 0, 0, 0], text);
    }

    /// The same, with the text of the record that it is about.
    pub(crate) fn lost_of(&mut self, kind: Kind, one: &Record, [a, b]: [u64; 2]) {
        self.all.records.push_of(kind, one.fd, [a, b, 0, 0], one);
    }
}

/// Copies that a process needs of its own pipes and pairs: before it forks one that has the same, or is told from another.
pub(crate) fn copy_own(all: &mut Inventory) -> sys::Result<()> {
    pipes::copy(all)?;
    sockets::copy(all)
}

/// They take their places.
pub(crate) fn keep_own(all: &mut Inventory) {
    pipes::keep_copies(all);
    sockets::keep_copies(all);
}

/// In the process that goes on with its own.
pub(crate) fn close_copies(all: &Inventory) {
    pipes::close_copies(all);
    sockets::close_copies(all);
    shared::drop_copies(all);
    memory_files::drop_copies(all);
}

/// In the frozen process: what others may wait for until nobody has it any more.
pub(crate) fn give_up(all: &mut Inventory) {
    files::let_go_of_locks(all);
    if !all.has(Kind::ForeignPipe) && !sockets::has_addresses(all) {
        return;
    }
    if let Ok(null) = sys::open(c"/dev/null", sys::O_RDWR) {
        pipes::give_up(all, null);
        sockets::give_up(all, null);
        sys::close(null);
    }
}

/// All of it. `predecessor`: a descriptor of the process that was killed. `sentinels`: descriptors by which the end of a process is
/// seen, and their processes.
pub(crate) fn mend(all: &mut Inventory, is_branch: bool, predecessor: Option<i32>, sentinels: &[[u64; 2]]) {
    let needs_it_gone = sockets::has_addresses(all) || all.has(Kind::Lock);
    if let (Some(process), true, false) = (predecessor, needs_it_gone, is_branch) {
        // It has ports, and locks, until it is gone.
        sys::kill_by(process);
        sys::poll(process, 1, GONE_LIMIT);
    }
    for kind in [Kind::Eventfd, Kind::Timerfd, Kind::Epoll] {
        special::group(all, kind);
    }
    let mut line = Line { all, is_branch };
    if is_branch {
        files::open_all_again(&mut line);
    } else {
        files::let_go_of_locks(line.all);
    }
    process::mend(line.all.process);
    shared::mend(&mut line);
    shared::drop_copies(line.all);
    memory_files::mend(&mut line);
    memory_files::drop_copies(line.all);
    files::mend(&mut line);
    pipes::mend(&mut line, sentinels);
    sockets::mend(&mut line);
    special::mend(&mut line);
    special::watch_again(&mut line);
    timers::mend(&mut line);
}
