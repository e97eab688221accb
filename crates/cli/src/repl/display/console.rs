//! Everything that is shown: what code prints, what this program says, pictures.

use super::colour::Palette;
use super::screen::Screen;
use crate::bundle::{self, Album};
use crate::size;
use pyrepl3_engine::Failure;
use pyrepl3_engine::protocol::message::{Bundle, DisplayMessage, OutputMessage};

/// The screen, and how things are painted on it.
#[derive(Debug)]
pub(crate) struct Console {
    pub(crate) screen: Screen,
    pub(crate) palette: Palette,
    /// Where pictures are kept; without it they are not.
    album: Option<Album>,
}

impl Console {
    pub(crate) fn new(screen: Screen, palette: Palette, album: Option<Album>) -> Self {
        Console { screen, palette, album }
    }

    /// A text that is painted already, on lines of its own.
    pub(crate) fn line(&mut self, text: &str) {
        self.screen.line(text);
    }

    /// A remark of this program, apart from what the code prints.
    pub(crate) fn aside(&mut self, text: &str) {
        self.screen.line(&self.palette.aside(text));
    }

    pub(crate) fn warning(&mut self, text: &str) {
        self.screen.line(&self.palette.warning(text));
    }

    pub(crate) fn error(&mut self, text: &str) {
        self.screen.line(&self.palette.error(text));
    }

    pub(crate) fn failure(&mut self, failure: &Failure) {
        self.error(&failure.to_string());
    }

    /// A table; its first line is the head.
    pub(crate) fn table(&mut self, lines: Vec<String>) {
        for (number, line) in lines.into_iter().enumerate() {
            if number == 0 { self.aside(&line) } else { self.line(&line) }
        }
    }

    /// What code printed.
    pub(crate) fn output(&mut self, output: &OutputMessage) {
        if output.dropped > 0 {
            self.aside(&format!("[{} of output were left out]", size::bytes(output.dropped)));
        }
        self.screen.write(&output.data);
    }

    pub(crate) fn display(&mut self, display: &DisplayMessage) {
        if !self.save_images(&display.data)
            && let Some(text) = bundle::text(&display.data, "text/plain")
        {
            self.line(&text);
        }
    }

    /// Saves the images of a bundle; whether there were any.
    pub(crate) fn save_images(&mut self, data: &Bundle) -> bool {
        let images = bundle::images(data);
        let Some(album) = self.album.as_mut().filter(|_| !images.is_empty()) else { return false };
        let now = chrono::Local::now().format("%Y-%m-%d-%H%M%S").to_string();
        match album.save(&now, &images) {
            Ok(paths) => {
                for path in paths {
                    self.aside(&format!("saved {}", path.display()));
                }
            }
            Err(error) => self.error(&format!("a figure could not be saved: {error}")),
        }
        true
    }
}
