//! Descriptors that are no files: epoll sets, eventfds and timerfds are shared by both processes, so each line has its own; what else
//! there is is named, or refused.

use crate::helper::inventory::{Inventory, Obstacle};
use crate::helper::mend::Line;
use crate::helper::records::{Kind, Record};
use crate::helper::sys::{self, Stat};
use crate::helper::text::{self, Path};

/// Major numbers of devices.
const NVIDIA: u64 = 195;
/// Both ends of pseudoterminals: the device of one, and those of the other.
const PTMX: u64 = 5 << 8 | 2;
const PTS: core::ops::RangeInclusive<u64> = 136..=143;

pub(crate) fn device(all: &mut Inventory, fd: i32, stat: &Stat) -> Result<(), Obstacle> {
    // dev_t: the major number in bits 8 to 19.
    let major = stat.rdev >> 8 & 0xfff;
    let is_terminal = stat.rdev == PTMX || PTS.contains(&major);
    if is_terminal && fd > 2 {
        all.records.push(Kind::Other, fd, [0; 4], b"a pseudoterminal");
    }
    if major == NVIDIA {
        return Err(Obstacle::Gpu(fd));
    }
    let mut target = [0; 32];
    if sys::readlink(Path::new("/proc/self/fd/", fd, "").as_c(), &mut target).is_ok()
        && target.starts_with(b"/dev/kfd\0")
    {
        return Err(Obstacle::Gpu(fd));
    }
    Ok(())
}

pub(crate) fn look(all: &mut Inventory, fd: i32) -> Result<(), Obstacle> {
    let mut kind = [0; 64];
    let Ok(length) = sys::readlink(Path::new("/proc/self/fd/", fd, "").as_c(), &mut kind) else { return Ok(()) };
    let kind = &kind[..length];
    if text::contains(kind, "io_uring") {
        return Err(Obstacle::Ring(fd));
    }
    if text::contains(kind, "pidfd") {
        return Ok(());
    }
    let Some(about) = all.read(Path::new("/proc/self/fdinfo/", fd, "").as_c()) else { return Ok(()) };
    if text::contains(kind, "eventpoll") {
        all.records.push(Kind::Epoll, fd, [0; 4], &[]);
        for line in text::lines(about) {
            // tfd:        5 events:       19 data:                5  pos:0 ino:…
            let mut words = text::words(line);
            if words.next() != Some(b"tfd:") {
                continue;
            }
            let target = words.next().and_then(|word| text::number(word, 10));
            let events = words.nth(1).and_then(|word| text::number(word, 16));
            let data = words.nth(1).and_then(|word| text::number(word, 16));
            if let (Some(target), Some(events), Some(data)) = (target, events, data) {
                all.records.push(Kind::Watched, fd, [target, events, data, 0], &[]);
            }
        }
    } else if text::contains(kind, "eventfd") {
        let value =
            |name: &str, radix| text::field(about, name).and_then(|rest| text::number(rest, radix)).unwrap_or(0);
        let flags = sys::flags(fd).unwrap_or(0) as u64;
        let (count, semaphore) = (value("eventfd-count:", 16), value("eventfd-semaphore:", 10));
        all.records.push(Kind::Eventfd, fd, [count, semaphore, flags, 0], &[]);
    } else if text::contains(kind, "timerfd") {
        timerfd(all, fd, about);
    } else {
        all.records.push(Kind::Other, fd, [0; 4], kind);
    }
    Ok(())
}

fn timerfd(all: &mut Inventory, fd: i32, about: &[u8]) {
    let clock = text::field(about, "clockid:").and_then(|rest| text::number(rest, 10)).unwrap_or(1);
    let ticks = text::field(about, "ticks:").and_then(|rest| text::number(rest, 10)).unwrap_or(0);
    // it_value: (1, 500000000)
    let pair = |name: &str| -> [i64; 2] {
        let rest = text::field(about, name).unwrap_or(b"");
        let mut numbers = rest.split(|byte| *byte == b'(' || *byte == b',' || *byte == b')').skip(1);
        let mut next = || numbers.next().and_then(|one| text::number(one, 10)).unwrap_or(0) as i64;
        [next(), next()]
    };
    let (interval, value) = (pair("it_interval:"), pair("it_value:"));
    let times = [interval[0], interval[1], value[0], value[1]];
    let flags = sys::flags(fd).unwrap_or(0) as u64;
    all.records.push(Kind::Timerfd, fd, [clock, ticks, flags, 0], &bytes_of(&times));
}

pub(crate) fn bytes_of(times: &[i64; 4]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (place, value) in bytes.chunks_exact_mut(8).zip(times) {
        place.copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

pub(crate) fn times_of(bytes: &[u8]) -> [i64; 4] {
    let mut times = [0; 4];
    for (value, chunk) in times.iter_mut().zip(bytes.chunks_exact(8)) {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        *value = i64::from_le_bytes(word);
    }
    times
}

/// Before anything is replaced: which descriptors are of one object. The first of each has its own number, the others have that.
pub(crate) fn group(all: &mut Inventory, kind: Kind) {
    let end = all.records.count();
    let mut at = 0;
    while let Some((index, one)) = all.records.next_of(kind, &mut at, end) {
        let leader = all.records.before(index, kind).find(|other| sys::are_one(other.fd, one.fd) == Some(true));
        let d = leader.map_or(one.fd as u64 + 1, |leader| leader.d);
        all.records.set(index, Record { d, ..one });
    }
}

/// Eventfds and timerfds, before what watches them.
pub(crate) fn mend(line: &mut Line<'_>) {
    let end = line.all.records.count();
    for kind in [Kind::Eventfd, Kind::Timerfd, Kind::Epoll] {
        let mut at = 0;
        while let Some((index, one)) = line.all.records.next_of(kind, &mut at, end) {
            if let Some(first) = line.all.records.before(index, kind).find(|other| other.d == one.d) {
                _ = sys::replace(first.fd, one.fd);
                continue;
            }
            let made = match kind {
                Kind::Eventfd => new_eventfd(&one),
                Kind::Timerfd => new_timerfd(line, &one),
                _ => sys::epoll_create(),
            };
            match made {
                Ok(new) => {
                    _ = sys::replace(new, one.fd);
                    sys::close(new);
                }
                Err(error) => line.lost(Kind::LostDescriptor, one.fd, error as u64, &[]),
            }
        }
    }
    let mut at = 0;
    while let Some((_, other)) = line.all.records.next_of(Kind::Other, &mut at, end) {
        line.lost_of(Kind::LostOther, &other, [0, 0]);
    }
}

fn new_eventfd(one: &Record) -> sys::Result<i32> {
    let new = sys::eventfd(0, one.b as usize | one.c as usize & sys::O_NONBLOCK)?;
    if one.a > 0 {
        sys::write(new, &one.a.to_le_bytes())?;
    }
    Ok(new)
}

fn new_timerfd(line: &Line<'_>, one: &Record) -> sys::Result<i32> {
    const TFD_IOC_SET_TICKS: usize = 0x4008_5400;
    let new = sys::timerfd(one.a as usize, one.c as usize & sys::O_NONBLOCK)?;
    let mut times = times_of(line.all.records.text(one));
    if times[0..2] != [0, 0] && times[2..4] == [0, 0] {
        times[3] = 1; // it was about to go off
    }
    sys::set_timerfd(new, &times)?;
    // Where the kernel does not know it, what has gone off is told by the next time only.
    if one.b > 0 && sys::ioctl(new, TFD_IOC_SET_TICKS, &raw const one.b as usize).is_err() {
        sys::set_timerfd(new, &[times[0], times[1], 0, 1])?;
    }
    Ok(new)
}

/// When all that they watch is in its place.
pub(crate) fn watch_again(line: &mut Line<'_>) {
    let end = line.all.records.count();
    let mut at = 0;
    while let Some((_, one)) = line.all.records.next_of(Kind::Watched, &mut at, end) {
        // Of an object that has two descriptors, the second's are the first's.
        let set = line.all.records.of(Kind::Epoll).find(|set| set.fd == one.fd);
        if set.is_some_and(|set| set.d != one.fd as u64 + 1) {
            continue;
        }
        if sys::epoll_add(one.fd, one.a as i32, one.b as u32, one.c).is_err() {
            line.lost(Kind::LostWatch, one.fd, one.a, &[]);
        }
    }
}
