//! What a program holds of a session.

use super::answers::{Answered, Reply, Status, Submitted};
use super::execution::Execution;
use super::mailbox::{Attachment, Command, Mailbox, Query};
use super::request::{ExecuteRequest, check_size};
use super::salvage;
use super::shared::Lineage;
use crate::log::{Event, Filter, Origin, Reader};
use pyrepl3_protocol::id::{self, IdKind};
use pyrepl3_protocol::message::{Completeness, Completions, Inspection, PythonInfo, SessionOptions, VariableInfo};
use pyrepl3_protocol::{Code, Failure, JsonText};
use pyrepl3_store::journal::Limits as JournalLimits;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;

/// A handle to a session, which the engine owns. Clones share one hold on it: when every hold on a session is gone, the
/// session ends, unless it was started to live on without a client (`detached`).
///
/// A request is made by the call, not by awaiting what it returns: the order of calls is the order of effects. What is
/// returned may be dropped; the request stays.
#[derive(Debug, Clone)]
pub struct Session {
    attachment: Arc<Attachment>,
    /// Set when the pool that lent this handle has the session back.
    revoked: Arc<AtomicBool>,
}

impl Session {
    pub(crate) fn new(attachment: Attachment) -> Self {
        Session { attachment: Arc::new(attachment), revoked: Arc::default() }
    }

    /// A handle that a pool can take back.
    pub(crate) fn for_one_loan(&self) -> Self {
        self.mailbox().shared.log.begin_anew();
        Session { revoked: Arc::default(), ..self.clone() }
    }

    /// Makes this handle, and its clones, of no use: the session is another's now, and so is what it says.
    pub(crate) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
        self.mailbox().shared.log.begin_anew();
    }

    pub(super) fn mailbox(&self) -> &Mailbox {
        self.attachment.mailbox()
    }

    /// Its id.
    pub fn id(&self) -> &str {
        self.mailbox().id()
    }

    /// What it was started with.
    pub fn options(&self) -> &SessionOptions {
        &self.mailbox().shared.options
    }

    /// Its interpreter.
    pub fn python(&self) -> Option<PythonInfo> {
        self.mailbox().shared.python()
    }

    /// Where it was branched off, if it is a branch.
    pub fn lineage(&self) -> Option<&Lineage> {
        self.mailbox().shared.lineage.as_ref()
    }

    pub(super) fn send(&self, command: Command) -> Result<(), Failure> {
        if self.revoked.load(Ordering::Acquire) {
            return Err(Failure::new(
                Code::SessionClosed,
                format!("session {} was released to its pool", self.id()),
                "who releases a session cannot use it any more",
                "acquire another",
            ));
        }
        self.mailbox().send(command)
    }

    pub(super) fn submit<T>(&self, make: impl FnOnce(Reply<T>) -> Command) -> Submitted<T> {
        let (reply, answer) = oneshot::channel();
        Submitted::new(self.id(), self.send(make(reply)).map(|()| answer))
    }

    pub(super) fn refused<T>(&self, failure: Failure) -> Submitted<T> {
        Submitted::new(self.id(), Err(failure))
    }

    /// Runs code.
    ///
    /// # Errors
    /// Codes `bad_request`, `unsupported`, `session_closed`. What the session finds out later (`session_lost`,
    /// `duplicate_id`, `idempotency_mismatch`, `too_many`) is the execution's [`Execution::refusal`].
    pub fn execute(&self, request: impl Into<ExecuteRequest>) -> Result<Execution, Failure> {
        let mut request = request.into();
        if let Some(id) = &request.id {
            id::check(id).map_err(|why| {
                Failure::new(
                    Code::BadRequest,
                    "the execution's id cannot be used",
                    why.to_string(),
                    "choose another, or none",
                )
            })?;
        }
        if request.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(Failure::new(
                Code::BadRequest,
                "the timeout is not positive",
                "",
                "give seconds above 0, or none",
            ));
        }
        check_size("the code", request.source.bytes())?;
        for answer in request.inputs.iter().flatten() {
            check_size("an answer", answer.literal().len())?;
        }
        salvage::check(&request, request.policy.or(self.options().default_policy).unwrap_or_default())?;
        let chosen = request.id.is_some();
        let id = request.id.take().unwrap_or_else(|| id::new(IdKind::Execution));
        let (refuse, refusal) = oneshot::channel();
        // Before the session can say anything of it.
        let reader = Reader::pending(&self.mailbox().shared.log, &id);
        self.send(Command::Execute { request, id: id.clone(), chosen, reader: reader.id(), refuse })?;
        Ok(Execution::new(id, reader, refusal, self.attachment.clone()))
    }

    /// Answers a prompt; None is end-of-file.
    ///
    /// # Errors
    /// `unknown_input` when it does not wait, `bad_request` for one that is too large, `session_closed`.
    pub fn input_response(&self, input_id: &str, value: Option<JsonText>) -> Submitted<()> {
        if let Err(failure) = check_size("the answer", value.as_ref().map_or(0, |value| value.literal().len())) {
            return self.refused(failure);
        }
        self.submit(|reply| Command::Answer { input_id: input_id.to_owned(), value, reply })
    }

    /// Stops what runs by the ladder, and returns when it has ended; at once when nothing runs.
    ///
    /// # Errors
    /// `session_closed`.
    pub fn interrupt(&self) -> Submitted<()> {
        self.submit(|reply| Command::Interrupt { reply })
    }

    /// Cancels an execution: not started, it never runs; running, it is interrupted. Returns when it has ended.
    ///
    /// # Errors
    /// `unknown_execution`, `session_closed`.
    pub fn cancel(&self, execution_id: &str) -> Submitted<()> {
        self.submit(|reply| Command::Cancel { execution_id: execution_id.to_owned(), reply })
    }

    /// The variables. It waits its turn; but while code runs before which there is a snapshot (a policy that may undo it, or
    /// steps of undo), a fork of that answers at once, with [`Answered::as_of`]. What such an answer does on the way (a property,
    /// a `repr`) has no effect on the session.
    ///
    /// # Errors
    /// `session_lost`, `session_closed`, `interrupted` (also when such an answer takes 5 seconds), `protocol_error`.
    pub fn variables(&self) -> Submitted<Answered<Vec<VariableInfo>>> {
        self.submit(|reply| Command::Query(Query::Variables(reply)))
    }

    /// Completions at a cursor, in code points; waits its turn as [`Session::variables`].
    ///
    /// # Errors
    /// As [`Session::variables`]; `bad_request` for code that is too large.
    pub fn complete(&self, code: impl Into<JsonText>, cursor: Option<u32>) -> Submitted<Answered<Completions>> {
        let code = code.into();
        if let Err(failure) = check_size("the code", code.literal().len()) {
            return self.refused(failure);
        }
        self.submit(|reply| Command::Query(Query::Complete { code, cursor, reply }))
    }

    /// What a name or a dotted path is; waits its turn as [`Session::variables`].
    ///
    /// # Errors
    /// As [`Session::complete`].
    pub fn inspect(&self, name: &str) -> Submitted<Answered<Inspection>> {
        if let Err(failure) = check_size("the name", name.len().saturating_mul(6)) {
            return self.refused(failure);
        }
        self.submit(|reply| Command::Query(Query::Inspect { name: name.to_owned(), reply }))
    }

    /// Whether code is complete; waits its turn as [`Session::variables`].
    ///
    /// # Errors
    /// As [`Session::complete`].
    pub fn is_complete(&self, code: impl Into<JsonText>) -> Submitted<Completeness> {
        let code = code.into();
        if let Err(failure) = check_size("the code", code.literal().len()) {
            return self.refused(failure);
        }
        self.submit(|reply| Command::Query(Query::IsComplete { code, reply }))
    }

    /// The state of the session, whatever runs.
    ///
    /// # Errors
    /// `session_closed`.
    pub fn status(&self) -> Submitted<Status> {
        self.submit(|reply| Command::Status { reply })
    }

    /// What happens in the session outside executions, from the earliest event that is kept: output and displays of
    /// threads and tasks that user code left running, their prompts, `session_lost`, what came back, what was evicted.
    /// Any number of readers each get all of it.
    pub fn events(&self) -> Events {
        Events { reader: Reader::new(&self.mailbox().shared.log, Filter::Session, Origin::Earliest) }
    }

    /// All events of the session after the one with this number, executions and all else, without a gap: 0 for all that
    /// is kept, None for what comes from now on.
    ///
    /// # Errors
    /// `gone` when events after that number are not kept any more, and `bad_request` for one that was never given; both
    /// say which there are.
    pub fn follow(&self, after: Option<u64>) -> Result<Events, Failure> {
        let log = &self.mailbox().shared.log;
        let Some(after) = after else {
            return Ok(Events { reader: Reader::new(log, Filter::All, Origin::Now) });
        };
        let (earliest, last) = log.bounds();
        if after > last {
            return Err(Failure::new(
                Code::BadRequest,
                format!("the session has no event {after}"),
                format!("its last event has the number {last}"),
                "numbers begin anew with each session, and with each loan from a pool",
            ));
        }
        if after > 0 && after + 1 < earliest {
            return Err(Failure::new(
                Code::Gone,
                format!("the events after {after} are not kept any more"),
                format!("the earliest that is kept has the number {earliest}, the last {last}"),
                "read on from there; what was before it is lost to this reader",
            ));
        }
        Ok(Events { reader: Reader::new(log, Filter::All, Origin::After(after)) })
    }

    /// The numbers of the earliest event that is kept and of the last one. Where none is kept, the earliest is the one to
    /// come.
    pub fn event_numbers(&self) -> (u64, u64) {
        self.mailbox().shared.log.bounds()
    }

    /// The number of the last event that was there before it: of an earlier session of the same id.
    pub fn begins_after(&self) -> u64 {
        self.mailbox().shared.log.begins_after()
    }

    /// Whether it goes on without this engine, which keeps events: another one has it, or is to have it.
    pub fn is_left(&self) -> bool {
        self.mailbox().shared.log.is_left()
    }

    /// Tells whoever follows it something, as a `warning`.
    pub fn warn(&self, text: impl Into<String>) {
        self.mailbox().shared.warn(text.into());
    }

    /// How much of its events and output is kept on disk from now on, where they are. What is above it goes at once. Waits for the disk.
    ///
    /// # Errors
    /// The disk's.
    pub fn keep_at_most(&self, limits: JournalLimits) -> Result<(), Failure> {
        let kept = self.mailbox().shared.log.keep_at_most(limits);
        kept.map_err(|error| {
            Failure::new(Code::Internal, "a session's history could not be cut", error.to_string(), "")
        })
    }

    /// Bytes of events and output that were kept and are not any more; None where nothing is kept beyond memory.
    pub fn lost_bytes(&self) -> Option<u64> {
        self.mailbox().shared.log.lost_bytes()
    }

    /// Has it end, without waiting for that.
    pub(crate) fn end(&self) {
        self.mailbox().end();
    }

    /// Lets the worker leave as a Python program does (`atexit`, files), then ends every process of the session.
    /// Returns when none is left. `join`: wait for threads that are no daemons, without a limit.
    pub fn leave(&self, exit_code: i32, join: bool) -> impl Future<Output = ()> + Send + 'static + use<> {
        let left = self.submit(|reply| Command::Close { exit: Some((exit_code, join)), reply: Some(reply) });
        // That it has ended already is what was asked for.
        async move { _ = left.await }
    }

    /// Ends the session and every process of it. Returns when none is left.
    pub fn shutdown(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.leave(0, false)
    }

    /// Whether it has ended.
    pub fn is_closed(&self) -> bool {
        self.mailbox().is_closed() || self.revoked.load(Ordering::Acquire)
    }
}

/// Events of a session, one after the other, at the reader's own pace.
#[derive(Debug)]
pub struct Events {
    reader: Reader,
}

impl Events {
    /// The next one; None when the session has ended. Cancel-safe: an event is taken only when it is returned.
    pub async fn next(&mut self) -> Option<Event> {
        self.reader.next().await
    }

    /// The next one if it is there already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.reader.try_next().flatten()
    }
}
