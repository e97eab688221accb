//! An execution on its way into a session: handed over by the call, known to be taken or refused a moment later.

use super::executions::{BodyHash, ExecutionRecord, Keyed};
use super::served::Served;
use pyrepl3_engine::protocol::id::{self, IdKind};
use pyrepl3_engine::{Code, ExecuteRequest, Execution, Failure, Status, Submitted};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// An execution that was handed over.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) record: Option<Arc<ExecutionRecord>>,
    execution: Execution,
    /// What is answered after it: by then it is known whether it was taken.
    status: Submitted<Status>,
}

/// What became of a request to run code.
#[derive(Debug)]
pub(crate) enum Submission {
    /// It was handed over.
    New(Box<Handed>),
    /// It was asked for before, with the same key.
    Replay(Arc<ExecutionRecord>),
}

/// Hands an execution over. Its order is that of the calls.
///
/// # Errors
/// As [`pyrepl3_engine::Session::execute`]; `idempotency_mismatch`.
pub(crate) fn submit(
    served: &Served,
    mut request: ExecuteRequest,
    key: Option<(&str, BodyHash)>,
) -> Result<Submission, Failure> {
    let id = request.id.get_or_insert_with(|| id::new(IdKind::Execution)).clone();
    request.idempotency_key = key.map(|(key, _)| key.to_owned()).or(request.idempotency_key);
    request.fingerprint = key.map(|(_, body)| body.to_hex().to_string());
    let (_, last) = served.session.event_numbers();
    let record = match served.executions.begin(&id, last, key) {
        Ok(record) => record,
        Err(Keyed::Known(record)) => return Ok(Submission::Replay(record)),
        Err(Keyed::Mismatch) => {
            return Err(Failure::new(
                Code::IdempotencyMismatch,
                "the idempotency key was used before, with another request",
                "a key stands for one request",
                "use another key for another request",
            ));
        }
    };
    served.touch();
    match served.session.execute(request) {
        Ok(execution) => {
            let status = served.session.status();
            Ok(Submission::New(Box::new(Handed { record, execution, status })))
        }
        Err(failure) => {
            if record.is_some() {
                served.executions.forget(&id);
            }
            Err(failure)
        }
    }
}

impl Handed {
    /// Waits until it is known whether the session has taken it, and that is kept. The execution is returned to be read, or to be followed
    /// with [`follow`].
    ///
    /// # Errors
    /// Why it was refused.
    pub(crate) async fn taken(
        self: Box<Self>,
        served: &Served,
    ) -> Result<(Option<Arc<ExecutionRecord>>, Execution), Failure> {
        let Handed { record, mut execution, status } = *self;
        let answered = status.await;
        let refused = match (execution.try_refusal(), answered) {
            (Some(failure), _) => Some(failure),
            (None, Err(failure)) if record.as_ref().is_none_or(|record| !record.is_over()) => Some(failure),
            (None, _) => None,
        };
        match refused {
            Some(failure) => {
                if let Some(record) = &record {
                    record.refuse(failure.clone());
                    served.executions.forget(&record.id);
                }
                Err(failure)
            }
            None => {
                if let Some(record) = &record {
                    record.taken().await;
                }
                Ok((record, execution))
            }
        }
    }
}

/// Takes note of a refusal that comes when its turn has come.
pub(crate) fn follow(record: Option<Arc<ExecutionRecord>>, execution: Execution) -> JoinHandle<Option<Failure>> {
    let refusal = execution.into_refusal();
    tokio::spawn(async move {
        let refused = refusal.await;
        if let (Some(record), Some(failure)) = (record, &refused) {
            record.refuse(failure.clone());
        }
        refused
    })
}
