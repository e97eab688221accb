//! The checkpoints of a data directory, without a session.

use crate::Engine;
use crate::checkpoint::{contents, differences};
use pyrepl3_protocol::Failure;
use pyrepl3_protocol::message::{Checkpoint, Difference, Lost, Variable};

impl Engine {
    /// All checkpoints, newest first. Those that are damaged are among them, and say so.
    ///
    /// # Errors
    /// `unsupported` without a data directory, `checkpoint_failed` where it cannot be read.
    pub async fn checkpoints(&self) -> Result<Vec<Checkpoint>, Failure> {
        self.shelf().list().await
    }

    /// What a checkpoint holds, and what it could not keep.
    ///
    /// # Errors
    /// `checkpoint_not_found`, `checkpoint_damaged`, `unsupported`.
    pub async fn checkpoint_contents(&self, checkpoint: &str) -> Result<(Vec<Variable>, Vec<Lost>), Failure> {
        contents(&self.shelf().find(checkpoint).await?)
    }

    /// What differs between two checkpoints, name by name.
    ///
    /// # Errors
    /// As [`Engine::checkpoint_contents`].
    pub async fn diff(&self, earlier: &str, later: &str) -> Result<Vec<Difference>, Failure> {
        let (before, after) = (self.shelf().find(earlier).await?, self.shelf().find(later).await?);
        self.shelf().with(move |store| store.diff(&before, &after).map(differences)).await
    }

    /// Deletes a checkpoint. Others that share bytes with it keep them.
    ///
    /// # Errors
    /// As [`Engine::checkpoint_contents`].
    pub async fn delete_checkpoint(&self, checkpoint: &str) -> Result<(), Failure> {
        let manifest = self.shelf().find(checkpoint).await?;
        self.shelf().with(move |store| store.delete(&manifest.id)).await.map(drop)
    }
}
