//! What a saver may take: time in proportion to what it brings, and so many frames. It runs the session's own code, which may want to be waited for without end.

use std::fmt;
use std::time::{Duration, Instant};

/// The bounds of one save.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long it may say nothing.
    pub(crate) silence: Duration,
    /// How long it may take in any case: code that is slow to pickle brings few bytes.
    pub(crate) base: Duration,
    /// How many bytes must come for each second beyond that: less than the slowest disk takes.
    pub(crate) bytes_per_second: u64,
    /// How many frames it may send in any case: some for each name, and as many names as a manifest takes.
    pub(crate) frames: u64,
    /// For so many bytes it may send one more.
    pub(crate) bytes_per_frame: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            silence: Duration::from_secs(180),
            base: Duration::from_secs(3600),
            bytes_per_second: 1 << 20,
            frames: 8 << 20,
            bytes_per_frame: 4 << 10,
        }
    }
}

/// What one saver has taken of it. Pure: it is told what comes, and when.
#[derive(Debug)]
pub(crate) struct Allowance {
    limits: Limits,
    begun: Instant,
    bytes: u64,
    frames: u64,
}

/// It took more than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exceeded {
    /// So long for so many bytes.
    Time(Duration, u64),
    /// So many frames.
    Frames(u64),
}

impl fmt::Display for Exceeded {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exceeded::Time(limit, bytes) => {
                write!(out, "it was not done after {} s, of which it sent {bytes} bytes", limit.as_secs())
            }
            Exceeded::Frames(frames) => write!(out, "it sent more than {frames} frames"),
        }
    }
}

impl Allowance {
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        Allowance { limits, begun: now, bytes: 0, frames: 0 }
    }

    /// How long it may take, for what has come so far.
    fn time(&self) -> Duration {
        self.limits.base.saturating_add(Duration::from_secs(self.bytes / self.limits.bytes_per_second.max(1)))
    }

    /// Bytes have come.
    pub(crate) fn came(&mut self, bytes: u64, now: Instant) -> Result<(), Exceeded> {
        self.bytes = self.bytes.saturating_add(bytes);
        let time = self.time();
        if now.saturating_duration_since(self.begun) > time {
            return Err(Exceeded::Time(time, self.bytes));
        }
        Ok(())
    }

    /// A frame begins.
    pub(crate) fn frame(&mut self) -> Result<(), Exceeded> {
        self.frames += 1;
        let most = self.limits.frames.saturating_add(self.bytes / self.limits.bytes_per_frame.max(1));
        if self.frames > most { Err(Exceeded::Frames(most)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_grows_with_what_comes() {
        let limits = Limits { base: Duration::from_secs(10), bytes_per_second: 100, ..Limits::default() };
        let begun = Instant::now();
        let mut allowance = Allowance::new(limits, begun);
        let after = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(allowance.came(1_000, after(10)), Ok(()));
        assert_eq!(allowance.came(0, after(20)), Ok(()));
        assert_eq!(allowance.came(99, after(21)), Err(Exceeded::Time(Duration::from_secs(20), 1_099)));
        assert_eq!(allowance.came(1, after(21)), Ok(()));
        assert_eq!(allowance.came(u64::MAX, after(1 << 40)), Ok(()), "no sum overflows");
    }

    #[test]
    fn frames_grow_with_what_comes() {
        let mut allowance =
            Allowance::new(Limits { frames: 2, bytes_per_frame: 10, ..Limits::default() }, Instant::now());
        assert_eq!([allowance.frame(), allowance.frame()], [Ok(()), Ok(())]);
        allowance.came(10, Instant::now()).unwrap();
        assert_eq!([allowance.frame(), allowance.frame()], [Ok(()), Err(Exceeded::Frames(3))]);
    }
}
