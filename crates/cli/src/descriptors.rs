//! How many descriptors this program may have open.
//!
//! Each session takes some, and each snapshot too; the usual soft limit of 1,024 is soon used up. So it is raised to the
//! hard limit at the start. Sessions begin with what there was before: see `EngineConfig::open_files`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::OnceLock;

/// What the program was started with. A limit belongs to the whole process, and so does this.
static STARTED_WITH: OnceLock<Option<u64>> = OnceLock::new();

/// Raises the soft limit, before there are threads. Where that cannot be done, it stays as it is.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    STARTED_WITH.get_or_init(|| limit.current);
    if limit.current != limit.maximum {
        _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

/// The soft limit that the program was started with, for its sessions; None stands for no limit.
pub(crate) fn started_with() -> Option<u64> {
    *STARTED_WITH.get_or_init(|| getrlimit(Resource::Nofile).current)
}
