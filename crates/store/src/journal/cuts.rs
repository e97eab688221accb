//! What retention has taken away: remembered in a small file, so that whoever asks for it hears how much it was.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::disk::Disk;

const NAME: &str = "cuts";
const LARGEST: u64 = 64 << 10;

/// Events that are not kept any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The last of them; 0 where none is gone. The next one is the earliest that is kept.
    pub last: u64,
    /// Bytes of these events, and of output, that are gone.
    pub bytes: u64,
}

impl Cut {
    /// What is gone of the journal in a directory.
    ///
    /// # Errors
    /// The file system's.
    pub fn of(directory: &Path) -> Result<Cut> {
        Cut::read(&Disk::default(), directory)
    }

    /// What the file says; nothing is gone where there is none.
    pub(super) fn read(disk: &Disk, directory: &Path) -> Result<Cut> {
        let bytes = disk.read(&directory.join(NAME), LARGEST)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    /// Replaces what the file says.
    pub(super) fn write(self, disk: &Disk, directory: &Path) -> Result<()> {
        let (path, passing) = (directory.join(NAME), directory.join("cuts.tmp"));
        disk.remove(&passing)?;
        let file = disk.create(&passing)?;
        let bytes = serde_json::to_vec(&self).unwrap_or_default();
        disk.write(&file, &passing, &bytes)?;
        disk.sync(&file, &passing)?;
        disk.rename(&passing, &path)
    }
}
