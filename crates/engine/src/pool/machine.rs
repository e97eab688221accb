//! The life of a pool, as a pure state machine: `(state, event, now) → actions`. It knows slots and waiters, no
//! processes. A slot is reserved before its session starts, so nothing is locked while it does.
//!
//! ```text
//! a slot:   Starting -- Started --> Idle -- given --> Leased -- Released --> gone (pristine) or Idle (keep)
//!               |                    |                   |
//!               +-- StartFailed      +-- Died, expired   +-- Died
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

pub(crate) type SlotId = u64;
pub(crate) type WaiterId = u64;

/// How long a pool waits before it tries again after a session could not be started.
const BACKOFF: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) min_idle: usize,
    pub(crate) max_sessions: usize,
    pub(crate) max_idle: Option<Duration>,
    pub(crate) max_uses: Option<u32>,
    pub(crate) keep: bool,
}

#[derive(Debug, Clone, Copy)]
enum Slot {
    Starting,
    Idle { since: Instant, uses: u32 },
    Leased { uses: u32 },
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// Somebody wants a session, and waits until `deadline` at the latest.
    Acquire {
        waiter: WaiterId,
        deadline: Instant,
    },
    /// It no longer waits.
    GiveUp(WaiterId),
    Started(SlotId),
    StartFailed(SlotId),
    /// A session on loan was given back.
    Released(SlotId),
    /// A session ended by itself.
    Died(SlotId),
    /// A time that [`Machine::deadline`] named has come.
    Tick,
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a session in a slot.
    Start(SlotId),
    /// Lend the session of a slot.
    Give { waiter: WaiterId, slot: SlotId },
    /// End the session of a slot.
    End(SlotId, Why),
    /// Tell a waiter that its time is over.
    TimedOut(WaiterId),
    /// Tell a waiter that no session could be started.
    Failed(WaiterId),
    /// Tell a waiter that the pool has closed.
    Closed(WaiterId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Released,
    Worn,
    Expired,
    Closed,
}

#[derive(Debug)]
pub(crate) struct Machine {
    rules: Rules,
    slots: BTreeMap<SlotId, Slot>,
    waiters: VecDeque<(WaiterId, Instant)>,
    next: SlotId,
    blocked_until: Option<Instant>,
    closed: bool,
}

/// How many there are of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) idle: usize,
    pub(crate) leased: usize,
    pub(crate) starting: usize,
    pub(crate) waiting: usize,
}

impl Machine {
    pub(crate) fn new(rules: Rules) -> Self {
        Machine { rules, slots: BTreeMap::new(), waiters: VecDeque::new(), next: 1, blocked_until: None, closed: false }
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts { waiting: self.waiters.len(), ..Counts::default() };
        for slot in self.slots.values() {
            match slot {
                Slot::Starting => counts.starting += 1,
                Slot::Idle { .. } => counts.idle += 1,
                Slot::Leased { .. } => counts.leased += 1,
            }
        }
        counts
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn is_leased(&self, slot: SlotId) -> bool {
        matches!(self.slots.get(&slot), Some(Slot::Leased { .. }))
    }

    /// When to feed [`Event::Tick`] next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        let waiter = self.waiters.iter().map(|(_, deadline)| *deadline).min();
        let retry = self.blocked_until;
        let counts = self.counts();
        let expiry = self.rules.max_idle.filter(|_| counts.idle > self.rules.min_idle).and_then(|max| {
            self.slots
                .values()
                .filter_map(|slot| if let Slot::Idle { since, .. } = slot { since.checked_add(max) } else { None })
                .min()
        });
        [waiter, retry, expiry].into_iter().flatten().min()
    }

    /// Starts what should stand idle from the beginning.
    pub(crate) fn open(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        self.fill(now, &mut actions);
        actions
    }

    pub(crate) fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Acquire { waiter, .. } if self.closed => actions.push(Action::Closed(waiter)),
            Event::Acquire { waiter, deadline } => {
                self.waiters.push_back((waiter, deadline));
                // Somebody asks: a start that failed lately is tried again.
                self.blocked_until = None;
            }
            Event::GiveUp(waiter) => self.waiters.retain(|(other, _)| *other != waiter),
            Event::Started(slot) => {
                if self.closed {
                    self.slots.remove(&slot);
                    actions.push(Action::End(slot, Why::Closed));
                } else if let Some(place) = self.slots.get_mut(&slot) {
                    *place = Slot::Idle { since: now, uses: 0 };
                }
            }
            Event::StartFailed(slot) => {
                self.slots.remove(&slot);
                self.blocked_until = Some(now + BACKOFF);
                if let Some((waiter, _)) = self.waiters.pop_front() {
                    actions.push(Action::Failed(waiter));
                }
            }
            Event::Released(slot) => self.released(slot, now, &mut actions),
            Event::Died(slot) => _ = self.slots.remove(&slot),
            Event::Tick => self.tick(now, &mut actions),
            Event::Close => self.close(&mut actions),
        }
        if !self.closed {
            self.serve(&mut actions);
            self.fill(now, &mut actions);
        }
        actions
    }

    fn released(&mut self, slot: SlotId, now: Instant, actions: &mut Vec<Action>) {
        let Some(Slot::Leased { uses }) = self.slots.get(&slot).copied() else { return };
        let worn = self.rules.max_uses.is_some_and(|max| uses >= max);
        if self.rules.keep && !worn && !self.closed {
            self.slots.insert(slot, Slot::Idle { since: now, uses });
        } else {
            self.slots.remove(&slot);
            actions.push(Action::End(slot, if self.rules.keep && worn { Why::Worn } else { Why::Released }));
        }
    }

    fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while let Some(at) = self.waiters.iter().position(|(_, deadline)| *deadline <= now) {
            if let Some((waiter, _)) = self.waiters.remove(at) {
                actions.push(Action::TimedOut(waiter));
            }
        }
        if self.blocked_until.is_some_and(|until| until <= now) {
            self.blocked_until = None;
        }
        if let Some(max) = self.rules.max_idle {
            let mut spare = self.counts().idle.saturating_sub(self.rules.min_idle);
            let expired: Vec<SlotId> = self
                .slots
                .iter()
                .filter(|(_, slot)| matches!(slot, Slot::Idle { since, .. } if *since + max <= now))
                .map(|(id, _)| *id)
                .collect();
            for slot in expired {
                if spare == 0 {
                    break;
                }
                spare -= 1;
                self.slots.remove(&slot);
                actions.push(Action::End(slot, Why::Expired));
            }
        }
    }

    /// First come, first served.
    fn serve(&mut self, actions: &mut Vec<Action>) {
        while !self.waiters.is_empty() {
            // The one that became idle last: the others may expire.
            let newest = self
                .slots
                .iter()
                .filter_map(
                    |(id, slot)| if let Slot::Idle { since, uses } = slot { Some((*since, *id, *uses)) } else { None },
                )
                .max();
            let Some((_, slot, uses)) = newest else { return };
            let Some((waiter, _)) = self.waiters.pop_front() else { return };
            self.slots.insert(slot, Slot::Leased { uses: uses + 1 });
            actions.push(Action::Give { waiter, slot });
        }
    }

    /// Starts what waiters and `min_idle` ask for, as far as `max_sessions` allows.
    fn fill(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.blocked_until.is_some_and(|until| until > now) {
            return;
        }
        let counts = self.counts();
        let wanted = (self.waiters.len() + self.rules.min_idle).saturating_sub(counts.idle + counts.starting);
        let room = self.rules.max_sessions.saturating_sub(self.slots.len());
        for _ in 0..wanted.min(room) {
            let slot = self.next;
            self.next += 1;
            self.slots.insert(slot, Slot::Starting);
            actions.push(Action::Start(slot));
        }
    }

    fn close(&mut self, actions: &mut Vec<Action>) {
        self.closed = true;
        actions.extend(self.waiters.drain(..).map(|(waiter, _)| Action::Closed(waiter)));
        let standing: Vec<SlotId> =
            self.slots.iter().filter(|(_, slot)| !matches!(slot, Slot::Starting)).map(|(id, _)| *id).collect();
        for slot in standing {
            self.slots.remove(&slot);
            actions.push(Action::End(slot, Why::Closed));
        }
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
