//! The executions whose effects are applied: those that the present state is the result of.

use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// How many are known; older ones are the same for every state that can be returned to.
const MOST: usize = 4096;
/// How many runs of numbers are written down: the newest.
const RUNS: usize = 256;

/// Numbers of the executions whose effects are there, oldest first. One that was undone is not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<(u64, u64)>", from = "Vec<(u64, u64)>")]
pub(crate) struct Applied(Vec<u64>);

impl Applied {
    /// An execution begins.
    pub(crate) fn push(&mut self, count: u64) {
        if self.0.len() >= 2 * MOST {
            self.0.drain(..MOST);
        }
        self.0.push(count);
    }

    /// An execution did not begin after all.
    pub(crate) fn take_back(&mut self, count: u64) {
        self.0.retain(|one| *one != count);
    }

    /// From their numbers, which grow.
    pub(crate) fn of(mut numbers: Vec<u64>) -> Applied {
        numbers.sort_unstable();
        numbers.dedup();
        numbers.drain(..numbers.len().saturating_sub(MOST));
        Applied(numbers)
    }

    /// Their numbers, oldest first.
    pub(crate) fn numbers(&self) -> &[u64] {
        &self.0
    }

    /// The last one.
    pub(crate) fn last(&self) -> Option<u64> {
        self.0.last().copied()
    }

    /// Those that are in this one, and not in the other.
    pub(crate) fn beyond(&self, other: &Applied) -> Vec<u64> {
        // Numbers only grow.
        self.0.iter().copied().filter(|count| other.0.binary_search(count).is_err()).collect()
    }
}

/// First and last of each run of numbers.
fn runs(counts: &[u64]) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for &count in counts {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == count => *end = count,
            _ => runs.push((count, count)),
        }
    }
    runs
}

impl From<Applied> for Vec<(u64, u64)> {
    fn from(applied: Applied) -> Self {
        let runs = runs(&applied.0);
        runs[runs.len().saturating_sub(RUNS)..].to_vec()
    }
}

impl From<Vec<(u64, u64)>> for Applied {
    fn from(runs: Vec<(u64, u64)>) -> Self {
        let mut numbers: Vec<u64> = Vec::new();
        for (first, last) in runs.into_iter().rev() {
            let room = (2 * MOST).saturating_sub(numbers.len());
            numbers.extend((first..=last).rev().take(room));
        }
        numbers.reverse();
        Applied(numbers)
    }
}

/// `execution 3`, `executions 3 to 5, 7`.
pub(crate) fn described(counts: &[u64]) -> String {
    let runs = runs(counts);
    let mut text = if counts.len() == 1 { "execution ".to_owned() } else { "executions ".to_owned() };
    for (number, (first, last)) in runs.iter().enumerate() {
        let comma = if number > 0 { ", " } else { "" };
        _ = match last - first {
            0 => write!(text, "{comma}{first}"),
            1 => write!(text, "{comma}{first}, {last}"),
            _ => write!(text, "{comma}{first} to {last}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_undone_is_not_undone_again() {
        let mut present = Applied::default();
        for count in [1, 2, 3] {
            present.push(count);
        }
        let mark = Applied(vec![1, 2]);
        assert_eq!(present.beyond(&mark), [3]);
        let mut again = mark;
        again.push(4);
        assert_eq!(again.beyond(&Applied(vec![1])), [2, 4]);
        assert_eq!(present.beyond(&again), [3]);
        assert_eq!(again.last(), Some(4));
    }

    #[test]
    fn they_are_written_down_in_runs() {
        let applied = Applied::of((1..5000).chain([5002, 5003]).collect());
        let written = serde_json::to_string(&applied).unwrap();
        assert_eq!(written, "[[906,4999],[5002,5003]]");
        assert_eq!(serde_json::from_str::<Applied>(&written).unwrap(), applied);
        // Who has tampered with it makes nobody remember more.
        let many: Applied = serde_json::from_str("[[0,18446744073709551615]]").unwrap();
        assert_eq!((many.numbers().len(), many.last()), (2 * MOST, Some(u64::MAX)));
    }

    #[test]
    fn numbers_are_told_in_runs() {
        assert_eq!(described(&[3]), "execution 3");
        assert_eq!(described(&[3, 4]), "executions 3, 4");
        assert_eq!(described(&[1, 3, 4, 5, 9]), "executions 1, 3 to 5, 9");
    }
}
