//! The report for people.

use super::interpreters::Interpreters;
use super::isolation::{Cgroups, Layer};
use super::missing::Missing;
use super::report::Report;
use super::trial::Trial;
use crate::size;
use std::io::Write;

/// Prints to standard output; that nobody reads it is no failure.
pub(crate) fn out(text: &str) {
    _ = std::io::stdout().write_all(text.as_bytes());
}

/// Prints the report.
pub(crate) fn report(report: &Report) {
    out(&text(report));
}

fn text(report: &Report) -> String {
    let mut text = format!("pyrepl3 {}\n", report.pyrepl3);
    section(&mut text, "Python", &python(&report.python));
    section(&mut text, "Session", &session(&report.session));
    let isolation = &report.isolation;
    section(
        &mut text,
        "Isolation",
        &[
            format!(
                "in use           {} (this version has no other: code runs with all your rights)",
                isolation.in_use
            ),
            format!("user namespaces  {}", layer(&isolation.user_namespaces)),
            format!("Landlock         {}", layer(&isolation.landlock)),
            format!("seccomp          {}", layer(&isolation.seccomp)),
            format!("cgroups          {}", cgroups(&isolation.cgroups)),
        ],
    );
    let limits = &report.limits;
    let number = |limit: Option<u64>| limit.map_or_else(|| "no limit".to_owned(), |limit| limit.to_string());
    let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), size::bytes);
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    let processors = limits.processors.map_or_else(|| "?".to_owned(), |count| count.to_string());
    section(
        &mut text,
        "Limits",
        &[
            format!("kernel           {}, {processors} processors", limits.kernel),
            format!(
                "memory           {}, {} available",
                bytes(limits.memory_bytes),
                bytes(limits.memory_available_bytes)
            ),
            format!(
                "open files       {} for sessions, {} for this program (at most {})",
                number(limits.open_files),
                number(limits.open_files_engine),
                number(limits.open_files_hard)
            ),
            format!("processes        {}", number(limits.processes)),
            format!(
                "pipe buffers     {}",
                match limits.pipe_user_pages_soft {
                    Some(0) => "no limit".to_owned(),
                    Some(pages) => format!("{pages} pages a user"),
                    None => "unknown".to_owned(),
                }
            ),
            format!("pidfds           {}", yes(limits.pidfd)),
            format!("children listed  {}", yes(limits.children_listed)),
        ],
    );
    section(&mut text, "Missing", &missing(&report.missing));
    text
}

fn section(text: &mut String, title: &str, lines: &[String]) {
    text.push_str(&format!("\n{title}\n"));
    for line in lines {
        text.push_str(&format!("  {line}\n"));
    }
}

fn python(found: &Interpreters) -> Vec<String> {
    let width = found.interpreters.iter().map(|one| one.path.chars().count()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for one in &found.interpreters {
        let mark = if one.default { '*' } else { ' ' };
        let mut remarks = Vec::new();
        if one.default {
            remarks.push("default".to_owned());
        }
        if one.virtual_environment {
            remarks.push(format!("virtual environment {}", one.prefix));
        }
        remarks.extend(one.why.clone());
        lines.push(
            format!("{mark} {:width$}  {:8} {}", one.path, one.version, remarks.join(", ")).trim_end().to_owned(),
        );
    }
    for one in &found.broken {
        lines.push(format!("  {}  does not run: {}", one.path, one.why));
    }
    if lines.is_empty() {
        lines.push("no interpreter was found".to_owned());
    }
    lines
}

fn session(trial: &Trial) -> Vec<String> {
    let mut lines = Vec::new();
    let time = |seconds: Option<f64>| seconds.map_or_else(|| "?".to_owned(), size::seconds);
    if trial.ok {
        lines.push(format!(
            "runs: started in {}, the next one in {}, 1+1 took {}",
            time(trial.start_seconds),
            time(trial.next_start_seconds),
            time(trial.execute_seconds)
        ));
    }
    if let Some(failure) = &trial.failure {
        lines.push(format!("does not run: {}", failure.what));
        for (label, part) in [("why", &failure.why), ("how to go on", &failure.how)] {
            if !part.is_empty() {
                lines.push(format!("  {label}: {}", part.replace('\n', "\n    ")));
            }
        }
    }
    if trial.ok {
        let snapshots = &trial.snapshots;
        lines.push(match &snapshots.failure {
            None => format!(
                "snapshots: yes, with all threads: taken in {}, returned to in {}",
                time(snapshots.take_seconds),
                time(snapshots.return_seconds)
            ),
            Some(failure) => format!("snapshots: no: {}: {}", failure.what, failure.why),
        });
    }
    if trial.free_threaded {
        lines.push("free-threaded: this build of Python is not among those that are tested".to_owned());
    }
    for package in &trial.packages {
        let state = match (&package.version, &package.why) {
            (Some(version), _) => version.clone(),
            (None, why) => why.clone().unwrap_or_else(|| "cannot be imported".to_owned()),
        };
        lines.push(format!("{:11} {state}", package.name));
    }
    lines
}

fn layer(layer: &Layer) -> String {
    let word = match layer.available {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    };
    format!("{word}: {}", layer.detail)
}

fn cgroups(groups: &Cgroups) -> String {
    let list = |controllers: &[String]| {
        if controllers.is_empty() { "no controllers".to_owned() } else { controllers.join(" ") }
    };
    match groups.layout {
        "none" => "no".to_owned(),
        "v1" => format!("v1: {}", list(&groups.v1_controllers)),
        layout => {
            let delegated = if groups.delegated { "delegated" } else { "not delegated" };
            let mut text = format!("{layout}: v2 has {}, {delegated}", list(&groups.v2_controllers));
            if layout == "hybrid" {
                text.push_str(&format!("; v1 has {}", list(&groups.v1_controllers)));
            }
            text
        }
    }
}

fn missing(missing: &[Missing]) -> Vec<String> {
    if missing.is_empty() {
        return vec!["nothing".to_owned()];
    }
    missing.iter().map(|one| format!("{}: {}\n    {}", one.what, one.why, one.how)).collect()
}
