//! The token that clients show. It is made at the first start and kept in the data directory, for its owner alone.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Bytes of chance in a token that is made here.
const RANDOM: usize = 32;
/// Characters of a token.
const SHORTEST: usize = 16;
const LONGEST: usize = 512;

/// A token. It is not shown by `Debug`.
#[derive(Clone)]
pub struct Token {
    text: String,
    /// What is compared. The comparison of hashes takes the same time whatever they are.
    hash: blake3::Hash,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    fn new(text: String) -> Token {
        Token { hash: blake3::hash(text.as_bytes()), text }
    }

    /// The token's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a client has shown this token. Takes the same time for every wrong one of a length.
    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        shown.len() <= LONGEST && blake3::hash(shown) == self.hash
    }

    /// Reads a token from a file of somebody else's; spaces and newlines around it do not count.
    ///
    /// # Errors
    /// The file system's; `InvalidData` for a text that is no token: 16 to 512 letters, digits, `-`, `.`, `_`, `~`, `+`, `/`
    /// or `=`.
    pub fn read(path: &Path) -> io::Result<Token> {
        let mut text = String::new();
        std::fs::File::open(path)?.take(LONGEST as u64 * 2).read_to_string(&mut text)?;
        let text = text.trim();
        let fits = |c: u8| c.is_ascii_alphanumeric() || b"-._~+/=".contains(&c);
        if !(SHORTEST..=LONGEST).contains(&text.len()) || !text.bytes().all(fits) {
            let why = format!("a token has {SHORTEST} to {LONGEST} letters, digits, and characters of -._~+/=");
            return Err(io::Error::new(ErrorKind::InvalidData, why));
        }
        Ok(Token::new(text.to_owned()))
    }

    /// The token of a data directory; made, where there is none.
    ///
    /// # Errors
    /// As [`Token::read`].
    pub fn of_data(data: &Path) -> io::Result<Token> {
        let path = data.join("token");
        match Token::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            read => return read,
        }
        let mut random = [0; RANDOM];
        let mut filled = 0;
        while filled < RANDOM {
            filled += rustix::rand::getrandom(&mut random[filled..], rustix::rand::GetRandomFlags::empty())?;
        }
        let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        // Written beside it and linked, so that nobody ever reads half a token, and two servers agree on one.
        let unfinished = data.join(format!("token.{}", std::process::id()));
        _ = std::fs::remove_file(&unfinished);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        let linked = std::fs::hard_link(&unfinished, &path);
        _ = std::fs::remove_file(&unfinished);
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Token::read(&path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let first = Token::of_data(folder.path()).unwrap();
        let again = Token::of_data(folder.path()).unwrap();
        assert_eq!(first.text(), again.text());
        assert_eq!(first.text().len(), 2 * RANDOM);
        let mode = std::fs::metadata(folder.path().join("token")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(first.is(again.text().as_bytes()) && !first.is(b"") && !first.is(b"guess"));
        assert!(!format!("{first:?}").contains(first.text()));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "short", "with a space in the middle", "é".repeat(20).as_str()] {
            let path = folder.path().join("token");
            std::fs::write(&path, text).unwrap();
            assert_eq!(Token::read(&path).unwrap_err().kind(), ErrorKind::InvalidData, "{text:?}");
        }
    }
}
