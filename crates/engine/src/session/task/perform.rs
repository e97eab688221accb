//! What the session's machine decides, done.

use super::state::SessionTask;
use crate::clock::Time;
use crate::messages;
use crate::session::applied::Applied;
use crate::session::life::{Action, Token};
use crate::session::mailbox::Operation;
use crate::session::tickets::Ticket;
use crate::session::timeline::Mark;
use pyrepl3_protocol::message::Message;
use pyrepl3_protocol::worker::Request;
use std::time::Instant;

impl SessionTask {
    /// Does what was decided, and what follows from it. What happens on the way is taken afterwards.
    pub(super) fn perform(&mut self, actions: Vec<Action>) {
        self.todo.extend(actions);
        if std::mem::replace(&mut self.performing, true) {
            return;
        }
        loop {
            if self.is_released() {
                // Another supervisor does what is left.
                break;
            } else if let Some(action) = self.todo.pop_front() {
                self.act(action);
            } else if let Some(event) = self.later.pop_front() {
                let actions = self.machine.handle(event, Time::now());
                self.todo.extend(actions);
            } else {
                break;
            }
        }
        self.performing = false;
    }

    fn act(&mut self, action: Action) {
        let ends_processes = matches!(action, Action::Drop(_) | Action::Evict(_) | Action::Teardown);
        if ends_processes && !self.intend(&action) {
            return;
        }
        match action {
            Action::Send(token, mark) => self.send(token, mark),
            Action::Branch(token) => self.ask_for_splitter(token),
            Action::Split(token) => self.split(token),
            Action::Revert { mark, keep, discard } => self.plan_revert(mark, keep, discard),
            Action::Drop(marks) => marks.into_iter().for_each(|mark| _ = self.drop_frozen(mark)),
            Action::Evict(marks) => self.evict(&marks),
            Action::NoUndo => self.warn_of_no_undo(
                "the session has as many snapshots as its limit allows, and every one is needed",
                "drop snapshots, end the transaction, or raise the limit `snapshots`",
            ),
            Action::CameBack(cause) => self.came_back(cause),
            Action::Interrupt(token) => {
                self.tell_worker(&Request::Interrupt { id: token });
                if let Some(process) = &self.worker.process {
                    process.interrupt();
                }
            }
            Action::Kill => {
                self.incarnation.killed();
                self.kill_worker();
            }
            Action::End(token, verdict, state) => self.end(token, verdict, state),
            Action::Lost { running } => self.lost(running),
            Action::Respawn => self.respawn(),
            Action::Teardown => self.tear_down(),
        }
    }

    fn send(&mut self, token: Token, mark: Option<Mark>) {
        debug_assert_eq!(self.machine.current(), Some(token));
        self.drain_as_session();
        self.incarnation.begin_task();
        // The first thing that it prints is told at once.
        self.pace = None;
        self.transmit(token, mark);
    }

    /// Gives a task to the worker; once more where another supervisor had done so, and it did not arrive.
    pub(super) fn transmit(&mut self, token: Token, mark: Option<Mark>) {
        let name = match self.tickets.operation_mut(token).map(|pending| &pending.operation) {
            Some(Operation::Snapshot { name, .. }) => name.clone(),
            _ => None,
        };
        let wake = match mark {
            None => None,
            Some(mark) => match self.freeze(token, mark, name) {
                Some(wake) => Some(wake),
                None if self.machine.mark_is_optional() => None,
                None => return,
            },
        };
        match self.tickets.get_mut(token) {
            None => return,
            Some(Ticket::Execute(_)) => self.begin_execution(token),
            Some(Ticket::Query(_)) => {}
            Some(Ticket::Operate(pending)) => {
                pending.sent = Some(Instant::now());
                pending.mark = mark;
                if let Some(frozen) = mark.and_then(|mark| self.snapshots.get_mut(mark)) {
                    let operation = &pending.operation;
                    frozen.redo = matches!(operation, Operation::Undo { .. });
                    frozen.asked_for = matches!(operation, Operation::Snapshot { .. } | Operation::Savepoint { .. });
                }
            }
        }
        self.gives_next_request();
        if !self.write_down() {
            return;
        }
        let mark = mark.filter(|_| wake.is_some());
        let sent = match self.tickets.get_mut(token) {
            None => return,
            Some(Ticket::Execute(_)) => self.send_execution(token, mark, wake),
            Some(Ticket::Query(query)) => self.worker.control.send(&query.request(token), None, Vec::new()),
            Some(Ticket::Operate(pending)) => match (&pending.operation, wake) {
                (Operation::Restore { .. }, Some(wake)) => self.send_restore(token, mark, wake),
                (operation, Some(wake)) => {
                    let track = matches!(operation, Operation::Checkpoint { .. });
                    self.worker.control.send(&Request::Freeze { id: token, fds: 1, track }, mark, vec![wake])
                }
                (Operation::Checkpoint { .. }, None) => self.send_save(token),
                (_, None) => Ok(()),
            },
        };
        if let Err(error) = sent {
            self.lost_touch(&error);
        }
    }

    fn lost(&mut self, running: bool) {
        let how = self.exit.as_ref().map_or_else(|| "ended".to_owned(), ToString::to_string);
        let when = if running { "while code ran" } else { "while nothing ran" };
        let reason =
            format!("the worker process {how} {when}; its namespace is gone, and the session goes on with a fresh one");
        let message = messages::session_lost(self.id(), reason, self.exit.clone(), true);
        self.tell_session(Message::SessionLost(message));
        self.told.came_back = None;
        if !self.plan_recovery() {
            self.applied = Applied::default();
        }
        self.snapshots.untold.clear();
        self.tickets.prompts.clear();
    }
}
