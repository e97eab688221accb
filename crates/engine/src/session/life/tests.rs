//! Example and property tests of the session's state machine.

use super::*;
use crate::clock::Time;
use crate::session::timeline::Bounds;
use proptest::prelude::*;
use pyrepl3_protocol::message::TransactionPolicy;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const GRACE: Duration = Duration::from_secs(5);

fn ready() -> (Machine, Time) {
    let now = Time::now();
    let mut machine = Machine::new(GRACE, 100, Bounds::default());
    assert!(machine.handle(Event::Up, now).is_empty());
    (machine, now)
}

fn task(token: Token) -> Task {
    Task::new(token, TaskKind::Execute)
}

#[test]
fn tasks_run_in_order_one_at_a_time() {
    let (mut machine, now) = ready();
    assert_eq!(machine.submit(task(1), now).unwrap(), [Action::Send(1, None)]);
    assert_eq!(machine.submit(task(2), now).unwrap(), []);
    let actions = machine.handle(Event::Ended { token: 1, said: Said::Result }, now);
    assert_eq!(actions, [Action::End(1, Verdict::Reported, State::Kept), Action::Send(2, None)]);
}

#[test]
fn the_ladder_interrupts_then_kills_then_starts_afresh() {
    let (mut machine, now) = ready();
    let limited = Task { timeout: Some(Duration::from_secs(1)), ..task(1) };
    machine.submit(limited, now).unwrap();
    assert_eq!(machine.deadline(), Some(now.after(Duration::from_secs(1))));
    let late = now.after(Duration::from_secs(1));
    assert_eq!(machine.handle(Event::Timer, late), [Action::Interrupt(1)]);
    assert_eq!(machine.handle(Event::Timer, late), []);
    assert_eq!(machine.deadline(), Some(late.after(GRACE / 2)));
    assert_eq!(machine.handle(Event::Timer, late.after(GRACE / 2)), [Action::Interrupt(1)]);
    assert_eq!(machine.handle(Event::Timer, late.after(GRACE / 2)), []);
    assert_eq!(machine.handle(Event::Timer, late.after(GRACE)), [Action::Kill]);
    let actions = machine.handle(Event::Exited, late.after(GRACE));
    assert_eq!(
        actions,
        [
            Action::End(1, Verdict::Killed { timed_out: true }, State::Lost),
            Action::Lost { running: true },
            Action::Respawn
        ]
    );
    assert_eq!(machine.handle(Event::Up, late.after(GRACE)), []);
    assert_eq!(machine.phase(), Phase::Ready);
}

#[test]
fn a_swallowed_interrupt_is_a_success_and_a_swallowed_timeout_is_not() {
    let (mut machine, now) = ready();
    machine.submit(task(1), now).unwrap();
    machine.handle(Event::Interrupt, now);
    let actions = machine.handle(Event::Ended { token: 1, said: Said::Result }, now);
    assert_eq!(actions, [Action::End(1, Verdict::Reported, State::Kept)]);
    machine.submit(Task { timeout: Some(Duration::ZERO), ..task(2) }, now).unwrap();
    machine.handle(Event::Timer, now);
    let actions = machine.handle(Event::Ended { token: 2, said: Said::Result }, now);
    assert_eq!(actions, [Action::End(2, Verdict::TimedOut, State::Kept)]);
}

#[test]
fn a_forged_end_is_a_violation() {
    let (mut machine, now) = ready();
    machine.submit(task(1), now).unwrap();
    machine.submit(task(2), now).unwrap();
    let actions = machine.handle(Event::Ended { token: 7, said: Said::Result }, now);
    assert_eq!(actions, [Action::End(2, Verdict::Violation, State::Kept), Action::Teardown]);
    assert_eq!(machine.handle(Event::Gone, now), [Action::End(1, Verdict::Violation, State::Lost)]);
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
    assert_eq!(machine.handle(Event::Up, now), [Action::Send(2, None)]);
}

#[test]
fn stop_on_error_cancels_what_is_queued() {
    let (mut machine, now) = ready();
    machine.submit(Task { stop_on_error: true, ..task(1) }, now).unwrap();
    machine.submit(task(2), now).unwrap();
    let actions = machine.handle(Event::Ended { token: 1, said: Said::Error }, now);
    assert_eq!(
        actions,
        [Action::End(1, Verdict::Reported, State::Kept), Action::End(2, Verdict::CancelledByError, State::Kept)]
    );
}

fn under(token: Token, policy: TransactionPolicy) -> Task {
    Task { policy, ..task(token) }
}

fn end(machine: &mut Machine, token: Token, said: Said, now: Time) -> Vec<Action> {
    machine.handle(Event::Ended { token, said }, now)
}

#[test]
fn a_policy_that_undoes_freezes_first_and_goes_back_on_failure() {
    let (mut machine, now) = ready();
    for (policy, said, undone) in [
        (TransactionPolicy::RollbackOnFailure, Said::Error, true),
        (TransactionPolicy::RollbackOnFailure, Said::Result, false),
        (TransactionPolicy::CommitOnSuccess, Said::Error, true),
        (TransactionPolicy::CommitOnSuccess, Said::Result, false),
    ] {
        let actions = machine.submit(under(1, policy), now).unwrap();
        let [Action::Send(1, Some(mark))] = actions[..] else { panic!("{actions:?}") };
        let actions = end(&mut machine, 1, said, now);
        if undone {
            assert_eq!(actions, [Action::Revert { mark, keep: false, discard: vec![] }]);
            let actions = machine.handle(Event::Reverted, now);
            assert_eq!(actions, [Action::End(1, Verdict::Reported, State::Undone)]);
        } else {
            assert_eq!(actions, [Action::Drop(vec![mark]), Action::End(1, Verdict::Reported, State::Kept)]);
        }
        assert_eq!(machine.timeline().len(), 0);
    }
    assert_eq!(machine.submit(task(2), now).unwrap(), [Action::Send(2, None)]);
}

#[test]
fn an_interrupt_is_a_failure_for_one_policy_only() {
    for (policy, undone) in [(TransactionPolicy::RollbackOnFailure, false), (TransactionPolicy::CommitOnSuccess, true)]
    {
        let (mut machine, now) = ready();
        machine.submit(under(1, policy), now).unwrap();
        machine.handle(Event::Interrupt, now);
        let actions = end(&mut machine, 1, Said::Error, now);
        assert_eq!(matches!(actions[0], Action::Revert { .. }), undone);
    }
}

#[test]
fn a_death_goes_back_to_the_newest_mark_and_to_the_one_before_if_that_is_dead() {
    let (mut machine, now) = ready();
    let actions = machine.submit(Task::new(1, TaskKind::Freeze(SnapshotPurpose::Named)), now).unwrap();
    let [Action::Send(1, Some(first))] = actions[..] else { panic!("{actions:?}") };
    end(&mut machine, 1, Said::Reply, now);
    machine.submit(under(2, TransactionPolicy::RollbackOnFailure), now).unwrap();
    let actions = machine.handle(Event::Exited, now);
    assert!(matches!(actions[..], [Action::Revert { mark, keep: false, .. }] if mark > first), "{actions:?}");
    let actions = machine.handle(Event::RevertFailed { dead: true }, now);
    assert!(matches!(actions[1], Action::Revert { mark, keep: true, .. } if mark == first), "{actions:?}");
    assert_eq!(machine.handle(Event::Reverted, now), [Action::End(2, Verdict::Crashed, State::Undone)]);
    // While nothing runs: the next request is told, because an execution was lost.
    machine.submit(task(3), now).unwrap();
    end(&mut machine, 3, Said::Result, now);
    assert!(matches!(machine.handle(Event::Exited, now)[..], [Action::Revert { .. }]));
    assert_eq!(machine.handle(Event::Reverted, now), [Action::CameBack(Cause::Died)]);
    assert_eq!(machine.submit(task(4), now), Err(Refusal::Lost));
    assert_eq!(machine.submit(task(5), now), Ok(vec![Action::Send(5, None)]));
}

#[test]
fn an_explicit_transaction_ends_by_commit_rollback_or_its_time() {
    let (mut machine, now) = ready();
    machine.submit(under(1, TransactionPolicy::Explicit), now).unwrap();
    end(&mut machine, 1, Said::Error, now);
    let open = machine.timeline().open().unwrap();
    let stale = Task { transaction: Some(open.number + 1), ..task(2) };
    let refused = Action::End(2, Verdict::Refused(Why::NoTransaction), State::Kept);
    assert_eq!(machine.submit(stale, now).unwrap(), [refused]);
    let begin = Task::new(3, TaskKind::Freeze(SnapshotPurpose::Begin(None)));
    let refused = Action::End(3, Verdict::Refused(Why::TransactionOpen), State::Kept);
    assert_eq!(machine.submit(begin, now).unwrap(), [refused]);
    let actions = machine.submit(Task::new(4, TaskKind::Commit), now).unwrap();
    assert!(matches!(actions[..], [Action::Drop(_), Action::End(4, Verdict::Done, State::Kept)]), "{actions:?}");
    assert_eq!(machine.timeline().len(), 0);

    machine.submit(under(5, TransactionPolicy::Explicit), now).unwrap();
    end(&mut machine, 5, Said::Result, now);
    let due = machine.deadline().unwrap();
    assert!(matches!(machine.handle(Event::Timer, due)[..], [Action::Revert { keep: false, .. }]));
    assert_eq!(machine.handle(Event::Reverted, due), [Action::CameBack(Cause::Expired)]);
    assert!(machine.timeline().open().is_none());
}

/// What comes after it in the queue is not part of it.
#[test]
fn what_cannot_be_frozen_is_saved_by_the_worker_before_anything_else_runs() {
    let (mut machine, now) = ready();
    machine.submit(Task::new(1, TaskKind::Freeze(SnapshotPurpose::Checkpoint)), now).unwrap();
    machine.submit(Task::new(2, TaskKind::Execute), now).unwrap();
    let actions = end(&mut machine, 1, Said::Unfrozen, now);
    assert_eq!(actions.last(), Some(&Action::Send(1, None)), "{actions:?}");
    assert_eq!(machine.timeline().marks().count(), 0);
    let actions = end(&mut machine, 1, Said::Reply, now);
    assert_eq!(actions, [Action::End(1, Verdict::Reported, State::Kept), Action::Send(2, None)]);
    end(&mut machine, 2, Said::Result, now);
    // One that is being stopped is not begun again in another way.
    machine.submit(Task::new(3, TaskKind::Freeze(SnapshotPurpose::Checkpoint)), now).unwrap();
    machine.handle(Event::Interrupt, now);
    let actions = end(&mut machine, 3, Said::Unfrozen, now);
    assert!(actions.contains(&Action::End(3, Verdict::Refused(Why::Unfrozen), State::Kept)), "{actions:?}");
}

#[test]
fn what_cannot_be_frozen_is_undone_without_redo() {
    let now = Time::now();
    let mut machine = Machine::new(GRACE, 100, Bounds { undo: 5, ..Bounds::default() });
    machine.handle(Event::Up, now);
    machine.submit(under(1, TransactionPolicy::CommitOnSuccess), now).unwrap();
    end(&mut machine, 1, Said::Result, now);
    let undo = Task { kind: TaskKind::Undo, ..under(2, TransactionPolicy::CommitAlways) };
    machine.submit(undo, now).unwrap();
    let actions = end(&mut machine, 2, Said::Unfrozen, now);
    assert!(actions.iter().any(|action| matches!(action, Action::Revert { keep: false, .. })), "{actions:?}");
    let actions = machine.handle(Event::Reverted, now);
    assert!(actions.contains(&Action::End(2, Verdict::Done, State::Undone)), "{actions:?}");
    assert!(machine.timeline().redo_mark().is_none());
}

#[test]
fn what_cannot_be_frozen_does_not_run() {
    let (mut machine, now) = ready();
    machine.submit(under(1, TransactionPolicy::Explicit), now).unwrap();
    let actions = end(&mut machine, 1, Said::Unfrozen, now);
    assert!(actions.contains(&Action::End(1, Verdict::Refused(Why::Unfrozen), State::Kept)), "{actions:?}");
    assert!(machine.timeline().open().is_none());
    assert_eq!(machine.timeline().len(), 0);
}

#[test]
fn what_was_only_to_leave_a_step_of_undo_runs_without_it() {
    let now = Time::now();
    let mut machine = Machine::new(GRACE, 10, Bounds { undo: 5, ..Bounds::default() });
    machine.handle(Event::Up, now);
    let actions = machine.submit(Task::new(1, TaskKind::Execute), now).unwrap();
    assert!(matches!(actions[..], [Action::Send(1, Some(_))]), "{actions:?}");
    assert!(machine.mark_is_optional());
    assert!(matches!(machine.handle(Event::Unmarked { token: 1 }, now)[..], [Action::Drop(_)]));
    assert_eq!(end(&mut machine, 1, Said::Result, now), [Action::End(1, Verdict::Reported, State::Kept)]);
    assert_eq!(machine.timeline().len(), 0);

    machine.submit(under(2, TransactionPolicy::RollbackOnFailure), now).unwrap();
    assert!(!machine.mark_is_optional());
    assert!(machine.handle(Event::Unmarked { token: 2 }, now).contains(&Action::Teardown), "it was no option");
}

#[derive(Debug, Clone)]
enum Step {
    Submit { query: bool, timeout: Option<u64>, stop_on_error: bool, policy: u8 },
    Operate(u8),
    Back(bool),
    Up,
    Failed,
    EndCurrent(u8),
    Forge(u64),
    Split,
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
        6 => (any::<bool>(), proptest::option::of(0u64..20), any::<bool>(), 0u8..4)
            .prop_map(|(query, timeout, stop_on_error, policy)| Step::Submit { query, timeout, stop_on_error, policy }),
        4 => any::<u8>().prop_map(Step::Operate),
        6 => proptest::bool::weighted(0.8).prop_map(Step::Back),
        4 => Just(Step::Up),
        6 => any::<u8>().prop_map(Step::EndCurrent),
        4 => Just(Step::Split),
        2 => Just(Step::Exited),
        3 => Just(Step::Interrupt),
        2 => (0u64..30).prop_map(Step::Cancel),
        4 => (0u64..8).prop_map(Step::Wait),
        1 => prop_oneof![Just(Step::Failed), Just(Step::Violation), Just(Step::Close), Just(Step::Gone), (0u64..30).prop_map(Step::Forge)],
    ]
}

proptest! {
    /// Whatever happens: each task that was taken ends exactly once, is sent at most once and only to a worker that is
    /// up and idle, SIGKILL comes only after SIGINT and the grace, no mark is gone back to or dropped that does not exist,
    /// none is forgotten, and a session that ended does nothing more.
    #[test]
    fn every_accepted_task_ends_exactly_once(steps in proptest::collection::vec(step(), 0..80)) {
        let mut now = Time::now();
        let bounds = Bounds { marks: 6, undo: 2, savepoints: 2, transaction: Duration::from_secs(30) };
        let mut machine = Machine::new(GRACE, 5, bounds);
        let (mut marks, mut going) = (BTreeSet::new(), None::<(u64, bool)>);
        let (mut next, mut open, mut ended) = (0u64, BTreeMap::new(), BTreeSet::new());
        let (mut up, mut running, mut interrupted_at) = (false, None::<(u64, bool)>, None::<Time>);
        let (mut torn_down, mut splitting) = (false, None::<u64>);
        for step in steps.into_iter().chain([Step::Close, Step::Gone]) {
            let closed = machine.phase() == Phase::Closed;
            let actions = match step {
                Step::Submit { query, timeout, stop_on_error, policy } => {
                    let token = next;
                    next += 1;
                    let kind = if query { TaskKind::Query } else { TaskKind::Execute };
                    let policy = [
                        TransactionPolicy::CommitAlways,
                        TransactionPolicy::CommitOnSuccess,
                        TransactionPolicy::RollbackOnFailure,
                        TransactionPolicy::Explicit,
                    ][usize::from(policy)];
                    let timeout = timeout.map(Duration::from_secs);
                    let task = Task { timeout, stop_on_error, policy, ..Task::new(token, kind) };
                    match machine.submit(task, now) {
                        Ok(actions) => { open.insert(token, query); actions }
                        Err(_) => vec![],
                    }
                }
                Step::Operate(which) => {
                    let token = next;
                    next += 1;
                    let some = machine.timeline().newest().unwrap_or(1);
                    let kind = match which % 10 {
                        0 => TaskKind::Freeze(SnapshotPurpose::Named),
                        1 => TaskKind::Freeze(SnapshotPurpose::Savepoint),
                        2 => TaskKind::Freeze(SnapshotPurpose::Begin(None)),
                        3 => TaskKind::Branch,
                        4 => TaskKind::Commit,
                        5 => TaskKind::Rollback,
                        6 => TaskKind::RollbackTo(some),
                        7 => TaskKind::Undo,
                        8 => TaskKind::Redo,
                        _ => TaskKind::Settle,
                    };
                    match machine.submit(Task::new(token, kind), now) {
                        Ok(actions) => { open.insert(token, true); actions }
                        Err(_) => vec![],
                    }
                }
                Step::Back(done) => {
                    if matches!(machine.phase(), Phase::Closing | Phase::Closed) { continue; }
                    let Some((mark, keep)) = going.take() else { continue };
                    if done {
                        if !keep { marks.remove(&mark); }
                        up = true;
                        machine.handle(Event::Reverted, now)
                    } else {
                        machine.handle(Event::RevertFailed { dead: !up }, now)
                    }
                }
                // A worker says hello once; the task tells a second one as a violation itself.
                Step::Up if up || going.is_some() => continue,
                Step::Up => { up = matches!(machine.phase(), Phase::Starting | Phase::Respawning); machine.handle(Event::Up, now) }
                Step::Failed if up || going.is_some() => continue,
                Step::Failed => machine.handle(Event::Failed, now),
                Step::EndCurrent(how) => {
                    let Some((token, query)) = running else { continue };
                    let said = if query { Said::Reply } else if how % 2 == 0 { Said::Result } else { Said::Error };
                    machine.handle(Event::Ended { token, said }, now)
                }
                Step::Split => {
                    let Some(token) = splitting.take() else { continue };
                    machine.handle(Event::Split { token }, now)
                }
                Step::Forge(token) => machine.handle(Event::Ended { token: token + 1000, said: Said::Result }, now),
                // While it goes back, the process that ends is the one that was woken: the task says so itself.
                Step::Exited if going.is_some() => continue,
                Step::Exited => { up = false; machine.handle(Event::Exited, now) }
                Step::Violation => machine.handle(Event::Violation, now),
                Step::Interrupt => machine.handle(Event::Interrupt, now),
                Step::Cancel(token) => machine.handle(Event::Cancel(token), now),
                Step::Wait(seconds) => { now = now.after(Duration::from_secs(seconds)); machine.handle(Event::Timer, now) }
                Step::Close => machine.handle(Event::Close, now),
                Step::Gone => machine.handle(Event::Gone, now),
            };
            prop_assert!(!closed || actions.is_empty());
            let written = serde_json::to_string(&machine).unwrap();
            machine = serde_json::from_str(&written).unwrap();
            for action in actions {
                match action {
                    Action::Send(token, mark) => {
                        prop_assert!(up && running.is_none() && going.is_none() && splitting.is_none());
                        running = Some((token, open[&token]));
                        interrupted_at = None;
                        if let Some(mark) = mark { prop_assert!(marks.insert(mark)); }
                    }
                    Action::Branch(token) => {
                        prop_assert!(up && running.is_none() && going.is_none());
                        running = Some((token, true));
                    }
                    Action::Split(token) => {
                        prop_assert_eq!(running.take().map(|(token, _)| token), Some(token));
                        splitting = Some(token);
                    }
                    Action::Revert { mark, keep, discard } => {
                        prop_assert!(going.is_none());
                        prop_assert!(splitting.is_none() || !up, "branches are made from what would end");
                        prop_assert!(marks.contains(&mark), "{} in {:?}", mark, marks);
                        for mark in discard { prop_assert!(marks.remove(&mark)); }
                        going = Some((mark, keep));
                        running = None;
                    }
                    Action::Drop(gone) | Action::Evict(gone) => {
                        // One whose process has died may be dropped with those that were to go with it.
                        for mark in gone { marks.remove(&mark); }
                    }
                    Action::CameBack(_) | Action::NoUndo => {}
                    Action::Interrupt(token) => {
                        prop_assert_eq!(running.map(|(token, _)| token), Some(token));
                        interrupted_at.get_or_insert(now);
                    }
                    Action::Kill => prop_assert!(interrupted_at.is_some_and(|at| now >= at.after(GRACE))),
                    Action::End(token, ..) => {
                        prop_assert!(open.remove(&token).is_some());
                        prop_assert!(ended.insert(token));
                        if running.is_some_and(|(current, _)| current == token) { running = None; }
                        if splitting == Some(token) { splitting = None; }
                    }
                    Action::Lost { .. } | Action::Respawn => prop_assert!(!up),
                    Action::Teardown => { prop_assert!(!torn_down); torn_down = true; }
                }
            }
        }
        prop_assert!(open.is_empty());
        let known: BTreeSet<u64> = machine.timeline().marks().map(|(mark, _)| mark).collect();
        // What a return to one mark was about to use up is neither here nor there when the session ends meanwhile.
        let using: BTreeSet<u64> = going.iter().map(|(mark, _)| *mark).collect();
        prop_assert!(known.difference(&using).eq(marks.difference(&using)), "{:?} {:?}", known, marks);
    }
}
