//! What a reader gets: a message, shared with all who read it.

use pyrepl3_protocol::message::Message;
use std::ops::Deref;
use std::sync::Arc;

/// An event of a session: a message with its number in the session's log. To clone one copies nothing.
#[derive(Debug, Clone)]
pub struct Event(Arc<Message>);

impl Event {
    pub(crate) fn new(message: Message) -> Event {
        Event(Arc::new(message))
    }

    /// Its number: from 1, without gaps. A note of what a reader did not take in time has none; one of output that is not
    /// kept any more has the last number of that.
    pub fn seq(&self) -> Option<u64> {
        self.0.seq()
    }

    /// The message, by itself. Copied where somebody else has it, too.
    pub fn into_message(self) -> Message {
        Arc::unwrap_or_clone(self.0)
    }
}

impl Deref for Event {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.0
    }
}
