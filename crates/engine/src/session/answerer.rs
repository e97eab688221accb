//! The engine's side of the processes that answer questions while code runs. Each is a fork of a frozen process, answers one
//! question, and ends; what the session's own code does on the way ends with it.

use super::life::Token;
use super::mailbox::{Query, unanswered};
use crate::process::{Process, connected_pair, receive_with_peer, send_with_fds};
use pyrepl3_protocol::frame::Decoder;
use pyrepl3_protocol::worker::{AnswererEvent, MAX_WORKER_FRAME};
use pyrepl3_protocol::{Code, Failure};
use rustix::fd::OwnedFd;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::io;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// How long an answer may take, from the fork on.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);
/// Questions of one session that are answered so at once; others wait their turn.
const MOST: usize = 4;
/// Bytes that are read at a time.
const PIECE: usize = 64 << 10;

/// The answers that are under way in a session. When they are dropped, nothing comes of them, and their processes end.
#[derive(Debug, Default)]
pub(crate) struct Answerers {
    at_work: HashMap<u64, AtWork>,
    next: u64,
}

#[derive(Debug, Default)]
struct AtWork {
    job: Option<AbortHandle>,
    pidfd: Option<OwnedFd>,
    /// Told that it can be asked.
    go_on: Option<oneshot::Sender<()>>,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if let Some(job) = &self.job {
            job.abort();
        }
    }
}

impl Answerers {
    /// A place for another one, by its number. None while there are as many as there may be.
    pub(crate) fn reserve(&mut self) -> Option<u64> {
        if self.at_work.len() >= MOST {
            return None;
        }
        self.next += 1;
        self.at_work.insert(self.next, AtWork::default());
        Some(self.next)
    }

    /// A job waits for its answer.
    pub(crate) fn begun(&mut self, number: u64, job: AbortHandle) {
        if let Some(one) = self.at_work.get_mut(&number) {
            one.job = Some(job);
        }
    }

    /// It has said who it is, and waits for its question.
    pub(crate) fn born(&mut self, number: u64, pidfd: OwnedFd, go_on: oneshot::Sender<()>) {
        if let Some(one) = self.at_work.get_mut(&number) {
            (one.pidfd, one.go_on) = (Some(pidfd), Some(go_on));
        }
    }

    /// Those that wait for their question can have it.
    pub(crate) fn go_on(&mut self) {
        for go_on in self.at_work.values_mut().filter_map(|one| one.go_on.take()) {
            // Where its time is up, nobody waits for that.
            _ = go_on.send(());
        }
    }

    pub(crate) fn ended(&mut self, number: u64) {
        self.at_work.remove(&number);
    }

    /// Their processes: a return leaves them alone, as what they show is not undone by it.
    pub(crate) fn pidfds(&self) -> impl Iterator<Item = OwnedFd> + '_ {
        self.at_work.values().filter_map(|one| one.pidfd.as_ref()?.try_clone().ok())
    }

    /// The session ends.
    pub(crate) fn give_up(&mut self) {
        self.at_work.clear();
    }
}

/// A channel to a process that is about to answer.
#[derive(Debug)]
pub(crate) struct Answerer {
    /// Who said the first word. It ends with this, and before its channel does: then it would leave what it has started.
    process: Option<Doomed>,
    stream: UnixStream,
    decoder: Decoder,
}

/// A process that ends when this is dropped, with what it has started.
#[derive(Debug)]
struct Doomed(Process);

impl Drop for Doomed {
    fn drop(&mut self) {
        self.0.kill_group();
    }
}

/// What came of it.
enum Outcome {
    Answered(Box<RawValue>),
    Refused(Failure),
    /// There is no process that could be asked.
    NotAsked,
}

impl Answerer {
    /// A channel, and the end to hand to the process.
    pub(crate) fn new() -> io::Result<(Answerer, OwnedFd)> {
        let (stream, theirs) = connected_pair()?;
        Ok((Answerer { process: None, stream, decoder: Decoder::new(MAX_WORKER_FRAME) }, theirs))
    }

    /// Has the question answered, from a state after the execution `as_of`. `born` is told the process, and says when that is
    /// known: no code of the session's runs before. The question comes back where it could not be asked.
    pub(crate) async fn answer(
        mut self,
        query: Query,
        as_of: u64,
        born: impl FnOnce(OwnedFd) -> oneshot::Receiver<()>,
    ) -> Option<Query> {
        let mut asked = false;
        let outcome = match tokio::time::timeout(LIMIT, self.ask(&query, born, &mut asked)).await {
            Ok(outcome) => outcome,
            Err(_) if !asked => Outcome::NotAsked,
            Err(_) => Outcome::Refused(unanswered(
                format!(
                    "no answer came within {} s: a property or a `repr` of the session's may take longer",
                    LIMIT.as_secs()
                ),
                "ask again when the code that runs has ended, or of less",
            )),
        };
        // It has nothing more to do, whatever it thinks.
        drop(self);
        match outcome {
            Outcome::Answered(data) => query.answer(data.get(), Some(as_of)),
            Outcome::Refused(failure) => query.refuse(failure),
            Outcome::NotAsked => return Some(query),
        }
        None
    }

    async fn ask(
        &mut self,
        query: &Query,
        born: impl FnOnce(OwnedFd) -> oneshot::Receiver<()>,
        asked: &mut bool,
    ) -> Outcome {
        let Ok(pidfd) = self.hello().await else { return Outcome::NotAsked };
        // The answer names no token.
        let Ok(question) = serde_json::to_vec(&query.request(Token::default())) else { return Outcome::NotAsked };
        if born(pidfd).await.is_err() {
            return Outcome::NotAsked;
        }
        *asked = true;
        let said = match send_with_fds(&self.stream, &question, &[]).await {
            Ok(()) => self.event().await,
            Err(error) => Err(error),
        };
        match said {
            Ok(AnswererEvent::Data(data)) => Outcome::Answered(data),
            Ok(AnswererEvent::Hello {}) => Outcome::Refused(senseless("it said hello twice")),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Outcome::Refused(senseless(&error.to_string())),
            Err(_) => Outcome::Refused(unanswered(
                "the process that was to answer it has ended: a property or a `repr` of the session's may have ended it",
                "ask again when the code that runs has ended",
            )),
        }
    }

    /// Waits until it has said that it is there.
    async fn hello(&mut self) -> io::Result<OwnedFd> {
        match (self.event().await?, &self.process) {
            (AnswererEvent::Hello {}, Some(process)) => process.0.pidfd(),
            _ => Err(io::Error::other("it began without a hello, or it cannot be told who it is")),
        }
    }

    /// What it says next.
    async fn event(&mut self) -> io::Result<AnswererEvent> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let mut piece = vec![0; PIECE];
        loop {
            if let Some(json) = self.decoder.next_frame().map_err(|error| invalid(error.to_string()))? {
                return serde_json::from_slice(json).map_err(|error| invalid(error.to_string()));
            }
            self.stream.readable().await?;
            match receive_with_peer(&self.stream, &mut piece, true) {
                None => {}
                Some(Ok((0, _))) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(Ok((count, peer))) => {
                    if let (None, Some(peer)) = (&self.process, peer) {
                        self.process = Some(Doomed(Process::open(peer)?));
                    }
                    self.decoder.feed(&piece[..count]);
                }
                Some(Err(error)) => return Err(error),
            }
        }
    }
}

fn senseless(why: &str) -> Failure {
    Failure::new(
        Code::ProtocolError,
        "the answer makes no sense",
        why,
        "code in the session may have tampered with the process that answers: ask again when the code that runs has ended",
    )
}
