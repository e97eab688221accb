//! Events as text for people: what was asked, what came of it.

use crate::clock::exactly;
use crate::size;
use crate::table::plain;
use pyrepl3_engine::protocol::Message;
use pyrepl3_engine::protocol::message::TransactionPolicy;
use std::collections::HashMap;
use std::io::{self, Write};

/// Prints events as they come.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Executions that have not ended: the numbers of the events that they were taken with.
    names: HashMap<String, u64>,
    /// The last one of them.
    asked: u64,
    /// Whose output stands in the line that is not ended.
    open: bool,
}

impl Told {
    /// Prints one.
    pub(super) fn write(&mut self, event: &Message, out: &mut impl Write) -> io::Result<()> {
        match event {
            Message::Accepted(accepted) => {
                self.asked = accepted.seq.unwrap_or_default();
                if let Some(id) = &accepted.execution_id {
                    self.names.insert(id.clone(), self.asked);
                }
                self.line(out)?;
                let policy = match accepted.transaction_policy {
                    TransactionPolicy::CommitAlways => String::new(),
                    other => format!("  {}", word(&other)),
                };
                writeln!(out, "── {}  {}{policy}", self.asked, exactly(accepted.timestamp))?;
                let code = accepted.code.decode().unwrap_or_else(|| accepted.code.literal().to_owned());
                for (index, line) in code.trim_end_matches('\n').split('\n').enumerate() {
                    let prompt = if index == 0 { ">>>" } else { "..." };
                    writeln!(out, "{}", format!("{prompt} {}", visible(line)).trim_end())?;
                }
            }
            Message::OutputMessage(output) => {
                if output.dropped > 0 {
                    self.note(out, &format!("{} of output are missing here", size::bytes(output.dropped)))?;
                }
                for piece in output.data.split_inclusive('\n') {
                    let text = visible(piece.trim_end_matches('\n'));
                    out.write_all(text.as_bytes())?;
                    self.open = !piece.ends_with('\n');
                    if !self.open {
                        out.write_all(b"\n")?;
                    }
                }
            }
            Message::InputMessage(input) => self.note(out, &format!("asks: {}", plain(&input.prompt)))?,
            Message::Answered(_) => self.note(out, "was answered")?,
            Message::DisplayMessage(display) => {
                let types: Vec<String> = display.data.keys().map(|name| plain(name)).collect();
                self.note(out, &format!("shows {}", types.join(", ")))?;
            }
            Message::ResultMessage(end) => {
                self.line(out)?;
                if let Some(repr) = end.repr.as_ref().filter(|_| !end.shown && end.value_type.is_some()) {
                    for line in repr.split('\n') {
                        writeln!(out, "{}", visible(line))?;
                    }
                }
                self.end_of(out, end.execution_id.as_deref(), &format!("done in {}", size::seconds(end.duration)))?;
            }
            Message::ErrorMessage(end) => {
                self.line(out)?;
                let text = if end.traceback.is_empty() { &end.error } else { &end.traceback };
                for line in text.trim_end_matches('\n').split('\n').filter(|_| !end.shown) {
                    writeln!(out, "{}", visible(line))?;
                }
                let undone = if end.rolled_back { ", and undone" } else { "" };
                let how =
                    format!("{} after {}{undone}", word(&end.status).replace('_', " "), size::seconds(end.duration));
                self.end_of(out, end.execution_id.as_deref(), &how)?;
            }
            Message::RolledBack(back) => self.note(out, &format!("went back: {}", one_line(&back.report)))?,
            Message::Warning(warning) => self.note(out, &one_line(&warning.text))?,
            Message::SessionLost(lost) => self.note(out, &format!("lost: {}", one_line(&lost.reason)))?,
            other => self.note(out, other.type_name())?,
        }
        Ok(())
    }

    /// The end of all.
    pub(super) fn end(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.line(out)?;
        if !self.names.is_empty() {
            writeln!(out, "   {} of these have not ended", self.names.len())?;
        }
        Ok(())
    }

    fn end_of(&mut self, out: &mut impl Write, id: Option<&str>, how: &str) -> io::Result<()> {
        let name = id.and_then(|id| self.names.remove(id));
        // Where others were asked for since, it is said whose end it is.
        match name {
            Some(name) if name != self.asked => self.note(out, &format!("the code of {name}: {how}")),
            _ => self.note(out, how),
        }
    }

    fn note(&mut self, out: &mut impl Write, text: &str) -> io::Result<()> {
        self.line(out)?;
        writeln!(out, "   [{text}]")
    }

    /// Ends a line that output has left open.
    fn line(&mut self, out: &mut impl Write) -> io::Result<()> {
        if std::mem::take(&mut self.open) { writeln!(out) } else { Ok(()) }
    }
}

/// A word of the protocol.
fn word(value: &impl serde::Serialize) -> String {
    let word = serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned));
    word.unwrap_or_default()
}

/// A line of what code printed: escape sequences are seen and not obeyed.
fn visible(line: &str) -> String {
    line.chars()
        .map(|c| if c.is_control() && c != '\t' { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

fn one_line(text: &str) -> String {
    plain(text.trim_end().split('\n').next().unwrap_or_default())
}
