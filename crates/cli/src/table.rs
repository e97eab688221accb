//! Tables that people read, and text from elsewhere that must not steer their terminal.

/// Columns aligned, two spaces between them, the first row being the head. `right`: columns of numbers.
pub(crate) fn lines<const N: usize>(rows: &[[String; N]], right: &[usize]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let space = " ".repeat(widths[column] - cell.chars().count());
                if right.contains(&column) { space + cell } else { cell.clone() + &space }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

/// Text that a checkpoint brought, on one line: control characters become visible.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// The same for text of several lines.
pub(crate) fn plain_lines(text: &str) -> Vec<String> {
    text.lines().map(|line| plain(&line.replace('\t', "    "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["name", "size"], ["x", "4 B"], ["longer", "12 B"]].map(|row| row.map(str::to_owned));
        assert_eq!(lines(&rows, &[1]), ["name    size", "x        4 B", "longer  12 B"]);
    }

    #[test]
    fn escape_sequences_are_seen_and_not_obeyed() {
        assert_eq!(plain("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(plain_lines("def f():\n\treturn 1"), ["def f():", "    return 1"]);
    }
}
