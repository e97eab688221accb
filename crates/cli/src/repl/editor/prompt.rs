//! What stands before the text that is being edited.

use crate::repl::display::colour::Palette;
use nu_ansi_term::{Color, Style};
use reedline::{Prompt, PromptEditMode, PromptHistorySearch, PromptHistorySearchStatus};
use std::borrow::Cow;

/// A prompt whose parts are painted already.
#[derive(Debug, Clone)]
pub(crate) struct PaintedPrompt {
    left: String,
    more: String,
    right: String,
    palette: Palette,
}

/// As Python writes it, so that what is copied from the terminal reads like Python's own sessions.
pub(crate) const LINE: &str = ">>> ";
const MORE: &str = "... ";

impl PaintedPrompt {
    /// For a line of Python. `right` is an aside at the right margin.
    pub(crate) fn line(palette: Palette, right: &str) -> Self {
        PaintedPrompt {
            left: palette.paint(Color::Green.bold(), LINE),
            more: palette.paint(Color::Green.normal(), MORE),
            right: palette.aside(right),
            palette,
        }
    }

    /// The prompt and a text behind it, as they stand there once the text was entered.
    pub(crate) fn with(&self, text: &str) -> String {
        let text = self.palette.source(text);
        format!("{}{}", self.left, text.replace('\n', &format!("\n{}", self.more)))
    }

    /// For an answer that code asked for.
    pub(crate) fn input(palette: Palette, text: &str) -> Self {
        PaintedPrompt { left: text.to_owned(), more: String::new(), right: String::new(), palette }
    }
}

impl Prompt for PaintedPrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.left)
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.right)
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.more)
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        let found = match search.status {
            PromptHistorySearchStatus::Passing => "",
            PromptHistorySearchStatus::Failing => "nothing for ",
        };
        let text = format!("({found}history: {}) ", search.term);
        Cow::Owned(self.palette.paint(Style::new().dimmed(), &text))
    }

    fn get_prompt_color(&self) -> Color {
        Color::Default
    }

    fn get_prompt_multiline_color(&self) -> Color {
        Color::Default
    }

    fn get_indicator_color(&self) -> Color {
        Color::Default
    }

    fn get_prompt_right_color(&self) -> Color {
        Color::Default
    }
}
