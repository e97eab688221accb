//! Which executions a session has begun since it was last saved: for a session of the same name that is started after the supervisor has died, and is to be told
//! what its checkpoint does not have.
//!
//! ```text
//! <data>/journals/<key of the session's name>/<session id>.jsonl    {"execution":7}⏎ …
//! ```
//!
//! Each session writes a file of its own, so engines that share a data directory never write the same; all that sessions of one name left is found by the name, whoever
//! went on from whom. A session has its file locked while it lives: what such a session has is not missing. What is read stays until the restore has succeeded, so
//! a second death forgets nothing. Nothing is synced but what replaces something: a supervisor that dies leaves it in the system's hands, and a machine that does
//! loses what is worth less than the wait.

mod file;

use file::JournalFile;
pub(crate) use file::Unsaved;
#[cfg(feature = "fuzzing")]
pub(crate) use file::decode;
use pyrepl3_protocol::{Code, Failure};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Executions that a journal names at most, and that may wait to be written.
const MOST: usize = 10_000;

/// One session's journal. Its methods do not wait: a thread for blocking work writes, in the order of the calls. One that is dropped is closed.
///
/// Needs a tokio runtime around its methods.
#[derive(Debug)]
pub(crate) struct Journal(Arc<Shared>);

struct Shared {
    file: Mutex<JournalFile>,
    queue: Mutex<Queue>,
    /// Told why what was to be written is not, once until it works again. Called on a thread for blocking work.
    failed: Box<dyn Fn(&io::Error) + Send + Sync>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Shared").field("file", &self.file).field("queue", &self.queue).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Queue {
    /// A thread is at work, and will look again.
    is_writing: bool,
    /// What takes the place of everything before.
    replaced: Option<Vec<u64>>,
    begun: Vec<u64>,
    /// Who wants to know that all before is written.
    waiting: Vec<oneshot::Sender<Result<(), String>>>,
    /// More was to be written than may wait.
    is_over: bool,
    close: bool,
    has_failed: bool,
}

impl Journal {
    /// A session's journal below a data directory. The file is made with the first execution. `failed` is told what cannot be written.
    pub(crate) fn new(
        data: &Path,
        name: &str,
        session: &str,
        failed: impl Fn(&io::Error) + Send + Sync + 'static,
    ) -> Journal {
        let file = Mutex::new(JournalFile::new(data, name, session));
        Journal(Arc::new(Shared { file, queue: Mutex::default(), failed: Box::new(failed) }))
    }

    /// An execution begins.
    pub(crate) fn begun(&self, execution: u64) {
        self.add(|queue| {
            if queue.begun.len() < MOST {
                queue.begun.push(execution);
            } else {
                // The disk has answered nothing for as many executions.
                queue.is_over = true;
            }
        });
    }

    /// Everything so far is in a checkpoint but for these.
    pub(crate) fn saved(&self, but: Vec<u64>) {
        self.add(|queue| {
            queue.begun.clear();
            queue.replaced = Some(but);
        });
    }

    /// Whether all that it was told is in the file already.
    pub(crate) fn is_written(&self) -> bool {
        !self.0.queue().is_writing
    }

    /// Waits until what it was told before this call is in the file. To drop the future changes nothing.
    ///
    /// # Errors
    /// `internal`: something could not be written. `failed` was told, too.
    pub(crate) fn written(&self) -> impl Future<Output = Result<(), Failure>> + Send + 'static {
        let (done, written) = oneshot::channel();
        self.add(|queue| queue.waiting.push(done));
        async move {
            let why = match written.await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(why)) => why,
                Err(_) => "the runtime has ended".to_owned(),
            };
            let how = "what was begun is not told as missing if the engine dies before the session is saved";
            Err(Failure::new(Code::Internal, "an execution could not be noted", why, how))
        }
    }

    /// The session ends: it counts as one that lives no more when the future is done. Where all of it is saved, nothing is left to tell whoever starts it again.
    /// To drop the future changes nothing.
    pub(crate) fn close(self) -> impl Future<Output = ()> + Send + 'static {
        let (done, closed) = oneshot::channel();
        self.add(|queue| {
            queue.close = true;
            queue.waiting.push(done);
        });
        async move { _ = closed.await }
    }

    fn add(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.0.queue();
        change(&mut queue);
        if !std::mem::replace(&mut queue.is_writing, true) {
            let shared = self.0.clone();
            tokio::task::spawn_blocking(move || shared.write());
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Where the runtime has ended, the file is closed as it is.
        if tokio::runtime::Handle::try_current().is_ok() {
            self.add(|queue| queue.close = true);
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until nothing waits any more.
    fn write(&self) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let todo = {
                let mut queue = self.queue();
                let is_idle = queue.replaced.is_none() && queue.begun.is_empty() && !queue.is_over;
                if is_idle && queue.waiting.is_empty() && !queue.close {
                    queue.is_writing = false;
                    return;
                }
                let (is_writing, has_failed) = (true, queue.has_failed);
                std::mem::replace(&mut *queue, Queue { is_writing, has_failed, ..Queue::default() })
            };
            let has_work = todo.replaced.is_some() || !todo.begun.is_empty() || todo.is_over;
            let mut done = todo.replaced.map_or(Ok(()), |but| file.replace(&but));
            if done.is_ok() && !todo.begun.is_empty() {
                done = file.append(&todo.begun);
            }
            if done.is_ok() && todo.is_over {
                done = Err(io::Error::other("the disk is too slow: too many executions wait to be noted"));
            }
            if todo.close {
                file.close();
            }
            if let Err(error) = &done
                && !todo.has_failed
            {
                (self.failed)(error);
            }
            if has_work {
                self.queue().has_failed = done.is_err();
            } else if todo.has_failed {
                done = Err(io::Error::other("what was told before could not be written"));
            }
            for one in todo.waiting {
                // Whoever asked may not want to know any more.
                _ = one.send(done.as_ref().map(|&()| ()).map_err(ToString::to_string));
            }
        }
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
