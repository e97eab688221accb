//! What a program holds of an execution.

use super::answers::Submitted;
use super::mailbox::{Attachment, Command};
use crate::log::{Event, Reader};
use pyrepl3_protocol::message::{ErrorMessage, Message, ResultMessage};
use pyrepl3_protocol::{Code, Failure};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

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

/// An execution: its events, of which exactly one, `result` or `error`, is the last.
///
/// While nobody reads them the code that prints slows down (unless the session sheds output); dropping this lets it go
/// on, unheard.
#[derive(Debug)]
pub struct Execution {
    id: String,
    reader: Reader,
    refusal: Option<oneshot::Receiver<Failure>>,
    refused: Option<Failure>,
    /// The session lives as long as somebody waits for it.
    attachment: Arc<Attachment>,
}

impl Execution {
    pub(crate) fn new(
        id: String,
        reader: Reader,
        refusal: oneshot::Receiver<Failure>,
        attachment: Arc<Attachment>,
    ) -> Self {
        Execution { id, reader, refusal: Some(refusal), refused: None, attachment }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The next event; None after the last one, or when it was refused ([`Execution::refusal`] says why). Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        let next = self.reader.next().await;
        if next.is_none()
            && let Some(refusal) = &mut self.refusal
        {
            self.refused = refusal.await.ok();
            self.refusal = None;
        }
        next
    }

    /// Why it never ran, once [`Execution::next`] has returned None.
    pub fn refusal(&self) -> Option<&Failure> {
        self.refused.as_ref()
    }

    /// Why it was refused, if that is known by now: where the session has answered anything that it was asked after this
    /// ([`Session::status`](crate::Session::status)), whether it was taken is known. It may be refused later all the same, when its
    /// turn comes.
    pub fn try_refusal(&mut self) -> Option<Failure> {
        let refusal = try_take(&mut self.refusal)?;
        self.refused = Some(refusal.clone());
        Some(refusal)
    }

    /// Reads its events no more; others may. Waits until it has ended or was refused, and returns why it was refused.
    pub fn into_refusal(self) -> impl Future<Output = Option<Failure>> + Send + 'static + use<> {
        let Execution { refusal, refused, .. } = self;
        async move {
            match refusal {
                Some(refusal) if refused.is_none() => refusal.await.ok(),
                _ => refused,
            }
        }
    }

    /// Waits for its end; output and prompts on the way are dropped (prompts wait for an answer all the same).
    ///
    /// # Errors
    /// [`ExecutionError::Ended`] for anything but success, [`ExecutionError::Refused`] when it never ran.
    pub async fn result(mut self) -> Result<ResultMessage, ExecutionError> {
        while let Some(event) = self.next().await {
            if !matches!(*event, Message::ResultMessage(_) | Message::ErrorMessage(_)) {
                continue;
            }
            match event.into_message() {
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
    pub fn cancel(&self) -> Submitted<()> {
        let (reply, answer) = oneshot::channel();
        let mailbox = self.attachment.mailbox();
        let made = mailbox.send(Command::Cancel { execution_id: self.id.clone(), reply });
        Submitted::new(mailbox.id(), made.map(|()| answer))
    }
}

/// Why it was refused, if that has been told. Where it is known that it was not, there is nothing to wait for any more.
fn try_take(refusal: &mut Option<oneshot::Receiver<Failure>>) -> Option<Failure> {
    match refusal.as_mut()?.try_recv() {
        Err(TryRecvError::Empty) => None,
        told => {
            // A receiver that has given its answer, or that there is none, must not be asked again.
            *refusal = None;
            told.ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refusal_is_asked_for_until_it_is_known() {
        let (teller, receiver) = oneshot::channel();
        let mut refusal = Some(receiver);
        assert!(try_take(&mut refusal).is_none() && refusal.is_some());
        teller.send(Failure::new(Code::Busy, "no", "", "")).unwrap();
        assert_eq!(try_take(&mut refusal).unwrap().code, Code::Busy);
        assert!(refusal.is_none());
        // One that has ended already was not refused.
        let (teller, receiver) = oneshot::channel::<Failure>();
        drop(teller);
        let mut refusal = Some(receiver);
        assert!(try_take(&mut refusal).is_none() && refusal.is_none());
    }
}
