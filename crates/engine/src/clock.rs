//! Time as state machines know it: a duration since the machine started, suspended time included. It can be written
//! down and read back by another process on the same machine, which an `Instant` cannot.

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// A moment: how long after boot (`CLOCK_BOOTTIME`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Time(Duration);

impl Time {
    /// When the machine was started.
    #[cfg(test)]
    pub(crate) const ZERO: Time = Time(Duration::ZERO);

    /// Now.
    pub(crate) fn now() -> Time {
        let now = clock_gettime(ClockId::Boottime);
        let (seconds, nanoseconds) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
        Time(Duration::new(seconds.unwrap_or(0), nanoseconds.unwrap_or(0)))
    }

    /// So much later; the end of time where it would be beyond.
    pub(crate) fn after(self, wait: Duration) -> Time {
        Time(self.0.saturating_add(wait))
    }

    /// How long until then; nothing when it has passed.
    pub(crate) fn until(self, then: Time) -> Duration {
        then.0.saturating_sub(self.0)
    }
}

/// Waits until a moment; for ever without one.
pub(crate) async fn sleep_until(moment: Option<Time>) {
    // The runtime's timers hold some centuries at most.
    const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
    match moment {
        Some(moment) => {
            let wait = Time::now().until(moment).min(LONGEST);
            tokio::time::sleep_until((Instant::now() + wait).into()).await;
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_ages_does_not_overflow() {
        let now = Time::now();
        let end = now.after(Duration::MAX);
        assert!(end > now.after(Duration::from_secs(1)));
        assert_eq!(end.until(now), Duration::ZERO);
        assert_eq!(now.until(now.after(Duration::from_secs(3))), Duration::from_secs(3));
    }
}
