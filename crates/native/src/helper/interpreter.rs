//! The interpreter's threads, as its own list tells them: by their thread pointers. It has the newest first.
//!
//! A state is made for a new thread by the one that starts it, and has no pointer, or that one's, until the new thread runs.

use crate::helper::park::MOST;
use crate::helper::sys;

/// How many times a newborn thread is waited for, and how long each, in microseconds.
const ATTEMPTS: usize = 400;
const PAUSE: u64 = 50;
/// Of how many states of each interpreter it is asked whether their threads have run: only the newest may not have.
const NEWEST: usize = 32;

type First = unsafe extern "C" fn() -> usize;
type Next = unsafe extern "C" fn(usize) -> usize;

/// The functions that give the first and the next interpreter, and the first and the next of its threads, and where a thread's state
/// has its pointer.
pub(crate) struct Interpreters {
    first: First,
    next: Next,
    first_thread: Next,
    next_thread: Next,
    place: usize,
    /// Whether the list stays as it is while the interpreter's lock is held.
    is_locked: bool,
}

impl Interpreters {
    /// None where the worker does not know them.
    pub(crate) fn of(walk: &[usize]) -> Option<Interpreters> {
        let &[first, next, first_thread, next_thread, place, is_locked] = walk else { return None };
        // SAFETY: the worker vouches for them.
        let (first, [next, first_thread, next_thread]) = unsafe {
            (
                core::mem::transmute::<usize, First>(first),
                [next, first_thread, next_thread].map(|one| core::mem::transmute::<usize, Next>(one)),
            )
        };
        Some(Interpreters { first, next, first_thread, next_thread, place, is_locked: is_locked != 0 })
    }

    fn interpreters(&self) -> impl Iterator<Item = usize> {
        // SAFETY: the interpreter's lock is held, or no other thread exists.
        let first = unsafe { (self.first)() };
        each(first, self.next)
    }

    fn pointers(&self, interpreter: usize) -> impl Iterator<Item = usize> {
        let place = self.place;
        // SAFETY: as above.
        let first = unsafe { (self.first_thread)(interpreter) };
        // SAFETY: a state that is in the list is there.
        each(first, self.next_thread).map(move |state| unsafe { ((state + place) as *const usize).read_volatile() })
    }

    /// In the live process, before a freeze: waits until every thread that was started has run, so that it can be told from those that
    /// are not the interpreter's. Only who has the interpreter's lock can start one. A thread that gets no processor for long is told
    /// by its age.
    pub(crate) fn await_newborn(&self) {
        let has_newborn = || {
            self.interpreters().any(|interpreter| {
                let mut newest = self.pointers(interpreter).take(NEWEST).enumerate();
                newest.any(|(at, pointer)| {
                    pointer == 0 || self.pointers(interpreter).skip(at + 1).any(|one| one == pointer)
                })
            })
        };
        for _ in 0..ATTEMPTS {
            if !self.is_locked || !has_newborn() {
                return;
            }
            sys::sleep(PAUSE);
        }
    }

    /// At the very moment of the fork, which no list can tell that was made before it: the pointers, in memory of their own, and how many
    /// states have none of their own.
    pub(crate) fn know(&self) -> ([usize; 2], usize) {
        let Ok(room) = sys::mmap(0, MOST * 8, sys::READ_WRITE, sys::PRIVATE_ANONYMOUS | sys::NORESERVE) else {
            return ([0; 2], 0);
        };
        // SAFETY: so much was mapped, and is zero.
        let known = unsafe { core::slice::from_raw_parts_mut(room as *mut usize, MOST) };
        let (mut count, mut unbound) = (0, 0);
        for interpreter in self.interpreters() {
            let before = count;
            for pointer in self.pointers(interpreter) {
                if pointer == 0 || known[before..count].contains(&pointer) {
                    unbound += 1;
                } else if count < MOST {
                    known[count] = pointer;
                    count += 1;
                }
            }
        }
        ([room, count], unbound)
    }
}

/// A list, by the function that gives what comes next; zero is its end.
fn each(first: usize, next: Next) -> impl Iterator<Item = usize> {
    let some = |one: usize| (one != 0).then_some(one);
    // SAFETY: it is asked for what comes after something that is in the list, which does not change meanwhile.
    core::iter::successors(some(first), move |one| some(unsafe { next(*one) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;
    use std::vec::Vec;

    /// A state, or an interpreter: what comes next, and a thread's pointer, or the first thread.
    #[repr(C)]
    struct Node {
        next: usize,
        word: usize,
    }

    unsafe extern "C" fn next(node: usize) -> usize {
        // SAFETY: the tests hand over nodes, which stay.
        unsafe { (*(node as *const Node)).next }
    }

    unsafe extern "C" fn word(node: usize) -> usize {
        // SAFETY: as above.
        unsafe { (*(node as *const Node)).word }
    }

    fn list(words: &[usize]) -> usize {
        words.iter().rev().fold(0, |next, word| Box::leak(Box::new(Node { next, word: *word })) as *const Node as usize)
    }

    static FIRST: std::sync::Mutex<usize> = std::sync::Mutex::new(0);

    unsafe extern "C" fn first() -> usize {
        *FIRST.lock().unwrap()
    }

    /// What is known of interpreters with such threads, and whether one is waited for.
    fn of(interpreters: &[&[usize]]) -> (Vec<usize>, usize, bool) {
        let heads: Vec<usize> = interpreters.iter().map(|pointers| list(pointers)).collect();
        *FIRST.lock().unwrap() = list(&heads);
        let functions = [next as *const () as usize, word as *const () as usize, next as *const () as usize];
        let walk = [first as *const () as usize, functions[0], functions[1], functions[2], 8, 1];
        let all = Interpreters::of(&walk).unwrap();
        let ([room, count], unbound) = all.know();
        // SAFETY: it has written so many.
        let known = unsafe { core::slice::from_raw_parts(room as *const usize, count) }.to_vec();
        sys::munmap(room, MOST * 8);
        let began = std::time::Instant::now();
        all.await_newborn();
        let waited = began.elapsed() >= std::time::Duration::from_micros(PAUSE * ATTEMPTS as u64);
        (known, unbound, waited)
    }

    #[test]
    fn threads_that_have_not_run_are_counted_and_waited_for() {
        assert_eq!(of(&[&[30, 20, 10]]), ([30, 20, 10].to_vec(), 0, false));
        // One without a pointer, and one with that of the thread that has made it.
        assert_eq!(of(&[&[0, 20, 10]]), ([20, 10].to_vec(), 1, true));
        assert_eq!(of(&[&[20, 20, 10]]), ([20, 10].to_vec(), 1, true));
        // The leading thread may be in several interpreters.
        assert_eq!(of(&[&[30, 10], &[10]]), ([30, 10, 10].to_vec(), 0, false));
        assert!(Interpreters::of(&[1, 2, 3]).is_none());
    }
}
