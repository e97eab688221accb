//! What was executed in a session, and which of it is undone.

use std::collections::{BTreeMap, BTreeSet};

/// How many sources are kept.
const MOST: usize = 1000;

/// The lines of one session, by the numbers of their executions.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExecutionLog {
    sources: BTreeMap<u64, String>,
    undone: BTreeSet<u64>,
}

impl ExecutionLog {
    pub(crate) fn add(&mut self, count: u64, source: String) {
        self.sources.insert(count, source);
        while self.sources.len() > MOST {
            self.sources.pop_first();
        }
    }

    /// The session has returned to another state: these have no effect any more, those have one again.
    pub(crate) fn mark_undone(&mut self, undone: &[u64], redone: &[u64]) {
        self.undone.extend(undone);
        for count in redone {
            self.undone.remove(count);
        }
    }

    /// What was entered, in a line.
    pub(crate) fn title(&self, count: u64) -> String {
        let Some(source) = self.sources.get(&count) else { return format!("execution {count}") };
        let mut lines = source.trim().lines();
        let first = lines.next().unwrap_or_default().to_owned();
        if lines.next().is_some() { first + " …" } else { first }
    }

    /// Whether lines like this one were executed, and all of them are undone.
    pub(crate) fn is_undone(&self, source: &str) -> bool {
        let mut same = self.sources.iter().filter(|(_, known)| known.trim() == source.trim()).peekable();
        same.peek().is_some() && same.all(|(count, _)| self.undone.contains(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undone_lines_are_known() {
        let mut log = ExecutionLog::default();
        log.add(1, "x = 1\n".into());
        log.add(2, "for i in x:\n    pass\n".into());
        assert_eq!(log.title(2), "for i in x: …");
        assert_eq!(log.title(7), "execution 7");
        log.mark_undone(&[1], &[]);
        assert!(log.is_undone("x = 1"));
        assert!(!log.is_undone("y"));
        log.add(3, "x = 1".into());
        assert!(!log.is_undone("x = 1"), "it was entered once more");
        log.mark_undone(&[3], &[1]);
        assert!(!log.is_undone("x = 1"));
    }
}
