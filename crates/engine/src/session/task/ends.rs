//! The ends of tasks, told to whoever asked.

use super::report::Report;
use super::state::SessionTask;
use crate::clock::Time;
use crate::session::durability::NOTING;
use crate::session::end_message::{Circumstances, EndReport, last_message};
use crate::session::failures;
use crate::session::life::{State, Token, Verdict, Why};
use crate::session::salvage;
use crate::session::tickets::{PendingExecution, Ticket};
use pyrepl3_protocol::message::Message;
use pyrepl3_protocol::{Code, Failure};

impl SessionTask {
    /// Tells a client how its task ended.
    pub(super) fn end(&mut self, token: Token, verdict: Verdict, state: State) {
        // The prompts of an execution's own thread were closed by the worker; those of other threads go on waiting.
        match self.tickets.remove(token) {
            // Who asked is gone with another supervisor. What came of it everybody is told.
            None if state == State::Undone => {
                if let Some(reverted) = self.snapshots.last.take() {
                    let reason = "a supervisor that has ended was asked for it".to_owned();
                    self.tell_session(Message::RolledBack(reverted.message(self.id(), None, reason)));
                }
            }
            None => {}
            Some(Ticket::Operate(operation)) => self.end_operation(*operation, verdict, state),
            Some(Ticket::Query(query)) => query.refuse(self.why_unanswered(verdict, state)),
            Some(Ticket::Execute(execution)) => match verdict {
                Verdict::Refused(why) => self.refuse_execution(*execution, why),
                _ => self.end_execution(*execution, verdict, state),
            },
        }
    }

    fn why_unanswered(&self, verdict: Verdict, state: State) -> Failure {
        match verdict {
            Verdict::Crashed | Verdict::Killed { .. } => {
                failures::died("the worker died while it answered", self.exit_in_words(), state)
            }
            Verdict::Closed | Verdict::Violation => self.why_closed(),
            _ => failures::stopped(),
        }
    }

    fn end_execution(&mut self, mut execution: PendingExecution, verdict: Verdict, state: State) {
        let mut reverted = (state == State::Undone).then(|| self.snapshots.last.take()).flatten();
        if let Some(reverted) = &mut reverted {
            salvage::tell(&execution, reverted);
        }
        if state == State::Kept && execution.started.is_some() {
            self.durability.clock.executed(Time::now());
        }
        let known = Circumstances {
            timeout: execution.request.timeout,
            grace: self.grace(),
            ran_for: execution.started.map(|at| at.until(Time::now())),
            execution_count: execution.count,
            exit: self.exit.as_ref(),
            severed: self.incarnation.was_severed(),
            state,
            undone: reverted.as_ref().map(|reverted| reverted.undone.clone()).unwrap_or_default(),
            salvaged: reverted
                .as_mut()
                .map(|reverted| std::mem::take(&mut reverted.salvaged_names))
                .unwrap_or_default(),
            report: reverted.map(|reverted| reverted.report),
            violation: (self.fault.as_ref())
                .filter(|fault| fault.code == Code::ProtocolError)
                .map(|fault| fault.why.as_str()),
        };
        let report = std::mem::replace(&mut execution.report, EndReport::None);
        let last = last_message(verdict, report, &known);
        if let Some(key) = execution.key {
            let ran = !matches!(verdict, Verdict::Cancelled | Verdict::CancelledByError);
            if ran {
                self.tickets.keys.end(key, &last);
            } else {
                self.tickets.keys.forget(key);
            }
        }
        // Whoever is told the end can rely on that the execution is noted.
        if let Some(journal) = self.durability.journal.as_ref().filter(|journal| !journal.is_written()) {
            let written = journal.written();
            return self.job(async move {
                // A disk that does not answer holds up no end for longer; a failure was told.
                _ = tokio::time::timeout(NOTING, written).await;
                Report::Noted { last: Box::new(last), execution: Box::new(execution) }
            });
        }
        self.finish_execution(last, execution);
    }

    /// Tells the end of an execution, to all who wait for it.
    pub(super) fn finish_execution(&mut self, last: Message, mut execution: PendingExecution) {
        for id in execution.repeats.drain(..) {
            self.tell_end(last.clone(), &id, true);
        }
        self.tell_end(last, &execution.id, false);
        for waiter in execution.stopped.drain(..) {
            _ = waiter.send(Ok(()));
        }
    }

    /// It never ran, as was found out when its turn had come.
    fn refuse_execution(&mut self, mut execution: PendingExecution, why: Why) {
        let failure = failures::refused(why, self.unfrozen.take());
        self.applied.take_back(execution.count);
        if let Some(key) = execution.key {
            self.tickets.keys.forget(key);
        }
        if let Some(refuse) = execution.refuse.take() {
            _ = refuse.send(failure.clone());
        }
        for id in execution.repeats.drain(..).chain([execution.id]) {
            self.log().end_execution(&id);
        }
        for waiter in execution.stopped.drain(..) {
            _ = waiter.send(Err(failure.clone()));
        }
    }

    /// The last message of an execution.
    pub(super) fn tell_end(&self, mut last: Message, execution: &str, is_replay: bool) {
        last.address(self.id(), Some(execution));
        match &mut last {
            Message::ResultMessage(end) => end.replayed = is_replay,
            Message::ErrorMessage(end) => end.replayed = is_replay,
            _ => {}
        }
        self.log().append(last);
    }
}
