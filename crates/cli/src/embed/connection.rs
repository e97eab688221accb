//! One connection: reads requests, and answers them in tasks, so that none holds up another. Executions are sent on in
//! the order in which they came.

use super::checkpoints::Cancellers;
use super::flow::Flow;
use super::held::{Held, Place};
use pyrepl3_engine::protocol::frame::{self, Decoder, MAX_FRAME};
use pyrepl3_engine::protocol::id::{self, Kind};
use pyrepl3_engine::protocol::message::{Execute, Failed, Message, Ready, Reply};
use pyrepl3_engine::protocol::{FrameError, PROTOCOL_VERSION};
use pyrepl3_engine::{Code, Engine, ExecuteRequest, Execution, Failure, Session, Source};
use serde_json::value::{RawValue, to_raw_value};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// What this engine can do.
const CAPABILITIES: &[&str] = &[
    "execute",
    "input",
    "interrupt",
    "cancel",
    "display",
    "introspection",
    "idempotency",
    "pool",
    "transactions",
    "snapshots",
    "undo",
    "branches",
    "checkpoints",
    "salvage",
];

pub(super) struct Connection {
    pub(super) engine: Engine,
    pub(super) held: Held,
    pub(super) cancellers: Cancellers,
    writer: Mutex<Pin<Box<dyn AsyncWrite + Send>>>,
}

pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

impl Connection {
    /// Serves until the client closes its end, then ends what it started.
    pub(super) async fn serve(
        engine: Engine,
        mut reader: impl AsyncRead + Unpin,
        writer: impl AsyncWrite + Send + 'static,
    ) {
        let connection = Arc::new(Connection {
            engine,
            held: Held::default(),
            cancellers: Cancellers::default(),
            writer: Mutex::new(Box::pin(writer)),
        });
        // When the engine ends while this is served, the sessions end with the tasks that hold them.
        connection.send(&Message::Ready(ready(None, None))).await;
        let mut tasks = JoinSet::new();
        let mut decoder = Decoder::new(MAX_FRAME);
        let mut buffer = vec![0; 64 << 10];
        'connection: loop {
            let count = match reader.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => count,
            };
            decoder.feed(&buffer[..count]);
            loop {
                let message = match decoder.next_frame() {
                    Ok(None) => break,
                    Ok(Some(json)) => Message::from_json(json).map_err(|error| (error, Message::peek_id(json))),
                    Err(error) => {
                        connection.refuse(None, &bad_frame(&error)).await;
                        break 'connection;
                    }
                };
                match message {
                    Ok(message) => connection.clone().take(message, &mut tasks).await,
                    Err((error, id)) => connection.refuse(id, &bad_frame(&error)).await,
                }
            }
            while tasks.try_join_next().is_some() {}
        }
        connection.end().await;
        tasks.shutdown().await;
    }

    async fn end(&self) {
        let (sessions, pools, leases) = self.held.take_all();
        let mut ending = JoinSet::new();
        for pool in pools {
            ending.spawn(async move { pool.shutdown().await });
        }
        for session in sessions {
            self.held.open_flows(session.id());
            ending.spawn(async move { session.shutdown().await });
        }
        while ending.join_next().await.is_some() {}
        drop(leases);
    }

    pub(super) async fn send(&self, message: &Message) -> u64 {
        let frame = message.to_json().and_then(|json| frame::encode(&json));
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                // Named instead of the message that could not be carried.
                let failure = Failure::new(Code::Internal, "a message could not be sent", error.to_string(), "");
                match failed(None, &failure).to_json().and_then(|json| frame::encode(&json)) {
                    Ok(frame) => frame,
                    Err(_) => return 0,
                }
            }
        };
        let mut writer = self.writer.lock().await;
        // A client that is gone is noticed where it is read from.
        if writer.write_all(&frame).await.is_ok() {
            _ = writer.flush().await;
        }
        frame.len() as u64
    }

    pub(super) async fn refuse(&self, reply_to: Option<String>, failure: &Failure) {
        self.send(&failed(reply_to, failure)).await;
    }

    async fn reply(&self, reply_to: String, data: Option<Box<RawValue>>) {
        let message = Reply {
            id: id::new(Kind::Message),
            timestamp: now(),
            session_id: None,
            execution_id: None,
            reply_to,
            data,
        };
        self.send(&Message::Reply(message)).await;
    }

    async fn answer(&self, reply_to: String, answer: Result<Option<Box<RawValue>>, Failure>) {
        match answer {
            Ok(data) => self.reply(reply_to, data).await,
            Err(failure) => self.refuse(Some(reply_to), &failure).await,
        }
    }

    /// Answers in a task of its own.
    pub(super) fn spawn<F>(
        self: Arc<Self>,
        tasks: &mut JoinSet<()>,
        id: String,
        work: impl FnOnce(Arc<Self>) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<Option<Box<RawValue>>, Failure>> + Send + 'static,
    {
        tasks.spawn(async move {
            let answer = work(self.clone()).await;
            self.answer(id, answer).await;
        });
    }

    async fn take(self: Arc<Self>, message: Message, tasks: &mut JoinSet<()>) {
        // Whatever needs a session finds it now, so that what comes later cannot take it away.
        let session = self.held.session(message.session_id());
        match message {
            Message::Execute(message) => match session.and_then(|session| begin(&session, &message)) {
                Ok(execution) => {
                    let session_id = message.session_id.unwrap_or_default();
                    let flow = self.held.flow(&session_id, Some(execution.id()));
                    tasks.spawn(self.forward(execution, session_id, message.id, flow));
                }
                Err(failure) => self.refuse(Some(message.id), &failure).await,
            },
            Message::Ack(message) => {
                let session = message.session_id.as_deref();
                let flow = session.and_then(|session| self.held.known_flow(session, message.execution_id.as_deref()));
                if let Some(flow) = flow {
                    flow.acknowledge(message.bytes);
                }
            }
            Message::InputResponse(message) => self.spawn(tasks, message.id, |_| async move {
                session?.input_response(&message.input_id, message.value).await.map(|()| None)
            }),
            Message::Interrupt(message) => self.spawn(tasks, message.id, |this| async move {
                let session = session?;
                let running = session.status().await?.running;
                this.held.open_flows(session.id());
                session.interrupt().await?;
                this.end_was_sent(session.id(), running.as_deref()).await;
                Ok(None)
            }),
            Message::Cancel(message) => self.spawn(tasks, message.id, |this| async move {
                let session = session?;
                let execution = message.execution_id.unwrap_or_default();
                if let Some(flow) = this.held.known_flow(session.id(), Some(&execution)) {
                    flow.open();
                }
                session.cancel(&execution).await?;
                this.end_was_sent(session.id(), Some(&execution)).await;
                Ok(None)
            }),
            Message::Variables(message) => {
                self.spawn(tasks, message.id, |_| async move { session?.variables().await.map(Some) });
            }
            Message::Complete(message) => self.spawn(tasks, message.id, move |_| async move {
                session?.complete(message.code, message.cursor).await.map(Some)
            }),
            Message::Inspect(message) => {
                self.spawn(tasks, message.id, |_| async move { session?.inspect(&message.name).await.map(Some) });
            }
            Message::IsComplete(message) => {
                self.spawn(tasks, message.id, |_| async move { session?.is_complete(message.code).await.map(Some) });
            }
            Message::Status(message) => {
                self.spawn(tasks, message.id, |_| async move { json(&session?.status().await?) });
            }
            Message::Start(_) | Message::Shutdown(_) => self.take_life(message, tasks),
            Message::PoolStart(_)
            | Message::PoolAcquire(_)
            | Message::PoolRelease(_)
            | Message::PoolStats(_)
            | Message::PoolShutdown(_) => self.take_pool(message, tasks),
            Message::Begin(_)
            | Message::Commit(_)
            | Message::Rollback(_)
            | Message::RollbackTo(_)
            | Message::Undo(_)
            | Message::Redo(_)
            | Message::Savepoint(_)
            | Message::TakeSnapshot(_)
            | Message::Snapshots(_)
            | Message::DropSnapshot(_)
            | Message::BranchRequest(_) => self.take_state(session, message, tasks),
            Message::CheckpointRequest(_)
            | Message::CancelCheckpoint(_)
            | Message::RestoreRequest(_)
            | Message::Checkpoints(_)
            | Message::DiffRequest(_)
            | Message::DeleteCheckpoint(_) => self.take_checkpoint(session, message, tasks),
            other => {
                let failure = Failure::new(
                    Code::BadRequest,
                    format!("a client does not send {:?}", other.type_name()),
                    "only the engine does",
                    "",
                );
                self.refuse(Some(other.id().to_owned()), &failure).await;
            }
        }
    }

    /// Waits until the client was sent the end of an execution, so that it comes before what is sent next.
    async fn end_was_sent(&self, session: &str, execution: Option<&str>) {
        if let Some(flow) = execution.and_then(|execution| self.held.known_flow(session, Some(execution))) {
            flow.ended().await;
        }
    }

    /// Sessions begin and end.
    fn take_life(self: Arc<Self>, message: Message, tasks: &mut JoinSet<()>) {
        match message {
            Message::Start(message) => {
                tasks.spawn(async move {
                    match self.engine.start(message.options).await {
                        Ok(session) => self.introduce(session.clone(), Place::Own(session), message.id).await,
                        Err(failure) => self.refuse(Some(message.id), &failure).await,
                    }
                });
            }
            Message::Shutdown(message) => self.spawn(tasks, message.id, |this| async move {
                match &message.session_id {
                    Some(id) => {
                        let session = this.held.take_own(id)?;
                        this.held.open_flows(id);
                        session.shutdown().await;
                    }
                    None => this.end().await,
                }
                Ok(None)
            }),
            _ => {}
        }
    }

    /// Pools.
    fn take_pool(self: Arc<Self>, message: Message, tasks: &mut JoinSet<()>) {
        match message {
            Message::PoolStart(message) => self.spawn(tasks, message.id, |this| async move {
                let pool = this.engine.pool(message.options).await?;
                let answer = json(&serde_json::json!({ "pool_id": pool.id() }));
                this.held.put_pool(pool);
                answer
            }),
            Message::PoolAcquire(message) => {
                // Here, not in the task: who asks first is served first.
                let asked = message.timeout.map(|seconds| time(seconds, "timeout")).transpose();
                let asked = asked.and_then(|timeout| Ok(self.held.pool(&message.pool_id)?.acquire(timeout)));
                tasks.spawn(async move {
                    let acquired = match asked {
                        Ok(acquiring) => acquiring.await,
                        Err(failure) => Err(failure),
                    };
                    match acquired {
                        Ok(lease) => {
                            let session = (*lease).clone();
                            let place = Place::Loan { lease, pool_id: message.pool_id };
                            self.introduce(session, place, message.id).await;
                        }
                        Err(failure) => self.refuse(Some(message.id), &failure).await,
                    }
                });
            }
            Message::PoolRelease(message) => self.spawn(tasks, message.id, |this| async move {
                let id = message.session_id.unwrap_or_default();
                let mut lease = this.held.take_loan(&id, &message.pool_id)?;
                let released = lease.release().await;
                if released.as_ref().is_err_and(|failure| failure.code == Code::Busy) {
                    this.held.put_session(&id, Place::Loan { lease, pool_id: message.pool_id });
                }
                released.map(|()| None)
            }),
            Message::PoolStats(message) => {
                self.spawn(tasks, message.id, |this| async move { json(&this.held.pool(&message.pool_id)?.stats()) });
            }
            Message::PoolShutdown(message) => self.spawn(tasks, message.id, |this| async move {
                this.held.take_pool(&message.pool_id)?.shutdown().await;
                Ok(None)
            }),
            _ => {}
        }
    }

    /// Tells the client of a session, and sends it what happens there outside executions, until it ends.
    async fn introduce(self: Arc<Self>, session: Session, place: Place, reply_to: String) {
        let id = session.id().to_owned();
        let loan = matches!(place, Place::Loan { .. });
        self.held.put_session(&id, place);
        self.send(&Message::Ready(ready(Some(reply_to), Some(&session)))).await;
        self.listen(session, loan).await;
    }

    /// Sends what happens in a session outside executions, until it ends. `loan`: or until it is given back.
    pub(super) async fn listen(self: Arc<Self>, session: Session, loan: bool) {
        let id = session.id().to_owned();
        let mut events = session.events();
        let flow = self.held.flow(&id, None);
        // The session's life does not depend on who listens to it.
        drop(session);
        while let Some(message) = events.next().await {
            flow.room().await;
            if loan && self.held.session(Some(&id)).is_err() {
                break;
            }
            flow.sent(self.send(&message).await);
        }
        self.held.forget_flow(&id, None);
    }

    /// Sends the messages of an execution, as fast as the client takes them.
    async fn forward(self: Arc<Self>, mut execution: Execution, session_id: String, request: String, flow: Arc<Flow>) {
        while let Some(message) = execution.next().await {
            // The end is told in any case; what it says is small.
            if !matches!(message, Message::ResultMessage(_) | Message::ErrorMessage(_)) {
                flow.room().await;
            }
            flow.sent(self.send(&message).await);
        }
        if let Some(failure) = execution.refusal() {
            self.refuse(Some(request), failure).await;
        }
        self.held.forget_flow(&session_id, Some(execution.id()));
        flow.end();
    }
}

/// Sends an execution on its way.
fn begin(session: &Session, message: &Execute) -> Result<Execution, Failure> {
    let mut request = ExecuteRequest::new(Source::Text(message.code.clone()));
    request.id = (!message.id.is_empty()).then(|| message.id.clone());
    request.policy = message.transaction_policy;
    request.transaction.clone_from(&message.transaction_id);
    request.timeout = message.timeout.map(|seconds| time(seconds, "timeout")).transpose()?;
    request.inputs.clone_from(&message.inputs);
    request.stop_on_error = message.stop_on_error;
    request.idempotency_key.clone_from(&message.idempotency_key);
    request.salvage.clone_from(&message.salvage);
    session.execute(request)
}

pub(super) fn time(seconds: f64, name: &str) -> Result<Duration, Failure> {
    if seconds.is_finite() && seconds >= 0.0 {
        return Ok(Duration::from_secs_f64(seconds.min(1e9)));
    }
    Err(Failure::new(
        Code::BadRequest,
        format!("{name} cannot be used"),
        format!("it is {seconds}"),
        "give seconds, 0 or more",
    ))
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<Option<Box<RawValue>>, Failure> {
    to_raw_value(value)
        .map(Some)
        .map_err(|error| Failure::new(Code::Internal, "an answer could not be written", error.to_string(), ""))
}

fn bad_frame(error: &FrameError) -> Failure {
    let code = if matches!(error, FrameError::UnknownType(_)) { Code::Unsupported } else { Code::BadRequest };
    Failure::new(code, "a message could not be understood", error.to_string(), "see docs/protocol.md")
}

fn failed(reply_to: Option<String>, failure: &Failure) -> Message {
    Message::Failed(Failed {
        id: id::new(Kind::Message),
        timestamp: now(),
        session_id: None,
        execution_id: None,
        reply_to,
        code: failure.code,
        what: failure.what.clone(),
        why: failure.why.clone(),
        how: failure.how.clone(),
    })
}

fn ready(reply_to: Option<String>, session: Option<&Session>) -> Ready {
    Ready {
        id: id::new(Kind::Message),
        timestamp: now(),
        session_id: session.map(|session| session.id().to_owned()),
        execution_id: None,
        reply_to,
        protocol_version: PROTOCOL_VERSION,
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        capabilities: CAPABILITIES.iter().map(|&name| name.to_owned()).collect(),
        python: session.and_then(Session::python),
    }
}
