//! What a reader gets: a message, shared with all who read it.

use crate::messages;
use pyrepl3_protocol::FrameError;
use pyrepl3_protocol::message::Message;
use std::borrow::Cow;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// An event of a session: a message with its number in the session's log. To clone one copies nothing.
#[derive(Debug, Clone)]
pub struct Event(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    seq: Option<u64>,
    /// Of one that was written down: the message as it goes over the wire. It is read when somebody looks into it: who hands it on need not.
    json: Option<Vec<u8>>,
    message: OnceLock<Message>,
}

impl Event {
    pub(crate) fn new(message: Message) -> Event {
        Event(Arc::new(Inner { seq: message.seq(), json: None, message: OnceLock::from(message) }))
    }

    /// One that was written down with a number: `json` says that number, too.
    pub(crate) fn written(seq: u64, json: Vec<u8>) -> Event {
        Event(Arc::new(Inner { seq: Some(seq), json: Some(json), message: OnceLock::new() }))
    }

    /// Its number: from 1, without gaps. A note of what a reader did not take in time has none; one of output that is not
    /// kept any more has the last number of that.
    pub fn seq(&self) -> Option<u64> {
        self.0.seq
    }

    /// The message as it goes over the wire.
    ///
    /// # Errors
    /// As [`Message::to_json`].
    pub fn to_json(&self) -> Result<Cow<'_, [u8]>, FrameError> {
        match &self.0.json {
            Some(json) => Ok(Cow::Borrowed(json)),
            None => (**self).to_json().map(Cow::Owned),
        }
    }

    /// Bytes that it holds in memory, about.
    pub(crate) fn weight(&self) -> usize {
        self.0.json.as_ref().map_or_else(|| Message::weight(self), Vec::len)
    }

    /// The message, by itself. Copied where somebody else has it, too.
    pub fn into_message(self) -> Message {
        // It is read where it was not.
        let _: &Message = &self;
        match Arc::try_unwrap(self.0) {
            Ok(inner) => inner.message.into_inner().unwrap_or_else(|| unknown(inner.seq)),
            Err(shared) => shared.message.get().cloned().unwrap_or_else(|| unknown(shared.seq)),
        }
    }
}

impl Deref for Event {
    type Target = Message;

    fn deref(&self) -> &Message {
        self.0.message.get_or_init(|| {
            let json = self.0.json.as_deref().unwrap_or_default();
            let mut message = Message::from_json(json).unwrap_or_else(|_| unknown(self.0.seq));
            if let Some(seq) = self.0.seq {
                message.set_seq(seq);
            }
            message
        })
    }
}

/// What a newer version has written.
fn unknown(seq: Option<u64>) -> Message {
    let text = format!("event {} is none that this version knows", seq.unwrap_or_default());
    Message::Warning(messages::warning("", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_was_written_down_is_handed_on_as_it_is_and_read_on_demand() {
        let json =
            br#"{"type":"warning","id":"m","timestamp":1.0,"session_id":"s","seq":7,"text":"x","newer":1}"#.to_vec();
        let event = Event::written(7, json.clone());
        assert_eq!((event.seq(), event.to_json().unwrap().as_ref()), (Some(7), json.as_slice()));
        assert!(matches!(&*event, Message::Warning(warning) if warning.text == "x"));
        assert_eq!(event.clone().into_message().seq(), Some(7));
        let newer = Event::written(8, br#"{"type":"of_a_later_version"}"#.to_vec());
        assert!(matches!(&*newer, Message::Warning(warning) if warning.text.contains("event 8")));
        assert_eq!(newer.into_message().seq(), Some(8));
    }
}
