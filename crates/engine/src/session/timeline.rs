//! Which frozen processes a session keeps, and what for. Pure: it knows marks, no processes.
//!
//! A mark names one frozen process: the session as it was at that moment. Marks grow, so a mark that is larger than
//! another on the same line was taken later. A mark is kept as long as it has a role:
//!
//! ```text
//! guard       before the execution that runs: where it returns to if it has to be undone
//! begin       before the explicit transaction that is open
//! savepoint   inside it
//! named       a client asked for it
//! undo        before an execution that has ended; the oldest go first when room is needed
//! saving      a checkpoint is being made of it
//! redo        a present that was left by undo (not on the line: kept apart)
//! ```
//!
//! To return to a mark discards all later ones. Waking a frozen process uses it up: one whose mark keeps a role forks
//! its replacement first.

use crate::clock::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Names a frozen process.
pub(crate) type Mark = u64;

/// What a mark is kept for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Roles {
    pub(crate) guard: bool,
    pub(crate) begin: bool,
    pub(crate) savepoint: bool,
    pub(crate) named: bool,
    pub(crate) undo: bool,
    pub(crate) saving: bool,
}

impl Roles {
    fn any(self) -> bool {
        self.guard || self.begin || self.savepoint || self.named || self.undo || self.saving
    }
}

/// Why a mark may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Guard,
    Begin,
    Savepoint,
    Named,
    Undo,
    Saving,
    Redo,
}

/// Where a return goes, and what that takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) mark: Mark,
    /// Whether it stays usable.
    pub(crate) keep: bool,
    /// Later ones, which are gone.
    pub(crate) discard: Vec<Mark>,
}

/// The explicit transaction that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Open {
    pub(crate) number: u64,
    begin: Mark,
    timeout: Duration,
    /// When it rolls back if nobody does anything in it.
    pub(crate) deadline: Time,
}

/// How many marks a session may have, and how far undo goes back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bounds {
    pub(crate) marks: usize,
    pub(crate) undo: usize,
    pub(crate) savepoints: usize,
    pub(crate) transaction: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { marks: 64, undo: 0, savepoints: 32, transaction: Duration::from_secs(600) }
    }
}

/// No room for another mark: every one is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// The frozen processes of a session, by what they are kept for.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Timeline {
    line: BTreeMap<Mark, Roles>,
    redo: Vec<Mark>,
    last: Mark,
    transactions: u64,
    open: Option<Open>,
    bounds: Bounds,
}

impl Timeline {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Timeline { bounds, ..Timeline::default() }
    }

    /// Every mark, with what it is kept for; the presents that were left by undo come last.
    pub(crate) fn marks(&self) -> impl Iterator<Item = (Mark, Option<Roles>)> + '_ {
        let line = self.line.iter().map(|(mark, roles)| (*mark, Some(*roles)));
        line.chain(self.redo.iter().map(|mark| (*mark, None)))
    }

    /// The last mark and the last transaction that there were.
    pub(crate) fn last_numbers(&self) -> (Mark, u64) {
        (self.last, self.transactions)
    }

    pub(crate) fn len(&self) -> usize {
        self.line.len() + self.redo.len()
    }

    pub(crate) fn roles(&self, mark: Mark) -> Option<Roles> {
        self.line.get(&mark).copied()
    }

    pub(crate) fn open(&self) -> Option<Open> {
        self.open
    }

    pub(crate) fn has_undo(&self) -> bool {
        self.bounds.undo > 0
    }

    /// The newest mark on the line.
    pub(crate) fn newest(&self) -> Option<Mark> {
        self.line.last_key_value().map(|(mark, _)| *mark)
    }

    /// The mark that undo returns to: the newest that was taken before an execution.
    pub(crate) fn undo_mark(&self) -> Option<Mark> {
        self.line.iter().rev().find(|(_, roles)| roles.undo).map(|(mark, _)| *mark)
    }

    pub(crate) fn redo_mark(&self) -> Option<Mark> {
        self.redo.last().copied()
    }

    /// Makes a mark, and room for it. Returns it and the marks that had to go; never `target`, which is about to be
    /// returned to.
    ///
    /// # Errors
    /// [`NoRoom`] when every mark is needed; nothing has changed then.
    pub(crate) fn make(&mut self, role: Role, target: Option<Mark>) -> Result<(Mark, Vec<Mark>), NoRoom> {
        let savepoints = self.line.values().filter(|roles| roles.savepoint).count();
        if role == Role::Savepoint && savepoints >= self.bounds.savepoints {
            return Err(NoRoom);
        }
        let mut evicted = Vec::new();
        while self.len() >= self.bounds.marks {
            match self.evict_beside(target) {
                Some(mark) => evicted.push(mark),
                None if evicted.is_empty() => return Err(NoRoom),
                None => break,
            }
        }
        self.last += 1;
        let mark = self.last;
        if role == Role::Redo {
            self.redo.push(mark);
        } else {
            let mut roles = Roles::default();
            roles.set(role, true);
            self.line.insert(mark, roles);
        }
        Ok((mark, evicted))
    }

    /// Gives a mark another role.
    pub(crate) fn add(&mut self, mark: Mark, role: Role) -> Vec<Mark> {
        if let Some(roles) = self.line.get_mut(&mark) {
            roles.set(role, true);
        }
        if role == Role::Undo { self.shorten_undo(self.bounds.undo) } else { Vec::new() }
    }

    /// Takes a role from a mark. True when it has none left, and is gone.
    pub(crate) fn take(&mut self, mark: Mark, role: Role) -> bool {
        if role == Role::Redo {
            let before = self.redo.len();
            self.redo.retain(|one| *one != mark);
            return self.redo.len() < before;
        }
        let Some(roles) = self.line.get_mut(&mark) else { return false };
        roles.set(role, false);
        let gone = !roles.any();
        if gone {
            self.line.remove(&mark);
        }
        gone
    }

    /// Forgets a mark whatever its roles: its process could not be made, or has died.
    pub(crate) fn forget(&mut self, mark: Mark) {
        self.line.remove(&mark);
        self.redo.retain(|one| *one != mark);
    }

    /// What was left by undo cannot be returned to any more: something else happens now.
    pub(crate) fn clear_redo(&mut self) -> Vec<Mark> {
        std::mem::take(&mut self.redo)
    }

    /// The mark that has to go when room is needed: the oldest of undo's, then of redo's, then of the named ones. Those
    /// that a running execution or an open transaction needs never go.
    pub(crate) fn evict(&mut self) -> Option<Mark> {
        self.evict_beside(None)
    }

    fn evict_beside(&mut self, target: Option<Mark>) -> Option<Mark> {
        let only = |roles: &Roles| !roles.guard && !roles.begin && !roles.savepoint && !roles.saving;
        let oldest = |wanted: fn(&Roles) -> bool| {
            let mut line = self.line.iter().filter(|(mark, _)| Some(**mark) != target);
            line.find(|(_, roles)| only(roles) && wanted(roles)).map(|(mark, _)| *mark)
        };
        let mark = oldest(|roles| !roles.named)
            .or_else(|| self.redo.iter().copied().find(|mark| Some(*mark) != target))
            .or_else(|| oldest(|roles| roles.named))?;
        self.forget(mark);
        Some(mark)
    }

    fn shorten_undo(&mut self, most: usize) -> Vec<Mark> {
        let all: Vec<Mark> = self.line.iter().filter(|(_, roles)| roles.undo).map(|(mark, _)| *mark).collect();
        let surplus = all.len().saturating_sub(most);
        all.into_iter().take(surplus).filter(|mark| self.take(*mark, Role::Undo)).collect()
    }

    /// Begins the explicit transaction at a mark.
    pub(crate) fn begin(&mut self, mark: Mark, timeout: Option<Duration>, now: Time) -> u64 {
        self.transactions += 1;
        let timeout = timeout.unwrap_or(self.bounds.transaction);
        let deadline = now.after(timeout);
        self.open = Some(Open { number: self.transactions, begin: mark, timeout, deadline });
        self.add(mark, Role::Begin);
        self.transactions
    }

    /// Somebody did something in the open transaction.
    pub(crate) fn touch(&mut self, now: Time) {
        if let Some(open) = &mut self.open {
            open.deadline = now.after(open.timeout);
        }
    }

    /// The mark at which the open transaction began.
    pub(crate) fn begin_mark(&self) -> Option<Mark> {
        self.open.map(|open| open.begin)
    }

    /// Closes the open transaction and keeps its effects. Returns the marks that are gone.
    pub(crate) fn commit(&mut self) -> Vec<Mark> {
        let Some(open) = self.open.take() else { return Vec::new() };
        let mut gone: Vec<Mark> = Vec::new();
        if self.take(open.begin, Role::Begin) {
            gone.push(open.begin);
        }
        let savepoints: Vec<Mark> =
            self.line.iter().filter(|(_, roles)| roles.savepoint).map(|(mark, _)| *mark).collect();
        gone.extend(savepoints.into_iter().filter(|mark| self.take(*mark, Role::Savepoint)));
        gone
    }

    /// Returns to a mark on the line: the state that it holds is the present then. `used`: the role that it had for
    /// this return and that is used up.
    pub(crate) fn revert_to(&mut self, mark: Mark, used: Option<Role>) -> Target {
        let discard: Vec<Mark> = self.line.split_off(&(mark + 1)).into_keys().collect();
        let closes = self.open.is_some_and(|open| {
            discard.contains(&open.begin) || (open.begin == mark && matches!(used, Some(Role::Begin | Role::Undo)))
        });
        if closes {
            self.open = None;
        }
        if let Some(roles) = self.line.get_mut(&mark) {
            // The present equals the state before the execution: there is nothing to undo at this mark, and no
            // execution runs any more.
            roles.undo = false;
            roles.guard = false;
            if closes {
                roles.begin = false;
            }
            if let Some(used) = used {
                roles.set(used, false);
            }
            // Savepoints stand inside a transaction only.
            roles.savepoint &= self.open.is_some();
        }
        if self.open.is_none() {
            for roles in self.line.values_mut() {
                roles.savepoint = false;
            }
        }
        let keep = self.line.get(&mark).is_some_and(|roles| roles.any());
        if !keep {
            self.line.remove(&mark);
        }
        let mut discard = discard;
        discard.extend(self.sweep());
        Target { mark, keep, discard }
    }

    fn sweep(&mut self) -> Vec<Mark> {
        let gone: Vec<Mark> = self.line.iter().filter(|(_, roles)| !roles.any()).map(|(mark, _)| *mark).collect();
        for mark in &gone {
            self.line.remove(mark);
        }
        gone
    }

    /// Everything is gone: the session starts afresh.
    pub(crate) fn clear(&mut self) -> Vec<Mark> {
        self.open = None;
        let mut all: Vec<Mark> = std::mem::take(&mut self.line).into_keys().collect();
        all.append(&mut self.redo);
        all
    }
}

impl Roles {
    fn set(&mut self, role: Role, value: bool) {
        match role {
            Role::Guard => self.guard = value,
            Role::Begin => self.begin = value,
            Role::Savepoint => self.savepoint = value,
            Role::Named => self.named = value,
            Role::Undo => self.undo = value,
            Role::Saving => self.saving = value,
            Role::Redo => {}
        }
    }
}
