//! What the editor is asked for, and what becomes of its answers.

use super::display::terminal;
use super::editor::prompt;
use super::editor::requests::{EditorAnswer, EditorRequest};
use super::prompts::EditorTask;
use super::state::Repl;
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
            Some(running) if !running.stopping.has_begun() => self.prompts.next_of(running.execution.id()),
            Some(_) => None,
            None => self.prompts.next(),
        };
        if let Some(prompt) = prompt {
            let shown = self.console.screen.begin_editing(&prompt.prompt, terminal::columns());
            self.editor.ask(if prompt.password { EditorRequest::Password(shown) } else { EditorRequest::Input(shown) });
            self.editor_task = EditorTask::Prompt(prompt);
        } else if self.running.is_none() {
            self.console.screen.finish_line();
            self.console.screen.begin_editing(prompt::LINE, terminal::columns());
            let mut remark = std::mem::take(&mut self.remark);
            if remark.is_empty() {
                remark = self.branches.remark();
            }
            self.editor.ask(EditorRequest::Line(remark));
            self.editor_task = EditorTask::Line;
        }
    }

    /// The editor has answered.
    pub(super) async fn answered(&mut self, answer: EditorAnswer) -> Option<u8> {
        let task = std::mem::replace(&mut self.editor_task, EditorTask::Nothing);
        self.console.screen.end_editing();
        if let EditorAnswer::Failed(why) = &answer {
            crate::message::error("the terminal cannot be read", why, "");
            return Some(exit::ENVIRONMENT);
        }
        match task {
            EditorTask::Line => match answer {
                EditorAnswer::Text(text) => self.line(text).await,
                EditorAnswer::EndOfFile => Some(exit::SUCCESS),
                _ => None,
            },
            EditorTask::Prompt(prompt) => {
                match answer {
                    EditorAnswer::Text(text) => self.reply(&prompt, Some(text)).await,
                    EditorAnswer::EndOfFile => self.reply(&prompt, None).await,
                    EditorAnswer::Cleared if self.running.is_some() => {
                        // The code decides what becomes of it: see `prune`.
                        self.prompts.put_back(prompt);
                        self.interrupt();
                    }
                    EditorAnswer::Cleared => {
                        self.reply(&prompt, None).await;
                        self.console.aside("(it was told that there is no input)");
                    }
                    _ => self.prompts.put_back(prompt),
                }
                self.prune().await;
                None
            }
            EditorTask::Nothing => None,
        }
    }

    async fn reply(&mut self, prompt: &InputMessage, value: Option<String>) {
        let value = value.map(|text| JsonText::new(&text));
        // Nobody may wait for it any more: that is nothing to complain of.
        if let Err(failure) = self.session().input_response(&prompt.id, value).await
            && failure.code != Code::UnknownInput
        {
            self.console.failure(&failure);
        }
    }

    /// Forgets prompts that nobody waits at any more.
    pub(super) async fn prune(&mut self) {
        let Ok(status) = self.session().status().await else { return };
        let waits = |prompt: &InputMessage| status.inputs.iter().any(|input| input.id == prompt.id);
        self.prompts.retain(waits);
        if matches!(&self.editor_task, EditorTask::Prompt(prompt) if !waits(prompt)) {
            self.editor.stop();
        }
    }
}
