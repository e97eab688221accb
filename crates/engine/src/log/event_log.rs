//! The log itself: who has something to say appends to it, any number of readers take from it.

use super::backlog::Backlog;
use super::cursor::{Cursor, Filter, Origin, ReaderId, Take};
use super::event::Event;
use super::journal::Journal;
use super::retained::{Retained, Retention, output_bytes};
use crate::messages;
use pyrepl3_protocol::Message;
use pyrepl3_protocol::message::{Overflow, Stream};
use pyrepl3_store::Error;
use pyrepl3_store::faults::{self, Plant};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Bytes that a reader may be behind before the code that prints is slowed down, or output is left out.
pub(crate) const WINDOW: usize = 1 << 20;
/// Bytes of output that may wait where the session must go on reading, because its code is being stopped.
const LIMIT: usize = 16 << 20;

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) last: u64,
    pub(super) retained: Retained,
    pub(super) cursors: HashMap<ReaderId, Cursor>,
    /// Who reads an execution, so that many waiting executions cost nothing.
    executions: HashMap<String, Vec<ReaderId>>,
    /// Who reads more than one execution.
    wide: Vec<ReaderId>,
    next_reader: ReaderId,
    /// Output of either stream that was left out and is told with the next.
    dropped: [u64; 2],
    closed: bool,
    /// Whether it was closed because the session goes on elsewhere.
    left: bool,
    pub(super) journal: Option<Journal>,
    /// What could not be written down: nobody gets it before it is.
    pub(super) unwritten: VecDeque<Message>,
    /// Whether output could not be kept when it was last tried.
    pub(super) troubled: bool,
}

/// The log of one session.
#[derive(Debug)]
pub(crate) struct EventLog {
    pub(super) session: String,
    /// The number of the last event that was there before this log was opened.
    begins_after: u64,
    overflow: Overflow,
    retention: Retention,
    inner: Mutex<Inner>,
    /// Wakes the session's task when a reader has caught up.
    room: Notify,
}

impl Inner {
    fn new(session: &str, retention: Retention, last: u64, journal: Option<Journal>) -> Self {
        Inner {
            last,
            retained: Retained::new(session, retention, last + 1),
            journal,
            unwritten: VecDeque::new(),
            troubled: false,
            cursors: HashMap::new(),
            executions: HashMap::new(),
            wide: Vec::new(),
            next_reader: 1,
            dropped: [0, 0],
            closed: false,
            left: false,
        }
    }

    /// A cursor that gets nothing yet but what it begins with.
    fn add_cursor(&mut self, filter: Filter, backlog: Backlog) -> (ReaderId, Arc<Notify>) {
        let id = self.next_reader;
        self.next_reader += 1;
        let arrived = Arc::new(Notify::new());
        let (ended, taken) = (self.closed, self.last);
        self.cursors.insert(id, Cursor { filter, backlog, arrived: arrived.clone(), ended, taken, behind: false });
        (id, arrived)
    }

    /// Who gets what belongs to an execution, or to none.
    fn addressees(&self, execution: Option<&str>) -> impl Iterator<Item = ReaderId> + '_ {
        let narrow = execution.and_then(|execution| self.executions.get(execution));
        let in_session = execution.is_none();
        let wide = self
            .wide
            .iter()
            .filter(move |id| in_session || self.cursors.get(id).is_some_and(|cursor| cursor.filter == Filter::All));
        narrow.into_iter().flatten().chain(wide).copied()
    }

    fn backlog(&self, execution: Option<&str>, of: fn(&Backlog) -> usize) -> usize {
        let backlogs = self.addressees(execution).filter_map(|id| self.cursors.get(&id));
        backlogs.map(|cursor| of(&cursor.backlog)).max().unwrap_or(0)
    }

    fn append(&mut self, message: Message) {
        self.unwritten.push_back(message);
        _ = self.write();
    }

    /// Writes down what waits for that, and gives it out. An error leaves it waiting.
    pub(super) fn write(&mut self) -> Result<(), Error> {
        while let Some(message) = self.unwritten.front_mut() {
            message.set_seq(self.last + u64::from(!faults::happens(Plant::ReuseNumber)));
            if let Some(journal) = &mut self.journal {
                journal.append(message)?;
            }
            self.last += 1;
            if let Some(message) = self.unwritten.pop_front() {
                self.deliver(message);
            }
        }
        Ok(())
    }

    /// The last event that anybody may get.
    fn released(&self) -> u64 {
        self.journal.as_ref().map_or(u64::MAX, Journal::released)
    }

    fn deliver(&mut self, message: Message) {
        let weight = message.weight();
        let ends = matches!(message, Message::ResultMessage(_) | Message::ErrorMessage(_));
        let execution = message.execution_id().map(str::to_owned);
        let event = Event::new(message);
        let readers: Vec<ReaderId> = self.addressees(execution.as_deref()).collect();
        for id in readers {
            if let Some(cursor) = self.cursors.get_mut(&id) {
                if !cursor.behind {
                    cursor.backlog.push(event.clone(), weight);
                }
                if self.journal.is_some() && cursor.backlog.bytes() > WINDOW {
                    (cursor.backlog, cursor.behind) = (Backlog::default(), true);
                }
                cursor.ended |= ends && matches!(cursor.filter, Filter::Execution(_));
                cursor.arrived.notify_one();
            }
        }
        self.retained.push(event, weight);
        if ends && let Some(execution) = execution {
            self.executions.remove(&execution);
        }
    }

    /// Readers get what they have not taken yet, and nothing more.
    fn end_all(&mut self) {
        for cursor in self.cursors.values_mut() {
            cursor.end();
        }
    }

    /// What was left out and not told yet becomes an event of its own.
    fn tell_dropped(&mut self, session: &str, execution: Option<&str>) {
        for (index, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
            let dropped = std::mem::take(&mut self.dropped[index]);
            if dropped > 0 {
                let mut note = Message::OutputMessage(messages::output(stream, String::new(), None));
                note.address(session, execution);
                if let Message::OutputMessage(note) = &mut note {
                    note.dropped = dropped;
                }
                self.append(note);
            }
        }
    }
}

fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

impl EventLog {
    /// `last`: the number after which events begin; that of the journal's last one, where there is one.
    pub(crate) fn new(
        session: &str,
        overflow: Overflow,
        retention: Retention,
        last: u64,
        journal: Option<Journal>,
    ) -> Arc<Self> {
        let last = journal.as_ref().map_or(last, Journal::last);
        Arc::new(EventLog {
            session: session.to_owned(),
            begins_after: last,
            overflow,
            retention: Retention { whole: journal.is_some(), ..retention },
            inner: Mutex::new(Inner::new(session, Retention { whole: journal.is_some(), ..retention }, last, journal)),
            room: Notify::new(),
        })
    }

    /// The number of the last event that was there before this log was opened.
    pub(crate) fn begins_after(&self) -> u64 {
        self.begins_after
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves a log that is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a message that says what it belongs to. Output is left out where whoever reads it is too far behind; the
    /// next output says how much. Where there is a journal nothing is left out: who is behind reads that.
    pub(crate) fn append(self: &Arc<Self>, mut message: Message) {
        let mut inner = self.lock();
        if inner.closed {
            return;
        }
        if let Some(journal) = &mut inner.journal {
            if journal.recall(&message).is_none() {
                inner.append(message);
                self.sync(&mut inner);
            }
            return;
        }
        let execution = message.execution_id();
        match &message {
            Message::OutputMessage(_) | Message::DisplayMessage(_) => {
                let limit = if self.overflow == Overflow::Shed { WINDOW } else { LIMIT };
                let waits = inner.backlog(execution, Backlog::output);
                let stream = match &message {
                    Message::OutputMessage(output) => index(output.stream),
                    _ => 0,
                };
                // One that is larger than the limit has to have its turn, too.
                if waits > 0 && waits + message.weight() > limit {
                    inner.dropped[stream] += output_bytes(&message);
                    return;
                }
                if let Message::OutputMessage(output) = &mut message {
                    output.dropped += std::mem::take(&mut inner.dropped[stream]);
                }
            }
            Message::ResultMessage(_) | Message::ErrorMessage(_) => {
                let execution = execution.map(str::to_owned);
                inner.tell_dropped(&self.session, execution.as_deref());
            }
            _ => {}
        }
        inner.append(message);
    }

    /// Whether the session's task should read no more of what belongs to an execution, or to none, until somebody has
    /// caught up.
    pub(crate) fn is_full(&self, execution: Option<&str>) -> bool {
        let inner = self.lock();
        match inner.journal {
            Some(_) => inner.troubled || !inner.unwritten.is_empty(),
            None => self.overflow == Overflow::Slow && inner.backlog(execution, Backlog::bytes) >= WINDOW,
        }
    }

    /// Waits until a reader has caught up.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    /// A reader. One of an execution is to be made before the execution can say anything.
    pub(super) fn attach(&self, filter: Filter, from: Origin) -> (ReaderId, Arc<Notify>) {
        let mut inner = self.lock();
        let mut backlog = Backlog::default();
        let after = match from {
            Origin::Now => inner.last,
            Origin::Earliest => 0,
            Origin::After(seq) => seq,
        };
        let fits = |event: &Event| filter.fits(event);
        let behind = inner.journal.is_some() && after.saturating_add(1) < inner.retained.earliest();
        if after < inner.last && !behind {
            for event in inner.retained.after(after).filter(fits) {
                let weight = event.weight();
                backlog.push(event, weight);
            }
        }
        let of = if let Filter::Execution(execution) = &filter { Some(execution.clone()) } else { None };
        let (id, arrived) = inner.add_cursor(filter, backlog);
        if let Some(cursor) = inner.cursors.get_mut(&id) {
            (cursor.taken, cursor.behind) = (after, behind);
        }
        match of {
            Some(execution) => inner.executions.entry(execution).or_default().push(id),
            None => inner.wide.push(id),
        }
        (id, arrived)
    }

    pub(super) fn detach(&self, id: ReaderId) {
        let mut inner = self.lock();
        if let Some(cursor) = inner.cursors.remove(&id) {
            match &cursor.filter {
                Filter::Execution(execution) => {
                    if let Some(readers) = inner.executions.get_mut(execution) {
                        readers.retain(|one| *one != id);
                        if readers.is_empty() {
                            inner.executions.remove(execution);
                        }
                    }
                }
                Filter::All | Filter::Session => inner.wide.retain(|one| *one != id),
            }
        }
        drop(inner);
        self.room.notify_one();
    }

    /// The next event of a reader without waiting.
    pub(super) fn take(&self, id: ReaderId) -> Take {
        let mut inner = self.lock();
        let (released, last) = (inner.released(), inner.last);
        let Some(cursor) = inner.cursors.get_mut(&id) else { return Take::End };
        if cursor.behind {
            return Take::Behind { after: cursor.taken, until: last.min(released) };
        }
        if cursor.backlog.next_seq().is_some_and(|seq| seq > released) {
            return Take::Nothing;
        }
        let before = cursor.backlog.bytes();
        let event = match cursor.backlog.pop() {
            Some(Ok(event)) => {
                cursor.taken = event.seq().unwrap_or(cursor.taken);
                event
            }
            Some(Err((events, bytes))) => {
                let text = format!(
                    "{events} events ({bytes} bytes) were left out here, because nobody read this session's events in time"
                );
                Event::new(Message::Warning(messages::warning(&self.session, text)))
            }
            None if cursor.ended => return Take::End,
            None => return Take::Nothing,
        };
        let made_room = before >= WINDOW && cursor.backlog.bytes() < WINDOW;
        drop(inner);
        if made_room {
            self.room.notify_one();
        }
        Take::Event(event)
    }

    /// A reader that is behind has all events up to a number that it may have. It goes on with those in memory, where they have the
    /// next one; False where they have not, and nothing more is to be had now.
    pub(super) fn has_read(&self, id: ReaderId, up_to: u64) -> bool {
        let mut inner = self.lock();
        let Inner { retained, cursors, last, .. } = &mut *inner;
        let Some(cursor) = cursors.get_mut(&id).filter(|cursor| cursor.behind) else { return true };
        cursor.taken = cursor.taken.max(up_to);
        if cursor.taken < *last && cursor.taken + 1 < retained.earliest() {
            return false;
        }
        cursor.behind = false;
        for event in retained.after(cursor.taken).filter(|event| cursor.filter.fits(event)) {
            let weight = event.weight();
            cursor.backlog.push(event, weight);
        }
        true
    }

    /// A reader that is behind has been given an event of the journal.
    pub(super) fn passed(&self, id: ReaderId, seq: Option<u64>) {
        if let Some(cursor) = self.lock().cursors.get_mut(&id)
            && let Some(seq) = seq
        {
            cursor.taken = cursor.taken.max(seq);
        }
    }

    /// Where the events are that memory does not have; None where there is no journal.
    pub(super) fn past(&self) -> Option<(String, PathBuf)> {
        let directory = self.lock().journal.as_ref()?.directory();
        Some((self.session.clone(), directory))
    }

    /// A reader of an execution that was not taken yet: it gets nothing before [`EventLog::accept`].
    pub(super) fn attach_pending(&self, execution: &str) -> (ReaderId, Arc<Notify>) {
        self.lock().add_cursor(Filter::Execution(execution.to_owned()), Backlog::default())
    }

    /// The execution of a reader was taken: the reader gets what it has to say from now on.
    pub(crate) fn accept(&self, reader: ReaderId) {
        let mut inner = self.lock();
        if let Some(Cursor { filter: Filter::Execution(execution), ended: false, .. }) = inner.cursors.get(&reader) {
            let execution = execution.clone();
            inner.executions.entry(execution).or_default().push(reader);
        }
    }

    /// The execution of a reader was not taken: it gets nothing, and others that read one of the same name go on.
    pub(crate) fn refuse(&self, reader: ReaderId) {
        let mut inner = self.lock();
        if let Some(cursor) = inner.cursors.get_mut(&reader) {
            cursor.end();
        }
    }

    /// An execution that has no end, because it never ran: whoever reads it gets nothing more.
    pub(crate) fn end_execution(&self, execution: &str) {
        let mut inner = self.lock();
        for id in inner.executions.remove(execution).unwrap_or_default() {
            if let Some(cursor) = inner.cursors.get_mut(&id) {
                cursor.end();
            }
        }
    }

    /// The session has ended: `last` is its last event, if there is one.
    pub(crate) fn close(&self, last: Option<Message>) {
        let mut inner = self.lock();
        if inner.closed {
            return;
        }
        inner.tell_dropped(&self.session, None);
        if let Some(last) = last {
            inner.append(last);
        }
        inner.closed = true;
        inner.end_all();
    }

    /// The session goes on elsewhere: whoever reads gets what is there, and nothing is written down here any more.
    pub(crate) fn leave(&self) {
        let mut inner = self.lock();
        inner.unwritten.clear();
        (inner.closed, inner.left) = (true, true);
        inner.end_all();
    }

    /// Whether the session goes on elsewhere.
    pub(crate) fn is_left(&self) -> bool {
        self.lock().left
    }

    /// The session is another borrower's from now on: whoever reads gets nothing more, and numbers begin at 1.
    pub(crate) fn begin_anew(&self) {
        let mut inner = self.lock();
        if inner.closed {
            return;
        }
        inner.end_all();
        inner.last = 0;
        inner.dropped = [0, 0];
        inner.retained = Retained::new(&self.session, self.retention, 1);
        inner.wide.clear();
        inner.executions.clear();
        drop(inner);
        self.room.notify_one();
    }

    /// The earliest number that a reader can still get, and the last one; the earliest is one more where there is none.
    pub(crate) fn bounds(&self) -> (u64, u64) {
        let inner = self.lock();
        let earliest = inner.journal.as_ref().map_or(inner.retained.earliest(), |journal| journal.cut().last + 1);
        (earliest, inner.last)
    }
}
