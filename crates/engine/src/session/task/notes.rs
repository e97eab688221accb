//! What the next supervisor is to know, written down; and the end of this one's part.

use super::state::SessionTask;
use crate::session::failures::closed;
use crate::session::life::{Action, Event, Phase};
use crate::session::linger::Released;
use crate::session::note::{ControlNote, FamilyNote, Note};
use pyrepl3_protocol::{Code, Failure};
use std::sync::Arc;

impl SessionTask {
    /// Writes down how things are, before a step that changes what processes there are. False where this supervisor may
    /// not act for the session any more: then the step is not done.
    #[must_use]
    pub(super) fn write_down(&mut self) -> bool {
        // When nothing of it is left there is nothing to go on with.
        let is_over = self.machine.phase() == Phase::Closed;
        let Some(lingering) = self.lingering.as_mut().filter(|_| !is_over) else { return true };
        if !lingering.may_act() {
            return false;
        }
        lingering.reserve(self.context.shared.log.bounds().1);
        lingering.changed = false;
        let Some(text) = self.note().map(|note| note.to_text()) else { return true };
        if self.lingering.as_mut().is_some_and(|lingering| lingering.is_news(&text))
            && let Err(error) = self.init.note(&text)
        {
            // It does not read. It is resumed, and has a limit for it; until then this is tried again.
            if let Some(lingering) = &mut self.lingering {
                lingering.was_not_written();
            }
            tracing::warn!(session = self.id(), %error, "a session's state could not be written down");
        }
        true
    }

    /// The same, with something that is to be done next: where it is not complete, the next supervisor does it again.
    #[must_use]
    pub(super) fn intend(&mut self, action: &Action) -> bool {
        if self.lingering.is_none() {
            return true;
        }
        self.todo.push_front(action.clone());
        let may_act = self.write_down();
        self.todo.pop_front();
        may_act
    }

    pub(super) fn note_that_something_happened(&mut self) {
        if let Some(lingering) = &mut self.lingering {
            lingering.changed = true;
        }
    }

    /// A turn is over in which something may have happened.
    pub(super) fn turn_is_over(&mut self) {
        if let Some(lingering) = &mut self.lingering {
            lingering.reserve(self.context.shared.log.bounds().1);
            if lingering.changed {
                _ = self.write_down();
            }
            self.go_on_with_frames();
        }
    }

    /// The request that comes next gives the worker something to do.
    pub(super) fn gives_next_request(&mut self) {
        let next = self.worker.control.asked() + 1;
        if let Some(lingering) = &mut self.lingering {
            lingering.given = next;
        }
    }

    fn note(&self) -> Option<Note> {
        let lingering = self.lingering.as_ref()?;
        let control = &self.worker.control;
        Some(Note {
            session: self.id().to_owned(),
            options: self.context.setup.options.clone(),
            mode: self.context.setup.mode.clone(),
            lineage: self.context.shared.lineage.clone(),
            python: self.context.shared.python(),
            family: FamilyNote {
                member: lingering.member,
                shared: Arc::strong_count(&self.context.origin.family) > 1,
                claimed: lingering.claimed,
            },
            machine: self.machine.clone(),
            incarnation: self.incarnation,
            control: ControlNote {
                asked: control.sent(),
                given: lingering.given,
                heard: control.heard(),
                large: control.is_in_pieces(),
                answers: control.held_back_answers(),
            },
            events: lingering.reserved,
            told: self.log().told(),
            tickets: self.tickets.note(),
            snapshots: self.snapshots.note(),
            durability: self.durability.note(),
            count: self.count,
            applied: self.applied.clone(),
            todo: self.todo.iter().cloned().collect(),
            later: self.later.iter().copied().collect(),
            exit: self.exit.clone(),
            fault: self.fault.clone(),
            unfrozen: self.unfrozen.clone(),
            no_undo: self.told.no_undo.clone(),
            came_back: self.told.came_back.clone(),
        })
    }

    /// Whether another supervisor has the session, or is to have it: nothing is done for it here any more.
    pub(super) fn is_released(&self) -> bool {
        self.lingering.as_ref().is_some_and(|lingering| lingering.released.is_some())
    }

    /// Lets the session go on for another supervisor. One that does not linger ends.
    pub(super) fn hand_over(&mut self) {
        if self.lingering.is_none() {
            self.leave = Some((0, false));
            return self.feed(Event::Close);
        }
        if self.write_down()
            && let Some(lingering) = &mut self.lingering
        {
            lingering.released = Some(Released::HandedOver);
        }
    }

    /// What clients are told whose session goes on elsewhere.
    pub(super) fn why_released(&self) -> Option<Failure> {
        let why = match self.lingering.as_ref()?.released? {
            Released::HandedOver => "this supervisor has left it to another one",
            Released::Superseded => {
                "another supervisor has taken it over, or its session init was left in the middle of a request for too long"
            }
        };
        let how = "ask the supervisor that has it now";
        Some(Failure::new(Code::SessionClosed, closed(self.id()).what, why, how))
    }
}
