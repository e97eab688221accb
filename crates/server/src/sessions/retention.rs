//! How much all sessions together keep of what they have said. Those that have ended go first, the one that was last written to longest ago first;
//! where that is not enough, the sessions that have more than their share keep that.

use super::table::Table;
use pyrepl3_engine::{Failure, History, HistoryLine, JournalLimits};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::spawn_blocking;

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(30);

/// What is kept.
#[derive(Debug, Clone)]
pub(crate) struct Retention {
    pub(crate) data: PathBuf,
    /// Of one session.
    pub(crate) limits: JournalLimits,
    /// Bytes of all.
    pub(crate) total: u64,
    /// How long a session that has ended is kept.
    pub(crate) age: Duration,
}

/// What becomes of the journal of a session that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Stays,
    /// What it said goes; how much that was stays.
    Clear,
    /// It is forgotten.
    Remove,
}

impl Retention {
    /// Looks after the journals as long as the table is there.
    pub(crate) async fn keep(self, table: Weak<Table>) {
        loop {
            if let Some(table) = table.upgrade()
                && let Err(failure) = self.look(&table).await
            {
                tracing::warn!(why = %failure, "what sessions have said could not be cut to its limit");
            }
            tokio::time::sleep(LOOK).await;
            if table.strong_count() == 0 {
                return;
            }
        }
    }

    async fn look(&self, table: &Arc<Table>) -> Result<(), Failure> {
        let data = self.data.clone();
        let known = spawn_blocking(move || History::list(&data)).await.map_err(lost)??;
        let ended: Vec<_> = known.iter().filter(|line| !table.is_in_use(&line.session_id)).cloned().collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut total: u64 = known.iter().map(|line| line.bytes).sum();
        for (line, verdict) in self.verdicts(&ended, total, now) {
            // Nobody makes one of this id meanwhile.
            let _held = table.hold(&line.session_id).await;
            if table.is_in_use(&line.session_id) {
                continue;
            }
            let (data, session) = (self.data.clone(), line.session_id.clone());
            let done = spawn_blocking(move || match verdict {
                Verdict::Remove => History::remove(&data, &session),
                _ => History::clear(&data, &session).map(drop),
            });
            done.await.map_err(lost)??;
            total = total.saturating_sub(line.bytes);
            tracing::info!(
                session = line.session_id,
                ?verdict,
                bytes = line.bytes,
                "what an ended session said is not kept any more"
            );
        }
        self.share_out(table, &known, total).await
    }

    /// What goes of those that have ended.
    fn verdicts<'a>(&self, ended: &'a [HistoryLine], total: u64, now: Duration) -> Vec<(&'a HistoryLine, Verdict)> {
        let mut over = total.saturating_sub(self.total);
        let mut oldest: Vec<_> = ended.iter().collect();
        oldest.sort_by(|a, b| a.written_at.total_cmp(&b.written_at));
        let verdicts = oldest.into_iter().map(|line| {
            let verdict = if now.as_secs_f64() - line.written_at > self.age.as_secs_f64() {
                Verdict::Remove
            } else if over > 0 && line.bytes > SMALLEST {
                Verdict::Clear
            } else {
                Verdict::Stays
            };
            if verdict != Verdict::Stays {
                over = over.saturating_sub(line.bytes);
            }
            (line, verdict)
        });
        verdicts.filter(|(_, verdict)| *verdict != Verdict::Stays).collect()
    }

    /// Where the sessions that are there have more than all may, those with more than their share keep that.
    async fn share_out(&self, table: &Arc<Table>, known: &[HistoryLine], total: u64) -> Result<(), Failure> {
        if total <= self.total {
            return Ok(());
        }
        let live = table.live();
        let share = self.total / live.len().max(1) as u64;
        for served in live {
            let bytes = known.iter().find(|line| line.session_id == served.session.id()).map_or(0, |line| line.bytes);
            if bytes > share {
                let (session, limits) = (served.session.clone(), part(self.limits, share));
                spawn_blocking(move || session.keep_at_most(limits)).await.map_err(lost)??;
                tracing::warn!(
                    session = served.session.id(),
                    share,
                    "a session keeps less of what it says: all have too much"
                );
            }
        }
        Ok(())
    }
}

/// What is not worth to be cleared: what is left of one that was.
const SMALLEST: u64 = 8 << 10;

/// Limits of a session so that it keeps no more than its share.
fn part(limits: JournalLimits, share: u64) -> JournalLimits {
    JournalLimits {
        output: limits.output.min(share / 5 * 2),
        events: limits.events.min(share / 5),
        file: limits.file.min(share / 40).max(4 << 10),
    }
}

fn lost(error: tokio::task::JoinError) -> Failure {
    Failure::os("what sessions have said could not be looked at", &std::io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(session: &str, bytes: u64, written_at: f64) -> HistoryLine {
        serde_json::from_value(
            serde_json::json!({"session_id": session, "bytes": bytes, "lost_bytes": 0, "written_at": written_at}),
        )
        .unwrap()
    }

    fn verdicts(total: u64) -> Vec<(String, Verdict)> {
        let retention = Retention {
            data: PathBuf::new(),
            limits: JournalLimits::default(),
            total: 1_000_000,
            age: Duration::from_secs(100),
        };
        let ended =
            [line("new", 50_000, 990.0), line("old", 60_000, 950.0), line("ancient", 1, 10.0), line("cut", 40, 940.0)];
        let found = retention.verdicts(&ended, total, Duration::from_secs(1000));
        found.into_iter().map(|(line, verdict)| (line.session_id.clone(), verdict)).collect()
    }

    #[test]
    fn the_oldest_of_those_that_have_ended_go_first() {
        let ancient = ("ancient".to_owned(), Verdict::Remove);
        assert_eq!(verdicts(1_000_000), std::slice::from_ref(&ancient));
        assert_eq!(verdicts(1_050_000), [ancient.clone(), ("old".to_owned(), Verdict::Clear)]);
        let both = [ancient, ("old".to_owned(), Verdict::Clear), ("new".to_owned(), Verdict::Clear)];
        assert_eq!(verdicts(1_070_000), both);
        assert_eq!(verdicts(u64::MAX), both);
    }
}
