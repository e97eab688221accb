//! What people are shown of results, errors, displays, variables.

use super::colour::Palette;
use crate::size;
use pyrepl3_engine::protocol::message::{
    EndStatus, ErrorMessage, Inspection, ResultMessage, Snapshot, SnapshotKind, StopStep, VariableInfo,
};

/// The value of an execution; none where there is none.
pub(crate) fn result(palette: Palette, result: &ResultMessage) -> Option<String> {
    let repr = result.repr.as_deref()?;
    Some(palette.result(repr, result.value_type.as_deref()))
}

/// How an execution that did not complete ended.
pub(crate) fn error(palette: Palette, error: &ErrorMessage) -> String {
    let mut lines = Vec::new();
    let traceback = error.traceback.trim_end();
    match error.status {
        EndStatus::Crashed => {
            let how = error
                .exit
                .as_ref()
                .map_or_else(|| error.evalue.clone(), |exit| format!("the session's process {exit}"));
            lines.push(palette.error(&how));
        }
        EndStatus::Interrupted if error.stopped_by == Some(StopStep::Kill) => {
            lines.push(palette.error("interrupted: the code did not stop by itself, so its process was killed"));
        }
        EndStatus::Interrupted if error.ename == "KeyboardInterrupt" && error.frames.is_empty() => {
            lines.push(palette.error("KeyboardInterrupt"));
        }
        EndStatus::Cancelled => lines.push(palette.error(&error.evalue)),
        _ if error.shown => {}
        _ => lines.push(palette.traceback(traceback)),
    }
    if error.session_lost {
        lines.push(palette.warning("Its variables are lost; the session goes on with none."));
    }
    if let Some(report) = &error.report {
        lines.push(palette.aside(report));
    }
    lines.join("\n")
}

/// Time and memory of an execution.
pub(crate) fn cost(duration: f64, memory: i64) -> String {
    let sign = if memory < 0 { '-' } else { '+' };
    format!("took {}, memory {sign}{}", size::seconds(duration), size::bytes(memory.unsigned_abs()))
}
/// The table of variables.
pub(crate) fn variables(palette: Palette, variables: &[VariableInfo], columns: usize) -> String {
    if variables.is_empty() {
        return palette.aside("no variables yet");
    }
    let mut rows = vec![["name", "type", "size", "value"].map(str::to_owned)];
    for variable in variables {
        let shape = variable.shape.as_ref().filter(|shape| shape.len() > 1 || variable.type_name.contains('.'));
        let kind = match shape {
            Some(shape) => {
                format!("{} {}", variable.type_name, shape.iter().map(u64::to_string).collect::<Vec<_>>().join("×"))
            }
            None => variable.type_name.clone(),
        };
        let value = variable.repr.split('\n').map(str::trim).collect::<Vec<_>>().join(" ");
        rows.push([variable.name.clone(), kind, variable.size.map(size::bytes).unwrap_or_default(), value]);
    }
    let most = (columns / 4).max(12);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).min(most);
    let widths = [width(0), width(1), width(2)];
    let left = columns.saturating_sub(widths.iter().sum::<usize>() + 6).max(8);
    let mut lines = Vec::new();
    for (number, [name, kind, size, value]) in rows.iter().enumerate() {
        let [a, b, c] = widths;
        let (name, kind) = (cut(name, a), cut(kind, b));
        let head = format!("{name:a$}  {kind:b$}  {size:>c$}  ");
        let line = format!("{head}{}", cut(value, left));
        lines.push(if number == 0 { palette.aside(line.trim_end()) } else { line.trim_end().to_owned() });
    }
    lines.join("\n")
}

/// The snapshots: those that were asked for, and how far undo goes back. `title`: what an execution was.
pub(crate) fn snapshots(palette: Palette, known: &[Snapshot], title: impl Fn(u64) -> String) -> String {
    let mut rows = Vec::new();
    for one in known.iter().filter(|one| one.kind == SnapshotKind::Named) {
        let after = match one.execution_count {
            0 => "the beginning".to_owned(),
            count => title(count),
        };
        let name = one.name.clone().unwrap_or_else(|| one.snapshot_id.clone());
        let memory = one.memory.map(size::bytes).unwrap_or_default();
        rows.push([name, size::seconds(one.age), memory, after]);
    }
    let mut lines = Vec::new();
    if rows.is_empty() {
        lines.push(palette.aside("no snapshots yet; %snapshot NAME takes one"));
    } else {
        rows.insert(0, ["name", "age", "memory", "after"].map(str::to_owned));
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (a, b, c) = (width(0), width(1), width(2));
        for (number, [name, age, memory, after]) in rows.iter().enumerate() {
            let line = format!("{name:a$}  {age:>b$}  {memory:>c$}  {after}");
            lines.push(if number == 0 { palette.aside(&line) } else { line });
        }
    }
    let steps: Vec<_> = known.iter().filter(|one| one.kind == SnapshotKind::Undo).collect();
    if !steps.is_empty() {
        let memory = steps.iter().filter_map(|one| one.memory).sum();
        lines.push(palette.aside(&format!("{} steps can be undone; they hold {}", steps.len(), size::bytes(memory))));
    }
    lines.join("\n")
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
/// A name explained.
pub(crate) fn inspected(palette: Palette, item: &Inspection, with_source: bool) -> String {
    if !item.found {
        return palette.error(&format!("{} is not known here: {}", item.name, item.why.as_deref().unwrap_or_default()));
    }
    let mut lines = Vec::new();
    match &item.signature {
        Some(signature) => lines.push(palette.strong(&format!("{}{signature}", item.name))),
        None => lines.push(palette.strong(&item.name)),
    }
    let place = match (&item.file, item.line) {
        (Some(file), Some(line)) => format!(", {file}:{line}"),
        (Some(file), None) => format!(", {file}"),
        _ => String::new(),
    };
    lines.push(palette.aside(&format!("{}{place}", item.type_name.as_deref().unwrap_or_default())));
    if let (None, Some(repr)) = (&item.signature, &item.repr) {
        lines.push(repr.clone());
    }
    match &item.source {
        Some(source) if with_source => lines.push(palette.source(source.trim_end())),
        _ => {
            if with_source {
                lines.push(palette.aside("its source is not available"));
            }
            lines.extend(item.doc.as_ref().map(|doc| format!("\n{}", doc.trim())));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_has_a_sign() {
        assert_eq!(cost(0.5, -2048), "took 500.0 ms, memory -2.0 KiB");
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let json = r#"[{"name": "x", "type": "int", "repr": "1", "size": 28},
            {"name": "long", "type": "numpy.ndarray", "repr": "array([[1, 2],\n  [3, 4]])", "size": 4096, "shape": [2, 2]}]"#;
        let list: Vec<VariableInfo> = serde_json::from_str(json).unwrap();
        let table = variables(Palette::new(false), &list, 80);
        assert_eq!(
            table,
            "name  type                  size  value\n\
             x     int                   28 B  1\n\
             long  numpy.ndarray 2×2  4.0 KiB  array([[1, 2], [3, 4]])"
        );
        assert!(variables(Palette::new(false), &list, 40).lines().all(|line| line.chars().count() <= 40));
        assert_eq!(variables(Palette::new(false), &[], 60), "no variables yet");
    }
}
