//! What was written of large memory since it was last asked for: told by the kernel, which protects it again in the same step.
//!
//! It is asked while all threads are parked, so that nothing is written between the answer and the fork. The worker has registered the
//! memory with a userfaultfd (`worker/py/serializer/tracker.py`).

use crate::helper::sys;

/// A range of memory, and whether it was all asked for. False where it is not the one that was registered, or not all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Watched {
    start: u64,
    end: u64,
    is_told: u64,
}

/// What was written: `struct page_region`, Documentation/admin-guide/mm/pagemap.rst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Written {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg`.
#[repr(C)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    regions: u64,
    room: u64,
    max_pages: u64,
    inverted: u64,
    all_of: u64,
    any_of: u64,
    told: u64,
}

const PAGEMAP_SCAN: usize = (3 << 30) | (size_of::<Scan>() << 16) | ((b'f' as usize) << 8) | 16;
const PROTECT_MATCHING: u64 = 1;
/// Refuse what is not registered.
const CHECK_REGISTERED: u64 = 2;
const PAGE_IS_WRITTEN: u64 = 2;

/// Asks for each range. Returns how many entries of `room` are filled, in rising order within each range. Where there is too little room,
/// the rest of a range counts as written, and is not protected: it will be told again.
pub(crate) fn collect(ranges: &mut [Watched], room: &mut [Written]) -> usize {
    if ranges.is_empty() {
        return 0;
    }
    let Ok(pagemap) = sys::open(c"/proc/self/pagemap", 0) else { return 0 };
    let mut used = 0;
    let mut left = ranges.len();
    for range in ranges {
        left -= 1;
        // One for the rest of this range, and of each that follows.
        let Some(most) = room.len().checked_sub(used + left + 1) else { break };
        if let Some(found) = ask(pagemap, range, &mut room[used..], most) {
            range.is_told = 1;
            used += found;
        }
    }
    sys::close(pagemap);
    used
}

/// At most `most` entries, and one more for what is left. None where the range is not registered.
fn ask(pagemap: i32, range: &Watched, room: &mut [Written], most: usize) -> Option<usize> {
    let mut at = range.start;
    let mut found = 0;
    while at < range.end && found < most {
        let mut scan = Scan {
            size: size_of::<Scan>() as u64,
            flags: PROTECT_MATCHING | CHECK_REGISTERED,
            start: at,
            end: range.end,
            walk_end: 0,
            regions: room[found..].as_mut_ptr() as u64,
            room: (most - found) as u64,
            max_pages: 0,
            inverted: 0,
            all_of: PAGE_IS_WRITTEN,
            any_of: 0,
            told: PAGE_IS_WRITTEN,
        };
        let count = sys::ioctl(pagemap, PAGEMAP_SCAN, &raw mut scan as usize).ok()?;
        if scan.walk_end <= at {
            break;
        }
        (found, at) = (found + count, scan.walk_end);
    }
    if at < range.end {
        room[found] = Written { start: at, end: range.end, categories: PAGE_IS_WRITTEN };
        found += 1;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::arch;

    const PAGE: usize = 4096;
    const NOTHING: Written = Written { start: 0, end: 0, categories: 0 };

    /// Pages that are there, and protected by a userfaultfd; None where there is none to be had.
    fn watched(pages: usize) -> Option<(usize, i32)> {
        const USERFAULTFD: usize = 323;
        const USER_MODE_ONLY: usize = 1;
        let start = sys::mmap(0, pages * PAGE, sys::READ_WRITE, sys::PRIVATE_ANONYMOUS).unwrap();
        (0..pages).for_each(|page| touch(start, page));
        // SAFETY: numbers.
        let fd = unsafe { arch::syscall(USERFAULTFD, [sys::O_CLOEXEC | USER_MODE_ONLY, 0, 0, 0, 0, 0]) };
        if fd < 0 {
            return None;
        }
        let fd = fd as i32;
        let register = [start as u64, (pages * PAGE) as u64, 2, 0];
        for (what, argument) in [
            (0xC018_AA3F, [0xAA, 1 << 15 | 1 << 13, 0, 0]),
            (0xC020_AA00, register),
            (0xC018_AA06, [register[0], register[1], 1, 0]),
        ] {
            sys::ioctl(fd, what, &raw const argument as usize).ok()?;
        }
        Some((start, fd))
    }

    fn touch(start: usize, page: usize) {
        // SAFETY: the test's own memory.
        unsafe { ((start + page * PAGE) as *mut u8).write_volatile(1) };
    }

    fn told(ranges: &mut [Watched], room: &mut [Written], start: usize) -> Vec<(usize, usize)> {
        let count = collect(ranges, room);
        let page = |at: u64| (at as usize - start) / PAGE;
        room[..count].iter().map(|one| (page(one.start), page(one.end))).collect()
    }

    #[test]
    fn what_was_written_is_told_once_and_what_finds_no_room_again() {
        let Some((start, fd)) = watched(64) else { return };
        let range = |first: usize, last: usize| Watched {
            start: (start + first * PAGE) as u64,
            end: (start + last * PAGE) as u64,
            is_told: 0,
        };
        let whole = || [range(0, 64)];
        [3, 5, 6, 40].into_iter().for_each(|page| touch(start, page));
        let mut room = [NOTHING; 16];
        let mut ranges = whole();
        assert_eq!(told(&mut ranges, &mut room, start), [(3, 4), (5, 7), (40, 41)]);
        assert_eq!(ranges[0].is_told, 1);
        assert_eq!(told(&mut whole(), &mut room, start), []);
        [1, 3, 5, 7].into_iter().for_each(|page| touch(start, page));
        // The rest of the first range, and the second one, for which one place was kept.
        let mut two = [range(0, 8), range(8, 64)];
        assert_eq!(told(&mut two, &mut room[..3], start), [(1, 2), (3, 8), (8, 64)]);
        assert_eq!(two.map(|one| one.is_told), [1, 1]);
        assert_eq!(told(&mut whole(), &mut room, start), [(3, 4), (5, 6), (7, 8)]);
        sys::munmap(start, 64 * PAGE);
        sys::close(fd);
    }

    #[test]
    fn memory_that_is_not_watched_is_not_told_of() {
        let Some((start, fd)) = watched(8) else { return };
        let other = sys::mmap(0, 8 * PAGE, sys::READ_WRITE, sys::PRIVATE_ANONYMOUS).unwrap();
        touch(other, 1);
        touch(start, 2);
        let range = |start: usize| Watched { start: start as u64, end: (start + 8 * PAGE) as u64, is_told: 0 };
        let (mut ranges, mut room) = ([range(other), range(start)], [NOTHING; 4]);
        assert_eq!(told(&mut ranges, &mut room, start), [(2, 3)]);
        assert_eq!(ranges.map(|one| one.is_told), [0, 1]);
        for at in [start, other] {
            sys::munmap(at, 8 * PAGE);
        }
        sys::close(fd);
    }
}
