//! The sessions of this terminal, by name: the one that it is connected to, and what is kept of the others.

use std::collections::BTreeMap;

/// What the session that the terminal starts with is called.
const MAIN: &str = "main";

/// The names, and what belongs to each but the present one.
#[derive(Debug)]
pub(crate) struct Branches<T> {
    here: String,
    others: BTreeMap<String, T>,
}

impl<T> Default for Branches<T> {
    fn default() -> Self {
        Branches { here: MAIN.to_owned(), others: BTreeMap::new() }
    }
}

impl<T> Branches<T> {
    /// The name of the one that the terminal is connected to.
    pub(crate) fn here(&self) -> &str {
        &self.here
    }

    /// What the prompt says of it; nothing where there is no choice.
    pub(crate) fn remark(&self) -> String {
        if self.others.is_empty() { String::new() } else { format!("in {}", self.here) }
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.here == name || self.others.contains_key(name)
    }

    /// A name that none of them has.
    pub(crate) fn free_name(&self) -> String {
        first_free("branch", |name| self.knows(name))
    }

    /// Takes what belongs to another one, to connect the terminal to it: [`Branches::moved`] follows.
    pub(crate) fn take(&mut self, name: &str) -> Option<T> {
        self.others.remove(name)
    }

    /// The terminal is connected to another one now; `left` is what belongs to the one before.
    pub(crate) fn moved(&mut self, to: &str, left: T) {
        let from = std::mem::replace(&mut self.here, to.to_owned());
        self.others.insert(from, left);
    }

    /// All names, the present one marked; nothing where there is one only.
    pub(crate) fn list(&self) -> Option<String> {
        if self.others.is_empty() {
            return None;
        }
        let mut names: Vec<&str> = self.others.keys().map(String::as_str).chain([self.here()]).collect();
        names.sort_unstable();
        let lines = names.iter().map(|name| format!("{} {name}", if *name == self.here { '*' } else { ' ' }));
        Some(lines.collect::<Vec<_>>().join("\n"))
    }
}

/// The first name of the form `stem1`, `stem2`, … that is not taken.
pub(crate) fn first_free(stem: &str, taken: impl Fn(&str) -> bool) -> String {
    (1u64..).map(|number| format!("{stem}{number}")).find(|name| !taken(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_here_and_the_others_are_kept() {
        let mut branches = Branches::default();
        assert_eq!((branches.list(), branches.remark()), (None, String::new()));
        assert_eq!(branches.free_name(), "branch1");
        branches.moved("branch1", 'm');
        assert_eq!(branches.free_name(), "branch2");
        assert_eq!(branches.list().unwrap(), "* branch1\n  main");
        assert_eq!(branches.remark(), "in branch1");
        assert_eq!(branches.take("nobody"), None);
        assert_eq!(branches.take("main"), Some('m'));
        branches.moved("main", 'b');
        assert_eq!(branches.list().unwrap(), "  branch1\n* main");
        assert!(branches.knows("main") && branches.knows("branch1"));
    }
}
