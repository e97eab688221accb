//! What the editor is asked for, and what becomes of its answers.

use super::editor::{Answer, Ask};
use super::turn::{Asking, Repl};
use super::{prompt, terminal};
use crate::exit;
use pyrepl3_engine::Code;
use pyrepl3_engine::protocol::JsonText;
use pyrepl3_engine::protocol::message::InputMessage;

impl Repl {
    /// Gives the editor something to do, if it is time.
    pub(super) async fn ask(&mut self) {
        if self.editor.is_busy() {
            return;
        }
        let prompt = match &self.running {
            // Prompts of what runs come at once; but not one whose code is being stopped.
            Some(running) if running.stopping.is_none() => {
                let id = Some(running.execution.id());
                let mine = self.prompts.iter().position(|prompt| prompt.execution_id.as_deref() == id);
                mine.and_then(|at| self.prompts.remove(at))
            }
            Some(_) => None,
            None => self.prompts.pop_front(),
        };
        if let Some(prompt) = prompt {
            let shown = self.screen.begin_editing(&prompt.prompt, terminal::columns());
            self.editor.ask(if prompt.password { Ask::Password(shown) } else { Ask::Input(shown) });
            self.asking = Asking::Prompt(prompt);
        } else if self.running.is_none() {
            self.screen.finish_line();
            self.screen.begin_editing(prompt::LINE, terminal::columns());
            let mut remark = std::mem::take(&mut self.remark);
            if remark.is_empty() {
                remark = self.branches.remark();
            }
            self.editor.ask(Ask::Line(remark));
            self.asking = Asking::Line;
        }
    }

    /// The editor has answered.
    pub(super) async fn answered(&mut self, answer: Answer) -> Option<u8> {
        let asking = std::mem::replace(&mut self.asking, Asking::Nothing);
        self.screen.end_editing();
        if let Answer::Failed(why) = &answer {
            crate::message::error("the terminal cannot be read", why, "");
            return Some(exit::ENVIRONMENT);
        }
        match asking {
            Asking::Line => match answer {
                Answer::Text(text) => self.line(text).await,
                Answer::EndOfFile => Some(exit::SUCCESS),
                _ => None,
            },
            Asking::Prompt(prompt) => {
                match answer {
                    Answer::Text(text) => self.reply(&prompt, Some(text)).await,
                    Answer::EndOfFile => self.reply(&prompt, None).await,
                    Answer::Cleared if self.running.is_some() => {
                        // The code decides what becomes of it: see `prune`.
                        self.prompts.push_front(prompt);
                        self.interrupt();
                    }
                    Answer::Cleared => {
                        self.reply(&prompt, None).await;
                        self.screen.line(&self.palette.aside("(it was told that there is no input)"));
                    }
                    _ => self.prompts.push_front(prompt),
                }
                self.prune().await;
                None
            }
            Asking::Nothing => None,
        }
    }

    async fn reply(&mut self, prompt: &InputMessage, value: Option<String>) {
        let value = value.map(|text| JsonText::new(&text));
        // Nobody may wait for it any more: that is nothing to complain of.
        if let Err(failure) = self.session().input_response(&prompt.id, value).await
            && failure.code != Code::UnknownInput
        {
            self.failure(&failure);
        }
    }

    /// Forgets prompts that nobody waits at any more.
    pub(super) async fn prune(&mut self) {
        let Ok(status) = self.session().status().await else { return };
        let waits = |prompt: &InputMessage| status.inputs.iter().any(|input| input.id == prompt.id);
        self.prompts.retain(waits);
        if matches!(&self.asking, Asking::Prompt(prompt) if !waits(prompt)) {
            self.editor.stop();
        }
    }
}
