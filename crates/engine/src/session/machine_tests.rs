//! Example and property tests of the session's state machine.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const GRACE: Duration = Duration::from_secs(5);

fn ready() -> (Machine, Instant) {
    let now = Instant::now();
    let mut machine = Machine::new(GRACE, 100);
    assert!(machine.handle(Event::Up, now).is_empty());
    (machine, now)
}

fn task(token: Token) -> Task {
    Task { token, kind: Kind::Execute, timeout: None, stop_on_error: false }
}

#[test]
fn tasks_run_in_order_one_at_a_time() {
    let (mut machine, now) = ready();
    assert_eq!(machine.submit(task(1), now).unwrap(), [Action::Send(1)]);
    assert_eq!(machine.submit(task(2), now).unwrap(), []);
    let actions = machine.handle(Event::Ended { token: 1, said: Said::Result }, now);
    assert_eq!(actions, [Action::End(1, Verdict::Reported), Action::Send(2)]);
}

#[test]
fn the_ladder_interrupts_then_kills_then_starts_afresh() {
    let (mut machine, now) = ready();
    let limited = Task { timeout: Some(Duration::from_secs(1)), ..task(1) };
    machine.submit(limited, now).unwrap();
    assert_eq!(machine.deadline(), Some(now + Duration::from_secs(1)));
    let late = now + Duration::from_secs(1);
    assert_eq!(machine.handle(Event::Timer, late), [Action::Interrupt(1)]);
    assert_eq!(machine.handle(Event::Timer, late), []);
    assert_eq!(machine.deadline(), Some(late + GRACE / 2));
    assert_eq!(machine.handle(Event::Timer, late + GRACE / 2), [Action::Interrupt(1)]);
    assert_eq!(machine.handle(Event::Timer, late + GRACE / 2), []);
    assert_eq!(machine.handle(Event::Timer, late + GRACE), [Action::Kill]);
    let actions = machine.handle(Event::Exited, late + GRACE);
    assert_eq!(
        actions,
        [Action::End(1, Verdict::Killed { timed_out: true }), Action::Lost { running: true }, Action::Respawn]
    );
    assert_eq!(machine.handle(Event::Up, late + GRACE), []);
    assert_eq!(machine.phase(), Phase::Ready);
}

#[test]
fn a_swallowed_interrupt_is_a_success_and_a_swallowed_timeout_is_not() {
    let (mut machine, now) = ready();
    machine.submit(task(1), now).unwrap();
    machine.handle(Event::Interrupt, now);
    let actions = machine.handle(Event::Ended { token: 1, said: Said::Result }, now);
    assert_eq!(actions, [Action::End(1, Verdict::Reported)]);
    machine.submit(Task { timeout: Some(Duration::ZERO), ..task(2) }, now).unwrap();
    machine.handle(Event::Timer, now);
    let actions = machine.handle(Event::Ended { token: 2, said: Said::Result }, now);
    assert_eq!(actions, [Action::End(2, Verdict::TimedOut)]);
}

#[test]
fn a_forged_end_is_a_violation() {
    let (mut machine, now) = ready();
    machine.submit(task(1), now).unwrap();
    machine.submit(task(2), now).unwrap();
    let actions = machine.handle(Event::Ended { token: 7, said: Said::Result }, now);
    assert_eq!(actions, [Action::End(2, Verdict::Violation), Action::Teardown]);
    assert_eq!(machine.handle(Event::Gone, now), [Action::End(1, Verdict::Violation)]);
    assert_eq!(machine.submit(task(3), now), Err(Refusal::Closed));
}

#[test]
fn a_death_while_nothing_runs_is_told_to_the_next_request_once() {
    let (mut machine, now) = ready();
    machine.submit(task(0), now).unwrap();
    machine.handle(Event::Ended { token: 0, said: Said::Result }, now);
    assert_eq!(machine.handle(Event::Exited, now), [Action::Lost { running: false }, Action::Respawn]);
    assert_eq!(machine.submit(task(1), now), Err(Refusal::Lost));
    assert_eq!(machine.submit(task(2), now), Ok(vec![]));
    assert_eq!(machine.handle(Event::Up, now), [Action::Send(2)]);
}

#[test]
fn stop_on_error_cancels_what_is_queued() {
    let (mut machine, now) = ready();
    machine.submit(Task { stop_on_error: true, ..task(1) }, now).unwrap();
    machine.submit(task(2), now).unwrap();
    let actions = machine.handle(Event::Ended { token: 1, said: Said::Error }, now);
    assert_eq!(actions, [Action::End(1, Verdict::Reported), Action::End(2, Verdict::CancelledByError)]);
}

#[derive(Debug, Clone)]
enum Step {
    Submit { query: bool, timeout: Option<u64>, stop_on_error: bool },
    Up,
    Failed,
    EndCurrent(u8),
    Forge(u64),
    Exited,
    Violation,
    Interrupt,
    Cancel(u64),
    Wait(u64),
    Close,
    Gone,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<bool>(), proptest::option::of(0u64..20), any::<bool>())
            .prop_map(|(query, timeout, stop_on_error)| Step::Submit { query, timeout, stop_on_error }),
        4 => Just(Step::Up),
        6 => any::<u8>().prop_map(Step::EndCurrent),
        2 => Just(Step::Exited),
        3 => Just(Step::Interrupt),
        2 => (0u64..30).prop_map(Step::Cancel),
        4 => (0u64..8).prop_map(Step::Wait),
        1 => prop_oneof![Just(Step::Failed), Just(Step::Violation), Just(Step::Close), Just(Step::Gone), (0u64..30).prop_map(Step::Forge)],
    ]
}

proptest! {
    /// Whatever happens: each task that was taken ends exactly once, is sent at most once and only to a worker that is
    /// up and idle, SIGKILL comes only after SIGINT and the grace, and a session that ended does nothing more.
    #[test]
    fn every_accepted_task_ends_exactly_once(steps in proptest::collection::vec(step(), 0..80)) {
        let mut now = Instant::now();
        let mut machine = Machine::new(GRACE, 5);
        let (mut next, mut open, mut ended) = (0u64, BTreeMap::new(), BTreeSet::new());
        let (mut up, mut running, mut interrupted_at) = (false, None::<(u64, bool)>, None::<Instant>);
        let mut torn_down = false;
        for step in steps.into_iter().chain([Step::Close, Step::Gone]) {
            let closed = machine.phase() == Phase::Closed;
            let actions = match step {
                Step::Submit { query, timeout, stop_on_error } => {
                    let token = next;
                    next += 1;
                    let kind = if query { Kind::Query } else { Kind::Execute };
                    let task = Task { token, kind, timeout: timeout.map(Duration::from_secs), stop_on_error };
                    match machine.submit(task, now) {
                        Ok(actions) => { open.insert(token, query); actions }
                        Err(_) => vec![],
                    }
                }
                // A worker says hello once; the actor tells a second one as a violation itself.
                Step::Up if up => continue,
                Step::Up => { up = matches!(machine.phase(), Phase::Starting | Phase::Respawning); machine.handle(Event::Up, now) }
                Step::Failed if up => continue,
                Step::Failed => machine.handle(Event::Failed, now),
                Step::EndCurrent(how) => {
                    let Some((token, query)) = running else { continue };
                    let said = if query { Said::Reply } else if how % 2 == 0 { Said::Result } else { Said::Error };
                    machine.handle(Event::Ended { token, said }, now)
                }
                Step::Forge(token) => machine.handle(Event::Ended { token: token + 1000, said: Said::Result }, now),
                Step::Exited => { up = false; machine.handle(Event::Exited, now) }
                Step::Violation => machine.handle(Event::Violation, now),
                Step::Interrupt => machine.handle(Event::Interrupt, now),
                Step::Cancel(token) => machine.handle(Event::Cancel(token), now),
                Step::Wait(seconds) => { now += Duration::from_secs(seconds); machine.handle(Event::Timer, now) }
                Step::Close => machine.handle(Event::Close, now),
                Step::Gone => machine.handle(Event::Gone, now),
            };
            prop_assert!(!closed || actions.is_empty());
            for action in actions {
                match action {
                    Action::Send(token) => {
                        prop_assert!(up && running.is_none());
                        running = Some((token, open[&token]));
                        interrupted_at = None;
                    }
                    Action::Interrupt(token) => {
                        prop_assert_eq!(running.map(|(token, _)| token), Some(token));
                        interrupted_at.get_or_insert(now);
                    }
                    Action::Kill => prop_assert!(interrupted_at.is_some_and(|at| now >= at + GRACE)),
                    Action::End(token, _) => {
                        prop_assert!(open.remove(&token).is_some());
                        prop_assert!(ended.insert(token));
                        if running.is_some_and(|(current, _)| current == token) { running = None; }
                    }
                    Action::Lost { .. } | Action::Respawn => prop_assert!(!up),
                    Action::Teardown => { prop_assert!(!torn_down); torn_down = true; }
                }
            }
        }
        prop_assert!(open.is_empty());
    }
}
