//! Example and property tests of the pool's state machine.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn rules(min_idle: usize, max_sessions: usize) -> Rules {
    Rules { min_idle, max_sessions, max_idle: None, max_uses: None, keep: false }
}

fn later(now: Instant, seconds: u64) -> Instant {
    now + Duration::from_secs(seconds)
}

#[test]
fn a_warm_session_is_given_at_once_and_replaced() {
    let now = Instant::now();
    let mut pool = Machine::new(rules(1, 10));
    assert_eq!(pool.open(now), [Action::Start(1)]);
    assert_eq!(pool.handle(Event::Started(1), now), []);
    let actions = pool.handle(Event::Acquire { waiter: 7, deadline: later(now, 5) }, now);
    assert_eq!(actions, [Action::Give { waiter: 7, slot: 1 }, Action::Start(2)]);
    assert_eq!(pool.handle(Event::Started(2), now), []);
    assert_eq!(pool.handle(Event::Released(1), now), [Action::End(1, Why::Released)]);
    // Released twice: nothing more happens.
    assert_eq!(pool.handle(Event::Released(1), now), []);
}

#[test]
fn a_full_pool_serves_in_order_and_times_out() {
    let now = Instant::now();
    let mut pool = Machine::new(rules(0, 1));
    assert_eq!(pool.open(now), []);
    assert_eq!(pool.handle(Event::Acquire { waiter: 1, deadline: later(now, 9) }, now), [Action::Start(1)]);
    assert_eq!(pool.handle(Event::Acquire { waiter: 2, deadline: later(now, 9) }, now), []);
    assert_eq!(pool.handle(Event::Acquire { waiter: 3, deadline: later(now, 1) }, now), []);
    assert_eq!(pool.handle(Event::Started(1), now), [Action::Give { waiter: 1, slot: 1 }]);
    assert_eq!(pool.handle(Event::Tick, later(now, 1)), [Action::TimedOut(3)]);
    let actions = pool.handle(Event::Released(1), later(now, 2));
    assert_eq!(actions, [Action::End(1, Why::Released), Action::Start(2)]);
    assert_eq!(pool.handle(Event::Started(2), later(now, 2)), [Action::Give { waiter: 2, slot: 2 }]);
}

#[test]
fn kept_sessions_wear_out_and_spare_ones_expire() {
    let now = Instant::now();
    let keep = Rules { keep: true, max_uses: Some(2), max_idle: Some(Duration::from_secs(10)), ..rules(0, 2) };
    let mut pool = Machine::new(keep);
    let acquire = |waiter| Event::Acquire { waiter, deadline: later(now, 100) };
    pool.handle(acquire(1), now);
    pool.handle(Event::Started(1), now);
    assert_eq!(pool.handle(Event::Released(1), now), []);
    assert_eq!(pool.handle(acquire(2), now), [Action::Give { waiter: 2, slot: 1 }]);
    assert_eq!(pool.handle(Event::Released(1), now), [Action::End(1, Why::Worn)]);
    pool.handle(acquire(3), now);
    pool.handle(Event::Started(2), now);
    pool.handle(Event::Released(2), now);
    assert_eq!(pool.deadline(), Some(later(now, 10)));
    assert_eq!(pool.handle(Event::Tick, later(now, 10)), [Action::End(2, Why::Expired)]);
}

#[test]
fn a_failed_start_is_told_to_who_waits_and_tried_again_later() {
    let now = Instant::now();
    let mut pool = Machine::new(rules(1, 2));
    pool.open(now);
    assert_eq!(pool.handle(Event::StartFailed(1), now), []);
    assert_eq!(pool.handle(Event::Tick, later(now, 1)), [Action::Start(2)]);
    let mut actions = pool.handle(Event::Acquire { waiter: 1, deadline: later(now, 9) }, later(now, 1));
    actions.extend(pool.handle(Event::StartFailed(2), later(now, 1)));
    assert!(actions.contains(&Action::Failed(1)));
}

#[derive(Debug, Clone)]
enum Step {
    Acquire(u64),
    GiveUp(u64),
    Start { fails: bool },
    Release(usize),
    Die(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0u64..8).prop_map(Step::Acquire),
        1 => (0u64..30).prop_map(Step::GiveUp),
        5 => prop::bool::weighted(0.2).prop_map(|fails| Step::Start { fails }),
        4 => any::<usize>().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::Die),
        3 => (0u64..6).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Never more sessions than allowed; each waiter is answered exactly once, in order; a session is lent to one at a
    /// time; what is given back pristine is never lent again.
    #[test]
    fn a_pool_keeps_its_promises(
        min_idle in 0usize..4, max in 1usize..5, keep in any::<bool>(),
        max_uses in prop::option::of(1u32..3), max_idle in prop::option::of(1u64..5),
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut now = Instant::now();
        let mut pool = Machine::new(Rules {
            min_idle, max_sessions: max, keep, max_uses, max_idle: max_idle.map(Duration::from_secs),
        });
        let (mut starting, mut idle, mut leased) = (Vec::new(), BTreeSet::new(), Vec::new());
        let (mut waiting, mut given_back, mut next) = (VecDeque::new(), BTreeSet::new(), 0u64);
        let mut pending = pool.open(now);
        for step in steps.into_iter().map(Some).chain([None]) {
            let actions = match step {
                Some(Step::Acquire(patience)) => {
                    next += 1;
                    waiting.push_back(next);
                    pool.handle(Event::Acquire { waiter: next, deadline: later(now, patience) }, now)
                }
                Some(Step::GiveUp(waiter)) => { waiting.retain(|other| *other != waiter); pool.handle(Event::GiveUp(waiter), now) }
                Some(Step::Start { fails }) => {
                    let Some(slot) = starting.pop() else { continue };
                    if fails { pool.handle(Event::StartFailed(slot), now) } else { idle.insert(slot); pool.handle(Event::Started(slot), now) }
                }
                Some(Step::Release(at)) => {
                    if leased.is_empty() { continue }
                    let slot = leased.remove(at % leased.len());
                    given_back.insert(slot);
                    idle.insert(slot);
                    pool.handle(Event::Released(slot), now)
                }
                Some(Step::Die(at)) => {
                    let all: Vec<u64> = idle.iter().chain(&leased).copied().collect();
                    if all.is_empty() { continue }
                    let slot = all[at % all.len()];
                    idle.remove(&slot);
                    leased.retain(|other| *other != slot);
                    pool.handle(Event::Died(slot), now)
                }
                Some(Step::Wait(seconds)) => { now = later(now, seconds); pool.handle(Event::Tick, now) }
                None => pool.handle(Event::Close, now),
            };
            pending.extend(actions);
            for action in pending.drain(..) {
                match action {
                    Action::Start(slot) => starting.push(slot),
                    Action::Give { waiter, slot } => {
                        prop_assert_eq!(waiting.pop_front(), Some(waiter));
                        prop_assert!(idle.remove(&slot));
                        prop_assert!(keep || !given_back.contains(&slot));
                        leased.push(slot);
                    }
                    Action::End(slot, _) => { idle.remove(&slot); leased.retain(|other| *other != slot); }
                    Action::TimedOut(waiter) | Action::Failed(waiter) | Action::Closed(waiter) => {
                        let before = waiting.len();
                        waiting.retain(|other| *other != waiter);
                        prop_assert_eq!(waiting.len(), before - 1);
                    }
                }
            }
            prop_assert!(starting.len() + idle.len() + leased.len() <= max);
            prop_assert!(waiting.is_empty() || idle.is_empty());
        }
        prop_assert!(waiting.is_empty() && idle.is_empty());
    }
}
