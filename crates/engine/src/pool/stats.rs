//! What a pool counts.

use super::machine::{Counts, Why};
use std::collections::VecDeque;
use std::time::Duration;

/// Latencies remembered for the quantiles.
const SAMPLES: usize = 1024;

/// Quantiles of the newest 1,024 latencies, in seconds; 0 where there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Quantiles {
    /// Half are shorter.
    pub p50: f64,
    /// 99 % are shorter.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// The state of a pool, and what it has done.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct PoolStats {
    /// Sessions that stand ready.
    pub idle: usize,
    /// Sessions on loan.
    pub leased: usize,
    /// Sessions that are being started.
    pub starting: usize,
    /// Callers that wait.
    pub waiting: usize,
    /// Acquired at once from what was warm.
    pub hits: u64,
    /// Acquired after a wait.
    pub misses: u64,
    /// Acquisitions that had to wait, answered or not.
    pub waits: u64,
    /// Acquisitions that waited in vain.
    pub timeouts: u64,
    /// Sessions started.
    pub started: u64,
    /// Sessions ended because they were given back or used too often.
    pub replaced: u64,
    /// Sessions that ended by themselves.
    pub died: u64,
    /// Sessions ended because they stood idle too long.
    pub expired: u64,
    /// From the call to the loan.
    pub wait_seconds: Quantiles,
    /// From the fork to readiness.
    pub start_seconds: Quantiles,
}

#[derive(Debug, Default)]
pub(super) struct Record {
    hits: u64,
    misses: u64,
    pub(super) timeouts: u64,
    started: u64,
    replaced: u64,
    pub(super) died: u64,
    expired: u64,
    waits: VecDeque<Duration>,
    starts: VecDeque<Duration>,
}

fn push(samples: &mut VecDeque<Duration>, one: Duration) {
    if samples.len() == SAMPLES {
        samples.pop_front();
    }
    samples.push_back(one);
}

fn quantiles(samples: &VecDeque<Duration>) -> Quantiles {
    let mut sorted: Vec<f64> = samples.iter().map(Duration::as_secs_f64).collect();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (sorted.len() as f64 * share) as usize;
        sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
    };
    Quantiles { p50: at(0.5), p99: at(0.99), max: at(1.0) }
}

impl Record {
    pub(super) fn hit_if(&mut self, at_once: bool) {
        if at_once {
            self.hits += 1;
        } else {
            self.misses += 1;
        }
    }

    pub(super) fn waited(&mut self, time: Duration) {
        push(&mut self.waits, time);
    }

    pub(super) fn started(&mut self, time: Duration) {
        self.started += 1;
        push(&mut self.starts, time);
    }

    pub(super) fn ended(&mut self, why: Why) {
        if why.is_replacement() {
            self.replaced += 1;
        } else if why == Why::Expired {
            self.expired += 1;
        }
    }

    pub(super) fn stats(&self, counts: Counts) -> PoolStats {
        PoolStats {
            idle: counts.idle,
            leased: counts.leased,
            starting: counts.starting,
            waiting: counts.waiting,
            hits: self.hits,
            misses: self.misses,
            waits: self.misses + self.timeouts,
            timeouts: self.timeouts,
            started: self.started,
            replaced: self.replaced,
            died: self.died,
            expired: self.expired,
            wait_seconds: quantiles(&self.waits),
            start_seconds: quantiles(&self.starts),
        }
    }
}
