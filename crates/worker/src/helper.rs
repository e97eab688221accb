//! The native helper's image, as a descriptor that an interpreter loads it from.

use pyrepl3_native::IMAGE;
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use std::io;
use std::path::Path;

/// A descriptor of the native helper's image. In memory and sealed, so that nobody changes what was loaded; where this system lets no
/// memory file be executed, a file without a name in a folder. None where there is none for this processor.
///
/// # Errors
/// Neither could be made.
pub fn helper(folder: &Path) -> io::Result<Option<OwnedFd>> {
    if IMAGE.is_empty() {
        return Ok(None);
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let made = match rustix::fs::memfd_create("pyrepl3-helper", flags | MemfdFlags::EXEC) {
        // Before Linux 6.3 all of them may be executed.
        Err(Errno::INVAL) => rustix::fs::memfd_create("pyrepl3-helper", flags),
        made => made,
    };
    if let Ok(memory) = made {
        write(&memory)?;
        rustix::fs::fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        return Ok(Some(memory));
    }
    let writable = rustix::fs::open(folder, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::XUSR)?;
    write(&writable)?;
    Ok(Some(writable))
}

fn write(file: &OwnedFd) -> io::Result<()> {
    let mut rest = IMAGE;
    while !rest.is_empty() {
        rest = &rest[rustix::io::write(file, rest)?..];
    }
    Ok(())
}
