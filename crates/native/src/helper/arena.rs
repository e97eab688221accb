//! Memory for one freeze: mapped before it, unmapped by whoever needs it no more. The C library's allocator is not asked: another
//! thread may be inside of it.

use crate::helper::sys;

/// One mapping, given out from its beginning.
pub(crate) struct Arena {
    base: usize,
    length: usize,
    used: usize,
}

impl Arena {
    /// Room for so many bytes. Pages cost nothing before they are used.
    pub(crate) fn new(length: usize) -> sys::Result<Arena> {
        let length = length.next_multiple_of(4096);
        let base = sys::mmap(0, length, sys::READ_WRITE, sys::PRIVATE_ANONYMOUS | sys::NORESERVE)?;
        Ok(Arena { base, length, used: 0 })
    }

    /// Zeroed room for `count` values; the arena was made with enough.
    pub(crate) fn take<T>(&mut self, count: usize) -> *mut T {
        let start = self.used.next_multiple_of(16);
        self.used = start + count * size_of::<T>();
        if self.used > self.length {
            // It was measured for what is taken.
            sys::exit(134);
        }
        (self.base + start) as *mut T
    }

    /// Where it is, and how long: for [`sys::munmap`].
    pub(crate) fn extent(&self) -> (usize, usize) {
        (self.base, self.length)
    }
}
