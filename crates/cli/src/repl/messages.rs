//! What the session says: the one place where its messages are told apart.

use super::execution_log::ExecutionLog;
use super::prompts::{EditorTask, Prompts};
use super::running::Stopping;
use super::state::Repl;
use crate::exit;
use pyrepl3_engine::protocol::message::{InputMessage, Message};

impl Repl {
    /// A message of what runs, or of the session; Some when it ends the program.
    pub(super) async fn message(&mut self, message: Message) -> Option<u8> {
        match message {
            Message::OutputMessage(output) => self.console.output(&output),
            Message::DisplayMessage(display) => self.console.display(&display),
            Message::InputMessage(prompt) => self.asked(prompt),
            Message::ResultMessage(result) => self.completed(&result).await,
            Message::ErrorMessage(error) => return self.failed(&error).await,
            Message::SessionLost(lost) => {
                if !std::mem::take(&mut self.loss_told) {
                    self.console.warning(&lost.reason);
                }
                self.prune().await;
            }
            Message::Warning(warning) => self.console.warning(&warning.text),
            Message::Evicted(evicted) => {
                let name = evicted.name.clone().unwrap_or_else(|| "a step of undo".to_owned());
                self.console.aside(&format!("{name} was given up: {}", evicted.reason));
            }
            Message::RolledBack(back) => {
                self.log.mark_undone(&back.undone, &back.redone);
                self.console.warning(&format!("{}. {}", capital(&back.reason), back.report));
            }
            Message::CheckpointCreated(created) => self.checkpointed(&created),
            Message::Restored(restored) => {
                self.console.warning(&capital(&restored.reason));
                self.restored(&restored);
            }
            _ => {}
        }
        None
    }

    /// Output alone, once the program is about to leave.
    pub(super) fn last_words(&mut self, message: &Message) {
        if let Message::OutputMessage(output) = message {
            self.console.output(output);
        }
    }

    fn asked(&mut self, prompt: InputMessage) {
        match &mut self.running {
            Some(running) if prompt.execution_id.as_deref() == Some(running.execution.id()) => {
                // It asks, so it goes on.
                running.stopping = Stopping::default();
            }
            _ if matches!(self.editor_task, EditorTask::Line) => {
                let text = format!("a thread asks {:?}: it comes after this line", prompt.prompt.trim_end());
                self.console.aside(&text);
            }
            _ => {}
        }
        self.prompts.push(prompt);
    }

    /// Puts another session in the place of one that has ended.
    pub(super) async fn fresh(&mut self) -> Option<u8> {
        self.prompts = Prompts::default();
        match self.factory.session().await {
            Ok(session) => {
                self.events = session.events();
                self.current.replace(session);
                self.log = ExecutionLog::default();
                self.console.aside("a fresh session has begun");
                None
            }
            Err(failure) => {
                self.console.failure(&failure);
                Some(exit::ENVIRONMENT)
            }
        }
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
