//! The terminal's settings, put back on every way out.

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::Write;

/// Restores the terminal when it is dropped.
#[derive(Debug)]
pub(crate) struct TerminalGuard {
    before: Option<Termios>,
}

impl TerminalGuard {
    pub(crate) fn new() -> TerminalGuard {
        TerminalGuard { before: tcgetattr(rustix::stdio::stdin()).ok() }
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // Bracketed paste off, the cursor on: the editor does so itself, unless something cut it short.
            let mut stdout = std::io::stdout();
            _ = stdout.write_all(b"\x1b[?2004l\x1b[?25h");
            _ = stdout.flush();
            _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Whether the terminal itself makes lines of what is typed, as it does while code runs.
pub(crate) fn is_in_line_mode() -> bool {
    tcgetattr(rustix::stdio::stdin()).is_ok_and(|now| now.local_modes.contains(LocalModes::ICANON))
}

/// Columns of the terminal.
pub(crate) fn columns() -> usize {
    tcgetwinsize(rustix::stdio::stdout()).map_or(80, |size| usize::from(size.ws_col)).max(20)
}
