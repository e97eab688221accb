//! Signals that people and supervisors send.

use crate::exit;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Ctrl-C: stop what runs.
    Interrupt,
    /// SIGTERM, SIGHUP: end, with this signal's number in the exit status.
    End(i32),
}

impl Asked {
    /// The exit status of a program that does so at once.
    pub(crate) fn status(self) -> u8 {
        match self {
            Asked::Interrupt => exit::INTERRUPTED,
            Asked::End(signal) => exit::of_signal(signal),
        }
    }
}

/// The signals that this program acts on.
///
/// One that was ignored when the program started stays ignored, as in Python: that is how `nohup` and a shell's
/// background jobs say that it is not meant for it.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hang_up: Option<Signal>,
}

const HANG_UP: i32 = 1;
const INTERRUPT: i32 = 2;
const TERMINATE: i32 = 15;

impl Signals {
    /// Takes hold of them: from now on they do not end the program by themselves.
    pub(crate) fn new() -> io::Result<Signals> {
        let ignored = ignored();
        let listen = |number: i32| {
            if ignored & (1 << (number - 1)) == 0 { signal(SignalKind::from_raw(number)).map(Some) } else { Ok(None) }
        };
        Ok(Signals { interrupt: listen(INTERRUPT)?, terminate: listen(TERMINATE)?, hang_up: listen(HANG_UP)? })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            () = arrival(&mut self.interrupt) => Asked::Interrupt,
            () = arrival(&mut self.terminate) => Asked::End(TERMINATE),
            () = arrival(&mut self.hang_up) => Asked::End(HANG_UP),
        }
    }
}

async fn arrival(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// The mask of signals that are ignored; none where the kernel does not say.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    mask(&status, "SigIgn:")
}

fn mask(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_is_read() {
        assert_eq!(mask("SigBlk:\t0\nSigIgn:\t0000000000001001\n", "SigIgn:"), 0x1001);
        assert_eq!(mask("", "SigIgn:"), 0);
    }
}
