//! Values that are carried out of a failed execution into the state before it. The worker that fails writes them into a
//! file in memory, which nobody reads but the process that is woken.

use super::end_message::EndReport;
use super::request::ExecuteRequest;
use super::snapshots::{Reverted, bounded};
use super::tickets::PendingExecution;
use pyrepl3_protocol::message::TransactionPolicy;
use pyrepl3_protocol::{Code, Failure};
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, memfd_create};
use std::io;

/// Names in one request, and bytes of their values.
const NAMES: usize = 100;
const LARGEST: i64 = 8 << 30;

/// A file in memory: what is kept, and what the worker gets.
pub(super) fn file() -> io::Result<(OwnedFd, OwnedFd)> {
    let kept = memfd_create("pyrepl3-salvage", MemfdFlags::CLOEXEC)?;
    let theirs = rustix::io::fcntl_dupfd_cloexec(&kept, 3)?;
    Ok((kept, theirs))
}

/// Refuses names that nothing could be carried by. `policy`: the one that the execution runs under.
pub(super) fn check(request: &ExecuteRequest, policy: TransactionPolicy) -> Result<(), Failure> {
    let refuse = |why: String, how: &str| {
        Err(Failure::new(Code::BadRequest, "these names cannot be salvaged", why, how.to_owned()))
    };
    if request.salvage.is_empty() {
        return Ok(());
    }
    if request.salvage.len() > NAMES {
        return refuse(format!("there are more than {NAMES}"), "name fewer, or put values into one dict");
    }
    let is_name = |name: &String| {
        name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_numeric())
    };
    if let Some(name) = request.salvage.iter().find(|name| name.is_empty() || !is_name(name)) {
        return refuse(format!("{name:?} is no name of a variable"), "give the names of global variables");
    }
    match policy {
        TransactionPolicy::CommitAlways | TransactionPolicy::Explicit => refuse(
            "nothing is undone when the execution fails, so that they stay anyway".into(),
            "use the policy commit_on_success or rollback_on_failure, or leave salvage out",
        ),
        TransactionPolicy::CommitOnSuccess | TransactionPolicy::RollbackOnFailure => Ok(()),
    }
}

/// The file of an execution that is being undone, where its worker has lived to write it.
pub(super) fn take(execution: &mut PendingExecution) -> Option<OwnedFd> {
    if !matches!(execution.report, EndReport::Raised(_)) {
        return None;
    }
    let written =
        |file: &OwnedFd| rustix::fs::fstat(file).is_ok_and(|about| about.st_size > 0 && about.st_size <= LARGEST);
    execution.salvage.take().filter(written)
}

/// Says in the report what was carried over and what was not.
pub(super) fn tell(execution: &PendingExecution, reverted: &mut Reverted) {
    let wanted = &execution.request.salvage;
    if wanted.is_empty() {
        return;
    }
    let recovered = reverted.salvaged.take();
    let came = |name: &String| {
        recovered.as_ref().is_some_and(|recovered| recovered.restored.iter().any(|one| one.name == *name))
    };
    let (carried, gone): (Vec<String>, Vec<String>) = wanted.iter().cloned().partition(came);
    if !carried.is_empty() {
        reverted.report.push_str(&format!(" Carried over: {}.", carried.join(", ")));
    }
    for name in gone {
        let said = recovered.as_ref().and_then(|recovered| recovered.lost.iter().find(|one| one.name == name));
        let why = match (said, &recovered, &execution.report) {
            (Some(lost), ..) => bounded(&lost.reason),
            (None, Some(_), _) => "the failed state has no such variable".to_owned(),
            (None, None, EndReport::Raised(raised)) => {
                raised.unsalvaged.as_deref().map_or_else(|| "it could not be written down".to_owned(), bounded)
            }
            (None, None, _) => "the process ended before it could be written down".to_owned(),
        };
        reverted.report.push_str(&format!(" Could not be carried over: {name} ({why})."));
    }
    reverted.salvaged_names = carried;
}
