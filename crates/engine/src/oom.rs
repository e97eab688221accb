//! Whether the kernel killed a process for want of memory. It says only how many it has killed since it started.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Time;

/// A count that is older than this says nothing of a process that was killed now.
const FRESH: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Time,
    /// Kills until then that no session was told of.
    kills: u64,
}

/// The kernel's count, seen by all sessions of an engine: each kill explains one death at most, and none that was before
/// the code began that died.
#[derive(Debug, Default)]
pub(crate) struct OomWatch {
    last: Mutex<Option<Sample>>,
}

impl OomWatch {
    /// Code begins to run: what was killed until now is none of its business.
    pub(crate) fn begin(&self) {
        let now = Time::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Reading costs tens of microseconds, so not at each of many small executions.
        if last.is_none_or(|sample| sample.at.until(now) >= FRESH) {
            *last = kills().map(|kills| Sample { at: now, kills });
        }
    }

    /// A process was killed by nobody that the engine knows of. Whether it was the kernel, as far as can be known.
    pub(crate) fn explains_a_death(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        claim(&mut last, kills())
    }
}

fn claim(last: &mut Option<Sample>, now: Option<u64>) -> bool {
    match (last, now) {
        (Some(sample), Some(now)) if now > sample.kills => {
            sample.kills += 1;
            true
        }
        _ => false,
    }
}

/// How many processes the kernel has killed for want of memory since it started, where it says.
fn kills() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/vmstat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kill_explains_one_death() {
        let mut last = Some(Sample { at: Time::now(), kills: 7 });
        assert!(!claim(&mut last, Some(7)), "nothing was killed since");
        assert!(claim(&mut last, Some(8)));
        assert!(!claim(&mut last, Some(8)), "another session has died of something else");
        assert!(claim(&mut last, Some(10)) && claim(&mut last, Some(10)) && !claim(&mut last, Some(10)));
        assert!(!claim(&mut None, Some(10)), "nobody has looked before");
        assert!(!claim(&mut last, None));
    }

    #[test]
    fn what_was_before_the_code_began_is_not_blamed() {
        let watch = OomWatch::default();
        // As if somebody had looked long ago, and a process of somebody else's was killed since.
        let old = kills().map(|now| Sample { at: Time::default(), kills: now.saturating_sub(1) });
        *watch.last.lock().unwrap() = old.or(Some(Sample { at: Time::default(), kills: 0 }));
        watch.begin();
        assert!(!watch.explains_a_death());
    }
}
