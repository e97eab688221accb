//! What a program holds of an execution.

use super::handle::Session;
use super::outbox::Outbox;
use pyrepl3_protocol::message::{ErrorMessage, Message, ResultMessage};
use pyrepl3_protocol::{Code, Failure};
use std::sync::Arc;
use tokio::sync::oneshot;

/// How an execution failed: user code did, or it was refused.
#[derive(Debug, thiserror::Error)]
pub enum ExecutionError {
    /// It ended with an error.
    #[error("{}: {}", .0.ename, .0.evalue)]
    Ended(Box<ErrorMessage>),
    /// It was refused, and never ran.
    #[error(transparent)]
    Refused(#[from] Failure),
}

/// An execution: a stream of its messages, of which exactly one, `result` or `error`, is the last.
///
/// A stream that nobody reads slows the code that prints down; dropping the handle lets it go on, unheard.
#[derive(Debug)]
pub struct Execution {
    id: String,
    outbox: Arc<Outbox>,
    refusal: Option<oneshot::Receiver<Failure>>,
    refused: Option<Failure>,
    session: Session,
}

impl Execution {
    pub(crate) fn new(id: String, outbox: Arc<Outbox>, refusal: oneshot::Receiver<Failure>, session: Session) -> Self {
        Execution { id, outbox, refusal: Some(refusal), refused: None, session }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The next message; None after the last one, or when it was refused ([`Execution::refusal`] says why).
    pub async fn next(&mut self) -> Option<Message> {
        let next = self.outbox.next().await;
        if next.is_none()
            && let Some(refusal) = self.refusal.take()
        {
            self.refused = refusal.await.ok();
        }
        next
    }

    /// Why it never ran, once [`Execution::next`] has returned None.
    pub fn refusal(&self) -> Option<&Failure> {
        self.refused.as_ref()
    }

    /// Waits for its end; output and prompts on the way are dropped (prompts wait for an answer all the same).
    ///
    /// # Errors
    /// [`ExecutionError::Ended`] for anything but success, [`ExecutionError::Refused`] when it never ran.
    pub async fn result(mut self) -> Result<ResultMessage, ExecutionError> {
        while let Some(message) = self.next().await {
            match message {
                Message::ResultMessage(result) => return Ok(result),
                Message::ErrorMessage(error) => return Err(ExecutionError::Ended(Box::new(error))),
                _ => {}
            }
        }
        Err(ExecutionError::Refused(self.refused.take().unwrap_or_else(|| {
            Failure::new(Code::SessionClosed, "the execution's messages were taken already", "", "")
        })))
    }

    /// Cancels it: not started, it never runs; running, it is interrupted. Returns when it has ended.
    ///
    /// # Errors
    /// `unknown_execution` when it has ended, `session_closed`.
    pub async fn cancel(&self) -> Result<(), Failure> {
        self.session.cancel(&self.id).await
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        self.outbox.detach();
    }
}
