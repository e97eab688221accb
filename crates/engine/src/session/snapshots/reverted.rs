//! What a return to a frozen process restored, in words.

use super::frozen::FrozenNote;
use crate::clock::Time;
use crate::messages;
use crate::session::applied::{self, Applied};
use pyrepl3_protocol::id::{self, IdKind};
use pyrepl3_protocol::message::RolledBack;
use pyrepl3_protocol::worker::Recovered;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Characters of each thing that a worker says it has lost, and how many of them are told.
const LOST: (usize, usize) = (300, 30);

/// A return to a mark that is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reverting {
    /// Where it goes to.
    pub(crate) to: FrozenNote,
    pub(crate) began: Time,
    pub(crate) discarded: Vec<String>,
    pub(crate) lost: Vec<String>,
    pub(crate) ended: Vec<String>,
    pub(crate) salvaged: Option<Recovered>,
}

/// A return that is complete.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reverted {
    pub(crate) id: String,
    pub(crate) report: String,
    pub(crate) exact: bool,
    pub(crate) took: Duration,
    pub(crate) applied: Applied,
    pub(crate) undone: Vec<u64>,
    pub(crate) redone: Vec<u64>,
    pub(crate) discarded: Vec<String>,
    /// What was carried over from the state that is gone, and the names of that.
    pub(crate) salvaged: Option<Recovered>,
    pub(crate) salvaged_names: Vec<String>,
}

impl Reverting {
    /// The woken process says what it could not keep.
    pub(crate) fn awake(&mut self, lost: &[String], salvaged: Option<Recovered>) {
        self.lost = lost.iter().take(LOST.1).map(|text| bounded(text)).collect();
        self.salvaged = salvaged;
    }

    pub(crate) fn finish(self, present: &Applied) -> Reverted {
        let FrozenNote { id, name, applied, .. } = self.to;
        let what = match (&name, applied.last()) {
            (Some(name), _) => format!("The snapshot {name:?}"),
            (None, None) => "The beginning of the session".to_owned(),
            (None, Some(count)) => format!("The state after execution {count}"),
        };
        let (undone, redone) = (present.beyond(&applied), applied.beyond(present));
        let mut report = if self.lost.is_empty() {
            format!("{what} is back, exactly.")
        } else {
            format!("{what} is back, except: {}.", self.lost.join("; "))
        };
        for (what, counts) in [("Undone", &undone), ("Done again", &redone)] {
            if !counts.is_empty() {
                report.push_str(&format!(" {what}: {}.", applied::described(counts)));
            }
        }
        if !self.ended.is_empty() {
            report.push_str(&format!(" Ended with it: {}.", bounded(&self.ended.join(", "))));
        }
        if !self.discarded.is_empty() {
            report.push_str(&format!(" Discarded, because later: {}.", self.discarded.join(", ")));
        }
        Reverted {
            id,
            exact: self.lost.is_empty(),
            report,
            took: self.began.until(Time::now()),
            applied,
            undone,
            redone,
            discarded: self.discarded,
            salvaged: self.salvaged,
            salvaged_names: Vec::new(),
        }
    }
}

impl Reverted {
    /// What clients are told. `snapshot`: the snapshot that it went to, if they know it.
    pub(crate) fn message(&self, session: &str, snapshot: Option<String>, reason: String) -> RolledBack {
        RolledBack {
            id: id::new(IdKind::Message),
            timestamp: messages::now(),
            session_id: Some(session.to_owned()),
            execution_id: None,
            seq: None,
            reply_to: None,
            snapshot_id: snapshot,
            report: self.report.clone(),
            exact: self.exact,
            reason,
            duration: self.took.as_secs_f64(),
            execution_count: self.applied.last().unwrap_or(0),
            undone: self.undone.clone(),
            redone: self.redone.clone(),
            discarded: self.discarded.clone(),
        }
    }
}

/// What a worker says, within a bound.
pub(crate) fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LOST.0).collect()
}
