//! Sessions over the wire: begun, attached to, run, read, ended.

use super::flow::Flow;
use super::held::Holding;
use super::peer::Peer;
use pyrepl3_engine::protocol::message::{Execute, Message};
use pyrepl3_engine::{Code, Event, Execution, Failure, Session};
use pyrepl3_server::requests::{branched, ready, request_of};
use std::future::Future;
use std::sync::Arc;
use tokio::task::JoinSet;

impl Peer {
    pub(super) async fn execute(
        self: Arc<Self>,
        session: Result<Session, Failure>,
        message: Execute,
        tasks: &mut JoinSet<()>,
    ) {
        match session.and_then(|session| session.execute(request_of(&message)?)) {
            Ok(execution) => {
                let session_id = message.session_id.unwrap_or_default();
                let flow = self.held.new_flow(&session_id, Some(execution.id()));
                tasks.spawn(self.forward(execution, session_id, message.id, flow));
            }
            Err(failure) => self.refuse(Some(message.id), &failure).await,
        }
    }

    /// Sends the events of an execution, as fast as the client takes them.
    async fn forward(self: Arc<Self>, mut execution: Execution, session_id: String, request: String, flow: Arc<Flow>) {
        while let Some(event) = tokio::select! {
            event = execution.next() => event,
            () = flow.closed() => None,
        } {
            if !self.send_event(&event, &flow).await {
                break;
            }
        }
        if let Some(failure) = execution.refusal() {
            self.refuse(Some(request), failure).await;
        }
        self.held.forget_flow(&session_id, Some(execution.id()), &flow);
        flow.end();
    }

    /// Sends an event once the client has room for it. False when it wants no more of them.
    async fn send_event(&self, event: &Event, flow: &Flow) -> bool {
        // The end of an execution is told in any case; what it says is small.
        if !matches!(**event, Message::ResultMessage(_) | Message::ErrorMessage(_)) {
            flow.room().await;
        }
        if flow.is_closed() {
            return false;
        }
        flow.sent(self.send(event).await);
        true
    }

    /// Answered when the client was sent the end of what ran, so that it comes before what is sent next.
    pub(super) fn interrupt(
        self: Arc<Self>,
        session: Result<Session, Failure>,
        request: String,
        tasks: &mut JoinSet<()>,
    ) {
        let asked = session.map(|session| {
            // What runs is being stopped: what it has written comes without being waited for.
            self.held.open_flows(session.id());
            (session.id().to_owned(), session.status(), session.interrupt())
        });
        let peer = self.clone();
        self.answer_later(tasks, request, async move {
            let (session, status, interrupted) = asked?;
            let running = status.await?.running;
            interrupted.await?;
            peer.end_was_sent(&session, running.as_deref()).await;
            Ok(None)
        });
    }

    pub(super) fn cancel(
        self: Arc<Self>,
        session: Result<Session, Failure>,
        execution: String,
        request: String,
        tasks: &mut JoinSet<()>,
    ) {
        let asked = session.map(|session| {
            if let Some(flow) = self.held.known_flow(session.id(), Some(&execution)) {
                flow.open();
            }
            (session.id().to_owned(), session.cancel(&execution))
        });
        let peer = self.clone();
        self.answer_later(tasks, request, async move {
            let (session, cancelled) = asked?;
            cancelled.await?;
            peer.end_was_sent(&session, Some(&execution)).await;
            Ok(None)
        });
    }

    /// Waits until the client was sent the end of an execution.
    async fn end_was_sent(&self, session: &str, execution: Option<&str>) {
        if let Some(flow) = execution.and_then(|execution| self.held.known_flow(session, Some(execution))) {
            flow.ended().await;
        }
    }

    /// Sessions begin and end.
    pub(super) async fn take_life(self: Arc<Self>, message: Message, tasks: &mut JoinSet<()>) {
        match message {
            Message::Start(message) => {
                tasks.spawn(async move {
                    match self.engine.start(message.options).await {
                        Ok(session) => self.introduce(session.clone(), Holding::Own(session), message.id).await,
                        Err(failure) => self.refuse(Some(message.id), &failure).await,
                    }
                });
            }
            Message::Attach(message) => {
                let id = message.session_id.unwrap_or_default();
                if self.held.session(Some(&id)).is_ok() {
                    return self.refuse(Some(message.id), &has_it(&id)).await;
                }
                match self.engine.session(&id).filter(|session| session.options().detached) {
                    Some(session) => {
                        tasks.spawn(async move {
                            self.introduce(session.clone(), Holding::Own(session), message.id).await;
                        });
                    }
                    None => self.refuse(Some(message.id), &not_there(&id)).await,
                }
            }
            Message::Detach(message) => {
                let id = message.session_id.as_deref().unwrap_or_default();
                let detached = self.held.take_own(id).map(|_| self.held.close_flows(id));
                self.answer_later(tasks, message.id, async move { detached.map(|()| None) });
            }
            Message::Shutdown(message) => {
                // It is taken now: what is asked next finds it gone.
                let taken = message.session_id.as_deref().map(|id| self.held.take_own(id)).transpose();
                let peer = self.clone();
                self.answer_later(tasks, message.id, async move {
                    match taken? {
                        Some(session) => {
                            peer.held.open_flows(session.id());
                            session.shutdown().await;
                        }
                        None => peer.end().await,
                    }
                    Ok(None)
                });
            }
            _ => {}
        }
    }

    /// Ends what the client holds; what lives on without a client, it only lets go of.
    pub(super) async fn end(&self) {
        let (sessions, pools, leases) = self.held.take_all();
        let mut ending = JoinSet::new();
        for pool in pools {
            ending.spawn(async move { pool.shutdown().await });
        }
        for session in sessions {
            self.held.open_flows(session.id());
            if !session.options().detached {
                ending.spawn(async move { session.shutdown().await });
            }
        }
        while ending.join_next().await.is_some() {}
        drop(leases);
    }

    /// Tells the client of a session, and sends it what happens there outside executions, until it ends.
    pub(super) async fn introduce(self: Arc<Self>, session: Session, holding: Holding, reply_to: String) {
        let id = session.id().to_owned();
        self.held.put_session(&id, holding);
        self.send(&ready(Some(reply_to), Some(&session))).await;
        self.listen(session).await;
    }

    /// Waits for branches, tells the client of them, then sends it what happens in them.
    pub(super) async fn introduce_branches(
        self: Arc<Self>,
        made: impl Future<Output = Result<Vec<Session>, Failure>>,
        reply_to: String,
    ) {
        let sessions = match made.await {
            Ok(sessions) => sessions,
            Err(failure) => return self.refuse(Some(reply_to), &failure).await,
        };
        for session in &sessions {
            self.held.put_session(session.id(), Holding::Own(session.clone()));
        }
        self.send(&branched(reply_to, &sessions)).await;
        let mut listening = JoinSet::new();
        for session in sessions {
            listening.spawn(self.clone().listen(session));
        }
        while listening.join_next().await.is_some() {}
    }

    /// Sends what happens in a session outside executions, until it ends or is given back.
    pub(super) async fn listen(self: Arc<Self>, session: Session) {
        let id = session.id().to_owned();
        let mut events = session.events();
        let flow = self.held.new_flow(&id, None);
        // The session's life does not depend on who listens to it.
        drop(session);
        while let Some(event) = tokio::select! {
            event = events.next() => event,
            () = flow.closed() => None,
        } {
            if !self.send_event(&event, &flow).await {
                break;
            }
        }
        self.held.forget_flow(&id, None, &flow);
    }
}

fn has_it(id: &str) -> Failure {
    Failure::new(
        Code::BadRequest,
        format!("this connection has session {id} already"),
        "it was started or attached to before",
        "use it, or detach from it first",
    )
}

fn not_there(id: &str) -> Failure {
    Failure::new(
        Code::SessionClosed,
        format!("there is no session {id} to attach to"),
        "it has ended, it never was, or it ends with the client that started it",
        "start a session with `detached` to have one that lives on",
    )
}
