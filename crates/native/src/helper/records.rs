//! What a freeze wrote down of the process, and what could not be put right after: records of one size, with texts beside them.
//! The worker reads them, to say it in words.

use crate::helper::arena::Arena;

/// Kinds above this are what could not be put right.
const LOST: u32 = 100;

/// What a record tells. The worker knows these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    /// An open regular file. a: device, b: inode, c: position, d: flags.
    File = 1,
    /// A lock on it. a: which kind (see [`crate::helper::files`]), b: start, c: length, d: whether it is exclusive.
    Lock = 2,
    /// It is a database of sqlite, its journal or its log. Text: its path. a: length of the database's own path in it.
    Database = 3,
    /// An end of a pipe to another process. a: device, b: inode.
    ForeignPipe = 4,
    /// An end of a pipe both of whose ends are here. a: flags, b: inode, c: 1 where it is read from.
    OwnPipe = 5,
    /// The copies that take the place of such a pipe. a: for reading, b: inode, c: for writing.
    PipeCopy = 6,
    /// Such a pipe is open in another process too.
    SharedPipe = 7,
    /// A socket that listens. Text: what [`crate::helper::sockets`] needs to make it anew.
    Listener = 8,
    /// Any other socket. a: inode, b: that of its peer where it is here too.
    Socket = 9,
    /// The copies that take the place of a pair of sockets with both ends here. a, b: their inodes, c, d: the copies.
    PairCopy = 19,
    /// An epoll set. d: its number among those that are one (see [`crate::helper::special::group`]), as below.
    Epoll = 10,
    /// What it watches. a: descriptor, b: events, c: data.
    Watched = 11,
    /// a: its count, b: 1 where it is a semaphore.
    Eventfd = 12,
    /// a: clock. Text: the times.
    Timerfd = 13,
    /// Something else that is shared. Text: its kind.
    Other = 14,
    /// An interval timer. a: which. Text: the times.
    Timer = 15,
    /// Shared memory with a copy. a: start, b: end, c: where the copy is. Text: its name.
    Shared = 16,
    /// Shared memory without one. Text: its name.
    Uncopied = 17,
    /// a: how many timers there are that `timer_create` made.
    PosixTimers = 18,
    /// A child of the process: its pid in place of a descriptor.
    Child = 20,
    /// A socket with an address that neither listens nor is connected. a: inode. Text: as of one that listens.
    Bound = 21,
    /// Memory as an open file. a: inode, b: size, c: where the copy is, or 0, d: see
    /// [`crate::helper::memory_files`]. Text: its name.
    MemoryFile = 22,

    // What could not be put right.
    /// The position in a file.
    LostPosition = 101,
    /// A lock.
    LostLock = 102,
    /// The connection to a database that was in use. Text: its path.
    LostDatabase = 103,
    /// A descriptor is no longer watched. a: the descriptor.
    LostWatch = 104,
    /// Something shared is not undone. Text: its kind.
    LostOther = 105,
    /// A timer is the parent's. a: which.
    LostTimer = 106,
    /// A pipe to another process is closed. a: device, b: inode.
    LostPipe = 107,
    /// Only this process has a pipe now.
    LostSharing = 108,
    /// A socket that listens. a: error number, or 0 where the parent has it.
    LostListener = 109,
    /// A connected socket: what was sent and received is not undone.
    LostSocket = 115,
    /// The address of a socket. a: error number, or 0 where the parent has it.
    LostAddress = 116,
    /// What waited in a socket that was made anew.
    LostDatagrams = 117,
    /// Shared memory is not undone. Text: its name.
    LostShared = 110,
    /// What was in a pipe, or in a pair of sockets.
    LostContent = 111,
    /// In a branch: shared with the parent. Text: its name.
    LostToParent = 112,
    /// In a branch: the position in a file is shared with the parent.
    LostOwnPosition = 113,
    /// A descriptor could not be made anew. a: error number.
    LostDescriptor = 114,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Record {
    pub(crate) kind: u32,
    pub(crate) fd: i32,
    pub(crate) a: u64,
    pub(crate) b: u64,
    pub(crate) c: u64,
    pub(crate) d: u64,
    pub(crate) text: u32,
    pub(crate) length: u32,
}

/// All of them.
pub(crate) struct Records {
    first: *mut Record,
    count: usize,
    capacity: usize,
    text: *mut u8,
    text_length: usize,
    text_capacity: usize,
    /// Whether something found no room: then the freeze is refused.
    pub(crate) full: bool,
}

impl Records {
    /// Bytes of an arena that these need.
    pub(crate) fn size(capacity: usize, text_capacity: usize) -> usize {
        capacity * size_of::<Record>() + text_capacity + 64
    }

    pub(crate) fn new(arena: &mut Arena, capacity: usize, text_capacity: usize) -> Records {
        Records {
            first: arena.take(capacity),
            count: 0,
            capacity,
            text: arena.take(text_capacity),
            text_length: 0,
            text_capacity,
            full: false,
        }
    }

    /// Where they are, how many, and where their texts are.
    pub(crate) fn extent(&self) -> (usize, usize, usize) {
        (self.first as usize, self.count, self.text as usize)
    }

    /// Whether nothing is named that is lost, and everything found room.
    pub(crate) fn is_all_there(&self) -> bool {
        let loses = |kind: u32| kind > LOST || kind == Kind::PosixTimers as u32;
        !self.full && !(0..self.count).any(|at| loses(self.get(at).kind))
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn push(&mut self, kind: Kind, fd: i32, [a, b, c, d]: [u64; 4], text: &[u8]) {
        if self.text_capacity - self.text_length < text.len() {
            self.full = true;
            return;
        }
        let (at, length) = (self.text_length, text.len());
        // SAFETY: within the capacity, in an arena that is this value's alone.
        unsafe { core::ptr::copy_nonoverlapping(text.as_ptr(), self.text.add(at), length) };
        self.text_length += length;
        self.add(Record { kind: kind as u32, fd, a, b, c, d, text: at as u32, length: length as u32 });
    }

    /// The same text as another record's.
    pub(crate) fn push_of(&mut self, kind: Kind, fd: i32, [a, b, c, d]: [u64; 4], of: &Record) {
        self.add(Record { kind: kind as u32, fd, a, b, c, d, ..*of });
    }

    fn add(&mut self, record: Record) {
        if self.count == self.capacity {
            self.full = true;
            return;
        }
        // SAFETY: within the capacity.
        unsafe { self.first.add(self.count).write(record) };
        self.count += 1;
    }

    pub(crate) fn get(&self, at: usize) -> Record {
        debug_assert!(at < self.count);
        // SAFETY: it was written by `push`.
        unsafe { self.first.add(at).read() }
    }

    pub(crate) fn set(&mut self, at: usize, record: Record) {
        debug_assert!(at < self.count);
        // SAFETY: it is there.
        unsafe { self.first.add(at).write(record) }
    }

    pub(crate) fn text(&self, record: &Record) -> &[u8] {
        // SAFETY: `push` has written it, and nothing is ever taken away.
        unsafe { core::slice::from_raw_parts(self.text.add(record.text as usize), record.length as usize) }
    }

    /// Those of a kind.
    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = Record> + '_ {
        self.before(self.count, kind)
    }

    /// Those of a kind before a record.
    pub(crate) fn before(&self, index: usize, kind: Kind) -> impl Iterator<Item = Record> + '_ {
        (0..index).map(|at| self.get(at)).filter(move |record| record.kind == kind as u32)
    }

    /// Those of a kind, without holding on to this: their number is that of now.
    pub(crate) fn next_of(&self, kind: Kind, from: &mut usize, end: usize) -> Option<(usize, Record)> {
        while *from < end {
            let at = *from;
            *from += 1;
            let record = self.get(at);
            if record.kind == kind as u32 {
                return Some((at, record));
            }
        }
        None
    }
}
