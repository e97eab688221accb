//! The line editor: a thread that waits for keys.
//!
//! ```text
//!   thread        the thread, and the handle to it     requests      what it is asked, what it answers
//!   line_editor   how lines are edited                 prompt        what stands before them
//!   completion    what the session knows               completion_menu, indent   keys
//!   password      answers that are not shown           typed_ahead   lines that were typed while code ran
//! ```

pub(crate) mod completion;
pub(crate) mod completion_menu;
pub(crate) mod indent;
pub(crate) mod line_editor;
pub(crate) mod password;
pub(crate) mod prompt;
pub(crate) mod requests;
pub(crate) mod thread;
pub(crate) mod typed_ahead;
pub(crate) mod waiting_keys;
