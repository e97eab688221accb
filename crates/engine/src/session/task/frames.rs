//! What the worker says on its control channel.

use super::operations::WARNINGS;
use super::state::SessionTask;
use crate::messages;
use crate::session::end_message::EndReport;
use crate::session::incarnation::{Read, Seen};
use crate::session::life::{Event, Phase, Said, Token};
use crate::session::snapshots::bounded;
use crate::session::tickets::Ticket;
use pyrepl3_protocol::id::{self, IdKind};
use pyrepl3_protocol::message::{DisplayMessage, Message};
use pyrepl3_protocol::worker::{self, Request};
use pyrepl3_protocol::{Code, Failure, JsonText};

impl SessionTask {
    /// Reads once, and takes the frames that have come whole.
    pub(super) fn read_frames(&mut self) {
        match self.worker.read(true) {
            Err(why) => return self.distrust(&why),
            Ok(Read::Large) => return self.note_that_something_happened(),
            Ok(_) => {}
        }
        self.frames_told();
    }

    /// The channel makes no sense: nothing more of it is heard.
    fn distrust(&mut self, why: &str) {
        self.worker.control.closed = true;
        self.breach(why);
    }

    /// Takes the frames that have come whole. All output that was written before a frame is told before it.
    pub(super) fn frames_told(&mut self) {
        loop {
            if self.incarnation.is_sweeping() {
                // A thread of it asks how a child ended, say, which is nobody's child yet.
                return;
            }
            match self.worker.control.next_event() {
                Ok(Some(event)) => {
                    self.drain();
                    self.worker_event(event);
                    if !self.frame_is_done() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(why) => return self.distrust(&why),
            }
            if self.machine.phase() == Phase::Closed {
                return;
            }
        }
        if self.worker.control.closed {
            if self.worker.control.has_pending() {
                tracing::debug!(session = self.id(), "a partial frame was discarded");
            }
            self.channel_closed();
        }
    }

    /// What follows from a frame is done. False where nothing more is to be heard now: the session is another supervisor's, or
    /// session init does not have yet what this one would lose with its life.
    fn frame_is_done(&mut self) -> bool {
        if self.lingering.is_none() {
            return true;
        }
        self.answer_what_was_asked_before();
        if self.is_released() || !self.write_down() {
            return false;
        }
        if !self.init_has_all() {
            if let Some(lingering) = &mut self.lingering {
                lingering.unconsumed = true;
            }
            return false;
        }
        self.consume_frame();
        true
    }

    /// Whether what was written down is out of this process's hands.
    fn init_has_all(&self) -> bool {
        let is_unwritten = self.lingering.as_ref().is_some_and(|lingering| lingering.changed);
        self.init.gone || !(is_unwritten || self.init.is_waiting())
    }

    fn consume_frame(&mut self) {
        if let Some(lingering) = &mut self.lingering {
            lingering.unconsumed = false;
        }
        if let Err(error) = self.worker.control.written_down() {
            self.lost_touch(&error);
        }
    }

    /// Whether frames wait for session init.
    pub(super) fn holds_frames(&self) -> bool {
        self.lingering.as_ref().is_some_and(|lingering| lingering.unconsumed)
    }

    /// Goes on with the frames, once session init has what follows from the last.
    pub(super) fn go_on_with_frames(&mut self) {
        if self.holds_frames() && self.init_has_all() {
            self.consume_frame();
            self.frames_told();
        }
    }

    /// A worker that has ended has said what is in its channel now, and no more: a process of the user's may have the
    /// channel, too, and go on for ever.
    pub(super) fn hear_last_words(&mut self) {
        let mut left = self.worker.control.held();
        while left > 0 && self.machine.phase() != Phase::Closed {
            match self.worker.read(false) {
                Ok(Read::Nothing) => break,
                Ok(Read::Large) => {
                    if !self.write_down() {
                        return;
                    }
                }
                Ok(Read::Bytes(count)) => {
                    left = left.saturating_sub(count);
                    self.frames_told();
                    if self.holds_frames() {
                        // It is the last that is heard, whatever session init is at.
                        self.consume_frame();
                    }
                }
                Err(why) => return self.distrust(&why),
            }
        }
        self.drain();
    }

    fn worker_event(&mut self, event: worker::Event) {
        match event {
            worker::Event::Hello(hello) => {
                self.context.shared.set_python(hello.python);
                self.see(Seen::Hello);
            }
            worker::Event::Awake(awake) => self.awake(awake),
            worker::Event::Refused(refused) => {
                self.note_fault(refused.why);
                self.see(Seen::Refused);
            }
            other => {
                if !self.incarnation.is_up() && !self.incarnation.is_closing() {
                    return self.see(Seen::Frame);
                }
                self.message(other);
            }
        }
    }

    fn message(&mut self, event: worker::Event) {
        match event {
            worker::Event::Hello(_) | worker::Event::Awake(_) | worker::Event::Refused(_) => {}
            worker::Event::Frozen(frozen) => self.warn(&frozen),
            worker::Event::Unfrozen(refused) => {
                let (why, how) = (bounded(&refused.why), bounded(&refused.how));
                if refused.goes_on {
                    self.warn_of_no_undo(&why, &how);
                    return self.feed(Event::Unmarked { token: refused.id });
                }
                self.unfrozen = Some((why, how));
                self.feed(Event::Ended { token: refused.id, said: Said::Unfrozen });
            }
            worker::Event::Unrestored(refused) => {
                if let Some(pending) = self.tickets.operation_mut(refused.id) {
                    pending.restoring.why = Some((bounded(&refused.why), bounded(&refused.how)));
                }
                self.feed(Event::Ended { token: refused.id, said: Said::Unrestored });
            }
            worker::Event::Wait(wait) => {
                self.asks_again(wait.input);
                if self.init.ask_status(wait.input, wait.pid, wait.nohang).is_err() {
                    let unknown = JsonText::from("unknown");
                    self.tell_worker(&Request::Answer { input: wait.input, value: Some(&unknown) });
                }
            }
            worker::Event::Input(prompt) => self.prompt(prompt),
            worker::Event::InputClosed(closed) => self.tickets.prompts.close(closed.input),
            worker::Event::Display(display) => self.display(display),
            worker::Event::Result(done) => self.ended(done.id, Said::Result, EndReport::Done(Box::new(done))),
            worker::Event::Error(raised) => self.ended(raised.id, Said::Error, EndReport::Raised(Box::new(raised))),
            worker::Event::Reply(answer) => {
                if self.machine.current() == Some(answer.id) {
                    match self.tickets.get_mut(answer.id) {
                        Some(Ticket::Query(_)) => {
                            if let Some(Ticket::Query(query)) = self.tickets.remove(answer.id) {
                                query.answer(answer.data.get(), None);
                            }
                        }
                        Some(_) => self.note_reply(answer.id, &answer.data),
                        None => {}
                    }
                }
                self.feed(Event::Ended { token: answer.id, said: Said::Reply });
            }
        }
    }

    fn display(&mut self, display: worker::Display) {
        let message = DisplayMessage {
            id: id::new(IdKind::Message),
            timestamp: messages::now(),
            session_id: None,
            execution_id: None,
            seq: None,
            data: display.data,
            metadata: display.metadata,
            display_id: display.display_id,
            update: display.update,
        };
        self.tell_running(Message::DisplayMessage(message));
        if let Some(input) = display.input {
            self.asks_again(input);
            self.tell_worker(&Request::Answer { input, value: None });
        }
    }

    fn ended(&mut self, token: Token, said: Said, report: EndReport) {
        self.finish_output();
        if self.machine.current() == Some(token)
            && let Some(execution) = self.tickets.execution_mut(token)
        {
            execution.report = report;
        }
        self.feed(Event::Ended { token, said });
    }

    /// What a rollback of the running execution will not restore: told now, before it is relied on.
    fn warn(&mut self, frozen: &worker::Frozen) {
        if self.machine.current() != Some(frozen.id) {
            return;
        }
        for text in frozen.warnings.iter().take(WARNINGS) {
            self.tell_running(Message::Warning(messages::warning(self.id(), bounded(text))));
        }
    }

    /// Why the worker could not be started.
    pub(super) fn note_fault(&mut self, why: String) {
        self.fault.get_or_insert_with(|| Failure::new(Code::Internal, "the worker could not be started", why, ""));
    }
}
