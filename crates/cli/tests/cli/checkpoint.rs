//! `pyrepl3 checkpoint`, and scripts that leave and take up saved sessions.

use crate::support::{Bench, Outcome, Running, finish};
use serde_json::Value;

/// `pyrepl3 checkpoint …`, on a path without any Python.
fn checkpoint(bench: &Bench, arguments: &[&str]) -> Outcome {
    let all: Vec<_> = std::iter::once("checkpoint").chain(arguments.iter().copied()).collect();
    let mut command = bench.pyrepl3(&all);
    command.env("PATH", "/nowhere").env_remove("VIRTUAL_ENV");
    finish(command, b"").text()
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

const SESSION: &str = "
import math, json as j
from collections import OrderedDict as OD
words = ['a', 'b']; alias = words
rate = 2
def area(r):
    return math.pi * r ** rate
class Model:
    def __init__(self): self.words = words
model = Model()
";

fn saved(bench: &Bench, name: &str, more: &str) {
    let outcome = bench.run(&["--checkpoint", name, "-c", &format!("{SESSION}{more}")]);
    assert_eq!((outcome.status, outcome.out.as_str(), outcome.err.as_str()), (0, "", ""));
}

#[test]
fn a_killed_script_goes_on_in_another_process() {
    let bench = Bench::new();
    saved(&bench, "work", "");
    // Another one goes on from there, and is killed in the middle.
    let mut second = bench.pyrepl3(&["run", "--from", "work", "--checkpoint", "work", "-c"]);
    second.arg("words.append('lost'); print('there', flush=True); import time; time.sleep(1000)");
    let running = Running::start(second);
    running.expect("there");
    running.signal(rustix::process::Signal::KILL);
    assert_eq!(running.finish().status, 137);
    let look =
        "rate = 3; print(words, alias is words, model.words is words, area(2) == math.pi * 8, j.dumps(1), OD.__name__)";
    let outcome = bench.run(&["--from", "work", "-c", look]);
    assert_eq!(outcome.out, "['a', 'b'] True True True 1 OrderedDict\n", "{}", outcome.err);
    assert_eq!((outcome.status, outcome.err.as_str()), (0, ""));
}

#[test]
fn a_script_has_its_own_arguments_when_it_goes_on() {
    let bench = Bench::new();
    saved(&bench, "work", "");
    let script = bench.file("second.py", "import sys; print(sys.argv, sys.path[0] == __import__('os').path.dirname(__import__('os').path.realpath(__file__)), words)");
    let outcome = bench.run(&["--from", "work", &script, "x", "é"]);
    assert_eq!(outcome.out, "['second.py', 'x', 'é'] True ['a', 'b']\n", "{}", outcome.err);
    let outcome =
        bench.run(&["--from", "work", "-c", "import sys; print(sys.argv, sys.path[0] == '', '__file__' in globals())"]);
    assert_eq!(outcome.out, "['-c'] True False\n", "{}", outcome.err);
}

#[test]
fn whatever_ends_a_script_it_is_saved_but_for_death() {
    let bench = Bench::new();
    for (name, code, status) in [
        ("failed", "x = 1; 1/0", 1),
        ("exited", "x = 2; import sys; sys.exit(7)", 7),
        ("late", "x = 3\nwhile True: pass", 124),
    ] {
        let outcome = bench.run(&["--timeout", "3", "--checkpoint", name, "-c", code]);
        assert_eq!(outcome.status, status, "{name}: {}", outcome.err);
        let outcome = bench.run(&["--from", name, "-c", "print(x)"]);
        assert_eq!(outcome.out.trim(), code[4..5].to_owned(), "{name}: {}", outcome.err);
    }
    for (code, status) in [("import os; os._exit(0)", 3), ("import os; os._exit(9)", 9)] {
        let outcome = bench.run(&["--checkpoint", "dead", "-c", code]);
        assert_eq!(outcome.status, status, "{}", outcome.err);
        assert!(outcome.err.contains("checkpoint dead was not made"), "{}", outcome.err);
    }
    let outcome = bench.run(&["--from", "dead", "-c", "1"]);
    assert_eq!((outcome.status, outcome.out.as_str()), (2, ""));
    assert!(outcome.err.contains("there is no checkpoint \"dead\"") && outcome.err.contains("late"), "{}", outcome.err);
}

#[test]
fn what_is_lost_is_named_on_standard_error() {
    let bench = Bench::new();
    let outcome = bench.run(&["--checkpoint", "part", "-c", "x = 1; gen = (i for i in range(3))"]);
    assert_eq!((outcome.status, outcome.out.as_str()), (0, ""));
    assert!(outcome.err.contains("checkpoint part does not hold all of the session\n  gen: "), "{}", outcome.err);
    let outcome = bench.run(&["--from", "part", "-c", "print(x, 'gen' in globals())"]);
    assert_eq!((outcome.status, outcome.out.as_str()), (0, "1 False\n"));
    assert!(outcome.err.contains("not all of checkpoint part came back\n  gen: "), "{}", outcome.err);
    let shown = checkpoint(&bench, &["show", "part"]).out;
    assert!(shown.contains("\nLost\n") && shown.contains("  gen  "), "{shown}");
}

#[test]
fn programs_read_it_in_the_stream() {
    let bench = Bench::new();
    let outcome = bench.run(&["--json", "--checkpoint", "a", "-c", "x = 1"]);
    assert_eq!((outcome.status, outcome.err.as_str()), (0, ""));
    let last = json(outcome.out.lines().last().unwrap());
    assert_eq!((last["type"].as_str(), last["name"].as_str()), (Some("checkpoint_created"), Some("a")));
    let outcome = bench.run(&["--json", "--from", "a", "-c", "x"]);
    let lines: Vec<_> = outcome.out.lines().map(json).collect();
    assert_eq!(
        (lines[0]["type"].as_str(), lines[0]["checkpoint_id"].as_str()),
        (Some("restored"), last["checkpoint_id"].as_str())
    );
    assert_eq!(lines.last().unwrap()["repr"], Value::Null, "a script shows no value: {lines:?}");
    let outcome = bench.run(&["--json", "--from", "no", "-c", "x"]);
    assert_eq!(json(outcome.out.trim())["code"], "checkpoint_not_found");
}

#[test]
fn checkpoints_are_listed_shown_compared_and_deleted() {
    let bench = Bench::new();
    let none = checkpoint(&bench, &["list"]);
    assert_eq!((none.status, none.out.as_str(), none.err.as_str()), (0, "no checkpoints yet\n", ""));
    saved(&bench, "one", "");
    saved(&bench, "two", "words.append('c'); extra = 5; del rate\n");
    let list = checkpoint(&bench, &["list"]).out;
    let lines: Vec<_> = list.lines().collect();
    assert!(lines[0].starts_with("name  id "), "{list}");
    assert!(lines[1].starts_with("two   ckp_") && lines[2].starts_with("one   ckp_"), "{list}");
    assert!(lines[1].contains("just now") || lines[1].contains("min ago"), "{list}");

    let shown = checkpoint(&bench, &["show", "one"]).out;
    for part in [
        "name    ",
        "\nsession ",
        "\nPython  ",
        "\nVariables\n",
        "\nImports\n",
        "math",
        "collections.OrderedDict",
        "\nFunctions and classes\n",
        "  def area(r):\n      return math.pi * r ** rate\n",
        "  class Model:\n",
    ] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
    let one = json(checkpoint(&bench, &["--json", "show", "one"]).out.trim());
    assert_eq!(one["name"], "one");
    assert!(one["contents"].as_array().unwrap().iter().any(|line| line["name"] == "words"), "{one}");
    let id = one["checkpoint_id"].as_str().unwrap();

    let diff = checkpoint(&bench, &["diff", id, "two"]).out;
    let says = |change: &str, name: &str| diff.lines().any(|line| line.split_whitespace().take(2).eq([change, name]));
    assert!(says("added", "extra") && says("removed", "rate") && says("changed", "words"), "{diff}");
    assert!(!says("changed", "math"), "{diff}");

    let outcome = checkpoint(&bench, &["delete", "none", "one"]);
    assert_eq!(outcome.status, 2);
    assert!(outcome.out.starts_with("deleted one, ") && outcome.out.ends_with(" freed\n"), "{}", outcome.out);
    assert!(outcome.err.contains("no checkpoint \"none\"") && outcome.err.contains("two (ckp_"), "{}", outcome.err);
    assert_eq!(checkpoint(&bench, &["list", "--json"]).out.lines().count(), 1);
}

#[test]
fn a_checkpoint_travels_as_one_file() {
    let (here, there) = (Bench::new(), Bench::new());
    saved(&here, "work", "");
    let file = there.path("work.ckpt").display().to_string();
    assert_eq!(checkpoint(&here, &["export", "work", &file]).status, 0);
    let again = checkpoint(&here, &["export", "work", &file]);
    assert_eq!(again.status, 2);
    assert!(again.err.contains("already"), "{}", again.err);
    let refused = checkpoint(&there, &["import", &file]);
    assert_eq!((refused.status, refused.out.as_str()), (2, ""));
    assert!(refused.err.contains("runs their code") && refused.err.contains("--trust"), "{}", refused.err);
    assert_eq!(checkpoint(&there, &["list"]).out, "no checkpoints yet\n");
    let taken = checkpoint(&there, &["import", &file, "--trust"]);
    assert!(taken.status == 0 && taken.out.contains("as work (ckp_"), "{taken:?}");
    let outcome = there.run(&["--from", "work", "-c", "print(words, alias is words, area(1) > 3)"]);
    assert_eq!(outcome.out, "['a', 'b'] True True\n", "{}", outcome.err);
    // One byte is wrong, and nothing of it is taken.
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let bad = there.path("bad.ckpt").display().to_string();
    std::fs::write(&bad, bytes).unwrap();
    let outcome = checkpoint(&there, &["import", &bad, "--trust"]);
    assert_eq!(outcome.status, 3);
    assert!(outcome.err.contains("damaged"), "{}", outcome.err);
    assert_eq!(checkpoint(&there, &["--json", "list"]).out.lines().count(), 1);
}

#[test]
fn damage_is_found_and_named() {
    let bench = Bench::new();
    saved(&bench, "good", "");
    let outcome = checkpoint(&bench, &["verify"]);
    assert!(
        outcome.status == 0 && outcome.out.starts_with("good (ckp_") && outcome.out.contains(": whole, "),
        "{outcome:?}"
    );
    let pack = find(&bench.path("data"), ".pack").expect("a pack");
    let mut bytes = std::fs::read(&pack).unwrap();
    for byte in &mut bytes[64..] {
        *byte ^= 0x55;
    }
    std::fs::write(&pack, bytes).unwrap();
    let outcome = checkpoint(&bench, &["verify", "good"]);
    assert!(outcome.status == 3 && outcome.out.contains("DAMAGED"), "{outcome:?}");
    let outcome = bench.run(&["--from", "good", "-c", "print(1)"]);
    assert_eq!((outcome.status, outcome.out.as_str()), (3, ""), "{}", outcome.err);
    assert!(outcome.err.contains("damaged"), "{}", outcome.err);
}

fn find(folder: &std::path::Path, end: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => find(&entry.path(), end),
        _ => Some(entry.path()).filter(|path| path.to_string_lossy().ends_with(end)),
    })
}

#[test]
fn rules_say_what_goes() {
    let bench = Bench::new();
    saved(&bench, "one", "");
    saved(&bench, "two", "");
    let nothing = checkpoint(&bench, &["prune"]).out;
    assert!(nothing.starts_with("no rule was given, so no checkpoint went"), "{nothing}");
    let kept = checkpoint(&bench, &["prune", "--keep-named", "--older-than", "0", "--max-bytes", "0"]).out;
    assert!(kept.starts_with("no checkpoint had to go"), "{kept}");
    let last = checkpoint(&bench, &["prune", "--keep-last", "1"]).out;
    assert!(last.starts_with("no checkpoint had to go"), "each is of another session: {last}");
    let gone = checkpoint(&bench, &["prune", "--max-bytes", "0"]).out;
    assert!(
        gone.contains("deleted one (ckp_") && gone.contains("deleted two (ckp_") && gone.contains("2 checkpoints went"),
        "{gone}"
    );
    assert_eq!(checkpoint(&bench, &["list"]).out, "no checkpoints yet\n");
    assert_eq!(checkpoint(&bench, &["prune", "--max-bytes", "5 apples"]).status, 2);
}

/// Interpreters of other versions, by their paths.
fn others(bench: &Bench) -> Vec<String> {
    let outcome = finish(bench.pyrepl3(&["doctor", "--json"]), b"").text();
    let report = json(outcome.out.trim());
    let mut seen = vec![];
    let found = report["python"]["interpreters"].as_array().unwrap();
    found
        .iter()
        .filter(|one| one["suitable"].as_bool() == Some(true) && one["virtual_environment"].as_bool() == Some(false))
        .filter_map(|one| Some((one["path"].as_str()?.to_owned(), one["version"].as_str()?.to_owned())))
        .filter(|(_, version)| {
            let minor = version.split('.').take(2).collect::<Vec<_>>().join(".");
            let new = !seen.contains(&minor);
            seen.push(minor);
            new
        })
        .map(|(path, _)| path)
        .collect()
}

#[test]
fn a_session_moves_between_versions_of_python() {
    let bench = Bench::new();
    let pythons = others(&bench);
    if pythons.len() < 2 {
        eprintln!("skipped: there is one version of Python here");
        return;
    }
    for (from, to) in [(0, 1), (1, 0)] {
        let name = format!("move{from}");
        let outcome = bench.run(&["--python", &pythons[from], "--checkpoint", &name, "-c", SESSION]);
        assert_eq!((outcome.status, outcome.err.as_str()), (0, ""));
        let look = "rate = 3; print(words, alias is words, model.words is words, area(2) == math.pi * 8)";
        let outcome = bench.run(&["--python", &pythons[to], "--from", &name, "-c", look]);
        assert_eq!(outcome.out, "['a', 'b'] True True True\n", "{}", outcome.err);
    }
}
