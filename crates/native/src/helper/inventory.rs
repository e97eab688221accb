//! What a fork does not keep of a process, taken down in one pass over its descriptors while nothing else runs.

use crate::helper::arena::Arena;
use crate::helper::park::each_entry;
use crate::helper::process::{self, Process};
use crate::helper::records::{Kind, Records};
use crate::helper::sys::{self, S_IFCHR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK, Stat};
use crate::helper::text::{self, Path};
use crate::helper::{files, pipes, shared, sockets, special, timers};

/// What the worker knows of its own descriptors.
pub(crate) struct Known<'a> {
    /// The worker's own, and others that no look is to be taken at.
    pub(crate) own: &'a [i32],
    /// The frozen process's channel, and what it is not to have.
    pub(crate) wake: i32,
    pub(crate) closed: &'a [i32],
    /// Device and inode of pipes that belong to whoever started all this.
    pub(crate) inherited: &'a [[u64; 2]],
    /// Inodes of pipes that other processes have open too.
    pub(crate) elsewhere: &'a [u64],
    /// Whether files may be databases of sqlite.
    pub(crate) has_sqlite: bool,
}

impl Known<'_> {
    fn is_own(&self, fd: i32) -> bool {
        fd == self.wake || self.own.contains(&fd) || self.closed.contains(&fd)
    }
}

/// Why this process cannot be frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// A ring of io_uring, which the kernel ties to this process.
    Ring(i32),
    /// An open device of a GPU.
    Gpu(i32),
    /// A system call failed.
    System(i32),
}

/// Bytes for small files of `/proc`.
pub(crate) const SCRATCH: usize = 32 << 10;

/// What was found.
pub(crate) struct Inventory {
    pub(crate) records: Records,
    /// Whether files are open that are only appended to.
    pub(crate) appends: bool,
    /// Whether something is said of it before anybody relies on it.
    pub(crate) warns: bool,
    pub(crate) process: Process,
    scratch: *mut u8,
}

impl Inventory {
    pub(crate) fn size(capacity: usize) -> usize {
        Records::size(capacity, capacity * 256) + SCRATCH + 64
    }

    pub(crate) fn new(arena: &mut Arena, capacity: usize) -> Inventory {
        let scratch = arena.take(SCRATCH);
        let records = Records::new(arena, capacity, capacity * 256);
        Inventory { records, appends: false, warns: false, process: Process::default(), scratch }
    }

    /// Room for a small file. One user at a time: who reads into it is done with what was there before.
    pub(crate) fn scratch<'a>(&self) -> &'a mut [u8] {
        // SAFETY: so many bytes of the arena, which nothing else points to.
        unsafe { core::slice::from_raw_parts_mut(self.scratch, SCRATCH) }
    }

    /// A small file, in the scratch memory.
    pub(crate) fn read<'a>(&self, path: &core::ffi::CStr) -> Option<&'a [u8]> {
        let file = sys::open(path, 0).ok()?;
        let scratch = self.scratch();
        let mut length = 0;
        while let Ok(count) = sys::read(file, &mut scratch[length..]) {
            length += count;
            if count == 0 {
                break;
            }
        }
        sys::close(file);
        Some(&scratch[..length])
    }

    /// Looks at everything.
    pub(crate) fn look(&mut self, known: &Known<'_>) -> Result<(), Obstacle> {
        timers::look(self);
        self.process = process::look();
        each_entry(c"/proc/self/fd", |fd, listing| {
            if fd == listing || known.is_own(fd) {
                return Ok(());
            }
            let Ok(stat) = sys::fstat(fd) else { return Ok(()) };
            self.descriptor(fd, &stat, known)
        })
        .map_err(Obstacle::System)??;
        pipes::pair_up(self, known);
        sockets::pair_up(self);
        shared::look(self);
        Ok(())
    }

    /// Whose parent this process is: at this very moment, where other threads could have started one before.
    pub(crate) fn look_at_children(&mut self) {
        _ = each_entry(c"/proc/self/task", |thread, _| {
            let Some(list) = self.read(Path::new("/proc/self/task/", thread, "/children").as_c()) else {
                return Ok(());
            };
            for pid in text::words(list).filter_map(|word| text::number(word, 10)) {
                self.records.push(Kind::Child, pid as i32, [0; 4], &[]);
            }
            Ok::<_, ()>(())
        });
    }

    fn descriptor(&mut self, fd: i32, stat: &Stat, known: &Known<'_>) -> Result<(), Obstacle> {
        match stat.mode & S_IFMT {
            S_IFREG => files::look(self, fd, stat, known),
            S_IFIFO if fd > 2 => pipes::look(self, fd, stat, known),
            S_IFSOCK if fd > 2 => sockets::look(self, fd, stat),
            S_IFCHR => special::device(self, fd, stat)?,
            0 => special::look(self, fd)?,
            _ => {}
        }
        Ok(())
    }

    /// Whether there is nothing that a fork does not keep.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.count() == 0 && !self.appends && !self.warns
    }

    /// Whether there are records of a kind.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.records.of(kind).next().is_some()
    }
}
