//! An execution that was taken and has not ended.

use super::keys::KeyId;
use crate::clock::Time;
use crate::session::answers::Reply;
use crate::session::end_message::EndReport;
use crate::session::request::{ExecuteRequest, Source};
use pyrepl3_protocol::{Failure, JsonText};
use rustix::fd::OwnedFd;
use std::collections::VecDeque;
use tokio::sync::oneshot;

#[derive(Debug)]
pub(crate) struct PendingExecution {
    pub(crate) id: String,
    pub(crate) request: ExecuteRequest,
    pub(crate) key: Option<KeyId>,
    /// Tells why it never ran, where that is found out only when its turn has come.
    pub(crate) refuse: Option<oneshot::Sender<Failure>>,
    pub(crate) answers: Option<VecDeque<JsonText>>,
    /// Its number, once it has begun.
    pub(crate) count: u64,
    pub(crate) started: Option<Time>,
    pub(crate) report: EndReport,
    /// Where values are written that are to be carried out of a failure.
    pub(crate) salvage: Option<OwnedFd>,
    /// Executions with its idempotency key that wait for its end.
    pub(crate) repeats: Vec<String>,
    /// Whoever waits for it to have stopped.
    pub(crate) stopped: Vec<Reply<()>>,
    /// Bytes that the client makes the session remember.
    pub(crate) weight: usize,
}

impl PendingExecution {
    pub(crate) fn new(id: String, mut request: ExecuteRequest, refuse: Option<oneshot::Sender<Failure>>) -> Self {
        let answers = request.inputs.take();
        let said = answers.iter().flatten().map(|answer| answer.literal().len()).sum::<usize>();
        PendingExecution {
            id,
            weight: request.source.bytes() + said,
            answers: answers.map(Into::into),
            key: request.idempotency_key.as_deref().map(KeyId::of),
            request,
            refuse,
            count: 0,
            started: None,
            report: EndReport::None,
            salvage: None,
            repeats: Vec::new(),
            stopped: Vec::new(),
        }
    }

    /// Its source, as far as keys are compared by it.
    pub(crate) fn code(request: &ExecuteRequest) -> &str {
        match &request.source {
            Source::Text(text) => text.literal(),
            // Keys are of clients, who send text.
            Source::Bytes(_) => "",
        }
    }
}
