//! Memory that is shared with other processes, or with a file: a fork does not copy it, so a rollback would not undo it. What has no
//! file behind it is copied before the fork, within a limit, and put back.

use crate::helper::inventory::Inventory;
use crate::helper::mend::Line;
use crate::helper::records::Kind;
use crate::helper::{sys, text};

/// Bytes copied at most for one snapshot, of mappings and, as much again, of open files of memory.
pub(crate) const LIMIT: usize = 16 << 20;

/// `struct procmap_query`, Linux 6.11: finds mappings by their flags without printing every one.
#[repr(C)]
struct Query {
    size: u64,
    flags: u64,
    address: u64,
    start: u64,
    end: u64,
    rest: [u64; 4],
    device: [u32; 2],
    name_size: u32,
    build_id_size: u32,
    name: u64,
    build_id: u64,
}

const PROCMAP_QUERY: usize = (3 << 30) | (size_of::<Query>() << 16) | ((b'f' as usize) << 8) | 17;
const WRITABLE_SHARED_OR_NEXT: u64 = 2 | 8 | 16;
const ENOENT: i32 = 2;

pub(crate) fn look(all: &mut Inventory) {
    let Ok(maps) = sys::open(c"/proc/self/maps", 0) else { return };
    if !query(all, maps) {
        scan(all, maps);
    }
    sys::close(maps);
}

/// False where the kernel does not know how.
fn query(all: &mut Inventory, maps: i32) -> bool {
    let mut left = LIMIT;
    let mut address = 0;
    loop {
        let scratch = all.scratch();
        let mut one = Query {
            size: size_of::<Query>() as u64,
            flags: WRITABLE_SHARED_OR_NEXT,
            address,
            start: 0,
            end: 0,
            rest: [0; 4],
            device: [0; 2],
            name_size: 4096,
            build_id_size: 0,
            name: scratch.as_mut_ptr() as u64,
            build_id: 0,
        };
        match sys::ioctl(maps, PROCMAP_QUERY, &raw mut one as usize) {
            Ok(_) => {}
            Err(error) => return error == ENOENT || error == sys::ESRCH,
        }
        let length = (one.name_size as usize).saturating_sub(1).min(4096);
        add(all, one.start as usize, one.end as usize, length, &mut left);
        address = one.end;
    }
}

fn scan(all: &mut Inventory, maps: i32) {
    let mut left = LIMIT;
    let mut held = 0;
    loop {
        let count = sys::read(maps, &mut all.scratch()[8192 + held..]).unwrap_or(0);
        let end = held + count;
        let mut start = 0;
        while let Some(length) = all.scratch()[8192 + start..8192 + end].iter().position(|byte| *byte == b'\n') {
            line(all, 8192 + start, length, &mut left);
            start += length + 1;
        }
        all.scratch().copy_within(8192 + start..8192 + end, 8192);
        held = end - start;
        if count == 0 {
            return;
        }
    }
}

/// 7f0000000000-7f0000001000 rw-s 00000000 00:05 12 /dev/shm/x
fn line(all: &mut Inventory, at: usize, length: usize, left: &mut usize) {
    let scratch = all.scratch();
    let (names, rest) = scratch.split_at_mut(8192);
    let line = &rest[at - 8192..at - 8192 + length];
    let mut words = text::words(line);
    let (range, rights) = (words.next().unwrap_or(b""), words.next().unwrap_or(b""));
    if rights.get(1) != Some(&b'w') || rights.get(3) != Some(&b's') {
        return;
    }
    let name = words.nth(3).unwrap_or(b"");
    // The name goes to the end of the line: it may have spaces.
    let name = if name.is_empty() { name } else { &line[name.as_ptr() as usize - line.as_ptr() as usize..] };
    let length = name.len().min(4096);
    names[..length].copy_from_slice(&name[..length]);
    let mut ends = range.split(|byte| *byte == b'-');
    let mut next = || ends.next().and_then(|end| text::number(end, 16)).unwrap_or(0) as usize;
    let (start, end) = (next(), next());
    add(all, start, end, length, left);
}

/// The name is at the beginning of the scratch memory.
fn add(all: &mut Inventory, start: usize, end: usize, length: usize, left: &mut usize) {
    let scratch = all.scratch();
    let name = &scratch[..length];
    let size = end - start;
    if has_no_file(name) && size <= *left {
        let copy = sys::mmap(0, size, sys::READ_WRITE, sys::PRIVATE_ANONYMOUS);
        if let Ok(copy) = copy
            && sys::copy_to(copy, start, size) == Ok(size)
        {
            *left -= size;
            all.records.push(Kind::Shared, -1, [start as u64, end as u64, copy as u64, 0], name);
            return;
        }
    }
    all.warns = true;
    all.records.push(Kind::Uncopied, -1, [0; 4], name);
}

fn has_no_file(name: &[u8]) -> bool {
    let begins = |start: &str| name.starts_with(start.as_bytes());
    name.is_empty() || ["/dev/shm/", "/memfd:", "/dev/zero", "/SYSV", "[anon_shmem"].iter().any(|start| begins(start))
}

fn is_nameless(name: &[u8]) -> bool {
    name.is_empty()
        || name.ends_with(b" (deleted)")
        || name.starts_with(b"/dev/zero")
        || name.starts_with(b"[anon_shmem")
}

/// In the live process, which keeps its own, and where they were put back.
pub(crate) fn drop_copies(all: &Inventory) {
    for one in all.records.of(Kind::Shared) {
        sys::munmap(one.c as usize, (one.b - one.a) as usize);
    }
}

/// A branch gets memory of its own, where nobody could find the old one by a name.
pub(crate) fn mend(line: &mut Line<'_>) {
    let end = line.all.records.count();
    let mut at = 0;
    while let Some((_, one)) = line.all.records.next_of(Kind::Shared, &mut at, end) {
        let (start, size) = (one.a as usize, (one.b - one.a) as usize);
        if line.is_branch {
            let is_own = is_nameless(line.all.records.text(&one))
                && sys::mmap(start, size, sys::READ_WRITE, sys::SHARED_ANONYMOUS_FIXED) == Ok(start);
            if !is_own {
                line.lost_of(Kind::LostToParent, &one, [0, 0]);
                continue;
            }
        }
        if sys::copy_to(start, one.c as usize, size) != Ok(size) {
            line.lost_of(Kind::LostShared, &one, [0, 0]);
        }
    }
    let mut at = 0;
    while let Some((_, one)) = line.all.records.next_of(Kind::Uncopied, &mut at, end) {
        line.lost_of(Kind::LostShared, &one, [0, 0]);
    }
}
