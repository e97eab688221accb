//! Who waits for an answer, and what the editor is busy with.

use pyrepl3_engine::protocol::message::InputMessage;
use std::collections::VecDeque;

/// What the editor was asked for.
#[derive(Debug)]
pub(crate) enum EditorTask {
    Nothing,
    Line,
    Prompt(InputMessage),
}

/// Prompts of code that wait to be shown.
#[derive(Debug, Default)]
pub(crate) struct Prompts {
    waiting: VecDeque<InputMessage>,
}

impl Prompts {
    pub(crate) fn push(&mut self, prompt: InputMessage) {
        self.waiting.push_back(prompt);
    }

    /// One that was shown, and not answered: it comes first again.
    pub(crate) fn put_back(&mut self, prompt: InputMessage) {
        self.waiting.push_front(prompt);
    }

    /// The one that waits longest.
    pub(crate) fn next(&mut self) -> Option<InputMessage> {
        self.waiting.pop_front()
    }

    /// The one of an execution that waits longest.
    pub(crate) fn next_of(&mut self, execution: &str) -> Option<InputMessage> {
        let at = self.waiting.iter().position(|prompt| prompt.execution_id.as_deref() == Some(execution))?;
        self.waiting.remove(at)
    }

    /// Forgets those that nobody waits at any more.
    pub(crate) fn retain(&mut self, waits: impl Fn(&InputMessage) -> bool) {
        self.waiting.retain(waits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(id: &str, execution: Option<&str>) -> InputMessage {
        let json = serde_json::json!({
            "id": id, "timestamp": 0.0, "session_id": "s", "execution_id": execution, "prompt": "? ", "password": false,
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_prompts_of_what_runs_come_before_those_of_threads() {
        let mut prompts = Prompts::default();
        prompts.push(prompt("thread", None));
        prompts.push(prompt("main", Some("e1")));
        assert!(prompts.next_of("e2").is_none());
        assert_eq!(prompts.next_of("e1").unwrap().id, "main");
        let thread = prompts.next().unwrap();
        prompts.push(prompt("later", None));
        prompts.put_back(thread);
        assert_eq!(prompts.next().unwrap().id, "thread");
        prompts.retain(|prompt| prompt.id != "later");
        assert!(prompts.next().is_none());
    }
}
