//! What people are shown of checkpoints.

use crate::clock::{ago, exactly};
use crate::size;
use crate::table::{self, plain, plain_lines};
use pyrepl3_engine::protocol::message::{Checkpoint, Difference, PackageDifference};
use pyrepl3_engine::{CheckpointDetails, Verification};

/// A checkpoint as people know it.
pub(crate) fn called(name: &Option<String>, id: &str) -> String {
    name.as_ref().map_or_else(|| id.to_owned(), |name| format!("{} ({id})", plain(name)))
}

/// The list of checkpoints.
pub(crate) fn list(known: &[Checkpoint]) -> Vec<String> {
    if known.is_empty() {
        return vec!["no checkpoints yet".to_owned()];
    }
    let mut rows = vec![["name", "id", "made", "Python", "variables", "lost", "size", "stored"].map(str::to_owned)];
    let mut damaged = Vec::new();
    for one in known {
        let id = one.checkpoint_id.clone();
        if let Some(why) = &one.damaged {
            damaged.push(plain(why));
            rows.push([
                String::new(),
                id,
                "damaged".to_owned(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
            ]);
            continue;
        }
        rows.push([
            plain(one.name.as_deref().unwrap_or("-")),
            id,
            ago(one.created_at),
            plain(&one.python),
            one.variables.to_string(),
            one.lost.to_string(),
            size::bytes(one.size_bytes),
            size::bytes(one.stored_bytes),
        ]);
    }
    let mut lines = table::lines(&rows, &[4, 5, 6, 7]);
    lines.extend(damaged);
    lines
}

/// All of one checkpoint.
pub(crate) fn details(one: &CheckpointDetails) -> Vec<String> {
    let line = &one.summary;
    let session = match &one.session_name {
        Some(name) => format!("{} ({})", plain(name), plain(&line.session_id)),
        None => plain(&line.session_id),
    };
    let by_itself = if one.automatic { ", by itself" } else { "" };
    let mut head = vec![
        ["name", &plain(line.name.as_deref().unwrap_or("-"))].map(str::to_owned),
        ["id", &line.checkpoint_id].map(str::to_owned),
        ["session", &session].map(str::to_owned),
        ["parent", line.parent.as_deref().unwrap_or("-")].map(str::to_owned),
        ["made", &format!("{}{by_itself}, after execution {}", exactly(line.created_at), one.execution_count)]
            .map(str::to_owned),
        ["Python", &plain(&line.python)].map(str::to_owned),
        ["size", &format!("{}; {} were newly stored", size::bytes(line.size_bytes), size::bytes(line.stored_bytes))]
            .map(str::to_owned),
    ];
    if let Some(origin) = &one.origin {
        head.push(["imported", origin].map(str::to_owned));
    }
    if !one.packages.is_empty() {
        let packages = one.packages.iter().map(|(name, version)| match version {
            Some(version) => format!("{} {}", plain(name), plain(version)),
            None => plain(name),
        });
        head.push(["packages".to_owned(), packages.collect::<Vec<_>>().join(", ")]);
    }
    let mut lines = table::lines(&head, &[]);
    let rows = one
        .contents
        .iter()
        .map(|one| [plain(&one.name), plain(&one.tier), size::bytes(one.size), plain(&one.type_name)]);
    section(&mut lines, "Variables", &with_head(["name", "kept as", "size", "type"], rows), &[2]);
    let rows = one.not_kept.iter().map(|one| [plain(&one.name), plain(&one.reason)]);
    section(&mut lines, "Lost", &with_head(["name", "why"], rows), &[]);
    let imports = one.imports.iter().map(|one| {
        let of = plain(&one.module);
        [plain(&one.name), one.attribute.as_ref().map_or_else(|| of.clone(), |name| format!("{of}.{}", plain(name)))]
    });
    section(&mut lines, "Imports", &with_head(["name", "is"], imports), &[]);
    if !one.definitions.is_empty() {
        lines.extend([String::new(), "Functions and classes".to_owned()]);
        for definition in &one.definitions {
            match &definition.source {
                Some(source) => lines.extend(
                    plain_lines(source.trim_end()).into_iter().map(|line| format!("  {line}").trim_end().to_owned()),
                ),
                None => lines.push(format!(
                    "  {} {}: its source is not known",
                    plain(&definition.kind),
                    plain(&definition.name)
                )),
            }
            lines.push(String::new());
        }
        lines.pop();
    }
    lines
}

fn with_head<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> Vec<[String; N]> {
    std::iter::once(head.map(str::to_owned)).chain(rows).collect()
}

fn section<const N: usize>(lines: &mut Vec<String>, title: &str, rows: &[[String; N]], right: &[usize]) {
    if rows.len() > 1 {
        lines.extend([String::new(), title.to_owned()]);
        lines.extend(table::lines(rows, right).into_iter().map(|line| format!("  {line}")));
    }
}

/// What differs, name by name.
pub(crate) fn differences(found: &[Difference]) -> Vec<String> {
    if found.is_empty() {
        return vec!["no name differs".to_owned()];
    }
    let bytes = |size: Option<u64>| size.map_or_else(|| "-".to_owned(), size::bytes);
    let rows = found.iter().map(|one| {
        [one.change.clone(), plain(&one.name), bytes(one.size_before), bytes(one.size_after), plain(&one.type_name)]
    });
    table::lines(&with_head(["", "name", "before", "after", "type"], rows), &[2, 3])
}

/// A package that is not what it was.
pub(crate) fn package_difference(package: &PackageDifference) -> String {
    let saved = package.saved.as_deref().map_or_else(String::new, |version| format!(" {}", plain(version)));
    let name = plain(&package.name);
    match &package.found {
        Some(found) => format!("the checkpoint was made with {name}{saved}, and {} is installed here", plain(found)),
        None => format!("the checkpoint was made with {name}{saved}, which is not installed here"),
    }
}

/// What a check of all bytes found.
pub(super) fn verification(report: &Verification) -> Vec<String> {
    let called = called(&report.name, &report.checkpoint_id);
    if report.whole {
        return vec![format!("{called}: whole, {} names", report.good.len())];
    }
    let mut lines = vec![format!("{called}: DAMAGED")];
    lines.extend(report.why.iter().map(|why| format!("  {}", plain(why))));
    for (label, names) in [("cannot be restored", &report.damaged), ("still good", &report.good)] {
        if !names.is_empty() {
            let names: Vec<_> = names.iter().map(|name| plain(name)).collect();
            lines.push(format!("  {label}: {}", names.join(", ")));
        }
    }
    lines
}
