//! A lexer for Python that never fails: what it does not understand is plain text. It serves colours only.

use std::ops::Range;

/// What a piece of source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// White space, names without a meaning of their own, anything else.
    Plain,
    Keyword,
    /// `True`, `None`, `...`.
    Constant,
    /// Names that Python brings along.
    Builtin,
    /// The name after `def` or `class`.
    Definition,
    Decorator,
    Text,
    Number,
    Comment,
    Operator,
    /// Braces of a replacement field in an f-string.
    Field,
    /// A command of this terminal: `%who`.
    Command,
}

/// A piece of source.
pub(crate) type Token = (Kind, Range<usize>);

const KEYWORDS: &str = "\
    and as assert async await break class continue def del elif else except finally for from global if import in \
    is lambda nonlocal not or pass raise return try while with yield";
/// Keywords at the start of a statement only.
const SOFT_KEYWORDS: &str = "\
    match case type";
const CONSTANTS: &str = "\
    True False None Ellipsis NotImplemented __debug__";
const BUILTINS: &str = "\
    abs aiter all anext any ascii bin bool breakpoint bytearray bytes callable chr classmethod compile complex \
    delattr dict dir display divmod enumerate eval exec exit filter float format frozenset getattr globals \
    hasattr hash help hex id input int isinstance issubclass iter len list locals map max memoryview min next \
    object oct open ord pow print property quit range repr reversed round set setattr slice sorted staticmethod \
    str sum super tuple type vars zip ArithmeticError AssertionError AttributeError BaseException \
    BaseExceptionGroup BlockingIOError BrokenPipeError ConnectionError EOFError Exception ExceptionGroup \
    FileExistsError FileNotFoundError ImportError IndexError KeyError KeyboardInterrupt LookupError MemoryError \
    ModuleNotFoundError NameError NotImplementedError OSError OverflowError PermissionError RecursionError \
    RuntimeError StopAsyncIteration StopIteration SyntaxError SystemExit TimeoutError TypeError \
    UnicodeDecodeError UnicodeEncodeError UnicodeError ValueError Warning ZeroDivisionError";
/// Replacement fields within replacement fields: more than this many are plain text.
const DEPTH: usize = 4;

/// The tokens of a source: together they are the source, in order and without a gap.
pub(crate) fn lex(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { source, at: 0, tokens: Vec::new(), depth: 0 };
    lexer.run();
    lexer.tokens
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    tokens: Vec<Token>,
    depth: usize,
}

fn is_one_of(words: &str, word: &str) -> bool {
    words.split(' ').any(|one| one == word)
}

fn starts_name(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn continues_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Ends a token after `length` bytes. Neighbours of one kind become one token.
    fn push(&mut self, kind: Kind, length: usize) {
        if length == 0 {
            return;
        }
        let range = self.at..self.at + length;
        self.at = range.end;
        match self.tokens.last_mut() {
            Some((last, before)) if *last == kind && before.end == range.start => before.end = range.end,
            _ => self.tokens.push((kind, range)),
        }
    }

    fn run(&mut self) {
        let mut line_start = true;
        // What the last word was: `def` and `class` name what follows, a dot takes the meaning from a name.
        let mut before = "";
        while let Some(c) = self.peek() {
            let rest = self.rest();
            if c == '\n' {
                self.push(Kind::Plain, 1);
                (line_start, before) = (true, "");
            } else if c.is_whitespace() {
                self.push(Kind::Plain, c.len_utf8());
            } else if c == '#' {
                self.push(Kind::Comment, rest.find('\n').unwrap_or(rest.len()));
            } else if line_start && c == '@' {
                let name = rest[1..].find(|c: char| !(continues_name(c) || c == '.')).unwrap_or(rest.len() - 1);
                self.push(Kind::Decorator, 1 + name);
                line_start = false;
            } else if let Some(prefix) = string_prefix(rest) {
                self.string(prefix);
                (line_start, before) = (false, "");
            } else if starts_name(c) {
                let length = rest.find(|c: char| !continues_name(c)).unwrap_or(rest.len());
                let word = &rest[..length];
                let kind = self.word(word, before, line_start);
                self.push(kind, length);
                (line_start, before) = (false, word);
            } else if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
                self.push(Kind::Number, number(rest));
                (line_start, before) = (false, "");
            } else if rest.starts_with("...") {
                self.push(Kind::Constant, 3);
                (line_start, before) = (false, "");
            } else {
                let operator = c.is_ascii_punctuation();
                self.push(if operator { Kind::Operator } else { Kind::Plain }, c.len_utf8());
                (line_start, before) = (false, if c == '.' { "." } else { "" });
            }
        }
    }

    fn word(&self, word: &str, before: &str, line_start: bool) -> Kind {
        if before == "." {
            return Kind::Plain;
        }
        if is_one_of(KEYWORDS, word) {
            return Kind::Keyword;
        }
        if before == "def" || before == "class" {
            return Kind::Definition;
        }
        if line_start && is_one_of(SOFT_KEYWORDS, word) {
            let after = &self.rest()[word.len()..];
            let next = after.trim_start_matches(' ').chars().next();
            let statement = next.is_some_and(|c| starts_name(c) || c.is_ascii_digit() || "\"'([{-".contains(c));
            if after.starts_with(' ') && statement {
                return Kind::Keyword;
            }
        }
        if is_one_of(CONSTANTS, word) {
            Kind::Constant
        } else if is_one_of(BUILTINS, word) {
            Kind::Builtin
        } else {
            Kind::Plain
        }
    }

    /// A string whose prefix, up to the quotes, has this length.
    fn string(&mut self, prefix: usize) {
        let rest = self.rest();
        let letters = rest[..prefix].to_ascii_lowercase();
        let quote = &rest[prefix..=prefix];
        let triple = rest[prefix..].starts_with(&quote.repeat(3));
        let quotes = if triple { 3 } else { 1 };
        let body = prefix + quotes;
        let (length, closed) = string_end(&rest[body..], quote, triple);
        let end = body + length;
        let total = if closed { end + quotes } else { end };
        if letters.contains(['f', 't']) && self.depth < DEPTH {
            self.push(Kind::Text, body);
            self.fields(length);
            self.push(Kind::Text, total - end);
        } else {
            self.push(Kind::Text, total);
        }
    }

    /// The body of an f-string: text, and replacement fields that are Python again.
    fn fields(&mut self, length: usize) {
        let end = self.at + length;
        while self.at < end {
            let rest = &self.source[self.at..end];
            let Some(open) = rest.find('{') else { return self.push(Kind::Text, rest.len()) };
            if rest[open..].starts_with("{{") {
                self.push(Kind::Text, open + 2);
                continue;
            }
            self.push(Kind::Text, open);
            self.push(Kind::Field, 1);
            let inside = &self.source[self.at..end];
            let close = field_end(inside);
            let nested = Lexer { source: inside, at: 0, tokens: Vec::new(), depth: self.depth + 1 };
            for (kind, range) in nested.run_to(close) {
                self.push(kind, range.len());
            }
            if self.at < end {
                self.push(Kind::Field, 1);
            }
        }
    }

    /// The tokens of the first `length` bytes.
    fn run_to(self, length: usize) -> Vec<Token> {
        let mut lexer = Lexer { source: &self.source[..length], ..self };
        lexer.run();
        lexer.tokens
    }
}

/// The length of a string's prefix, if a string begins here.
fn string_prefix(rest: &str) -> Option<usize> {
    let letters = rest.bytes().take(3).take_while(u8::is_ascii_alphabetic).count();
    let known = matches!(
        rest[..letters].to_ascii_lowercase().as_str(),
        "" | "r" | "b" | "f" | "u" | "t" | "br" | "rb" | "fr" | "rf" | "tr" | "rt"
    );
    (known && rest[letters..].starts_with(['"', '\''])).then_some(letters)
}

/// Where the body of a string ends, and whether its quotes come there.
fn string_end(body: &str, quote: &str, triple: bool) -> (usize, bool) {
    let closing = if triple { quote.repeat(3) } else { quote.to_owned() };
    let mut characters = body.char_indices();
    while let Some((at, c)) = characters.next() {
        if c == '\\' {
            // A quote after it is text, in raw strings too.
            characters.next();
        } else if body[at..].starts_with(&closing) {
            return (at, true);
        } else if c == '\n' && !triple {
            return (at, false);
        }
    }
    (body.len(), false)
}

/// Where a replacement field ends: at its closing brace, or with the text.
fn field_end(inside: &str) -> usize {
    let mut open = 0_usize;
    for (at, c) in inside.char_indices() {
        match c {
            '{' | '[' | '(' => open += 1,
            '}' if open == 0 => return at,
            '}' | ']' | ')' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    inside.len()
}

/// The length of a number, with what may follow its digits.
fn number(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut length = 0;
    while let Some(&byte) = bytes.get(length) {
        let exponent_sign = matches!(byte, b'+' | b'-')
            && matches!(bytes[length - 1], b'e' | b'E')
            && !rest.starts_with("0x")
            && !rest.starts_with("0X");
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' || (length > 0 && exponent_sign) {
            length += 1;
        } else {
            break;
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds(source: &str) -> Vec<(Kind, &str)> {
        lex(source)
            .into_iter()
            .map(|(kind, range)| (kind, &source[range]))
            .filter(|(kind, text)| *kind != Kind::Plain || !text.trim().is_empty())
            .collect()
    }

    #[test]
    fn words_have_their_meaning_from_their_place() {
        use Kind::*;
        assert_eq!(
            kinds("def print(x): return x.print, None"),
            [
                (Keyword, "def"),
                (Definition, "print"),
                (Operator, "("),
                (Plain, "x"),
                (Operator, "):"),
                (Keyword, "return"),
                (Plain, " x"),
                (Operator, "."),
                (Plain, "print"),
                (Operator, ","),
                (Constant, "None"),
            ]
        );
        assert_eq!(kinds("match = 1")[0], (Plain, "match "));
        assert_eq!(kinds("match x:")[0], (Keyword, "match"));
        assert_eq!(kinds("type(x)")[0], (Builtin, "type"));
        assert_eq!(kinds("@app.route('/')\n")[0], (Decorator, "@app.route"));
        assert_eq!(kinds("a @ b")[1], (Operator, "@"));
    }

    #[test]
    fn strings_of_every_sort_are_text() {
        use Kind::*;
        for source in ["'a'", "\"a\\\"b\"", "rb'\\'", "b\"\"\"x\n'y'\"\"\"", "'''open\nended", "'open", "u'x'", "Rb'x'"]
        {
            assert_eq!(kinds(source), [(Text, source)], "{source}");
        }
        assert_eq!(kinds("'a\n1"), [(Text, "'a"), (Number, "1")]);
        assert_eq!(kinds("xb'a'"), [(Plain, "xb"), (Text, "'a'")]);
    }

    #[test]
    fn fields_of_f_strings_are_python() {
        use Kind::*;
        assert_eq!(
            kinds("f'a {len(x):>{w}} {{}}'"),
            [
                (Text, "f'a "),
                (Field, "{"),
                (Builtin, "len"),
                (Operator, "("),
                (Plain, "x"),
                (Operator, "):>{"),
                (Plain, "w"),
                (Operator, "}"),
                (Field, "}"),
                (Text, " {{}}'"),
            ]
        );
        assert_eq!(kinds("f'{"), [(Text, "f'"), (Field, "{")]);
    }

    #[test]
    fn numbers_and_comments() {
        use Kind::*;
        for source in ["1_000", "0xFF", "1.5e-3j", ".5", "0b1010", "1."] {
            assert_eq!(kinds(source), [(Number, source)], "{source}");
        }
        assert_eq!(kinds("0xe+1"), [(Number, "0xe"), (Operator, "+"), (Number, "1")]);
        assert_eq!(kinds("x # it's"), [(Plain, "x "), (Comment, "# it's")]);
        assert_eq!(kinds("..."), [(Constant, "...")]);
    }

    fn assert_whole(source: &str) {
        let mut at = 0;
        for (_, range) in lex(source) {
            assert_eq!(range.start, at);
            assert!(range.end > range.start);
            at = range.end;
        }
        assert_eq!(at, source.len());
    }

    proptest! {
        #[test]
        fn tokens_make_up_any_text(source in "\\PC{0,80}") {
            assert_whole(&source);
        }

        #[test]
        fn tokens_make_up_what_looks_like_python(
            pieces in proptest::collection::vec(
                prop_oneof![
                    Just("f'"), Just("\"\"\""), Just("'"), Just("{"), Just("}"), Just("{{"), Just("\\"), Just("\n"),
                    Just("def "), Just("é"), Just("1e"), Just("-"), Just("."), Just("rb'"), Just("#"), Just("@"), Just(" "),
                    Just("match "), Just("𝒳"), Just("F\"\"\""),
                ],
                0..40,
            )
        ) {
            assert_whole(&pieces.concat());
        }
    }
}
