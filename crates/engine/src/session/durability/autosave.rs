//! When a session saves itself. Pure: it is told what happens, and when that is.

use crate::clock::Time;
use pyrepl3_protocol::message::Autosave;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// After one that failed, how long until the next is tried.
const PAUSE: Duration = Duration::from_secs(30);

/// Says when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AutosaveClock {
    wanted: Option<Autosave>,
    /// Executions that have ended since the state was last saved.
    since: u32,
    last: Time,
    quiet_since: Time,
    saving: bool,
    not_before: Option<Time>,
}

impl AutosaveClock {
    pub(crate) fn new(wanted: Option<&Autosave>) -> Self {
        let now = Time::now();
        AutosaveClock {
            wanted: wanted.cloned(),
            since: 0,
            last: now,
            quiet_since: now,
            saving: false,
            not_before: None,
        }
    }

    pub(crate) fn executed(&mut self, now: Time) {
        self.since = self.since.saturating_add(1);
        self.quiet_since = now;
    }

    /// When to save next, if nothing else happens. `busy`: something runs.
    pub(crate) fn due(&self, busy: bool, now: Time) -> Option<Time> {
        let wanted = self.wanted.as_ref().filter(|_| self.since > 0 && !self.saving)?;
        let after = |from: Time, seconds: Option<f64>| {
            seconds.and_then(|seconds| Some(from.after(Duration::try_from_secs_f64(seconds).ok()?)))
        };
        let counted = wanted.executions.filter(|most| self.since >= *most).map(|_| now);
        let quiet = if busy { None } else { after(self.quiet_since, wanted.idle) };
        let due = [counted, after(self.last, wanted.seconds), quiet].into_iter().flatten().min()?;
        Some(self.not_before.map_or(due, |not| due.max(not)))
    }

    pub(crate) fn is_saving(&self) -> bool {
        self.saving
    }

    pub(crate) fn begun(&mut self, now: Time) {
        (self.saving, self.since, self.last) = (true, 0, now);
    }

    pub(crate) fn ended(&mut self, well: bool, now: Time) {
        self.saving = false;
        self.not_before = (!well).then(|| now.after(PAUSE));
        if !well {
            self.since = self.since.max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(wanted: &Autosave) -> (AutosaveClock, Time) {
        let mut clock = AutosaveClock::new(Some(wanted));
        let now = Time::now();
        (clock.last, clock.quiet_since) = (now, now);
        (clock, now)
    }

    #[test]
    fn nothing_is_saved_where_nothing_was_executed() {
        let (clock, now) =
            clock(&Autosave { executions: Some(1), seconds: Some(0.0), idle: Some(0.0), ..Autosave::default() });
        assert_eq!(clock.due(false, now), None);
    }

    #[test]
    fn each_of_the_three_is_enough() {
        let second = Duration::from_secs(1);
        let (mut counted, now) = clock(&Autosave { executions: Some(2), ..Autosave::default() });
        counted.executed(now);
        assert_eq!(counted.due(false, now), None);
        counted.executed(now);
        assert_eq!(counted.due(true, now), Some(now));
        counted.begun(now);
        assert_eq!(counted.due(true, now), None);
        counted.ended(false, now);
        let (mut timed, now) = clock(&Autosave { seconds: Some(5.0), ..Autosave::default() });
        timed.executed(now.after(second));
        assert_eq!(timed.due(true, now), Some(now.after(5 * second)));
        let (mut idle, now) = clock(&Autosave { idle: Some(5.0), ..Autosave::default() });
        idle.executed(now.after(second));
        assert_eq!(idle.due(false, now), Some(now.after(6 * second)));
        assert_eq!(idle.due(true, now), None);
    }

    #[test]
    fn what_failed_is_tried_again_later() {
        let (mut clock, now) = clock(&Autosave { executions: Some(1), ..Autosave::default() });
        clock.executed(now);
        clock.begun(now);
        clock.ended(false, now);
        assert_eq!(clock.due(false, now), Some(now.after(PAUSE)));
        clock.begun(now);
        clock.ended(true, now);
        assert_eq!(clock.due(false, now), None);
    }
}
