//! Everything that was found out, as one value.

use super::interpreters::Interpreters;
use super::isolation::Isolation;
use super::limits::Limits;
use super::missing::Missing;
use super::trial::Trial;
use serde::Serialize;

/// Everything that was found out. Its JSON is what `--json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) pyrepl3: &'static str,
    /// Whether sessions can run.
    pub(crate) ok: bool,
    pub(crate) python: Interpreters,
    pub(crate) session: Trial,
    pub(crate) isolation: Isolation,
    pub(crate) limits: Limits,
    pub(crate) missing: Vec<Missing>,
}
