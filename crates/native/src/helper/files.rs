//! Open files: both processes share their positions and flags, locks stay with one of them, and a connection to a database does not
//! know that it has become two.

use crate::helper::inventory::{Inventory, Known};
use crate::helper::memory_files;
use crate::helper::mend::Line;
use crate::helper::records::{Kind, Record};
use crate::helper::sys::{self, Stat};
use crate::helper::text::{self, Path};

/// Kinds of locks, in the first value of a record.
const FLOCK: u64 = 1;
const POSIX: u64 = 2;
const OFD: u64 = 3;

const F_SETLK: usize = 6;
const F_OFD_SETLK: usize = 37;
const LOCK_SH: usize = 1;
const LOCK_EX: usize = 2;
const LOCK_NB: usize = 4;
const LOCK_UN: usize = 8;
/// What only makes sense when a file is opened by its name for the first time: O_CREAT, O_EXCL, O_TRUNC, O_NOFOLLOW, O_TMPFILE.
const ONCE: usize = 0o100 | 0o200 | 0o1000 | 0o400_000 | 0o20_200_000;

pub(crate) fn look(all: &mut Inventory, fd: i32, stat: &Stat, known: &Known<'_>) {
    // What has no position is no file: a pidfd, say.
    let (Ok(offset), Ok(flags)) = (sys::lseek(fd, 0, 1), sys::flags(fd)) else { return };
    // It has always this size.
    if stat.size == 80 && sys::is_message_queue(fd) {
        return all.records.push(Kind::Other, fd, [0; 4], b"a message queue");
    }
    if stat.nlink == 0 {
        memory_files::look(all, fd, stat);
    }
    if flags & sys::O_ACCMODE != 0 && flags & sys::O_APPEND != 0 {
        all.appends = true;
    }
    let mut path = 0;
    let scratch = all.scratch();
    let link = Path::new("/proc/self/fd/", fd, "");
    if known.has_sqlite {
        path = sys::readlink(link.as_c(), &mut scratch[..4096]).unwrap_or(0);
    }
    all.records.push(Kind::File, fd, [stat.dev, stat.ino, offset as u64, flags as u64], &scratch[..path]);
    if path > 0 {
        database(all, fd, path);
    }
    locks(all, fd, stat);
}

fn database(all: &mut Inventory, fd: i32, length: usize) {
    let scratch = all.scratch();
    let path = &scratch[..length];
    let own = ["-journal", "-wal", "-shm"].iter().find(|end| path.ends_with(end.as_bytes()));
    if let Some(end) = own {
        let base = (length - end.len()) as u64;
        all.records.push(Kind::Database, fd, [base, 0, 0, 0], path);
        return;
    }
    let mut head = [0; 16];
    if sys::pread(fd, &mut head, 0) == Ok(16) && head == *b"SQLite format 3\0" {
        all.records.push(Kind::Database, fd, [length as u64, 1, 0, 0], path);
    }
}

/// The kernel tells locks by open file. One of the kind `flock` belongs to that, whichever process of this line of the session
/// took it, be it gone by now; other lists name processes, and not those of other pid namespaces.
fn locks(all: &mut Inventory, fd: i32, stat: &Stat) {
    let identity = [stat.dev, stat.ino];
    each_lock(all.scratch(), fd, |kind, exclusive, start, length| {
        let mine = [kind, start, length, exclusive];
        let is_known = all.records.of(Kind::Lock).any(|lock| {
            let is_twin = |file: Record| [file.a, file.b] == identity && sys::are_one(lock.fd, fd).unwrap_or(true);
            [lock.a, lock.b, lock.c, lock.d] == mine && file_of(all, lock.fd).is_some_and(is_twin)
        });
        if !is_known {
            all.records.push(Kind::Lock, fd, mine, &[]);
        }
    });
}

fn file_of(all: &Inventory, fd: i32) -> Option<Record> {
    all.records.of(Kind::File).find(|file| file.fd == fd)
}

fn identity_of(all: &Inventory, fd: i32) -> Option<[u64; 2]> {
    file_of(all, fd).map(|file| [file.a, file.b])
}

/// Whether a file has a lock that belongs to the open file, so that every process that has it open holds on to it.
fn has_shared_lock(all: &Inventory, file: &Record) -> bool {
    let mut locks = all.records.of(Kind::Lock).filter(|lock| lock.a != POSIX);
    locks.any(|lock| identity_of(all, lock.fd) == Some([file.a, file.b]))
}

/// Calls `each` with kind, whether it is exclusive, start and length (0: to the end) of the locks of an open file.
fn each_lock(buffer: &mut [u8], fd: i32, mut each: impl FnMut(u64, u64, u64, u64)) {
    let Ok(about) = sys::open(Path::new("/proc/self/fdinfo/", fd, "").as_c(), 0) else { return };
    let mut held = 0;
    loop {
        let count = sys::read(about, &mut buffer[held..]).unwrap_or(0);
        let end = held + count;
        let Some(last) = buffer[..end].iter().rposition(|byte| *byte == b'\n') else { break };
        for line in text::lines(&buffer[..last]) {
            // lock: 1: FLOCK ADVISORY WRITE 359 00:13:11691 0 EOF
            let mut words = text::words(line);
            if words.next() != Some(b"lock:") {
                continue;
            }
            let mut word = [&b""[..]; 8];
            for place in &mut word {
                *place = words.next().unwrap_or(b"");
            }
            let kind = match word[1] {
                b"FLOCK" => FLOCK,
                b"POSIX" => POSIX,
                b"OFDLCK" => OFD,
                _ => continue,
            };
            let start = text::number(word[6], 10).unwrap_or(0);
            let length = text::number(word[7], 10).map_or(0, |end| end - start + 1);
            each(kind, u64::from(word[3] == b"WRITE"), start, length);
        }
        buffer.copy_within(last..end, 0);
        held = end - last;
        if count == 0 || held == buffer.len() {
            break;
        }
    }
    sys::close(about);
}

/// In a branch: positions of its own.
pub(crate) fn open_all_again(line: &mut Line<'_>) {
    memory_files::make_copies(line);
    open_again(line.all, |_, _| true, |all, fd| all.records.push(Kind::LostOwnPosition, fd, [0; 4], &[]));
    memory_files::close_copies(line.all);
}

/// In a frozen process: where the live one closes a file, its lock is to be free. Once more when it is woken: its replacement is not to
/// hold on to the lock that it takes.
pub(crate) fn let_go_of_locks(all: &mut Inventory) {
    if all.has(Kind::Lock) {
        open_again(all, has_shared_lock, |_, _| {});
    }
}

/// Opens files anew, in the same places. Where that cannot be, they stay shared.
fn open_again(
    all: &mut Inventory,
    is_meant: impl Fn(&Inventory, &Record) -> bool,
    mut stays_shared: impl FnMut(&mut Inventory, i32),
) {
    let end = all.records.count();
    let mut at = 0;
    while let Some((index, file)) = all.records.next_of(Kind::File, &mut at, end) {
        if !is_meant(all, &file) {
            continue;
        }
        // Which are duplicates is told by what is shared: so nothing is replaced before all are known.
        let twin = all.records.before(index, Kind::File).find(|one| is_twin(one, &file));
        let d = match twin {
            Some(twin) => file.d | new_of(&twin) << NEW,
            None => {
                let flags = flags_of(&file) & !ONCE;
                let source = memory_files::copy_of(all, file.fd).unwrap_or(file.fd);
                let new = sys::open(Path::new("/proc/self/fd/", source, "").as_c(), flags);
                new.map_or(file.d, |new| file.d | (new as u64) << NEW | OPENED)
            }
        };
        all.records.set(index, Record { d, ..file });
    }
    let mut at = 0;
    while let Some((_, file)) = all.records.next_of(Kind::File, &mut at, end) {
        if !is_meant(all, &file) {
            continue;
        }
        let new = new_of(&file);
        if new == 0 || sys::replace(new as i32, file.fd).is_err() {
            stays_shared(all, file.fd);
        }
    }
    let mut at = 0;
    while let Some((index, file)) = all.records.next_of(Kind::File, &mut at, end) {
        if file.d & OPENED != 0 {
            sys::close(new_of(&file) as i32);
        }
        all.records.set(index, Record { d: flags_of(&file) as u64, ..file });
    }
}

/// While files are opened again, the record of one has its new descriptor above its flags, and whether it was opened for this one.
const NEW: u32 = 32;
const OPENED: u64 = 1 << 63;

fn flags_of(file: &Record) -> usize {
    file.d as u32 as usize
}

fn new_of(file: &Record) -> u64 {
    (file.d & !OPENED) >> NEW
}

fn is_twin(one: &Record, file: &Record) -> bool {
    (one.a, one.b) == (file.a, file.b)
        && sys::are_one(one.fd, file.fd).unwrap_or(one.c == file.c && flags_of(one) == flags_of(file))
}

pub(crate) fn mend(line: &mut Line<'_>) {
    let end = line.all.records.count();
    let mut at = 0;
    while let Some((_, file)) = line.all.records.next_of(Kind::File, &mut at, end) {
        let flags = flags_of(&file);
        let is_back = sys::lseek(file.fd, file.c, 0).is_ok()
            && (sys::flags(file.fd) == Ok(flags) || sys::set_flags(file.fd, flags).is_ok());
        if !is_back {
            line.lost(Kind::LostPosition, file.fd, 0, &[]);
        }
    }
    databases(line, end);
    if !line.is_branch {
        give_back_locks(line, end);
    }
    let mut at = 0;
    while let Some((_, lock)) = line.all.records.next_of(Kind::Lock, &mut at, end) {
        let is_database = line.all.records.of(Kind::Database).any(|one| one.fd == lock.fd);
        if lock.a == POSIX && is_database {
            continue;
        }
        if line.is_branch || !lock_again(line, &lock, end) {
            line.lost(Kind::LostLock, lock.fd, 0, &[]);
        }
    }
}

fn lock_again(line: &Line<'_>, lock: &Record, end: usize) -> bool {
    if lock.a != FLOCK {
        // struct flock: type (F_RDLCK, F_WRLCK), whence, start, length, pid.
        let what = [lock.d, lock.b, lock.c, 0];
        let command = if lock.a == POSIX { F_SETLK } else { F_OFD_SETLK };
        return sys::fcntl(lock.fd, command, what.as_ptr() as usize).is_ok();
    }
    let wanted = if lock.d == 1 { LOCK_EX } else { LOCK_SH } | LOCK_NB;
    if sys::flock(lock.fd, wanted).is_ok() {
        return true;
    }
    let Some(identity) = identity_of(line.all, lock.fd) else { return false };
    // Where files stayed shared, another open file may still have it.
    let mut at = 0;
    while let Some((_, file)) = line.all.records.next_of(Kind::File, &mut at, end) {
        if [file.a, file.b] == identity && sys::flock(file.fd, wanted).is_ok() {
            return true;
        }
    }
    false
}

/// Locks that the undone line took on files that it shared with this process.
fn give_back_locks(line: &mut Line<'_>, end: usize) {
    let is_held = |all: &Inventory, identity: [u64; 2]| {
        all.records.of(Kind::Lock).any(|lock| identity_of(all, lock.fd) == Some(identity))
    };
    let mut at = 0;
    while let Some((_, file)) = line.all.records.next_of(Kind::File, &mut at, end) {
        if is_held(line.all, [file.a, file.b]) {
            continue;
        }
        let mut is_locked = false;
        each_lock(line.all.scratch(), file.fd, |kind, _, _, _| is_locked |= kind == FLOCK);
        if is_locked {
            // A descriptor that cannot be locked has no lock.
            _ = sys::flock(file.fd, LOCK_UN);
        }
    }
}

/// A connection that holds locks, or a log in shared memory, cannot go on in another process: it could destroy the file.
fn databases(line: &mut Line<'_>, end: usize) {
    let mut dead = -1;
    let mut at = 0;
    while let Some((index, one)) = line.all.records.next_of(Kind::Database, &mut at, end) {
        let is_first = !line.all.records.before(index, Kind::Database).any(|other| same_base(line.all, &other, &one));
        if is_unsafe(line.all, &one) {
            if dead < 0 {
                // Reads and writes on it fail. Giving back a lock does not, on a directory: or sqlite would believe it held when
                // it is opened again.
                dead = sys::open(c"/", sys::O_DIRECTORY).unwrap_or(-1);
            }
            if dead >= 0 {
                _ = sys::replace(dead, one.fd);
            }
            if is_first {
                line.lost_of(Kind::LostDatabase, &one, [1, one.a]);
            }
        } else if is_first && !line.is_branch {
            line.lost_of(Kind::LostDatabase, &one, [0, one.a]);
        }
    }
    if dead >= 0 {
        sys::close(dead);
    }
}

/// Whether two descriptors belong to one database.
fn same_base(all: &Inventory, one: &Record, other: &Record) -> bool {
    let (one, other) = (base(all, one), base(all, other));
    one.is_some() && one == other
}

fn base<'a>(all: &'a Inventory, record: &Record) -> Option<&'a [u8]> {
    all.records.text(record).get(..record.a as usize)
}

/// Whether the database that a descriptor belongs to is in use.
pub(crate) fn is_unsafe(all: &Inventory, one: &Record) -> bool {
    all.records.of(Kind::Database).any(|other| {
        let is_locked = || all.records.of(Kind::Lock).any(|lock| lock.a == POSIX && lock.fd == other.fd);
        same_base(all, one, &other) && (other.b == 0 || is_locked())
    })
}
