//! Interval timers, which a fork does not take along, and those of `timer_create`, which nobody can make anew.

use crate::helper::inventory::Inventory;
use crate::helper::mend::Line;
use crate::helper::records::Kind;
use crate::helper::special::{bytes_of, times_of};
use crate::helper::{sys, text};

/// ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF.
const WHICH: core::ops::Range<usize> = 0..3;

pub(crate) fn look(all: &mut Inventory) {
    for which in WHICH {
        let times = sys::interval_timer(which);
        if times[2..4] != [0, 0] {
            all.records.push(Kind::Timer, -1, [which as u64, 0, 0, 0], &bytes_of(&times));
        }
    }
    // Kernels without CONFIG_POSIX_TIMERS have no such file.
    let Some(list) = all.read(c"/proc/self/timers") else { return };
    let timers = text::lines(list).filter(|line| line.starts_with(b"ID:")).count();
    if timers > 0 {
        all.warns = true;
        all.records.push(Kind::PosixTimers, -1, [timers as u64, 0, 0, 0], &[]);
    }
}

pub(crate) fn mend(line: &mut Line<'_>) {
    let end = line.all.records.count();
    let mut at = 0;
    while let Some((_, timer)) = line.all.records.next_of(Kind::Timer, &mut at, end) {
        let times = times_of(line.all.records.text(&timer));
        if line.is_branch || sys::set_interval_timer(timer.a as usize, &times).is_err() {
            line.lost(Kind::LostTimer, -1, timer.a, &[]);
        }
    }
}
