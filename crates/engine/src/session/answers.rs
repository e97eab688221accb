//! What a session answers.

use super::failures::closed;
use pyrepl3_protocol::Failure;
use pyrepl3_protocol::message::PythonInfo;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Failure>>;

/// An answer about a session's state, and which state that is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answered<T> {
    /// The answer.
    pub data: T,
    /// Where it was given while code runs: the number of the last execution whose effects are in the state that it shows,
    /// 0 for none. That is the state before the code that runs. None: the answer has waited its turn, and shows the state then.
    pub as_of: Option<u64>,
}

impl<T> std::ops::Deref for Answered<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

/// A request that was made. Awaited, it gives the answer. Cancel-safe in that dropping it withdraws nothing.
#[derive(Debug)]
pub struct Submitted<T> {
    answer: Result<oneshot::Receiver<Result<T, Failure>>, Option<Failure>>,
    session: String,
}

impl<T> Future for Submitted<T> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.answer {
            Ok(answer) => match Pin::new(answer).poll(context) {
                Poll::Ready(answer) => answer.ok(),
                Poll::Pending => return Poll::Pending,
            },
            Err(failure) => failure.take().map(Err),
        };
        Poll::Ready(answer.unwrap_or_else(|| Err(closed(&self.session))))
    }
}

impl<T> Submitted<T> {
    /// `made`: where the answer comes, or why the request could not be made.
    pub(crate) fn new(session: &str, made: Result<oneshot::Receiver<Result<T, Failure>>, Failure>) -> Submitted<T> {
        Submitted { answer: made.map_err(Some), session: session.to_owned() }
    }
}

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StatusState {
    /// Its process is being made.
    Starting,
    /// Nothing runs.
    Idle,
    /// Something runs.
    Running,
    /// What runs is being stopped.
    Stopping,
    /// It has ended, or is about to.
    Closed,
}

/// A prompt that waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct PendingInput {
    /// What `input_response` names.
    pub id: String,
    /// The prompt.
    pub prompt: String,
    /// Whether the answer should not be shown.
    pub password: bool,
    /// The execution that was running when it was asked.
    pub execution_id: Option<String>,
}

/// The state of a session.
#[derive(Debug, Clone, serde::Serialize)]
#[non_exhaustive]
pub struct Status {
    /// Its id.
    pub session_id: String,
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// What it is doing.
    pub state: StatusState,
    /// The execution that runs.
    pub running: Option<String>,
    /// Executions that wait.
    pub queued: Vec<String>,
    /// The explicit transaction that is open.
    pub transaction: Option<String>,
    /// Frozen processes that the session keeps.
    pub snapshots: usize,
    /// Prompts that wait.
    pub inputs: Vec<PendingInput>,
    /// Executions so far.
    pub execution_count: u64,
    /// How many worker processes it has had: one more after each return to an earlier state, and after each loss of it.
    pub incarnation: u32,
    /// The worker's process id.
    pub pid: Option<i32>,
    /// Its interpreter.
    pub python: Option<PythonInfo>,
}
