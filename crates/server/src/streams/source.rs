//! Where the events of a stream come from.

use crate::http::problem::Problem;
use crate::sessions::executions::ExecutionRecord;
use crate::sessions::submit;
use pyrepl3_engine::protocol::message::Message;
use pyrepl3_engine::{Event, Events, Execution, Failure, History, Session};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Events, one after the other.
#[derive(Debug)]
pub(crate) enum Source {
    /// Of a session, as they come.
    Session(Events),
    /// Of a session, those that are there: up to a number.
    Present { events: Events, last: u64 },
    /// Of one execution that was asked for before: what is kept of it, and what comes, to its end.
    Known { events: Events, execution: String },
    /// Of a session that is not there any more: what is kept of it.
    Past(Past),
    /// Of one execution, to its end.
    Execution(Option<Execution>, Option<Arc<ExecutionRecord>>),
}

/// A history, and what was read of it.
type Read = (History, Result<Vec<Event>, Failure>);

/// What a session has said that is not there any more.
#[derive(Debug)]
pub(crate) struct Past {
    read: VecDeque<Event>,
    /// Who reads more; None once all was read.
    reading: Option<JoinHandle<Read>>,
}

impl Past {
    pub(crate) fn new(history: History) -> Past {
        Past { read: VecDeque::new(), reading: Some(Past::read_more(history)) }
    }

    fn read_more(mut history: History) -> JoinHandle<Read> {
        tokio::task::spawn_blocking(move || {
            let read = history.next();
            (history, read)
        })
    }

    async fn next(&mut self) -> Option<Event> {
        while self.read.is_empty() {
            let (history, read) = match self.reading.as_mut()?.await {
                Ok(read) => read,
                Err(error) => {
                    tracing::error!(%error, "what a session has said could not be read");
                    self.reading = None;
                    return None;
                }
            };
            self.reading = match read {
                Ok(events) if events.is_empty() => None,
                Ok(events) => {
                    self.read.extend(events);
                    Some(Past::read_more(history))
                }
                Err(failure) => {
                    tracing::error!(why = %failure, "what a session has said could not be read");
                    None
                }
            };
        }
        self.read.pop_front()
    }
}

impl Source {
    /// What is kept of an execution that was asked for before, and what comes.
    ///
    /// # Errors
    /// `gone` where its first events are not kept any more.
    pub(crate) fn of_execution(session: &Session, record: &ExecutionRecord) -> Result<Source, Problem> {
        let events = session.follow(Some(record.seq().saturating_sub(1))).map_err(|failure| {
            let (earliest, last) = session.event_numbers();
            Problem::from(failure).with_events(earliest, last, session.lost_bytes())
        })?;
        Ok(Source::Known { events, execution: record.id.clone() })
    }

    /// The next one; None after the last. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        match self {
            Source::Session(events) | Source::Known { events, .. } => events.next().await,
            Source::Present { events, .. } => events.try_next(),
            Source::Past(past) => past.next().await,
            Source::Execution(execution, _) => execution.as_mut()?.next().await,
        }
    }

    /// The next one, if it is there already.
    pub(crate) fn try_next(&mut self) -> Option<Event> {
        match self {
            Source::Session(events) | Source::Present { events, .. } => events.try_next(),
            Source::Known { events, .. } => events.try_next(),
            Source::Past(past) => past.read.pop_front(),
            Source::Execution(..) => None,
        }
    }

    /// Whether an event belongs into this stream.
    pub(crate) fn wants(&self, event: &Event) -> bool {
        match self {
            Source::Known { execution, .. } => event.execution_id() == Some(execution),
            _ => true,
        }
    }

    /// Whether nothing comes after this event.
    pub(crate) fn ends_with(&self, event: &Event) -> bool {
        match self {
            Source::Present { last, .. } => event.seq().is_some_and(|seq| seq >= *last),
            Source::Known { .. } => {
                self.wants(event) && matches!(**event, Message::ResultMessage(_) | Message::ErrorMessage(_))
            }
            _ => false,
        }
    }

    /// Why nothing more comes.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Source::Session(_) | Source::Past(_) => "session_ended",
            Source::Present { .. } => "caught_up",
            Source::Known { .. } => "execution_ended",
            Source::Execution(execution, _) => {
                let refused = execution.as_ref().is_some_and(|execution| execution.refusal().is_some());
                if refused { "execution_refused" } else { "execution_ended" }
            }
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // Whether it was refused is of interest to who asks for it later.
        if let Source::Execution(execution, record) = self
            && let Some(execution) = execution.take()
        {
            match (execution.refusal(), record.take()) {
                (Some(failure), Some(record)) => record.refuse(failure.clone()),
                (_, record) => drop(submit::follow(record, execution)),
            }
        }
    }
}
