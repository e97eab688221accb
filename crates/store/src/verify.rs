//! Reading all of a checkpoint, to know what of it can be restored.

use crate::manifest::Manifest;
use crate::store::Store;
use crate::{Error, Result};

/// What [`Store::verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Blobs whose bytes are not those that were written, with what is wrong.
    pub damaged: Vec<(u32, String)>,
    /// Names that need one of them.
    pub names_damaged: Vec<String>,
    /// Names that need none of them.
    pub names_good: Vec<String>,
}

impl Report {
    /// Whether all of the checkpoint is as it was written.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty()
    }
}

impl Store {
    /// Reads every byte of a checkpoint and checks it.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it was deleted, [`Error::Locked`], [`Error::Unreadable`] where the directory cannot be read. Damage is not an error but the answer.
    pub fn verify(&self, manifest: &Manifest) -> Result<Report> {
        self.verify_blobs(manifest, 0..manifest.blobs())
    }

    /// Checks some blobs only: those that are about to be mapped, for instance, as mapped bytes are not checked otherwise.
    /// The names are judged by these blobs alone.
    ///
    /// # Errors
    /// As [`Store::verify`].
    pub fn verify_blobs(&self, manifest: &Manifest, blobs: impl IntoIterator<Item = u32>) -> Result<Report> {
        let reader = self.reader(manifest)?;
        let mut report = Report::default();
        for blob in blobs {
            match reader.check(blob) {
                Ok(()) => {}
                Err(Error::Damaged { what, .. }) => report.damaged.push((blob, what)),
                Err(error) => return Err(error),
            }
        }
        let damaged: Vec<u32> = report.damaged.iter().map(|(blob, _)| *blob).collect();
        (report.names_damaged, report.names_good) = manifest.names_by(&damaged);
        Ok(report)
    }
}
