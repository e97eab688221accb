//! Questions. One that comes while code runs need not wait for its end where there is a snapshot of the state before:
//!
//! ```text
//! the frozen process is there ─► it forks one that answers ─► a job asks that, and answers ─► AnswererEnded
//! ```
//!
//! No mark is held for it: what answers does not need the process that it was forked from.

use super::report::{NewAnswerer, Report};
use super::run::QUERY_LIMIT;
use super::state::{SessionTask, Then};
use crate::clock::Time;
use crate::session::answerer::Answerer;
use crate::session::life::{Task, TaskKind};
use crate::session::mailbox::Query;
use crate::session::snapshots::Awaited;
use crate::session::tickets::Ticket;
use crate::session::timeline::Mark;
use pyrepl3_native::wake;
use std::io;
use tokio::sync::oneshot;

impl SessionTask {
    pub(super) fn query(&mut self, query: Query) {
        let Some(mark) = self.mark_before_what_runs() else { return self.query_in_turn(query) };
        let Some(number) = self.answerers.reserve() else { return self.query_in_turn(query) };
        self.snapshots.wait(Awaited::Confirm(mark, Then::Ask(number, query)));
        self.go_on_with_snapshots();
    }

    /// It is known whether the frozen process is there.
    pub(super) fn ask_confirmed(&mut self, mark: Mark, number: u64, query: Query) {
        // What ran may have ended meanwhile: the worker tells more.
        let is_before = self.mark_before_what_runs() == Some(mark);
        match self.fork_answerer(mark) {
            Ok((answerer, as_of)) if is_before => self.ask(answerer, as_of, number, query),
            _ => self.not_asked(number, query),
        }
    }

    fn fork_answerer(&self, mark: Mark) -> io::Result<(Answerer, u64)> {
        let gone = || io::Error::other("the process of the snapshot has ended");
        let frozen = self.snapshots.get(mark).filter(|frozen| frozen.process().is_some()).ok_or_else(gone)?;
        // User code may have stopped it.
        frozen.resume();
        let (answerer, theirs) = Answerer::new()?;
        frozen.send(wake::Request::Answer, &[theirs])?;
        Ok((answerer, frozen.applied.last().unwrap_or(0)))
    }

    fn ask(&mut self, answerer: Answerer, as_of: u64, number: u64, query: Query) {
        let reporter = self.reporter.clone();
        let job = tokio::spawn(async move {
            let born = |pidfd| {
                let (go_on, known) = oneshot::channel();
                _ = reporter.send(Report::AnswererBorn(NewAnswerer { number, pidfd, go_on }));
                known
            };
            let unasked = answerer.answer(query, as_of, born).await;
            _ = reporter.send(Report::AnswererEnded { number, unasked });
        });
        self.answerers.begun(number, job.abort_handle());
    }

    pub(super) fn answerer_born(&mut self, born: NewAnswerer) {
        self.answerers.born(born.number, born.pidfd, born.go_on);
    }

    /// Those that have come are asked. Not in the middle of a return, whose sweep may not have been told of them: it leaves
    /// them alone as long as they only wait.
    pub(super) fn go_on_with_answers(&mut self) {
        if self.snapshots.reverting.is_none() {
            self.answerers.go_on();
        }
    }

    pub(super) fn answerer_ended(&mut self, number: u64, unasked: Option<Query>) {
        match unasked {
            Some(query) => self.not_asked(number, query),
            None => self.answerers.ended(number),
        }
    }

    /// There is nobody else to ask: the worker, in its turn.
    fn not_asked(&mut self, number: u64, query: Query) {
        self.answerers.ended(number);
        self.query_in_turn(query);
    }

    fn query_in_turn(&mut self, query: Query) {
        let token = self.tickets.token();
        let task = Task { timeout: Some(QUERY_LIMIT), ..Task::new(token, TaskKind::Query) };
        match self.machine.submit(task, Time::now()) {
            Ok(actions) => {
                self.tickets.insert(token, Ticket::Query(query));
                self.perform(actions);
            }
            Err(refusal) => query.refuse(self.refusal(refusal)),
        }
    }
}
