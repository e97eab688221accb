//! The ways out.

use super::running::SLOW_TO_STOP;
use super::state::Repl;
use crate::signals::Asked;
use crate::{exit, start};

impl Repl {
    /// Lets the session leave as a Python program does. Its threads are waited for; Ctrl-C ends that.
    pub(super) async fn leave(mut self, status: u8) -> u8 {
        let session = self.session();
        if let Ok(now) = session.status().await {
            for input in now.inputs {
                _ = session.input_response(&input.id, None).await;
            }
        }
        let leaving = session.leave(i32::from(status), true);
        tokio::pin!(leaving);
        let mut told = false;
        loop {
            tokio::select! {
                () = &mut leaving => break,
                asked = self.signals.next() => match asked {
                    Asked::Interrupt => {
                        let session = session.clone();
                        tokio::spawn(async move { session.interrupt().await });
                    }
                    Asked::End(signal) => return exit::of_signal(signal),
                },
                message = self.events.next() => match message {
                    Some(message) => self.last_words(&message),
                    None => break,
                },
                () = tokio::time::sleep(SLOW_TO_STOP), if !told => {
                    told = true;
                    self.console.aside("waiting for the session's threads to end; Ctrl-C stops waiting");
                }
            }
        }
        while let Some(message) = self.events.next().await {
            self.last_words(&message);
        }
        self.console.screen.finish_line();
        status
    }

    /// A signal ends the program: at once, but with the terminal as it was.
    pub(super) async fn end(mut self, signal: i32) -> u8 {
        if self.editor.is_busy() {
            self.editor.stop();
            _ = tokio::time::timeout(start::PATIENCE, self.editor.answer()).await;
            self.console.screen.end_editing();
            self.console.screen.write("\n");
        }
        _ = tokio::time::timeout(start::PATIENCE, self.session().shutdown()).await;
        exit::of_signal(signal)
    }
}
