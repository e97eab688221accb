//! A cursor on a log.

use super::cursor::{Filter, Origin, ReaderId, Take};
use super::event::Event;
use super::event_log::EventLog;
use super::journal::PastReader;
use crate::messages;
use pyrepl3_protocol::Message;
use pyrepl3_store::Error;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Mutex, Notify};

/// Reads a log at its own pace. Dropped, it holds nobody up.
#[derive(Debug)]
pub(crate) struct Reader {
    log: Arc<EventLog>,
    id: u64,
    arrived: Arc<Notify>,
    filter: Filter,
    past: Mutex<Past>,
}

/// What comes from the journal.
#[derive(Debug, Default)]
struct Past {
    /// None while it is in use, and where there is none yet.
    reader: Option<PastReader>,
    events: VecDeque<Event>,
    /// The number of the last event that was read there.
    read_to: u64,
    /// The execution that is read has ended.
    is_over: bool,
}

/// A reader of the journal, and what it has read: each event with whether it is a note in the place of some.
type PastRead = (PastReader, Vec<(Event, bool)>);

impl Past {
    /// What was read.
    fn put(&mut self, filter: &Filter, read: Result<PastRead, Error>, until: u64, session: &str) {
        match read {
            Ok((reader, events)) => {
                self.read_to = events.last().and_then(|(event, _)| event.seq()).unwrap_or(until);
                // What stands in the place of events that are gone is for everybody.
                let fitting = events.into_iter().filter(|(event, is_note)| *is_note || filter.fits(event));
                self.events.extend(fitting.map(|(event, _)| event));
                self.reader = Some(reader);
            }
            Err(error) => {
                let text = format!("events up to number {until} cannot be read: {error}");
                self.events.push_back(Event::new(Message::Warning(messages::warning(session, text))));
                (self.read_to, self.reader) = (until, None);
            }
        }
    }

    /// The next event of those that were read.
    fn pop(&mut self, filter: &Filter) -> Option<Event> {
        let event = self.events.pop_front()?;
        // Who reads everything only hands it on: it is not looked into for them.
        let one = matches!(filter, Filter::Execution(_));
        if one && matches!(*event, Message::ResultMessage(_) | Message::ErrorMessage(_)) {
            self.is_over = true;
        }
        Some(event)
    }
}

fn read(
    reader: Option<PastReader>,
    session: &str,
    directory: &std::path::Path,
    after: u64,
    until: u64,
) -> Result<PastRead, Error> {
    let mut reader = match reader {
        Some(reader) => reader,
        None => PastReader::new(session, directory, after)?,
    };
    let events = reader.next(until)?;
    Ok((reader, events))
}

impl Reader {
    pub(crate) fn new(log: &Arc<EventLog>, filter: Filter, from: Origin) -> Reader {
        let (id, arrived) = log.attach(filter.clone(), from);
        Reader { log: log.clone(), id, arrived, filter, past: Mutex::default() }
    }

    /// A reader of an execution that is about to be asked for. Its number is what the log accepts or refuses it by.
    pub(crate) fn pending(log: &Arc<EventLog>, execution: &str) -> Reader {
        let (id, arrived) = log.attach_pending(execution);
        let filter = Filter::Execution(execution.to_owned());
        Reader { log: log.clone(), id, arrived, filter, past: Mutex::default() }
    }

    pub(crate) fn id(&self) -> ReaderId {
        self.id
    }

    /// The next event; None after the last one. Cancel-safe: an event is taken when it is returned.
    pub(crate) async fn next(&self) -> Option<Event> {
        loop {
            let mut past = self.past.lock().await;
            match self.step(&mut past) {
                Step::Done(event) => return event,
                Step::Wait => {
                    drop(past);
                    self.arrived.notified().await;
                }
                Step::Read { session, directory, after, until } => {
                    let (reader, name) = (past.reader.take(), session.clone());
                    let reading = tokio::task::spawn_blocking(move || read(reader, &name, &directory, after, until));
                    let read = reading.await.unwrap_or_else(|error| Err(Error::Misuse(error.to_string())));
                    past.put(&self.filter, read, until, &session);
                }
            }
        }
    }

    /// The next event if one is there: None when there is none, `Some(None)` after the last one. May read a file.
    pub(crate) fn try_next(&self) -> Option<Option<Event>> {
        let mut past = self.past.try_lock().ok()?;
        loop {
            match self.step(&mut past) {
                Step::Done(event) => return Some(event),
                Step::Wait => return None,
                Step::Read { session, directory, after, until } => {
                    let read = read(past.reader.take(), &session, &directory, after, until);
                    past.put(&self.filter, read, until, &session);
                }
            }
        }
    }

    fn step(&self, past: &mut Past) -> Step {
        if past.is_over {
            return Step::Done(None);
        }
        if let Some(event) = past.pop(&self.filter) {
            self.log.passed(self.id, event.seq());
            return Step::Done(Some(event));
        }
        loop {
            match self.log.take(self.id) {
                Take::Event(event) => return Step::Done(Some(event)),
                Take::End => return Step::Done(None),
                Take::Nothing => return Step::Wait,
                Take::Behind { after, until } => {
                    let after = after.max(past.read_to);
                    if after < until {
                        let Some((session, directory)) = self.log.past() else { return Step::Done(None) };
                        return Step::Read { session, directory, after, until };
                    }
                    past.reader = None;
                    if !self.log.has_read(self.id, after) {
                        return Step::Wait;
                    }
                }
            }
        }
    }
}

/// What a reader does next.
enum Step {
    Done(Option<Event>),
    Wait,
    Read { session: String, directory: PathBuf, after: u64, until: u64 },
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.log.detach(self.id);
    }
}
