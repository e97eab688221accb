//! What people see: the terminal below, and above a line that is being edited.
//!
//! ```text
//!   console   everything that is shown      screen        where it goes      print_queue   above the line
//!   render    values, errors, tables        colour, lexer paint              terminal      its settings
//! ```

pub(crate) mod colour;
pub(crate) mod console;
pub(crate) mod lexer;
pub(crate) mod print_queue;
pub(crate) mod render;
pub(crate) mod screen;
pub(crate) mod terminal;
