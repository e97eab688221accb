//! Executions: taken, sent, asked for input.

use super::state::SessionTask;
use crate::clock::Time;
use crate::log::ReaderId;
use crate::messages;
use crate::session::answers::PendingInput;
use crate::session::life::{Task, TaskKind, Token};
use crate::session::request::{ExecuteRequest, Source};
use crate::session::salvage;
use crate::session::tickets::{KeyId, KeyState, PendingExecution, Ticket, TooManyPrompts};
use crate::session::timeline::Mark;
use base64::Engine as _;
use pyrepl3_protocol::message::Message;
use pyrepl3_protocol::worker::{self, Request, Source as WireSource};
use pyrepl3_protocol::{Code, Failure};
use rustix::fd::OwnedFd;
use std::io;
use tokio::sync::oneshot;

/// Characters of a prompt that are told.
const PROMPT: usize = 16 << 10;
/// Bytes of source and answers that may wait in one session.
const WAITING: usize = 256 << 20;

impl SessionTask {
    pub(super) fn execute(
        &mut self,
        request: ExecuteRequest,
        id: &str,
        chosen: bool,
        reader: ReaderId,
        refuse: oneshot::Sender<Failure>,
    ) {
        let mut refuse = Some(refuse);
        if let Err(failure) = self.take_execution(request, id, chosen, reader, &mut refuse) {
            if let Some(refuse) = refuse {
                _ = refuse.send(failure);
            }
            // Another execution of this id may be running, and have readers.
            self.log().refuse(reader);
        }
    }

    fn take_execution(
        &mut self,
        request: ExecuteRequest,
        id: &str,
        chosen: bool,
        reader: ReaderId,
        refuse: &mut Option<oneshot::Sender<Failure>>,
    ) -> Result<(), Failure> {
        if chosen && !self.tickets.seen.insert(id) {
            return Err(Failure::new(
                Code::DuplicateId,
                format!("the execution id {id} was used before"),
                "an execution runs once",
                "choose another id, or give an idempotency key to make a retry safe",
            ));
        }
        if !self.log().is_written() {
            return Err(Failure::new(
                Code::StorageFull,
                "nothing can be run now",
                "what the session says cannot be written to its journal; the server's log says why",
                "make room on the disk, and try again",
            ));
        }
        let code = PendingExecution::code(&request);
        if let Some(key) = &request.idempotency_key {
            match self.tickets.keys.get(KeyId::of(key), code) {
                Some(Err(())) => {
                    return Err(Failure::new(
                        Code::IdempotencyMismatch,
                        format!("the idempotency key {key} was used before, with other code"),
                        "",
                        "use one key for one piece of code",
                    ));
                }
                Some(Ok(KeyState::Ended(last))) => {
                    let last = (**last).clone();
                    self.log().accept(reader);
                    self.tell_end(last, id, true);
                    return Ok(());
                }
                Some(Ok(KeyState::Running(token))) => {
                    let token = *token;
                    if let Some(first) = self.tickets.execution_mut(token) {
                        first.repeats.push(id.to_owned());
                        self.log().accept(reader);
                        return Ok(());
                    }
                }
                Some(Ok(KeyState::Forgotten)) => {
                    return Err(Failure::new(
                        Code::Gone,
                        format!(
                            "the execution with the idempotency key {key} has ended, and how is not known any more"
                        ),
                        "another supervisor has taken the session over since then",
                        "look at the session's state; to run the code once more, use another key",
                    ));
                }
                None => {}
            }
        }
        if self.tickets.bytes() > WAITING {
            return Err(Failure::new(
                Code::TooMany,
                "too much code waits in this session",
                format!("more than {WAITING} bytes of source and answers wait for what is before them"),
                "wait for some to end",
            ));
        }
        let token = self.tickets.token();
        let task = Task {
            timeout: request.timeout,
            stop_on_error: request.stop_on_error,
            policy: request.policy.or(self.context.shared.options.default_policy).unwrap_or_default(),
            transaction: request.transaction.as_deref().map(|id| self.transaction_number(id)),
            ..Task::new(token, TaskKind::Execute)
        };
        let actions = self.machine.submit(task, Time::now()).map_err(|refusal| self.refusal(refusal))?;
        if let Some(key) = &request.idempotency_key {
            let code = PendingExecution::code(&request);
            self.tickets.keys.begin(KeyId::of(key), code, token);
        }
        self.log().accept(reader);
        self.tell_accepted(&request, id);
        let execution = PendingExecution::new(id.to_owned(), request, refuse.take());
        self.tickets.insert(token, Ticket::Execute(Box::new(execution)));
        self.perform(actions);
        Ok(())
    }

    fn tell_accepted(&self, request: &ExecuteRequest, id: &str) {
        if !self.log().is_journalled() {
            return;
        }
        let code = match &request.source {
            Source::Text(text) => text.clone(),
            Source::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned().into(),
        };
        let policy = request.policy.or(self.context.shared.options.default_policy).unwrap_or_default();
        let mut message = Message::Accepted(messages::accepted(
            code,
            policy,
            request.idempotency_key.clone(),
            request.fingerprint.clone(),
        ));
        message.address(self.id(), Some(id));
        self.log().append(message);
    }

    /// An execution gets its number, if it has none.
    pub(super) fn begin_execution(&mut self, token: Token) {
        self.context.origin.oom.begin();
        let Some(execution) = self.tickets.execution_mut(token).filter(|execution| execution.count == 0) else {
            return;
        };
        self.count += 1;
        self.applied.push(self.count);
        execution.count = self.count;
        execution.started = Some(Time::now());
        self.note_in_journal(self.count);
    }

    /// Sends an execution to the worker. `wake`: the channel of a process that is to be frozen before it, as a mark.
    pub(super) fn send_execution(&mut self, token: Token, mark: Option<Mark>, wake: Option<OwnedFd>) -> io::Result<()> {
        let optional = wake.is_some() && self.machine.mark_is_optional();
        let Some(execution) = self.tickets.execution_mut(token) else { return Ok(()) };
        let name;
        let file = match &execution.request.file {
            Some(file) => file,
            None => {
                name = format!("<execution {}>", execution.count);
                &name
            }
        };
        let code = match &execution.request.source {
            Source::Text(text) => WireSource::Text(text),
            Source::Bytes(bytes) => {
                WireSource::Bytes { base64: base64::engine::general_purpose::STANDARD.encode(bytes) }
            }
        };
        let mut names: &[String] = &[];
        let mut descriptors = Vec::from_iter(wake);
        if !optional
            && !descriptors.is_empty()
            && !execution.request.salvage.is_empty()
            && let Ok((kept, theirs)) = salvage::file()
        {
            execution.salvage = Some(kept);
            descriptors.push(theirs);
            names = &execution.request.salvage;
        }
        let fds = (!descriptors.is_empty()).then_some(descriptors.len() as u8);
        let count = execution.count;
        let request = Request::Execute { id: token, count, file, code, fds, salvage: names, optional };
        self.worker.control.send(&request, mark, descriptors)
    }

    /// User code asks for input.
    pub(super) fn prompt(&mut self, asked: worker::Prompt) {
        let current = self.machine.current();
        let running = asked.id.is_some() && asked.id == current;
        let mut prompt = asked.prompt;
        if let Some((cut, _)) = prompt.char_indices().nth(PROMPT) {
            prompt.truncate(cut);
            prompt.push_str("… [cut]");
        }
        let mut message = messages::input(prompt, asked.password);
        let mut told_before = false;
        let mut answer = None;
        let mut id = None;
        if running && let Some(execution) = current.and_then(|token| self.tickets.execution_mut(token)) {
            id = Some(execution.id.clone());
            if let Some(answers) = &mut execution.answers {
                answer = Some(answers.pop_front());
            }
        }
        message.answered = answer.is_some();
        let mut asking = Message::InputMessage(message);
        asking.address(self.id(), self.running().map(|execution| execution.id.as_str()));
        // Clients know it by the id that the supervisor before this one gave it.
        told_before |= self.log().recall(&mut asking);
        let Message::InputMessage(message) = &asking else { return };
        if let Some(value) = answer {
            self.tell_worker(&Request::Answer { input: asked.input, value: value.as_ref() });
        } else {
            let shown = PendingInput {
                id: message.id.clone(),
                prompt: message.prompt.clone(),
                password: message.password,
                execution_id: id.clone(),
            };
            if let Err(TooManyPrompts) = self.tickets.prompts.insert(asked.input, shown) {
                return self.breach("the worker asked for input without end, or twice under one number");
            }
        }
        if !told_before {
            self.log().append(asking);
        }
    }

    /// Sends a request that waits for nothing.
    pub(super) fn tell_worker(&mut self, request: &Request<'_>) {
        if let Err(error) = self.worker.control.send(request, None, Vec::new()) {
            self.lost_touch(&error);
        }
    }
}
