//! The code that ran, as a script: what makes the session's state runs in it, and what does not stands there as a comment.

use pyrepl3_engine::protocol::Message;
use std::collections::HashMap;
use std::io::{self, Write};

/// What is known of one execution.
#[derive(Debug, Default)]
struct Piece {
    code: String,
    /// Its number in the session, once it has ended.
    count: u64,
    /// Why it stands there as a comment.
    left_out: Option<String>,
    ended: bool,
    undone: bool,
}

/// The executions of a session, in the order in which they were taken.
#[derive(Debug, Default)]
pub(super) struct Script {
    pieces: Vec<Piece>,
    by_id: HashMap<String, usize>,
    /// Notes in the place of events that are gone, and before which piece they stand.
    gaps: Vec<(usize, String)>,
}

impl Script {
    /// Takes note of an event.
    pub(super) fn take(&mut self, event: &Message) {
        match event {
            Message::Accepted(accepted) => {
                let Some(id) = &accepted.execution_id else { return };
                let code = accepted.code.decode();
                let left_out = code.is_none().then(|| "its source is no text that a file can hold".to_owned());
                self.by_id.insert(id.clone(), self.pieces.len());
                self.pieces.push(Piece { code: code.unwrap_or_default(), left_out, ..Piece::default() });
            }
            Message::ResultMessage(end) => {
                if let Some(piece) = self.piece(end.execution_id.as_deref()) {
                    (piece.count, piece.ended) = (end.execution_count, true);
                    if end.replayed {
                        piece.left_out = Some("it did not run: its idempotency key was used before".to_owned());
                    }
                }
            }
            Message::ErrorMessage(end) => {
                if let Some(piece) = self.piece(end.execution_id.as_deref()) {
                    (piece.count, piece.ended) = (end.execution_count, true);
                    let what = if end.evalue.is_empty() {
                        end.ename.clone()
                    } else {
                        format!("{}: {}", end.ename, end.evalue)
                    };
                    piece.left_out.get_or_insert(format!("it did not complete ({what})"));
                }
                self.mark(&end.undone, true);
            }
            Message::RolledBack(rolled_back) => {
                self.mark(&rolled_back.undone, true);
                self.mark(&rolled_back.redone, false);
            }
            Message::Restored(restored) => self.mark(&restored.undone, true),
            Message::Warning(warning) if warning.execution_id.is_none() && warning.text.starts_with("event") => {
                self.gaps.push((self.pieces.len(), warning.text.clone()));
            }
            _ => {}
        }
    }

    fn piece(&mut self, id: Option<&str>) -> Option<&mut Piece> {
        self.pieces.get_mut(*self.by_id.get(id?)?)
    }

    fn mark(&mut self, counts: &[u64], undone: bool) {
        for piece in &mut self.pieces {
            if piece.count > 0 && counts.contains(&piece.count) {
                piece.undone = undone;
            }
        }
    }

    /// Prints it.
    pub(super) fn write(&self, session: &str, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "# The code that ran in the session {session}.")?;
        let mut gaps = self.gaps.iter().peekable();
        for (index, piece) in self.pieces.iter().enumerate() {
            while let Some((_, text)) = gaps.next_if(|(before, _)| *before <= index) {
                writeln!(out, "\n# Here code may be missing: {}", one_line(text))?;
            }
            let number = if piece.count > 0 { format!("[{}]", piece.count) } else { "[ ]".to_owned() };
            let left_out = match (&piece.left_out, piece.undone, piece.ended) {
                (_, true, _) => Some("its effects were undone"),
                (Some(why), ..) => Some(why.as_str()),
                (None, false, false) => Some("no end of it is known"),
                (None, false, true) => None,
            };
            match left_out {
                None => writeln!(out, "\n# {number}\n{}", piece.code.trim_end_matches('\n'))?,
                Some(why) => {
                    writeln!(out, "\n# {number} is left out: {}", one_line(why))?;
                    for line in piece.code.trim_end_matches('\n').split('\n') {
                        writeln!(out, "{}", format!("# {}", line.trim_end_matches('\r')).trim_end())?;
                    }
                }
            }
        }
        for (_, text) in gaps {
            writeln!(out, "\n# Here code may be missing: {}", one_line(text))?;
        }
        Ok(())
    }
}

/// Text that stays in its comment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect()
}
