//! The whole life of a session, as its two machines decide it together: started, run, stopped, rolled back, restored,
//! branched, dead, closed, in any order, with any of the parts failing. The world around them is a model: a worker that
//! may say anything or end, frozen processes that may die, a session init that may be gone.

use super::incarnation::{Incarnation, Seen, Step};
use super::life::{Action, Event, Machine, Phase, Said, SnapshotPurpose, State, Task, TaskKind, Verdict};
use super::timeline::{Bounds, Mark};
use crate::clock::Time;
use proptest::prelude::*;
use pyrepl3_protocol::message::TransactionPolicy;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// What happens next.
#[derive(Debug, Clone)]
enum Happens {
    Submit(u8, u8, bool),
    Worker(Seen),
    /// The worker says that what it has ended.
    Says(u8),
    Interrupt,
    Cancel(u8),
    /// A frozen process dies.
    Dies(u8),
    /// What waits for frozen processes, or for branches, is told.
    Job,
    Wait(u64),
    MakeRoom,
    /// A checkpoint of a mark begins to be made, or is made.
    Hold(u8, bool),
    /// What the worker was to do did not arrive.
    Undelivered,
    /// Another supervisor has the session.
    TakenOver,
    Close(bool),
}

fn happens() -> impl Strategy<Value = Happens> {
    use Seen::*;
    let seen = proptest::sample::select(vec![
        Hello,
        Hello,
        Known,
        Known,
        Unknown,
        Awake,
        Awake,
        Swept,
        Swept,
        Refused,
        Frame,
        ChannelClosed,
        Exited,
        Exited,
        Buried,
        InitGone,
    ]);
    prop_oneof![
        8 => (any::<u8>(), any::<u8>(), any::<bool>()).prop_map(|(kind, policy, limit)| Happens::Submit(kind, policy, limit)),
        8 => seen.prop_map(Happens::Worker),
        8 => any::<u8>().prop_map(Happens::Says),
        2 => Just(Happens::Interrupt),
        1 => any::<u8>().prop_map(Happens::Cancel),
        1 => any::<u8>().prop_map(Happens::Dies),
        6 => Just(Happens::Job),
        3 => (0u64..30).prop_map(Happens::Wait),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(which, holds)| Happens::Hold(which, holds)),
        1 => Just(Happens::Undelivered),
        1 => Just(Happens::TakenOver),
        1 => Just(Happens::MakeRoom),
        1 => any::<bool>().prop_map(Happens::Close),
    ]
}

/// The session's task, without processes.
struct World {
    life: Machine,
    incarnation: Incarnation,
    now: Time,
    todo: VecDeque<Action>,
    /// Marks, and whether their processes live.
    frozen: BTreeMap<Mark, bool>,
    open: BTreeMap<u64, TaskKind>,
    ended: BTreeSet<u64>,
    /// What the worker has.
    sent: Option<u64>,
    /// A return, or branches, that wait for a job.
    reverting: Option<(Mark, bool)>,
    splitting: Option<u64>,
    torn_down: bool,
}

impl World {
    fn new() -> World {
        let bounds = Bounds { marks: 5, undo: 2, savepoints: 2, transaction: Duration::from_secs(60) };
        World {
            life: Machine::new(Duration::from_secs(5), 4, bounds),
            incarnation: Incarnation::new(false, Time::ZERO),
            now: Time::ZERO,
            todo: VecDeque::new(),
            frozen: BTreeMap::new(),
            open: BTreeMap::new(),
            ended: BTreeSet::new(),
            sent: None,
            reverting: None,
            splitting: None,
            torn_down: false,
        }
    }

    fn feed(&mut self, event: Event) -> Result<(), TestCaseError> {
        let actions = self.life.handle(event, self.now);
        self.perform(actions)
    }

    fn see(&mut self, seen: Seen) -> Result<(), TestCaseError> {
        for step in self.incarnation.see(seen, self.now) {
            self.step(step)?;
        }
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Ready => self.feed(Event::Up),
            Step::Reverted => self.feed(Event::Reverted),
            Step::CannotStart | Step::TooSlow => self.feed(Event::Failed),
            Step::CannotWake => self.feed(Event::RevertFailed { dead: true }),
            Step::Died => {
                self.sent = None;
                self.feed(Event::Exited)
            }
            Step::Breach(_) => self.feed(Event::Violation),
            Step::Kill | Step::AskToLeave | Step::Bury | Step::Abandon => Ok(()),
            Step::Gone => self.feed(Event::Gone),
        }
    }

    fn perform(&mut self, actions: Vec<Action>) -> Result<(), TestCaseError> {
        self.todo.extend(actions);
        while let Some(action) = self.todo.pop_front() {
            self.act(action)?;
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<(), TestCaseError> {
        match action {
            Action::Send(token, mark) => {
                prop_assert!(self.incarnation.is_up(), "a request to no worker");
                prop_assert!(self.sent.is_none() && self.reverting.is_none() && self.splitting.is_none());
                self.sent = Some(token);
                if let Some(mark) = mark {
                    prop_assert!(self.frozen.insert(mark, true).is_none());
                }
            }
            Action::Branch(token) => {
                prop_assert!(self.incarnation.is_up() && self.sent.is_none());
                self.sent = Some(token);
            }
            Action::Split(token) => {
                prop_assert_eq!(self.sent.take(), Some(token));
                self.splitting = Some(token);
            }
            Action::Revert { mark, keep, discard } => {
                prop_assert!(self.frozen.contains_key(&mark), "back to what there is not");
                for gone in discard {
                    self.frozen.remove(&gone);
                }
                self.sent = None;
                self.reverting = Some((mark, keep));
            }
            Action::Drop(marks) | Action::Evict(marks) => {
                for mark in marks {
                    self.frozen.remove(&mark);
                }
            }
            Action::Interrupt(token) => prop_assert_eq!(self.life.current(), Some(token)),
            Action::Kill => self.incarnation.killed(),
            Action::End(token, verdict, state) => {
                prop_assert!(self.open.remove(&token).is_some(), "{} ended and was not open", token);
                prop_assert!(self.ended.insert(token), "{} ended twice", token);
                let never_ran = matches!(verdict, Verdict::Cancelled | Verdict::CancelledByError);
                prop_assert!(!never_ran || state == State::Kept);
                if self.splitting == Some(token) {
                    self.splitting = None;
                }
                if self.sent == Some(token) {
                    self.sent = None;
                }
            }
            Action::Respawn => {
                self.sent = None;
                self.incarnation.respawn(self.now);
            }
            Action::Teardown => {
                prop_assert!(!std::mem::replace(&mut self.torn_down, true));
                if let Some(step) = self.incarnation.close(None, self.now) {
                    self.step(step)?;
                }
            }
            Action::NoUndo | Action::CameBack(_) | Action::Lost { .. } => {}
        }
        Ok(())
    }

    fn happens(&mut self, what: &Happens, next: u64) -> Result<(), TestCaseError> {
        match what {
            Happens::Submit(kind, policy, limit) => self.submit(next, *kind, *policy, *limit),
            Happens::Worker(Seen::Exited) if self.reverting.is_some() => Ok(()),
            Happens::Worker(seen) => self.see(*seen),
            Happens::Says(how) => {
                let Some((token, kind)) = self.sent.and_then(|token| Some((token, *self.open.get(&token)?))) else {
                    return Ok(());
                };
                let freezes = !matches!(kind, TaskKind::Execute | TaskKind::Query | TaskKind::Save);
                let said = match (kind, how % 4) {
                    (TaskKind::Execute, 0 | 1) => Said::Result,
                    (TaskKind::Execute, _) => Said::Error,
                    (TaskKind::Restore, 3) => Said::Unrestored,
                    (_, 2) if freezes => Said::Unfrozen,
                    _ => Said::Reply,
                };
                self.sent = self.sent.filter(|_| kind == TaskKind::Branch && said == Said::Reply);
                if kind == TaskKind::Freeze(SnapshotPurpose::Checkpoint) && said == Said::Unfrozen {
                    // It may be asked to write its state down itself, and cannot refuse that.
                    self.open.insert(token, TaskKind::Save);
                }
                self.feed(Event::Ended { token, said })
            }
            Happens::Interrupt => self.feed(Event::Interrupt),
            Happens::Cancel(which) => match self.open.keys().nth(usize::from(*which) % 8).copied() {
                Some(token) => self.feed(Event::Cancel(token)),
                None => Ok(()),
            },
            Happens::Dies(which) => {
                let count = self.frozen.len().max(1);
                if let Some(alive) = self.frozen.values_mut().nth(usize::from(*which) % count) {
                    *alive = false;
                }
                Ok(())
            }
            Happens::Job => self.job(),
            Happens::Wait(seconds) => {
                self.now = self.now.after(Duration::from_secs(*seconds));
                self.see(Seen::Timer)?;
                self.feed(Event::Timer)
            }
            Happens::MakeRoom => self.feed(Event::MakeRoom),
            Happens::Hold(which, holds) => {
                let count = self.frozen.len().max(1);
                match self.frozen.keys().nth(usize::from(*which) % count).copied() {
                    Some(mark) => self.feed(if *holds { Event::Hold(mark) } else { Event::Release(mark) }),
                    None => Ok(()),
                }
            }
            Happens::Undelivered => match self.sent {
                Some(token) => self.feed(Event::Undelivered { token }),
                None => Ok(()),
            },
            Happens::TakenOver => {
                let waits = self.life.taken_over();
                let (current, reverting) = (self.life.current(), self.life.reverting().flatten());
                // Who asked for the others is gone.
                self.open.retain(|token, _| waits.contains(token) || [current, reverting].contains(&Some(*token)));
                match self.life.splitting() {
                    Some(token) => self.feed(Event::Split { token }),
                    None => Ok(()),
                }
            }
            Happens::Close(violates) => self.feed(if *violates { Event::Violation } else { Event::Close }),
        }
    }

    /// It is known of the frozen processes whether they are there: a return begins, or cannot; branches are made.
    fn job(&mut self) -> Result<(), TestCaseError> {
        if let Some(token) = self.splitting.take() {
            self.feed(Event::Split { token })?;
        }
        if let Some((mark, keep)) = self.reverting.take() {
            let there = if keep { self.frozen.get(&mark).copied() } else { self.frozen.remove(&mark) };
            if there == Some(true) && !self.incarnation.is_closing() {
                self.incarnation.wake(self.now);
            } else {
                self.frozen.remove(&mark);
                let dead = !self.incarnation.is_up();
                self.feed(Event::RevertFailed { dead })?;
            }
        }
        Ok(())
    }

    fn submit(&mut self, token: u64, kind: u8, policy: u8, limit: bool) -> Result<(), TestCaseError> {
        let some = self.frozen.keys().next_back().copied().unwrap_or(1);
        let kind = match kind % 15 {
            0..=3 => TaskKind::Execute,
            4 => TaskKind::Query,
            5 => TaskKind::Freeze(SnapshotPurpose::Named),
            6 => TaskKind::Freeze(SnapshotPurpose::Begin(None)),
            7 => TaskKind::Restore,
            8 => TaskKind::Branch,
            9 => TaskKind::Rollback,
            10 => TaskKind::RollbackTo(some),
            11 => TaskKind::Undo,
            12 => TaskKind::Redo,
            13 => TaskKind::Freeze(SnapshotPurpose::Checkpoint),
            _ => TaskKind::Settle,
        };
        let policy = [
            TransactionPolicy::CommitAlways,
            TransactionPolicy::CommitOnSuccess,
            TransactionPolicy::RollbackOnFailure,
            TransactionPolicy::Explicit,
        ][usize::from(policy % 4)];
        let timeout = limit.then_some(Duration::from_secs(10));
        let task =
            Task { policy, timeout, stop_on_error: policy == TransactionPolicy::Explicit, ..Task::new(token, kind) };
        if let Ok(actions) = self.life.submit(task, self.now) {
            self.open.insert(token, kind);
            self.perform(actions)?;
        }
        Ok(())
    }

    /// What can be written down is the same after it was read back.
    fn write_down(&mut self) -> Result<(), TestCaseError> {
        let written = (serde_json::to_string(&self.life).unwrap(), serde_json::to_string(&self.incarnation).unwrap());
        let life: Machine = serde_json::from_str(&written.0).unwrap();
        prop_assert_eq!(&life, &self.life);
        self.life = life;
        self.incarnation = serde_json::from_str(&written.1).unwrap();
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever happens, whatever fails: each task that was taken ends exactly once, nothing is asked of a worker that is
    /// not there, no mark is gone back to that there is not, and a session that is closed comes to its end.
    #[test]
    fn whatever_fails_everything_ends_once(steps in proptest::collection::vec(happens(), 0..120)) {
        let mut world = World::new();
        for (token, step) in steps.iter().enumerate() {
            world.happens(step, token as u64 + 1)?;
            world.write_down()?;
        }
        world.feed(Event::Close)?;
        // Nobody says anything any more: the limits end it.
        for _ in 0..10 {
            let Some(deadline) = world.incarnation.deadline() else { break };
            world.now = world.now.max(deadline);
            world.see(Seen::Timer)?;
        }
        prop_assert_eq!(world.life.phase(), Phase::Closed);
        prop_assert!(world.open.is_empty(), "never ended: {:?}", world.open);
    }
}
