//! What the next supervisor of a session is to know. Session init keeps it as a text, which is replaced as a whole before
//! each step that changes what processes there are, and at the end of each turn in which something happened.

use super::applied::Applied;
use super::durability::DurabilityNote;
use super::incarnation::Incarnation;
use super::life::{Action, Event, Machine};
use super::shared::Lineage;
use super::snapshots::SnapshotsNote;
use super::tickets::TicketsNote;
use crate::log::Told;
use pyrepl3_protocol::Failure;
use pyrepl3_protocol::message::{ProcessExit, PythonInfo, SessionOptions};
use pyrepl3_protocol::worker::{MAX_NOTE, Mode};
use serde::{Deserialize, Serialize};

/// Grows when what is written down changes.
const VERSION: u32 = 1;
/// No session comes to a number like this by counting.
const LARGEST: u64 = 1 << 53;

/// Everything.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) session: String,
    pub(crate) options: SessionOptions,
    pub(crate) mode: Mode,
    pub(crate) lineage: Option<Lineage>,
    pub(crate) python: Option<PythonInfo>,
    pub(crate) family: FamilyNote,
    pub(crate) machine: Machine,
    pub(crate) incarnation: Incarnation,
    pub(crate) control: ControlNote,
    /// Events have numbers up to this.
    pub(crate) events: u64,
    /// What was told by then, where that is kept.
    #[serde(default)]
    pub(crate) told: Option<Told>,
    pub(crate) tickets: TicketsNote,
    pub(crate) snapshots: SnapshotsNote,
    pub(crate) durability: DurabilityNote,
    pub(crate) count: u64,
    pub(crate) applied: Applied,
    /// What was decided and is not done for certain, in its order.
    pub(crate) todo: Vec<Action>,
    pub(crate) later: Vec<Event>,
    pub(crate) exit: Option<ProcessExit>,
    pub(crate) fault: Option<Failure>,
    pub(crate) unfrozen: Option<(String, String)>,
    pub(crate) no_undo: Option<String>,
    pub(crate) came_back: Option<String>,
}

/// How the session is related to others.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct FamilyNote {
    /// The number of this branch; 0 for a session that is none.
    pub(crate) member: u32,
    /// Whether others share its session init.
    pub(crate) shared: bool,
    /// Whether it is anybody's.
    pub(crate) claimed: bool,
}

/// Where the conversation with the worker is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ControlNote {
    /// The last request that was sent; the one by which the worker was given what it does, or is about to be.
    pub(crate) asked: u64,
    pub(crate) given: u64,
    /// The last frame that was taken, and whether a large one after it has begun to be read.
    pub(crate) heard: u64,
    pub(crate) large: bool,
    /// Answers that wait for the worker to fetch a channel: the prompts, by the worker's numbers, and the requests.
    pub(crate) answers: Vec<(u64, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    note: Option<T>,
}

impl Note {
    /// As text. Where it is more than session init keeps, it says that it was.
    pub(crate) fn to_text(&self) -> String {
        let text = serde_json::to_string(&Versioned { version: VERSION, note: Some(self) }).ok();
        let text = text.filter(|text| text.len() <= MAX_NOTE);
        text.unwrap_or_else(|| format!(r#"{{"version":{VERSION}}}"#))
    }

    /// From a text.
    ///
    /// # Errors
    /// Why it cannot be gone on from.
    pub(crate) fn from_text(text: &str) -> Result<Note, NoteError> {
        if text.is_empty() {
            return Err(NoteError::NotBegun);
        }
        let version = serde_json::from_str::<Versioned<serde::de::IgnoredAny>>(text).map(|note| note.version);
        match version {
            Ok(VERSION) => {}
            Ok(other) => return Err(NoteError::Version(other)),
            Err(error) => return Err(NoteError::Damaged(error.to_string())),
        }
        let note =
            serde_json::from_str::<Versioned<Note>>(text).map_err(|error| NoteError::Damaged(error.to_string()))?;
        let note = note.note.ok_or(NoteError::TooLarge)?;
        note.check()?;
        Ok(note)
    }

    /// Numbers that are counted on from must have room for that: user code can have tampered with session init.
    fn check(&self) -> Result<(), NoteError> {
        let (mark, transaction) = self.machine.timeline().last_numbers();
        let ControlNote { asked, given, heard, .. } = self.control;
        let numbers = [self.count, self.events, self.tickets.last_token(), asked, given, heard, mark, transaction];
        if numbers.into_iter().chain([self.incarnation.number()]).any(|number| number > LARGEST) {
            return Err(NoteError::Damaged("a number in it is larger than any that there can be".to_owned()));
        }
        Ok(())
    }
}

/// Why nothing can be gone on from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoteError {
    /// The supervisor died before it had written anything down.
    NotBegun,
    /// It is another version's.
    Version(u32),
    /// It makes no sense.
    Damaged(String),
    /// What was to be known was too much.
    TooLarge,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::session::durability::Durability;
    use crate::session::snapshots::Snapshots;
    use crate::session::tickets::Tickets;
    use crate::session::timeline::Bounds;
    use std::time::Duration;

    fn note() -> Note {
        Note {
            session: "ses_1".to_owned(),
            options: SessionOptions::default(),
            mode: Mode::default(),
            lineage: None,
            python: None,
            family: FamilyNote { member: 0, shared: false, claimed: true },
            machine: Machine::new(Duration::from_secs(5), 10, Bounds::default()),
            incarnation: Incarnation::new(false, Time::now()),
            control: ControlNote::default(),
            events: 7,
            told: None,
            tickets: Tickets::default().note(),
            snapshots: Snapshots::<()>::default().note(),
            durability: Durability::new(None).note(),
            count: 3,
            applied: Applied::of(vec![1, 3]),
            todo: vec![Action::Respawn],
            later: vec![Event::Interrupt],
            exit: None,
            fault: None,
            unfrozen: None,
            no_undo: None,
            came_back: None,
        }
    }

    #[test]
    fn what_is_written_down_is_read_back() {
        let text = note().to_text();
        let read = Note::from_text(&text).unwrap();
        assert_eq!(read.to_text(), text);
        assert_eq!((read.count, read.applied.numbers(), read.todo.len()), (3, &[1, 3][..], 1));
    }

    #[test]
    fn what_cannot_be_gone_on_from_says_why() {
        assert_eq!(Note::from_text("").unwrap_err(), NoteError::NotBegun);
        assert_eq!(Note::from_text(r#"{"version":2,"note":{}}"#).unwrap_err(), NoteError::Version(2));
        for damaged in ["?", "{}", r#"{"version":1,"note":{}}"#, r#"{"version":1,"note":7}"#] {
            assert!(matches!(Note::from_text(damaged).unwrap_err(), NoteError::Damaged(_)), "{damaged}");
        }
        let large = Note { session: "x".repeat(MAX_NOTE), ..note() };
        assert_eq!(Note::from_text(&large.to_text()).unwrap_err(), NoteError::TooLarge);
        let counted = Note { count: u64::MAX, ..note() };
        assert!(matches!(Note::from_text(&counted.to_text()).unwrap_err(), NoteError::Damaged(_)));
    }
}
