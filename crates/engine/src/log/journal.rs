//! The log's part that outlives this process: events go into a journal before anybody gets them.

use super::event::Event;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pyrepl3_protocol::Message;
use pyrepl3_protocol::message as wire;
use pyrepl3_store::Error;
use pyrepl3_store::journal::{Cut, Entry, Limits, Reader, Stream, Unsynced, Writer, directory};
use rustix::fd::BorrowedFd;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

/// When an event counts as told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it is in the system's hands: it survives this process.
    #[default]
    Process,
    /// That an execution was taken, and its end, when they are on the disk: they survive the machine. Output follows with the next of them.
    Machine,
}

/// How the sessions of an engine keep their events.
#[derive(Debug, Clone)]
pub(crate) struct Journalling {
    /// The data directory.
    pub(crate) data: PathBuf,
    pub(crate) durability: Durability,
    pub(crate) limits: Limits,
}

impl Journalling {
    /// Opens a session's journal, or begins it. `told`: what the supervisor before this one has noted, where there was one: what it told
    /// after that is known when it comes again.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) async fn open(&self, session: &str, told: Option<Told>) -> io::Result<Journal> {
        let (this, session) = (self.clone(), session.to_owned());
        let opening = tokio::task::spawn_blocking(move || {
            let directory = directory(&this.data, &session)?;
            let (mut writer, untold) = Writer::open(&directory, this.limits).map_err(io::Error::other)?;
            if this.durability == Durability::Machine {
                // What another process has appended and nobody was told yet is told by this one.
                writer.unsynced().and_then(Unsynced::sync).map_err(io::Error::other)?;
            }
            if let Some((path, bytes)) = untold.torn {
                tracing::warn!(session, bytes, path = %path.display(), "the end of a journal was not whole");
            }
            let mut journal = Journal::new(writer, this.durability);
            if let Some(told) = told {
                journal.remember(&told).map_err(io::Error::other)?;
            }
            Ok(journal)
        });
        opening.await.map_err(io::Error::other)?
    }
}

/// A session's journal, as its log has it.
#[derive(Debug)]
pub(crate) struct Journal {
    writer: Writer,
    durability: Durability,
    /// Events that the supervisor before this one has told, and may not have noted what led to them: they are not told again.
    known: VecDeque<Message>,
    /// Numbers of events that nobody gets before they are on the disk, the oldest first.
    unsynced: VecDeque<u64>,
    is_syncing: bool,
}

/// What had been told when a supervisor wrote its note: all up to an event, but for what it had from the one before it and has not come again
/// yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) last: u64,
    #[serde(default)]
    pub(crate) unexplained: Vec<u64>,
}

/// So many can be noted.
const MOST_UNEXPLAINED: usize = 1000;

/// What is to be brought onto the disk, and the last event that is there then.
pub(super) struct Sync {
    pub(super) files: Unsynced,
    pub(super) last: u64,
}

impl Journal {
    pub(super) fn new(writer: Writer, durability: Durability) -> Journal {
        Journal { writer, durability, known: VecDeque::new(), unsynced: VecDeque::new(), is_syncing: false }
    }

    /// The number of the last event.
    pub(crate) fn last(&self) -> u64 {
        self.writer.next() - 1
    }

    /// How much is kept from now on.
    pub(super) fn keep_at_most(&mut self, limits: Limits) -> Result<(), Error> {
        self.writer.keep_at_most(limits)
    }

    pub(super) fn cut(&self) -> Cut {
        self.writer.cut()
    }

    pub(super) fn directory(&self) -> PathBuf {
        self.writer.directory().to_owned()
    }

    /// Writes an event down. It has the number that comes next.
    pub(super) fn append(&mut self, message: &Message) -> Result<(), Error> {
        let seq = if let Message::OutputMessage(output) = message {
            let written = bytes_of(output);
            let head = wire::OutputMessage { data: String::new(), bytes: None, ..output.clone() };
            let head = encode(&Message::OutputMessage(head))?;
            // What did not come through `take` follows what did.
            let taken = usize::try_from(self.writer.untold_length(stream_of(output.stream))).unwrap_or(usize::MAX);
            if let Some(rest) = written.get(taken..).filter(|rest| !rest.is_empty()) {
                self.writer.put(stream_of(output.stream), rest)?;
            }
            self.writer.append_output(&head, stream_of(output.stream), &written)?
        } else {
            self.writer.append(&encode(message)?)?
        };
        if self.durability == Durability::Machine && is_promise(message) {
            self.unsynced.push_back(seq);
        }
        Ok(())
    }

    /// Takes what a pipe has, at most so many bytes, and keeps it: it is to be told next. None where nothing is there.
    pub(super) fn take(
        &mut self,
        pipe: BorrowedFd<'_>,
        stream: wire::Stream,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, Error> {
        self.writer.take(pipe, stream_of(stream), limit)
    }

    /// What the supervisor before this one has taken out of a pipe and not told.
    pub(super) fn untold(&self, stream: wire::Stream, limit: u64) -> Result<Vec<u8>, Error> {
        self.writer.untold(stream_of(stream), limit)
    }

    /// The last event that anybody may get.
    pub(super) fn released(&self) -> u64 {
        self.unsynced.front().map_or(u64::MAX, |first| first - 1)
    }

    /// What is to be synced now; the one who asked does it, and says so.
    pub(super) fn begin_sync(&mut self) -> Option<Result<Sync, Error>> {
        if self.is_syncing || self.unsynced.is_empty() {
            return None;
        }
        self.is_syncing = true;
        let last = self.last();
        Some(self.writer.unsynced().map(|files| Sync { files, last }))
    }

    /// All up to an event is on the disk; None where that failed.
    pub(super) fn end_sync(&mut self, last: Option<u64>) {
        self.is_syncing = false;
        if last.is_none() {
            self.writer.sync_failed();
        }
        while let Some(last) = last
            && self.unsynced.front().is_some_and(|first| *first <= last)
        {
            self.unsynced.pop_front();
        }
    }

    /// Reads what the supervisor before this one told and had not noted what led to it: it is known when it comes again.
    pub(super) fn remember(&mut self, told: &Told) -> Result<(), Error> {
        let first = told.unexplained.iter().copied().chain([told.last + 1]).min().unwrap_or(1);
        let mut reader = Reader::new(self.writer.directory(), first.saturating_sub(1))?;
        while let Some(entry) = reader.next(self.last())? {
            let Some(message) = message_of(entry) else { continue };
            let seq = message.seq().unwrap_or(0);
            let is_explained = seq <= told.last && !told.unexplained.contains(&seq);
            if !is_explained && !matches!(message, Message::OutputMessage(_)) {
                self.known.push_back(message);
            }
        }
        Ok(())
    }

    /// What the next supervisor is to remember by.
    pub(super) fn told(&self) -> Told {
        let unexplained = self.known.iter().filter_map(Message::seq).take(MOST_UNEXPLAINED).collect();
        Told { last: self.last(), unexplained }
    }

    /// The event that says the same and was told before, if there is one. It is not remembered any more.
    pub(super) fn recall(&mut self, message: &Message) -> Option<Message> {
        if self.known.is_empty() {
            return None;
        }
        let wanted = what_it_says(message)?;
        let at = self.known.iter().position(|known| {
            known.type_name() == message.type_name() && what_it_says(known).is_some_and(|known| known == wanted)
        })?;
        self.known.remove(at)
    }

    /// Whether a prompt was told by the supervisor before this one and has not come again; any, without an id.
    pub(super) fn awaits_prompt(&self, id: Option<&str>) -> bool {
        let is_it =
            |known: &Message| matches!(known, Message::InputMessage(input) if id.is_none_or(|id| input.id == id));
        self.known.iter().any(is_it)
    }

    /// Executions that were told to be taken, and have no end: their ids. They do not come again.
    pub(super) fn accepted_before(&mut self) -> Vec<String> {
        let ended: Vec<String> = self
            .known
            .iter()
            .filter(|known| matches!(known, Message::ResultMessage(_) | Message::ErrorMessage(_)))
            .filter_map(|known| known.execution_id().map(str::to_owned))
            .collect();
        let mut accepted = Vec::new();
        self.known.retain(|known| {
            if let (Message::Accepted(_), Some(id)) = (known, known.execution_id()) {
                accepted.extend(Some(id.to_owned()).filter(|id| !ended.contains(id)));
                return false;
            }
            true
        });
        accepted
    }
}

/// A message without what differs each time that it is made.
fn what_it_says(message: &Message) -> Option<serde_json::Value> {
    let mut said: serde_json::Value = serde_json::from_slice(&message.to_json().ok()?).ok()?;
    for name in ["id", "timestamp", "seq", "duration"] {
        said.as_object_mut()?.remove(name);
    }
    Some(said)
}

/// Whether somebody relies on it.
fn is_promise(message: &Message) -> bool {
    matches!(message, Message::Accepted(_) | Message::ResultMessage(_) | Message::ErrorMessage(_))
}

fn encode(message: &Message) -> Result<Vec<u8>, Error> {
    message.to_json().map_err(|error| Error::Misuse(format!("an event cannot be written down: {error}")))
}

fn stream_of(stream: wire::Stream) -> Stream {
    match stream {
        wire::Stream::Stdout => Stream::Stdout,
        wire::Stream::Stderr => Stream::Stderr,
    }
}

/// The exact bytes of output.
fn bytes_of(output: &wire::OutputMessage) -> Vec<u8> {
    let exact = output.bytes.as_ref().and_then(|bytes| STANDARD.decode(bytes).ok());
    exact.unwrap_or_else(|| output.data.clone().into_bytes())
}

/// The message of an entry; None where there is none that can be understood.
fn message_of(entry: Entry) -> Option<Message> {
    let Entry::Event { seq, message, output } = entry else { return None };
    let mut message = Message::from_json(&message).ok()?;
    message.set_seq(seq);
    if let (Message::OutputMessage(head), Some((gone, bytes))) = (&mut message, output) {
        head.dropped += gone;
        match String::from_utf8(bytes) {
            Ok(text) => head.data = text,
            Err(error) => {
                let bytes = error.into_bytes();
                head.data = String::from_utf8_lossy(&bytes).into_owned();
                head.bytes = Some(STANDARD.encode(bytes));
            }
        }
    }
    Some(message)
}

/// Reads events that are not in memory any more.
#[derive(Debug)]
pub(crate) struct PastReader {
    session: String,
    reader: Reader,
}

/// Bytes that are read at a time.
const BATCH: usize = 1 << 20;

impl PastReader {
    pub(crate) fn new(session: &str, directory: &std::path::Path, after: u64) -> Result<PastReader, Error> {
        Ok(PastReader { session: session.to_owned(), reader: Reader::new(directory, after)? })
    }

    pub(crate) fn session(&self) -> &str {
        &self.session
    }

    /// The next events up to a number; none where all are read. Each with whether it is a note in the place of some that are gone. Blocks.
    pub(crate) fn next(&mut self, until: u64) -> Result<Vec<(Event, bool)>, Error> {
        let (mut events, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH
            && let Some(entry) = self.reader.next(until)?
        {
            let (event, is_note) = match entry {
                Entry::Gone(cut) => {
                    (self.note(cut.last, format!("events up to number {} are not kept any more", cut.last)), true)
                }
                Entry::Damaged { first, last, path } => {
                    let text =
                        format!("events {first} to {last} are lost: the journal is damaged ({})", path.display());
                    (self.note(last, text), true)
                }
                Entry::Event { seq, message, output: None } => (Event::written(seq, message), false),
                Entry::Event { seq, .. } => match message_of(entry) {
                    Some(message) => (Event::new(message), false),
                    None => (self.note(seq, format!("event {seq} is none that this version knows")), true),
                },
            };
            bytes += event.weight();
            events.push((event, is_note));
        }
        Ok(events)
    }

    /// In the place of events: it has the number of the last of them.
    fn note(&self, seq: u64, text: String) -> Event {
        let mut note = Message::Warning(crate::messages::warning(&self.session, text));
        note.set_seq(seq);
        Event::new(note)
    }
}
