//! The end of what a session has said whose processes are gone: nothing that was accepted stays without an end.

use super::journal::{Durability, Journal};
use crate::messages;
use pyrepl3_protocol::Message;
use pyrepl3_protocol::message::{EndStatus, Stream};
use pyrepl3_store::Result;
use pyrepl3_store::journal::{Entry, Limits, Reader, Writer, directory};
use std::path::Path;

/// Bytes of output that one event tells of.
const PIECE: u64 = 1 << 20;

/// Says in a session's journal that its state is lost, and of each execution that has no end that what became of it is not known. Output that was
/// kept and not told of is told. `recovers`: the session goes on. Returns the ids of these executions. Whoever asks answers for it that no process has the session.
pub(crate) fn settle(data: &Path, session: &str, reason: &str, recovers: bool) -> Result<Vec<String>> {
    let directory = directory(data, session).map_err(|error| pyrepl3_store::Error::Misuse(error.to_string()))?;
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    // First: a segment that was being made when the machine died is none that can be read.
    let (mut writer, _) = Writer::open(&directory, Limits::default())?;
    // What is read from here on counts as told.
    writer.unsynced()?.sync()?;
    let unended = unended(&directory)?;
    let mut journal = Journal::new(writer, Durability::Machine);
    for stream in [Stream::Stdout, Stream::Stderr] {
        loop {
            let bytes = journal.untold(stream, PIECE)?;
            if bytes.is_empty() {
                break;
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let exact = (text.as_bytes() != bytes).then_some(bytes);
            let mut output = Message::OutputMessage(messages::output(stream, text, exact));
            // Whose it was can be told where one ran, and no other.
            output.address(session, if let [one] = unended.as_slice() { Some(one) } else { None });
            add(&mut journal, output)?;
        }
    }
    for execution in &unended {
        let why = format!("what became of it is not known: {reason}");
        let mut end = messages::error(EndStatus::Crashed, "SessionLost", why);
        end.session_lost = true;
        let mut end = Message::ErrorMessage(end);
        end.address(session, Some(execution));
        add(&mut journal, end)?;
    }
    add(&mut journal, Message::SessionLost(messages::session_lost(session, reason.to_owned(), None, recovers)))?;
    if let Some(sync) = journal.begin_sync() {
        sync?.files.sync()?;
    }
    Ok(unended)
}

fn add(journal: &mut Journal, mut message: Message) -> Result<()> {
    message.set_seq(journal.last() + 1);
    journal.append(&message)
}

/// The executions that were accepted and have no end, in their order.
fn unended(directory: &Path) -> Result<Vec<String>> {
    let mut reader = Reader::new(directory, 0)?.without_output();
    let mut unended: Vec<String> = Vec::new();
    while let Some(entry) = reader.next(u64::MAX)? {
        let Entry::Event { message, .. } = entry else { continue };
        let Ok(message) = Message::from_json(&message) else { continue };
        match (&message, message.execution_id()) {
            (Message::Accepted(_), Some(id)) => unended.push(id.to_owned()),
            (Message::ResultMessage(_) | Message::ErrorMessage(_), Some(id)) => unended.retain(|known| known != id),
            _ => {}
        }
    }
    Ok(unended)
}
