//! MIME bundles: their text, and their images as files.

use base64::Engine as _;
use pyrepl3_engine::protocol::message::Bundle;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

/// The text of a representation; None where it is absent or no text.
pub(crate) fn text(bundle: &Bundle, mime: &str) -> Option<String> {
    serde_json::from_str(bundle.get(mime)?.get()).ok()
}

/// An image of a bundle.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// How its file's name ends.
    pub(crate) extension: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// Every image that a bundle holds in a form that files have.
pub(crate) fn images(bundle: &Bundle) -> Vec<Image> {
    let mut found = Vec::new();
    for (mime, extension) in [("image/png", "png"), ("image/jpeg", "jpg"), ("image/svg+xml", "svg")] {
        let Some(text) = text(bundle, mime) else { continue };
        let bytes = if extension == "svg" { Some(text.into_bytes()) } else { decode(&text) };
        found.extend(bytes.map(|bytes| Image { extension, bytes }));
    }
    found
}

/// Base64 as programs write it: with line breaks, padded or not.
fn decode(text: &str) -> Option<Vec<u8>> {
    let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    base64::engine::general_purpose::STANDARD.decode(compact).ok()
}

/// A folder in which images get numbered names: `PREFIX-1.png`, `PREFIX-2.svg`.
#[derive(Debug)]
pub(crate) struct Album {
    folder: PathBuf,
    last: u32,
    replace: bool,
}

impl Album {
    /// Numbers begin at 1 in every album, and what was saved under them before is replaced: a script that runs again
    /// makes the same files again.
    pub(crate) fn replacing(folder: PathBuf) -> Self {
        Album { folder, last: 0, replace: true }
    }

    /// Replaces nothing: a number that is taken is passed over.
    pub(crate) fn keeping(folder: PathBuf) -> Self {
        Album { folder, last: 0, replace: false }
    }

    /// Saves the images of one bundle under one number.
    pub(crate) fn save(&mut self, prefix: &str, images: &[Image]) -> io::Result<Vec<PathBuf>> {
        let mut saved = Vec::new();
        if images.is_empty() {
            return Ok(saved);
        }
        std::fs::create_dir_all(&self.folder)?;
        if !self.replace {
            self.last = 0;
        }
        'number: loop {
            self.last += 1;
            for image in images {
                let path = self.folder.join(format!("{prefix}-{}.{}", self.last, image.extension));
                let mut options = OpenOptions::new();
                options.write(true);
                if self.replace {
                    options.create(true).truncate(true)
                } else {
                    options.create_new(true)
                };
                match options.open(&path) {
                    Ok(mut file) => {
                        file.write_all(&image.bytes)?;
                        saved.push(path);
                    }
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists && saved.is_empty() => continue 'number,
                    Err(error) => return Err(error),
                }
            }
            return Ok(saved);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(json: &str) -> Bundle {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn images_are_found_and_decoded() {
        let bundle =
            bundle(r#"{"text/plain": "x", "image/png": "aGk=\n", "image/svg+xml": "<svg/>", "image/jpeg": "?"}"#);
        assert_eq!(text(&bundle, "text/plain").as_deref(), Some("x"));
        assert_eq!(
            images(&bundle),
            [Image { extension: "png", bytes: b"hi".to_vec() }, Image { extension: "svg", bytes: b"<svg/>".to_vec() }]
        );
    }

    #[test]
    fn an_album_replaces_or_keeps_what_is_there() {
        let folder = std::env::temp_dir().join(format!("pyrepl3-album-{}", std::process::id()));
        let images = [Image { extension: "svg", bytes: b"a".to_vec() }];
        let first = Album::keeping(folder.clone()).save("figure", &images).unwrap();
        let second = Album::keeping(folder.clone()).save("figure", &images).unwrap();
        let again = Album::replacing(folder.clone()).save("figure", &images).unwrap();
        assert_eq!(first, [folder.join("figure-1.svg")]);
        assert_eq!(second, [folder.join("figure-2.svg")]);
        assert_eq!(again, first);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
