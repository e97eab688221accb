//! `pyrepl3 doctor`.

use crate::support::{Bench, finish};
use serde_json::Value;

/// The names of an object's fields, and of those within them.
fn keys(value: &Value, prefix: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{prefix}{name}");
                keys(value, &format!("{path}."), found);
                found.push(path);
            }
        }
        Value::Array(items) => {
            if let Some(item) = items.first() {
                keys(item, &format!("{}[].", prefix.trim_end_matches('.')), found);
            }
        }
        _ => {}
    }
}

#[test]
fn the_report_for_programs_has_its_fields() {
    let bench = Bench::new();
    let outcome = finish(bench.pyrepl3(&["doctor", "--json"]), b"").text();
    assert_eq!((outcome.status, outcome.err.as_str()), (0, ""));
    let mut report: Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!(report["ok"], true);
    assert_eq!(report["isolation"]["in_use"], "none");
    assert_eq!(report["session"]["packages"][0]["name"], "numpy");
    let defaults = report["python"]["interpreters"].as_array().unwrap().iter().filter(|one| one["default"] == true);
    assert_eq!(defaults.count(), 1);
    // These differ between machines.
    report["python"]["broken"] = Value::Null;
    report["missing"] = Value::Null;
    let mut found = Vec::new();
    keys(&report, "", &mut found);
    found.sort();
    insta::assert_snapshot!("doctor_fields", found.join("\n"));
}

#[test]
fn the_report_for_people_has_its_parts() {
    let bench = Bench::new();
    let outcome = finish(bench.pyrepl3(&["doctor"]), b"").text();
    assert_eq!(outcome.status, 0);
    let titles: Vec<_> = outcome.out.lines().filter(|line| !line.is_empty() && !line.starts_with(' ')).collect();
    assert_eq!(titles[1..], ["Python", "Session", "Isolation", "Limits", "Missing"], "{}", outcome.out);
    assert!(outcome.out.contains("runs: started in "), "{}", outcome.out);
}

#[test]
fn without_an_interpreter_it_says_what_to_do() {
    let bench = Bench::new();
    let mut command = bench.pyrepl3(&["doctor", "--json"]);
    command.env("PATH", bench.folder()).env_remove("VIRTUAL_ENV");
    let outcome = finish(command, b"").text();
    assert_eq!(outcome.status, 3);
    let report: Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!(
        (&report["ok"], &report["session"]["failure"]["code"]),
        (&Value::Bool(false), &"python_not_found".into())
    );
    assert_eq!(report["missing"][0]["what"], "a Python interpreter");
}

#[test]
fn an_interpreter_that_does_not_suit_is_explained() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let old = bench.file("python3", "#!/bin/sh\nprintf '3.6.1\\n/old/python\\n/old\\ncpython\\n'\n");
    std::fs::set_permissions(bench.path(&old), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = bench.pyrepl3(&["doctor"]);
    command.env("PATH", bench.folder()).env_remove("VIRTUAL_ENV");
    let outcome = finish(command, b"").text();
    assert_eq!(outcome.status, 3);
    assert!(outcome.out.contains("3.6.1    too old: CPython 3.10 or later is needed"), "{}", outcome.out);
    assert!(outcome.out.contains("does not run: no suitable Python interpreter"), "{}", outcome.out);
}
