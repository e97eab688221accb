//! The commands of this terminal: lines that begin with `%`, and `NAME?`.

use std::path::PathBuf;

/// What a line asks of the terminal itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Who,
    History(usize),
    Reset,
    /// How many steps.
    Undo(usize),
    Redo(usize),
    Snapshot(Option<String>),
    Snapshots,
    Rollback(String),
    Drop(String),
    Branch(Option<String>),
    Branches,
    Switch(String),
    /// Save the session, under a name or without one.
    Checkpoint(Option<String>),
    Restore(String),
    Checkpoints,
    /// An older checkpoint, and a newer one; the present without it.
    Diff(String, Option<String>),
    Run(PathBuf),
    Time(String),
    /// A name, and whether its source is wanted too.
    Inspect(String, bool),
    Quit,
    /// What is wrong with the line, and what to do.
    Wrong(String, String),
}

struct Entry {
    name: &'static str,
    arguments: &'static str,
    does: &'static str,
}

const fn entry(name: &'static str, arguments: &'static str, does: &'static str) -> Entry {
    Entry { name, arguments, does }
}

const COMMANDS: &[Entry] = &[
    entry("help", "", "this list"),
    entry("who", "", "the variables of the session"),
    entry("doc", "NAME", "what a name is; NAME? is the same, NAME?? shows its source"),
    entry("time", "CODE", "run code, then say how long it took and what memory it kept"),
    entry("run", "FILE", "run a file in this session"),
    entry("history", "[N]", "the last lines that were entered (20), and which of them are undone"),
    entry("undo", "[N]", "undo the last line, or the last N, whatever they did to the session"),
    entry("redo", "[N]", "take an undone line back"),
    entry("snapshot", "[NAME]", "keep the state as it is now"),
    entry("snapshots", "", "the snapshots, with their age and memory"),
    entry("rollback", "NAME", "return to a snapshot, again and again; later ones go"),
    entry("drop", "NAME", "give a snapshot up"),
    entry("checkpoint", "[NAME]", "save the session to disk, where it outlives this program"),
    entry("restore", "NAME", "bring a saved session back; %undo undoes it"),
    entry("checkpoints", "", "the saved sessions"),
    entry("diff", "A [B]", "which names differ between two saved sessions, or between one and now"),
    entry("branch", "[NAME]", "split the session, and go on in the new one"),
    entry("branches", "", "the sessions of this terminal"),
    entry("switch", "NAME", "go on in another branch"),
    entry("reset", "", "end the session and begin a fresh one"),
    entry("quit", "", "leave (Ctrl-D does too)"),
];

const HISTORY: usize = 20;

/// The length of a command's name at the start of a line, with its `%`; 0 when the line is no command.
pub(crate) fn name_length(line: &str) -> usize {
    match line.strip_prefix('%') {
        Some(rest) => 1 + rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()),
        None => 0,
    }
}

/// Where the Python in a line begins that `%time` or `%doc` takes as its argument; 0 for a line of Python, None where a
/// line holds none.
pub(crate) fn python_start(line: &str) -> Option<usize> {
    let length = name_length(line);
    match &line[..length] {
        "" => Some(0),
        "%time" | "%doc" => Some(line.len() - line[length..].trim_start().len()),
        _ => None,
    }
}

/// Names of commands that begin so, without their `%`.
pub(crate) fn names(prefix: &str) -> Vec<&'static str> {
    let mut names: Vec<_> = COMMANDS.iter().map(|entry| entry.name).collect();
    names.retain(|name| name.starts_with(prefix));
    names.sort_unstable();
    names
}

/// Understands a line; None when it is Python.
pub(crate) fn parse(line: &str) -> Option<Command> {
    let line = line.trim_start();
    let length = name_length(line);
    if length == 0 {
        return question(line.trim_end());
    }
    let (name, argument) = (&line[1..length], line[length..].trim());
    let missing = |name: &str, arguments: &str| {
        Some(Command::Wrong(format!("%{name} needs something to work on"), format!("write %{name} {arguments}")))
    };
    match (name, argument) {
        ("time", "") => missing("time", "CODE"),
        // Its last lines say whether a block has ended.
        ("time", _) => Some(Command::Time(line[length..].trim_start().to_owned())),
        ("run", "") => missing("run", "FILE"),
        ("run", file) => Some(Command::Run(PathBuf::from(unquoted(file)))),
        ("doc", "") => missing("doc", "NAME"),
        ("doc", name) => Some(Command::Inspect(name.trim_end_matches('?').to_owned(), name.ends_with("??"))),
        ("history", "") => Some(Command::History(HISTORY)),
        ("history", count) => Some(match count.parse() {
            Ok(count) => Command::History(count),
            Err(_) => Command::Wrong(format!("{count:?} is no number of lines"), "write %history 50".into()),
        }),
        ("undo" | "redo", count) => {
            let steps = if count.is_empty() { Ok(1) } else { count.parse() };
            Some(match steps {
                Ok(steps) if steps > 0 && name == "undo" => Command::Undo(steps),
                Ok(steps) if steps > 0 => Command::Redo(steps),
                _ => Command::Wrong(format!("{count:?} is no number of steps"), format!("write %{name} 3")),
            })
        }
        ("snapshot" | "branch" | "checkpoint", chosen) => {
            let chosen = (!chosen.is_empty()).then(|| unquoted(chosen).to_owned());
            Some(match name {
                "snapshot" => Command::Snapshot(chosen),
                "checkpoint" => Command::Checkpoint(chosen),
                _ => Command::Branch(chosen),
            })
        }
        ("restore", "") => missing("restore", "NAME"),
        ("restore", chosen) => Some(Command::Restore(unquoted(chosen).to_owned())),
        ("diff", "") => missing("diff", "A [B]"),
        ("diff", both) => Some(diff(both)),
        ("rollback" | "drop" | "switch", "") => missing(name, "NAME"),
        ("rollback", chosen) => Some(Command::Rollback(unquoted(chosen).to_owned())),
        ("drop", chosen) => Some(Command::Drop(unquoted(chosen).to_owned())),
        ("switch", chosen) => Some(Command::Switch(unquoted(chosen).to_owned())),
        ("help" | "who" | "reset" | "quit" | "exit" | "snapshots" | "branches" | "checkpoints", "") => {
            Some(match name {
                "help" => Command::Help,
                "snapshots" => Command::Snapshots,
                "branches" => Command::Branches,
                "checkpoints" => Command::Checkpoints,
                "who" => Command::Who,
                "reset" => Command::Reset,
                _ => Command::Quit,
            })
        }
        ("help" | "who" | "reset" | "quit" | "exit" | "snapshots" | "branches" | "checkpoints", _) => {
            Some(Command::Wrong(format!("%{name} takes no argument"), format!("write %{name}")))
        }
        _ => Some(unknown(name)),
    }
}

/// One or two names, which stand in quotes where they have spaces.
fn diff(both: &str) -> Command {
    let mut names = Vec::new();
    let mut rest = both.trim();
    while !rest.is_empty() {
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (name, after) = match quote.and_then(|quote| rest[1..].split_once(quote)) {
            Some(split) => split,
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        names.push(name.to_owned());
        rest = after.trim_start();
    }
    let mut names = names.into_iter();
    match (names.next(), names.next(), names.next()) {
        (Some(earlier), later, None) => Command::Diff(earlier, later),
        _ => Command::Wrong(
            "%diff compares two checkpoints".into(),
            "write %diff A B; names with spaces in quotes".into(),
        ),
    }
}

/// `NAME?` and `NAME??`, which are no Python.
fn question(line: &str) -> Option<Command> {
    let name = line.strip_suffix('?')?;
    let (name, source) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
    let named = name.split('.').all(|part| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    });
    named.then(|| Command::Inspect(name.to_owned(), source))
}

fn unquoted(text: &str) -> &str {
    ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(text)
}

fn unknown(name: &str) -> Command {
    let all = names("");
    let close: Vec<_> = all
        .iter()
        .filter(|known| distance(known, name) <= 2 || (name.len() > 1 && known.starts_with(name)))
        .map(|known| format!("%{known}"))
        .collect();
    let how = if close.is_empty() {
        "%help lists the commands".to_owned()
    } else {
        format!("did you mean {}?", close.join(" or "))
    };
    Command::Wrong(format!("there is no command %{name}"), how)
}

/// Edits between two words (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// What `%help` shows: pairs of what to write and what it does.
pub(crate) fn help() -> Vec<(String, &'static str)> {
    COMMANDS
        .iter()
        .map(|entry| (format!("%{} {}", entry.name, entry.arguments).trim().to_owned(), entry.does))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        assert_eq!(parse("x % 2"), None);
        assert_eq!(parse("x = y if z else '?'"), None);
        assert_eq!(parse("%who"), Some(Command::Who));
        assert_eq!(parse("%time  sum(x) "), Some(Command::Time("sum(x) ".into())));
        assert_eq!(parse("%run 'a b.py'"), Some(Command::Run("a b.py".into())));
        assert_eq!(parse("os.path?"), Some(Command::Inspect("os.path".into(), false)));
        assert_eq!(parse("os.path??"), Some(Command::Inspect("os.path".into(), true)));
        assert_eq!(parse("%doc len"), Some(Command::Inspect("len".into(), false)));
        assert_eq!(parse("1?"), None);
        assert_eq!(parse("%history 3"), Some(Command::History(3)));
        assert!(matches!(parse("%history x"), Some(Command::Wrong(..))));
        assert_eq!(parse("%undo 2"), Some(Command::Undo(2)));
        assert_eq!(parse("%redo"), Some(Command::Redo(1)));
        assert!(matches!(parse("%undo 0"), Some(Command::Wrong(..))));
        assert_eq!(parse("%snapshot"), Some(Command::Snapshot(None)));
        assert_eq!(parse("%snapshot 'a b'"), Some(Command::Snapshot(Some("a b".into()))));
        assert!(matches!(parse("%rollback"), Some(Command::Wrong(..))));
        assert_eq!(parse("%switch main"), Some(Command::Switch("main".into())));
        assert_eq!(parse("%restore x"), Some(Command::Restore("x".into())));
        assert_eq!(parse("%checkpoint"), Some(Command::Checkpoint(None)));
        assert_eq!(parse("%diff a"), Some(Command::Diff("a".into(), None)));
        assert_eq!(parse("%diff 'a b'  c"), Some(Command::Diff("a b".into(), Some("c".into()))));
        assert!(matches!(parse("%diff a b c"), Some(Command::Wrong(..))));
        assert!(matches!(parse("%quit now"), Some(Command::Wrong(..))));
    }

    #[test]
    fn an_unknown_command_has_neighbours() {
        let Some(Command::Wrong(what, how)) = parse("%hist") else { panic!() };
        assert_eq!((what.as_str(), how.as_str()), ("there is no command %hist", "did you mean %history?"));
        let Some(Command::Wrong(_, how)) = parse("%hlep") else { panic!() };
        assert_eq!(how, "did you mean %help?");
        let Some(Command::Wrong(_, how)) = parse("%matplotlib") else { panic!() };
        assert_eq!(how, "%help lists the commands");
    }

    #[test]
    fn python_within_commands_is_found() {
        assert_eq!(python_start("x"), Some(0));
        assert_eq!(python_start("%time  x"), Some(7));
        assert_eq!(python_start("%who"), None);
        assert_eq!(name_length("%a-b"), 2);
    }
}
