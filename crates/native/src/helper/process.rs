//! What the kernel keeps for a process as a whole, and does not hand on in a fork.

use crate::helper::sys;

const PR_SET_PDEATHSIG: usize = 1;
const PR_GET_PDEATHSIG: usize = 2;
const PR_SET_CHILD_SUBREAPER: usize = 36;
const PR_GET_CHILD_SUBREAPER: usize = 37;

/// What was set with `prctl`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Process {
    /// The signal that comes when its parent ends, or 0.
    death_signal: i32,
    /// Whether orphans become its children.
    is_subreaper: i32,
}

pub(crate) fn look() -> Process {
    let mut process = Process::default();
    _ = sys::prctl(PR_GET_PDEATHSIG, &raw mut process.death_signal as usize);
    _ = sys::prctl(PR_GET_CHILD_SUBREAPER, &raw mut process.is_subreaper as usize);
    process
}

/// Its parent is session init, as that of the one that was frozen.
pub(crate) fn mend(process: Process) {
    if process.death_signal != 0 {
        _ = sys::prctl(PR_SET_PDEATHSIG, process.death_signal as usize);
    }
    if process.is_subreaper != 0 {
        _ = sys::prctl(PR_SET_CHILD_SUBREAPER, 1);
    }
}
