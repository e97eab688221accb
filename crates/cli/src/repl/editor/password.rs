//! Answers that are not shown.

use super::line_editor::EditorParts;
use super::requests::{EditorAnswer, POLL};
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Reads a line without showing it; `begun` is what was typed of it before. `stop` makes it return.
pub(crate) fn read(prompt: &str, begun: String, parts: &EditorParts, stop: &AtomicBool) -> EditorAnswer {
    let answer = terminal::enable_raw_mode().and_then(|()| edit(prompt, begun, parts, stop));
    // Through the same calls as the editor, whose idea of the terminal's state must stay right.
    let restored = terminal::disable_raw_mode();
    _ = show("\r\n");
    match (answer, restored) {
        (Ok(answer), Ok(())) => answer,
        (Err(error), _) | (_, Err(error)) => EditorAnswer::Failed(error.to_string()),
    }
}

fn show(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

fn edit(prompt: &str, begun: String, parts: &EditorParts, stop: &AtomicBool) -> io::Result<EditorAnswer> {
    show(prompt)?;
    let mut text = begun;
    loop {
        if stop.swap(false, Ordering::AcqRel) {
            return Ok(EditorAnswer::Stopped);
        }
        let lines = parts.queue.take();
        if !lines.is_empty() {
            show(&format!("\r\x1b[K{}\r\n{prompt}", lines.join("\r\n")))?;
        }
        if !event::poll(POLL)? {
            continue;
        }
        match event::read()? {
            Event::Paste(pasted) => text.push_str(&pasted),
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                match key.code {
                    KeyCode::Enter => {
                        parts.keys.look();
                        return Ok(EditorAnswer::Text(text));
                    }
                    KeyCode::Char('c') if control => return Ok(EditorAnswer::Cleared),
                    KeyCode::Char('d') if control && text.is_empty() => return Ok(EditorAnswer::EndOfFile),
                    KeyCode::Char('u') if control => text.clear(),
                    KeyCode::Char(c) if !control => text.push(c),
                    KeyCode::Backspace => _ = text.pop(),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}
