//! The helper itself. `entry` is what workers call, `freeze` one freeze from beginning to end; `park` has the threads, `inventory` and
//! what it looks at the descriptors, mappings and timers, `mend` puts them right; `writes` asks what was written of large
//! memory; `frozen` is what a frozen process does. `sys` makes all system calls, `arch` has what is particular to a processor.

mod arch;
mod arena;
mod entry;
mod files;
mod freeze;
mod frozen;
mod interpreter;
mod inventory;
mod memory_files;
mod mend;
mod park;
mod pipes;
mod process;
mod records;
mod shared;
mod sockets;
mod special;
mod sys;
mod text;
mod timers;
mod writes;

pub use entry::*;
pub use park::Platform;

/// Ends the process.
#[cfg(pyrepl3_image)]
pub(crate) fn exit(code: i32) -> ! {
    sys::exit(code)
}
