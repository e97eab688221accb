//! Memory that is held as an open file (`memfd_create`): no file of a file system, so it is undone as memory is. What is mapped of it
//! is [`crate::helper::shared`]'s, too.

use crate::helper::inventory::Inventory;
use crate::helper::mend::Line;
use crate::helper::records::{Kind, Record};
use crate::helper::shared::LIMIT;
use crate::helper::sys::{self, Stat};
use crate::helper::text::Path;

const F_GET_SEALS: usize = 1034;
const F_SEAL_SEAL: usize = 1;
const F_SEAL_WRITE: usize = 8;
const PREFIX: &[u8] = b"/memfd:";
const SUFFIX: &[u8] = b" (deleted)";

pub(crate) fn look(all: &mut Inventory, fd: i32, stat: &Stat) {
    let mut name = [0; 280];
    let length = sys::readlink(Path::new("/proc/self/fd/", fd, "").as_c(), &mut name).unwrap_or(0);
    let name = &name[..length];
    if !name.starts_with(PREFIX) || sys::fcntl(fd, F_GET_SEALS, 0).is_ok_and(|seals| seals & F_SEAL_WRITE != 0) {
        return;
    }
    let size = stat.size;
    let is_known = all.records.of(Kind::MemoryFile).any(|one| one.a == stat.ino);
    let used: u64 = all.records.of(Kind::MemoryFile).map(|one| if one.c == 0 { 0 } else { one.b }).sum();
    let copy = if is_known || size == 0 {
        0
    } else {
        let copy = if size <= LIMIT as u64 - used { content_of(fd, size as usize) } else { None };
        let Some(copy) = copy else {
            all.warns = true;
            return all.records.push(Kind::Uncopied, -1, [0; 4], name);
        };
        copy as u64
    };
    all.records.push(Kind::MemoryFile, fd, [stat.ino, size, copy, if is_known { TWIN } else { 0 }], name);
}

fn open(fd: i32) -> sys::Result<i32> {
    // Whatever it was opened for.
    sys::open(Path::new("/proc/self/fd/", fd, "").as_c(), sys::O_RDWR)
}

/// Copies between the file and memory, by a call that moves some of the rest.
fn all_of(memory: usize, size: usize, mut some: impl FnMut(&mut [u8], usize) -> sys::Result) -> bool {
    // SAFETY: the caller has mapped so much, for this alone.
    let bytes = unsafe { core::slice::from_raw_parts_mut(memory as *mut u8, size) };
    let mut at = 0;
    while at < size {
        match some(&mut bytes[at..], at) {
            Ok(count) if count > 0 => at += count,
            _ => return false,
        }
    }
    true
}

fn content_of(fd: i32, size: usize) -> Option<usize> {
    let file = open(fd).ok()?;
    let copy = sys::mmap(0, size, sys::READ_WRITE, sys::PRIVATE_ANONYMOUS).ok();
    let is_whole = copy.is_some_and(|copy| all_of(copy, size, |rest, at| sys::pread(file, rest, at)));
    sys::close(file);
    if let (Some(copy), false) = (copy, is_whole) {
        sys::munmap(copy, size);
    }
    copy.filter(|_| is_whole)
}

fn put_back(file: i32, one: &Record) -> bool {
    sys::truncate(file, one.b).is_ok()
        && (one.c == 0 || all_of(one.c as usize, one.b as usize, |rest, at| sys::pwrite(file, rest, at)))
}

/// In the live process, which keeps its own, and where they were put back.
pub(crate) fn drop_copies(all: &Inventory) {
    for one in all.records.of(Kind::MemoryFile).filter(|one| one.c != 0) {
        sys::munmap(one.c as usize, one.b as usize);
    }
}

/// In a process that goes on with the files that it had. A branch has its own already.
pub(crate) fn mend(line: &mut Line<'_>) {
    if line.is_branch {
        return;
    }
    let end = line.all.records.count();
    let mut at = 0;
    while let Some((_, one)) = line.all.records.next_of(Kind::MemoryFile, &mut at, end) {
        if one.d & TWIN != 0 {
            continue;
        }
        let is_back = open(one.fd).is_ok_and(|file| {
            let is_back = put_back(file, &one);
            sys::close(file);
            is_back
        });
        if !is_back {
            line.lost_of(Kind::LostShared, &one, [0, 0]);
        }
    }
}

/// In the last number of a record: another one is of the same file; above it, 1 more than the descriptor of a branch's own file.
const TWIN: u64 = 1;
const COPY: u32 = 32;

/// A branch gets files of its own, unless one is mapped: before all descriptors are opened again.
pub(crate) fn make_copies(line: &mut Line<'_>) {
    let end = line.all.records.count();
    let mut at = 0;
    while let Some((index, one)) = line.all.records.next_of(Kind::MemoryFile, &mut at, end) {
        if one.d & TWIN != 0 {
            continue;
        }
        match make_copy(line.all, &one) {
            Ok(file) => line.all.records.set(index, Record { d: (file as u64 + 1) << COPY, ..one }),
            Err(_) => line.lost_of(Kind::LostToParent, &one, [0, 0]),
        }
    }
}

/// The branch's own file in the place of which a descriptor is.
pub(crate) fn copy_of(all: &Inventory, fd: i32) -> Option<i32> {
    let inode = all.records.of(Kind::MemoryFile).find(|one| one.fd == fd)?.a;
    let first = all.records.of(Kind::MemoryFile).find(|one| one.a == inode && one.d >> COPY != 0)?;
    Some((first.d >> COPY) as i32 - 1)
}

pub(crate) fn close_copies(all: &mut Inventory) {
    let end = all.records.count();
    let mut at = 0;
    while let Some((index, one)) = all.records.next_of(Kind::MemoryFile, &mut at, end) {
        if one.d >> COPY != 0 {
            sys::close((one.d >> COPY) as i32 - 1);
            all.records.set(index, Record { d: 0, ..one });
        }
    }
}

fn make_copy(all: &Inventory, one: &Record) -> sys::Result<i32> {
    let text = all.records.text(one);
    if all.records.of(Kind::Shared).chain(all.records.of(Kind::Uncopied)).any(|other| all.records.text(&other) == text)
    {
        return Err(sys::ENOMEM);
    }
    let mut name = [0; 256];
    let shown = text.strip_prefix(PREFIX).unwrap_or(text);
    let shown = shown.strip_suffix(SUFFIX).unwrap_or(shown);
    let length = shown.len().min(249);
    name[..length].copy_from_slice(&shown[..length]);
    let seals = sys::fcntl(one.fd, F_GET_SEALS, 0).unwrap_or(F_SEAL_SEAL);
    let file = sys::memory_file(&name, seals & F_SEAL_SEAL == 0)?;
    if put_back(file, one) {
        return Ok(file);
    }
    sys::close(file);
    Err(sys::ENOMEM)
}
