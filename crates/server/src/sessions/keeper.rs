//! Follows a session from its beginning to its end: takes note of its executions, and ends it when its time is over.

use super::served::Served;
use super::table::Table;
use crate::clock;
use pyrepl3_engine::protocol::message::Message;
use pyrepl3_engine::{Event, StatusState};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The longest time between two looks at the clock.
const LOOK: Duration = Duration::from_secs(3600);

pub(super) async fn keep(served: Arc<Served>, table: Arc<Table>) {
    let (_, last) = served.session.event_numbers();
    if last == 0 {
        served.set_caught_up();
    }
    // All that is kept: what an earlier server has told, too.
    if let Ok(mut events) = served.session.follow(Some(0)) {
        loop {
            let due = due(&served);
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => {
                        take(&served, &event);
                        if event.seq() >= Some(last) {
                            served.set_caught_up();
                        }
                    }
                    None => break,
                },
                () = sleep(due.map_or(LOOK, |due| due.min(LOOK))) => {
                    if is_over(&served).await {
                        tracing::info!("a session's time is over");
                        // It goes on saying things until it has ended.
                        tokio::spawn(served.session.shutdown());
                        while let Some(event) = events.next().await {
                            take(&served, &event);
                        }
                        break;
                    }
                }
            }
        }
    }
    served.set_caught_up();
    table.end(&served).await;
}

fn take(served: &Served, event: &Event) {
    if let Message::RolledBack(rolled_back) = &**event {
        served.note_return(rolled_back);
    }
    served.executions.take(event);
    served.touch();
}

/// How long until something may have to be done.
fn due(served: &Served) -> Option<Duration> {
    let idle = served.record.spec.idle_timeout().map(|limit| limit.saturating_sub(served.idle()));
    let lifetime = served.record.spec.lifetime().map(|limit| limit.saturating_sub(age(served)));
    // Where it is due and cannot be yet, as code runs, it is looked at once more.
    idle.map(|idle| idle.max(Duration::from_millis(100))).into_iter().chain(lifetime).min()
}

fn age(served: &Served) -> Duration {
    Duration::from_secs_f64((clock::since_boot() - served.record.created_since_boot).max(0.0))
}

async fn is_over(served: &Served) -> bool {
    if served.record.spec.lifetime().is_some_and(|limit| age(served) >= limit) {
        return true;
    }
    let Some(limit) = served.record.spec.idle_timeout() else { return false };
    if served.idle() < limit {
        return false;
    }
    match served.session.status().await {
        Ok(status) => {
            let is_idle = status.state == StatusState::Idle && status.queued.is_empty() && status.inputs.is_empty();
            if !is_idle {
                served.touch();
            }
            is_idle
        }
        Err(_) => true,
    }
}
