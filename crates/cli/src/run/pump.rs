//! From messages to standard output and standard error.

use super::outcome::{LastMessage, Outcome};
use crate::bundle::{self, Album};
use crate::clock;
use crate::output::{Trouble, Writer};
use base64::Engine as _;
use pyrepl3_engine::protocol::id::{self, IdKind};
use pyrepl3_engine::protocol::message::{Bundle, Failed, Message, OutputMessage, Stream};
use pyrepl3_engine::{Event, Events, Execution, Failure, Session};
use std::path::PathBuf;
use std::time::Duration;

/// Carries the messages of one script.
#[derive(Debug)]
pub(crate) struct Pump {
    writer: Writer,
    json: bool,
    album: Option<Album>,
}

impl Pump {
    pub(crate) fn new(writer: Writer, json: bool, figures: Option<PathBuf>) -> Self {
        Pump { writer, json, album: figures.map(Album::replacing) }
    }

    /// Whether matplotlib's figures are to come as displays.
    pub(crate) fn wants_figures(&self) -> bool {
        self.json || self.album.is_some()
    }

    /// Carries the messages of an execution, to its end.
    pub(crate) async fn execution(
        &mut self,
        mut execution: Execution,
        session: &Session,
    ) -> Result<LastMessage, Trouble> {
        while let Some(message) = self.next(execution.next()).await? {
            if let Message::InputMessage(prompt) = &*message {
                // Standard input is the script's own, so nothing of this version asks here.
                _ = session.input_response(&prompt.id, None).await;
            }
            self.carry(&message).await;
            if matches!(*message, Message::ResultMessage(_) | Message::ErrorMessage(_)) {
                return Ok(Ok(message.into_message()));
            }
        }
        let closed = || Failure::new(pyrepl3_engine::Code::SessionClosed, "the session has ended", "", "");
        Ok(Err(execution.refusal().cloned().unwrap_or_else(closed)))
    }

    /// Carries what happens outside executions until the session has ended.
    pub(crate) async fn events(&mut self, events: &mut Events) -> Result<(), Trouble> {
        while let Some(message) = self.next(events.next()).await? {
            self.carry(&message).await;
        }
        Ok(())
    }

    /// The next message, unless standard output fails first.
    async fn next(&self, event: impl Future<Output = Option<Event>>) -> Result<Option<Event>, Trouble> {
        tokio::select! {
            biased;
            trouble = self.writer.broken() => Err(trouble),
            event = event => Ok(event),
        }
    }

    async fn carry(&mut self, message: &Message) {
        if self.json
            && let Ok(mut line) = message.to_json()
        {
            line.push(b'\n');
            self.writer.write(Stream::Stdout, line).await;
        }
        match message {
            Message::OutputMessage(output) if !self.json => {
                if output.dropped > 0 {
                    let note = format!("pyrepl3: {} bytes of output were left out here\n", output.dropped);
                    self.writer.write(Stream::Stderr, note.into_bytes()).await;
                }
                self.writer.write(output.stream, exact_bytes(output)).await;
            }
            Message::DisplayMessage(display) => {
                let saved = self.save(&display.data).await;
                let text = bundle::text(&display.data, "text/plain").filter(|_| !saved && !self.json);
                let line = text.map(|text| format!("{text}\n")).unwrap_or_default();
                self.writer.write(Stream::Stdout, line.into_bytes()).await;
            }
            // A figure that is the value of the last line is shown with it, not as a display.
            Message::ResultMessage(result) => _ = self.save(&result.data).await,
            _ => {}
        }
    }

    /// Saves the images of a bundle, if they are wanted; whether there were any.
    async fn save(&mut self, data: &Bundle) -> bool {
        let Some(album) = &mut self.album else { return false };
        let images = bundle::images(data);
        if images.is_empty() {
            return false;
        }
        let lines: String = match album.save("figure", &images) {
            Ok(paths) => paths.iter().map(|path| format!("saved {}\n", path.display())).collect(),
            Err(error) => format!("pyrepl3: a figure could not be saved: {error}\n"),
        };
        self.writer.write(Stream::Stderr, lines.into_bytes()).await;
        true
    }

    /// Tells people how it ended, where there is something to tell.
    pub(crate) async fn tell(&mut self, outcome: &Outcome) {
        // Through the same queue as the output, so that it comes after it.
        if !self.json {
            self.writer.write(Stream::Stderr, outcome.traceback.clone().into_bytes()).await;
        }
        self.writer.write(Stream::Stderr, outcome.note.clone().into_bytes()).await;
    }

    /// Carries a message that belongs to no execution.
    pub(crate) async fn message(&mut self, message: &Message) {
        self.carry(message).await;
    }

    /// Tells people something, after the output so far.
    pub(crate) async fn note(&mut self, text: &str) {
        self.writer.write(Stream::Stderr, text.as_bytes().to_vec()).await;
    }

    /// Tells programs why there is no session.
    pub(crate) async fn failed_to_start(&mut self, failure: &Failure) {
        if self.json {
            self.failure(failure).await;
            _ = self.writer.finish(None).await;
        }
    }

    /// Tells programs of a failure.
    pub(crate) async fn failure(&mut self, failure: &Failure) {
        if self.json {
            let message = Failed {
                id: id::new(IdKind::Message),
                timestamp: clock::now(),
                session_id: None,
                execution_id: None,
                seq: None,
                reply_to: None,
                code: failure.code,
                what: failure.what.clone(),
                why: failure.why.clone(),
                how: failure.how.clone(),
            };
            self.carry(&Message::Failed(message)).await;
        }
    }

    /// Waits until everything is written.
    pub(crate) async fn finish(&mut self, limit: Option<Duration>) -> Result<(), Trouble> {
        self.writer.finish(limit).await
    }
}

/// What was written, byte for byte.
fn exact_bytes(output: &OutputMessage) -> Vec<u8> {
    output
        .bytes
        .as_ref()
        .and_then(|bytes| base64::engine::general_purpose::STANDARD.decode(bytes).ok())
        .unwrap_or_else(|| output.data.clone().into_bytes())
}
