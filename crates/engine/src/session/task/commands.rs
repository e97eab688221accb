//! What handles ask.

use super::report::Report;
use super::state::{Lookup, SessionTask};
use crate::messages;
use crate::session::durability::RestoreRequest;
use crate::session::failures;
use crate::session::life::{Event, Phase, Refusal, Why};
use crate::session::mailbox::{Command, Operation};
use pyrepl3_protocol::message::{Message, Restored};
use pyrepl3_protocol::worker::Request;
use pyrepl3_protocol::{Code, Failure, JsonText};
use pyrepl3_store::Manifest;
use std::collections::VecDeque;
use std::sync::Arc;

/// Requests that may wait while a checkpoint is being looked for.
const BEHIND: usize = 1000;

/// Bytes of an answer that can be written down.
const LARGE_ANSWER: usize = 64 << 10;

type Reply<T> = crate::session::answers::Reply<T>;

impl SessionTask {
    pub(super) fn command(&mut self, command: Command) {
        if matches!(self.machine.phase(), Phase::Closing | Phase::Closed) {
            return self.command_while_closing(command);
        }
        if let Some(lookup) = &mut self.lookup {
            // What was asked after a restore is done after it, also while its checkpoint is being looked for.
            let waits = match &command {
                Command::Execute { .. } | Command::Query(_) | Command::Operate(_) | Command::Restore { .. } => true,
                Command::Cancel { execution_id, .. } => {
                    let is_it = |one: &Command| matches!(one, Command::Execute { id, .. } if id == execution_id);
                    lookup.behind.iter().any(is_it)
                }
                _ => false,
            };
            if waits && lookup.behind.len() < BEHIND {
                return lookup.behind.push_back(command);
            }
            if waits {
                let failure = self.refusal(Refusal::Full);
                return self.refuse_with(command, &failure);
            }
        }
        match command {
            Command::Execute { request, id, chosen, reader, refuse } => {
                self.execute(request, &id, chosen, reader, refuse);
            }
            Command::Query(query) => self.query(query),
            Command::Operate(operation) => self.operate(operation),
            Command::Restore { checkpoint, partial, reply } => self.look_up(checkpoint, partial, reply),
            Command::Answer { input_id, value, reply } => _ = reply.send(self.answer(&input_id, value.as_ref())),
            Command::Interrupt { reply } => self.interrupt(reply),
            Command::Cancel { execution_id, reply } => self.cancel(&execution_id, reply),
            Command::Status { reply } => _ = reply.send(Ok(self.status())),
            Command::Snapshots { reply } => _ = reply.send(Ok(self.list_snapshots())),
            Command::DropSnapshot { snapshot, reply } => _ = reply.send(self.drop_snapshot(&snapshot)),
            Command::MakeRoom => self.feed(Event::MakeRoom),
            Command::Claim { reply } => {
                if let Some(lingering) = &mut self.lingering {
                    lingering.claimed = true;
                    if !self.write_down() {
                        return;
                    }
                }
                _ = reply.send(());
            }
            Command::HandOver => self.hand_over(),
            Command::Close { exit, reply } => {
                self.leave = exit;
                self.closers.extend(reply);
                self.feed(Event::Close);
            }
        }
    }

    /// While a worker leaves, a person may press Ctrl-C because a thread of the script is waited for.
    fn command_while_closing(&mut self, command: Command) {
        match command {
            Command::Interrupt { reply } => {
                if let Some(process) = &self.worker.process {
                    process.interrupt();
                }
                _ = reply.send(Ok(()));
            }
            Command::Answer { input_id, value, reply } => _ = reply.send(self.answer(&input_id, value.as_ref())),
            other => self.refuse_late(other),
        }
    }

    /// Answers what was asked too late.
    pub(super) fn refuse_late(&mut self, command: Command) {
        let failure = self.why_closed();
        self.refuse_with(command, &failure);
    }

    fn refuse_with(&mut self, command: Command, failure: &Failure) {
        let failure = failure.clone();
        match command {
            Command::Execute { refuse, reader, .. } => {
                _ = refuse.send(failure);
                self.log().refuse(reader);
            }
            Command::Query(query) => query.refuse(failure),
            Command::Operate(operation) => operation.refuse(failure),
            Command::Restore { reply, .. } => _ = reply.send(Err(failure)),
            Command::Answer { reply, .. } | Command::Interrupt { reply } | Command::Cancel { reply, .. } => {
                _ = reply.send(Err(failure));
            }
            Command::Status { reply } => _ = reply.send(Ok(self.status())),
            Command::Snapshots { reply } => _ = reply.send(Err(failure)),
            Command::DropSnapshot { reply, .. } => _ = reply.send(Err(failure)),
            Command::MakeRoom | Command::Claim { .. } | Command::HandOver => {}
            Command::Close { reply, .. } => self.closers.extend(reply),
        }
    }

    fn answer(&mut self, input_id: &str, value: Option<&JsonText>) -> Result<(), Failure> {
        let size = value.map_or(0, |value| value.literal().len());
        if self.worker.control.awaits_renewal() && size > LARGE_ANSWER {
            return Err(Failure::new(
                Code::Busy,
                "the answer is too large just now",
                format!("the session was taken over; until its code has noticed, {LARGE_ANSWER} bytes can wait"),
                "give it in a moment",
            ));
        }
        if self.log().awaits_prompt(Some(input_id)) {
            return Err(Failure::new(
                Code::Busy,
                "the prompt cannot be answered just now",
                "the session was taken over, and what its worker said last has not been read again",
                "answer it in a moment",
            ));
        }
        let Some(input) = self.tickets.prompts.take(input_id) else {
            return Err(Failure::new(
                Code::UnknownInput,
                format!("no prompt {input_id} waits for an answer"),
                "it was answered already, its execution has ended, or it never was",
                "answer the id of an input message, once",
            ));
        };
        self.tell_worker(&Request::Answer { input, value });
        if self.log().is_journalled() {
            self.tell_running(Message::Answered(messages::answered(input_id)));
        }
        Ok(())
    }

    fn interrupt(&mut self, reply: Reply<()>) {
        let current = self.machine.current();
        match current.and_then(|token| self.tickets.execution_mut(token)) {
            Some(execution) => execution.stopped.push(reply),
            _ => _ = reply.send(Ok(())),
        }
        self.feed(Event::Interrupt);
    }

    fn cancel(&mut self, execution_id: &str, reply: Reply<()>) {
        let found = self.tickets.token_of(execution_id);
        let Some((token, execution)) = found.and_then(|token| Some((token, self.tickets.execution_mut(token)?))) else {
            _ = reply.send(Err(Failure::new(
                Code::UnknownExecution,
                format!("there is no execution {execution_id} to cancel"),
                "it has ended, or it never was",
                "",
            )));
            return;
        };
        execution.stopped.push(reply);
        self.feed(Event::Cancel(token));
    }

    fn drop_snapshot(&mut self, snapshot: &str) -> Result<(), Failure> {
        let mark = self.snapshots.mark_of(snapshot).ok_or_else(|| failures::refused(Why::NoSnapshot, None))?;
        if self.machine.timeline().roles(mark).is_none_or(|roles| !roles.named) {
            return Err(Failure::new(
                Code::BadRequest,
                "this snapshot cannot be dropped",
                "the session keeps it by itself: for undo, for redo, or for the open transaction",
                "drop those that were asked for; others go when they are not needed any more",
            ));
        }
        self.feed(Event::DropMark(mark));
        Ok(())
    }

    /// Looks for the checkpoint of a restore. What runs is stopped only when it was found.
    fn look_up(&mut self, checkpoint: String, partial: bool, reply: Reply<Restored>) {
        let checkpoint_store = self.context.origin.checkpoint_store.clone();
        self.lookup = Some(Lookup { partial, reply, behind: VecDeque::new() });
        self.job(async move { Report::Found(checkpoint_store.find(&checkpoint).await) });
    }

    pub(super) fn checkpoint_found(&mut self, found: Result<Manifest, Failure>) {
        let Some(lookup) = self.lookup.take() else { return };
        match found {
            Ok(manifest) => {
                let request = RestoreRequest {
                    manifest: Arc::new(manifest),
                    partial: lookup.partial,
                    reason: "a client asked".to_owned(),
                    automatic: false,
                    missing: Vec::new(),
                };
                self.command(Command::Operate(Operation::Restore { request, reply: lookup.reply }));
            }
            Err(failure) => _ = lookup.reply.send(Err(failure)),
        }
        for command in lookup.behind {
            // Another restore among them may have to be looked for, too.
            self.command(command);
        }
    }

    pub(super) fn refusal(&self, refusal: Refusal) -> Failure {
        match refusal {
            Refusal::Closed => self.why_closed(),
            Refusal::Full => Failure::new(
                Code::TooMany,
                "too many requests wait in this session",
                "each waits for those before it",
                "wait for some to end, or raise the session's limit `queue`",
            ),
            Refusal::Lost => {
                let why = format!("its worker process {} while nothing ran", self.exit_in_words());
                match &self.told.came_back {
                    Some(back) => Failure::new(
                        Code::SessionLost,
                        "the session's last state was lost, and an earlier one is back",
                        format!("{why}. {back}"),
                        "do again what was undone, and send this once more",
                    ),
                    None => Failure::new(
                        Code::SessionLost,
                        "the session's state was lost",
                        why,
                        "the session goes on with a fresh namespace: build the state again, and send this once more",
                    ),
                }
            }
        }
    }
}
