//! Colours: of source, of results, of tracebacks. All of them can be switched off (`NO_COLOR`).

use super::lexer::{self, Kind};
use nu_ansi_term::{Color, Style};
use reedline::{Highlighter, StyledText};

/// Whether to paint, asked once at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Palette {
    on: bool,
}

/// Results beyond this many bytes stay as they are: nobody reads all of them.
const PAINTED: usize = 20_000;

impl Palette {
    #[cfg(test)]
    pub(crate) fn new(on: bool) -> Self {
        Palette { on }
    }

    /// As the environment and the terminal want it: see <https://no-color.org>.
    pub(crate) fn from_env() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Palette { on: set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb") }
    }

    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        if self.on && !text.is_empty() { style.paint(text).to_string() } else { text.to_owned() }
    }

    /// Asides of this program, apart from what the code prints.
    pub(crate) fn aside(self, text: &str) -> String {
        self.paint(Style::new().dimmed(), text)
    }

    pub(crate) fn warning(self, text: &str) -> String {
        self.paint(Color::Yellow.normal(), text)
    }

    pub(crate) fn error(self, text: &str) -> String {
        self.paint(Color::Red.normal(), text)
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.paint(Style::new().bold(), text)
    }

    /// Python source.
    pub(crate) fn source(self, text: &str) -> String {
        if !self.on {
            return text.to_owned();
        }
        lexer::lex(text).into_iter().map(|(kind, range)| self.paint(style(kind), &text[range])).collect()
    }

    /// The `repr` of a result. Only where it is written like Python are colours a help.
    pub(crate) fn result(self, repr: &str, value_type: Option<&str>) -> String {
        let literal = matches!(
            value_type,
            Some(
                "int"
                    | "float"
                    | "complex"
                    | "bool"
                    | "str"
                    | "bytes"
                    | "list"
                    | "tuple"
                    | "dict"
                    | "set"
                    | "frozenset"
            )
        );
        if !self.on || !literal || repr.len() > PAINTED {
            return repr.to_owned();
        }
        let paint = |(kind, range): lexer::Token| match kind {
            Kind::Text | Kind::Number | Kind::Constant => self.paint(style(kind), &repr[range]),
            _ => repr[range].to_owned(),
        };
        lexer::lex(repr).into_iter().map(paint).collect()
    }

    /// A traceback as Python prints it.
    pub(crate) fn traceback(self, text: &str) -> String {
        if !self.on {
            return text.to_owned();
        }
        text.split_inclusive('\n').map(|line| self.traceback_line(line)).collect()
    }

    fn traceback_line(self, line: &str) -> String {
        // Groups of exceptions draw a tree to the left.
        let body = line.trim_start_matches([' ', '|', '+', '-']);
        let (margin, body) = line.split_at(line.len() - body.len());
        let (body, end) = body.split_at(body.trim_end_matches('\n').len());
        let painted = if body.starts_with("File \"") {
            location(self, body)
        } else if !body.is_empty() && body.chars().all(|c| matches!(c, '^' | '~' | ' ')) {
            self.paint(Color::Red.normal(), body)
        } else if margin.len() >= 4 {
            self.source(body)
        } else if (margin.trim().is_empty() && margin.len() >= 2) || is_remark(body) {
            self.aside(body)
        } else {
            match body.split_once(": ") {
                Some((name, text)) if is_exception(name) => {
                    format!("{}: {text}", self.paint(Color::Red.bold(), name))
                }
                None if is_exception(body) => self.paint(Color::Red.bold(), body),
                _ => body.to_owned(),
            }
        };
        format!("{margin}{painted}{end}")
    }
}

/// `File "x.py", line 3, in f`; anything else stays as it is.
fn location(palette: Palette, body: &str) -> String {
    let parts = body.strip_prefix("File \"").and_then(|rest| rest.split_once("\", line "));
    let Some((file, rest)) = parts else { return body.to_owned() };
    let (line, function) = rest.split_once(", in ").map_or((rest, None), |(line, function)| (line, Some(function)));
    let mut text = format!(
        "File \"{}\", line {}",
        palette.paint(Color::Cyan.normal(), file),
        palette.paint(Color::Yellow.normal(), line)
    );
    if let Some(function) = function {
        text.push_str(&format!(", in {}", palette.paint(Color::Green.normal(), function)));
    }
    text
}

/// `Traceback (most recent call last):`, `During handling of the above exception, another exception occurred:`.
fn is_remark(body: &str) -> bool {
    body.ends_with(':') && (body.starts_with("Traceback (") || body.contains("exception"))
}

fn is_exception(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.') && !name.starts_with('.')
}

fn style(kind: Kind) -> Style {
    match kind {
        Kind::Plain | Kind::Operator => Style::new(),
        Kind::Keyword => Color::Purple.normal(),
        Kind::Constant => Color::Yellow.normal(),
        Kind::Builtin => Color::Cyan.normal(),
        Kind::Definition => Color::Blue.bold(),
        Kind::Decorator | Kind::Field => Color::Blue.normal(),
        Kind::Text => Color::Green.normal(),
        Kind::Number => Color::Yellow.normal(),
        Kind::Comment => Style::new().dimmed(),
        Kind::Command => Color::Blue.bold(),
    }
}

/// Paints the line that is being edited.
#[derive(Debug)]
pub(crate) struct Source;

impl Highlighter for Source {
    fn highlight(&self, line: &str, _cursor: usize) -> StyledText {
        let mut text = StyledText::new();
        let command = crate::repl::command::name_length(line);
        if command > 0 {
            text.push((style(Kind::Command), line[..command].to_owned()));
        }
        for (kind, range) in lexer::lex(&line[command..]) {
            text.push((style(kind), line[command..][range].to_owned()));
        }
        text
    }
}

/// Paints nothing: an answer to a prompt is no Python.
#[derive(Debug)]
pub(crate) struct Plain;

impl Highlighter for Plain {
    fn highlight(&self, line: &str, _cursor: usize) -> StyledText {
        let mut text = StyledText::new();
        text.push((Style::new(), line.to_owned()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn strip(text: &str) -> String {
        let mut plain = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("\u{1b}[") {
            plain.push_str(&rest[..start]);
            rest = &rest[start..];
            rest = &rest[rest.find('m').map_or(rest.len(), |end| end + 1)..];
        }
        plain + rest
    }

    const TRACE: &str = "Traceback (most recent call last):\n  File \"<execution 1>\", line 1, in <module>\n    1/0\n    ~^~\nZeroDivisionError: division by zero\n";

    #[test]
    fn colours_change_no_text() {
        let palette = Palette::new(true);
        let painted = palette.traceback(TRACE);
        assert_ne!(painted, TRACE);
        assert_eq!(strip(&painted), TRACE);
        assert_eq!(Palette::new(false).traceback(TRACE), TRACE);
        assert_eq!(palette.result("<a 'b'>", Some("A")), "<a 'b'>");
        assert_eq!(strip(&palette.result("[1, 'a']", Some("list"))), "[1, 'a']");
    }

    fn highlighted(line: &str) -> String {
        Source.highlight(line, 0).buffer.into_iter().map(|(_, text)| text).collect()
    }

    proptest! {
        #[test]
        fn a_highlighted_line_is_the_line(line in "%?\\PC{0,60}") {
            prop_assert_eq!(highlighted(&line), line);
        }

        #[test]
        fn a_painted_traceback_is_the_traceback(text in "([ |+-]{0,5}(File \"\\PC{0,9}\", line 3|\\^+|[A-Z][a-z]+: |\\PC{0,9}:?)\n?){0,8}") {
            prop_assert_eq!(strip(&Palette::new(true).traceback(&text)), strip(&text));
        }
    }
}
