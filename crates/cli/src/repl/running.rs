//! What runs.

use pyrepl3_engine::{ExecuteRequest, Execution};
use std::time::{Duration, Instant};

/// When to say that something has not stopped yet.
pub(crate) const SLOW_TO_STOP: Duration = Duration::from_millis(1500);

/// An execution, and what is to be said of it.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) execution: Execution,
    pub(crate) request: ExecuteRequest,
    /// Whether time and memory are to be shown.
    pub(crate) timed: bool,
    /// Whether it was refused once, and sent again.
    pub(crate) retried: bool,
    /// How it is being stopped, if it is.
    pub(crate) stopping: Stopping,
}

/// The patience with code that is to stop.
#[derive(Debug, Default)]
pub(crate) struct Stopping {
    since: Option<Instant>,
    said_so: bool,
}

impl Stopping {
    /// It was told to stop; the first time counts.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.since.is_some()
    }

    /// When a person is to be told that it takes long.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.since.filter(|_| !self.said_so).map(|since| since + SLOW_TO_STOP)
    }

    /// Whether to tell that now. True once.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.deadline().is_some_and(|at| at <= now);
        self.said_so |= due;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_stop_is_told_once() {
        let now = Instant::now();
        let mut stopping = Stopping::default();
        assert!(!stopping.is_due(now + SLOW_TO_STOP));
        stopping.begin(now);
        stopping.begin(now + SLOW_TO_STOP);
        assert_eq!(stopping.deadline(), Some(now + SLOW_TO_STOP));
        assert!(stopping.is_due(now + SLOW_TO_STOP));
        assert!(!stopping.is_due(now + SLOW_TO_STOP * 2));
        assert_eq!((stopping.deadline(), stopping.has_begun()), (None, true));
    }
}
