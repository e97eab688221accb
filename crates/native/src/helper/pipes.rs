//! Pipes. One with both ends here is this process's own, and each line of the session has a copy with what was in it; one to another
//! process is given up by the frozen process, so that its end means what it means.

use crate::helper::inventory::{Inventory, Known};
use crate::helper::mend::Line;
use crate::helper::records::{Kind, Record};
use crate::helper::sys::{self, Stat};
use crate::helper::text::Path;

pub(crate) fn look(all: &mut Inventory, fd: i32, stat: &Stat, known: &Known<'_>) {
    if known.inherited.contains(&[stat.dev, stat.ino]) {
        return;
    }
    let Ok(flags) = sys::flags(fd) else { return };
    let reads = u64::from(flags & sys::O_ACCMODE != sys::O_WRONLY);
    all.records.push(Kind::OwnPipe, fd, [flags as u64, stat.ino, reads, stat.dev], &[]);
}

/// When all ends are known: which pipes are this process's own.
pub(crate) fn pair_up(all: &mut Inventory, known: &Known<'_>) {
    let end = all.records.count();
    let mut at = 0;
    while let Some((index, one)) = all.records.next_of(Kind::OwnPipe, &mut at, end) {
        let same = |reads: u64| {
            all.records
                .of(Kind::OwnPipe)
                .find(|other| (other.b, other.d) == (one.b, one.d) && has(other, reads))
                .is_some()
        };
        if !(same(1) && same(0)) {
            all.warns = true;
            all.records.set(index, Record { kind: Kind::ForeignPipe as u32, a: one.d, ..one });
            continue;
        }
        if known.elsewhere.contains(&one.b) && one.c == 1 {
            all.warns = true;
            all.records.push(Kind::SharedPipe, one.fd, [one.d, one.b, 0, 0], &[]);
        }
    }
}

fn has(end: &Record, reads: u64) -> bool {
    // An end that was opened for both is both.
    if reads == 1 { end.c == 1 } else { end.a as usize & sys::O_ACCMODE != 0 }
}

/// Copies of all own pipes, with what is in them. Before the fork; both processes have them.
pub(crate) fn copy(all: &mut Inventory) -> sys::Result<()> {
    let end = all.records.count();
    let mut at = 0;
    while let Some((index, one)) = all.records.next_of(Kind::OwnPipe, &mut at, end) {
        let is_first = !all.records.before(index, Kind::OwnPipe).any(|other| (other.b, other.d) == (one.b, one.d));
        if is_first {
            let reader =
                all.records.of(Kind::OwnPipe).find(|other| (other.b, other.d) == (one.b, one.d) && other.c == 1);
            let Some(reader) = reader else { continue };
            let (pair, is_whole) = copy_of(reader.fd)?;
            all.records.push(Kind::PipeCopy, reader.fd, [pair[0] as u64, one.b, pair[1] as u64, one.d], &[]);
            if !is_whole {
                all.records.push(Kind::LostContent, reader.fd, [0; 4], &[]);
            }
        }
    }
    Ok(())
}

/// A pipe with the content of another, and whether that is all of it.
fn copy_of(reading: i32) -> sys::Result<([i32; 2], bool)> {
    let held = sys::readable(reading);
    let pair = sys::pipe()?;
    if held == 0 {
        return Ok((pair, true));
    }
    sys::set_pipe_size(pair[1], held.max(65536));
    Ok((pair, sys::tee(reading, pair[1], held) == Ok(held)))
}

/// In the live process, which keeps its own.
pub(crate) fn close_copies(all: &Inventory) {
    for copy in all.records.of(Kind::PipeCopy) {
        sys::close(copy.a as i32);
        sys::close(copy.c as i32);
    }
}

/// The copies take the place of what the other process goes on using.
pub(crate) fn keep_copies(all: &mut Inventory) {
    let end = all.records.count();
    let mut at = 0;
    while let Some((index, copy)) = all.records.next_of(Kind::PipeCopy, &mut at, end) {
        for one in all.records.of(Kind::OwnPipe).filter(|one| (one.b, one.d) == (copy.b, copy.d)) {
            let new = if one.c == 1 { copy.a } else { copy.c } as i32;
            // A FIFO that was opened for both.
            let is_both = one.a as usize & sys::O_ACCMODE == sys::O_RDWR;
            let both = is_both.then(|| sys::open(Path::new("/proc/self/fd/", new, "").as_c(), sys::O_RDWR));
            let both = both.and_then(Result::ok);
            _ = sys::replace(both.unwrap_or(new), one.fd);
            if let Some(both) = both {
                sys::close(both);
            }
            _ = sys::set_flags(one.fd, one.a as usize);
        }
        sys::close(copy.a as i32);
        sys::close(copy.c as i32);
        all.records.set(index, Record { kind: 0, ..copy });
    }
}

/// In the frozen process: closing a pipe must mean what it means, while this one only waits.
pub(crate) fn give_up(all: &Inventory, null: i32) {
    for pipe in all.records.of(Kind::ForeignPipe) {
        _ = sys::replace(null, pipe.fd);
    }
}

pub(crate) fn mend(line: &mut Line<'_>, sentinels: &[[u64; 2]]) {
    let end = line.all.records.count();
    let mut at = 0;
    while let Some((_, pipe)) = line.all.records.next_of(Kind::ForeignPipe, &mut at, end) {
        let process = sentinels.iter().find(|one| one[0] == pipe.fd as u64).map(|one| one[1]);
        if let Some(process) = process {
            // The end of the process itself, before a thread that waits for it sees the end of the pipe. Where it is gone, what is
            // there now reads as ended.
            if let Ok(new) = sys::process(process as i32) {
                _ = sys::replace(new, pipe.fd);
                sys::close(new);
            }
            continue;
        }
        line.lost(Kind::LostPipe, pipe.fd, pipe.b, &[]);
    }
    let mut at = 0;
    while let Some((_, pipe)) = line.all.records.next_of(Kind::SharedPipe, &mut at, end) {
        line.lost(Kind::LostSharing, pipe.fd, pipe.b, &[]);
    }
}
