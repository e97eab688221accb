//! What handles ask, and what the worker asks of them.

use super::{Actor, Command, PROMPT, PROMPTS, Pending, PendingExecution, Prompt, QUERY_LIMIT};
use crate::session::ends::Report;
use crate::session::handle::{ExecuteRequest, PendingInput, Source, closed};
use crate::session::keys::Outcome;
use crate::session::machine::{Event, Kind, Refusal, Task};
use crate::session::messages;
use crate::session::outbox::Outbox;
use pyrepl3_protocol::message::Message;
use pyrepl3_protocol::worker::{self, Request};
use pyrepl3_protocol::{Code, Failure};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

impl Actor {
    pub(super) async fn command(&mut self, command: Command) {
        match command {
            Command::Execute { request, chosen, outbox, refuse } => {
                let mut refuse = Some(refuse);
                if let Err(failure) = self.execute(request, chosen, &outbox, &mut refuse).await {
                    if let Some(refuse) = refuse {
                        _ = refuse.send(failure);
                    }
                    outbox.finish(None);
                }
            }
            Command::Query { query, reply } => {
                let token = self.token();
                let task = Task { timeout: Some(QUERY_LIMIT), ..Task::new(token, Kind::Query) };
                match self.machine.submit(task, Instant::now()) {
                    Ok(actions) => {
                        self.pending.insert(token, Pending::Query { query, reply });
                        self.perform(actions).await;
                    }
                    Err(refusal) => _ = reply.send(Err(self.refusal(refusal))),
                }
            }
            Command::Answer { input_id, value, reply } => {
                let Some(prompt) = self.prompts.remove(&input_id) else {
                    _ = reply.send(Err(Failure::new(
                        Code::UnknownInput,
                        format!("no prompt {input_id} waits for an answer"),
                        "it was answered already, its execution has ended, or it never was",
                        "answer the id of an input message, once",
                    )));
                    return;
                };
                self.tell(&Request::Answer { input: prompt.number, value: value.as_ref() });
                _ = reply.send(Ok(()));
            }
            Command::Interrupt { reply } => self.interrupt(reply).await,
            Command::Cancel { execution_id, reply } => self.cancel(&execution_id, reply).await,
            Command::Status { reply } => _ = reply.send(Ok(self.status())),
            Command::Operate { operation, reply } => self.operate(operation, reply).await,
            Command::Snapshots { reply } => _ = reply.send(Ok(self.list_snapshots().await)),
            Command::DropSnapshot { snapshot, reply } => self.drop_snapshot(&snapshot, reply).await,
            Command::MakeRoom => self.feed(Event::MakeRoom).await,
            Command::Close { exit, reply } => {
                self.leave = exit;
                self.closers.extend(reply);
                self.feed(Event::Close).await;
            }
        }
    }

    pub(super) fn token(&mut self) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        token
    }

    async fn execute(
        &mut self,
        request: ExecuteRequest,
        chosen: bool,
        outbox: &Arc<Outbox>,
        refuse: &mut Option<oneshot::Sender<Failure>>,
    ) -> Result<(), Failure> {
        let id = request.id.clone().unwrap_or_default();
        if chosen && !self.seen.insert(&id) {
            return Err(Failure::new(
                Code::DuplicateId,
                format!("the execution id {id} was used before"),
                "an execution runs once",
                "choose another id, or give an idempotency key to make a retry safe",
            ));
        }
        if let Some(key) = &request.idempotency_key {
            match self.keys.get(key, code_of(&request)) {
                Some(Err(())) => {
                    return Err(Failure::new(
                        Code::IdempotencyMismatch,
                        format!("the idempotency key {key} was used before, with other code"),
                        "",
                        "use one key for one piece of code",
                    ));
                }
                Some(Ok(Outcome::Ended(last))) => {
                    let last = self.addressed((**last).clone(), &id, true);
                    outbox.finish(Some(last));
                    return Ok(());
                }
                Some(Ok(Outcome::Running(token))) => {
                    if let Some(Pending::Execute(first)) = self.pending.get_mut(token) {
                        first.repeats.push((id, outbox.clone()));
                        return Ok(());
                    }
                }
                None => {}
            }
        }
        let token = self.next_token;
        let task = Task {
            timeout: request.timeout,
            stop_on_error: request.stop_on_error,
            policy: request.policy.or(self.place.shared.options.default_policy).unwrap_or_default(),
            transaction: request.transaction.as_deref().map(|id| self.transaction_number(id)),
            ..Task::new(token, Kind::Execute)
        };
        let actions = self.machine.submit(task, Instant::now()).map_err(|refusal| self.refusal(refusal))?;
        self.next_token += 1;
        if let Some(key) = &request.idempotency_key {
            self.keys.begin(key.clone(), code_of(&request), token);
        }
        let execution = PendingExecution {
            id,
            answers: request.inputs.clone().map(Into::into),
            request,
            outbox: outbox.clone(),
            refuse: refuse.take(),
            count: 0,
            started: None,
            report: Report::None,
            salvage: None,
            repeats: Vec::new(),
            stopped: Vec::new(),
        };
        self.pending.insert(token, Pending::Execute(Box::new(execution)));
        self.perform(actions).await;
        Ok(())
    }

    pub(super) fn refusal(&self, refusal: Refusal) -> Failure {
        match refusal {
            Refusal::Closed => self.fault.clone().unwrap_or_else(|| closed(&self.place.shared.id)),
            Refusal::Full => Failure::new(
                Code::TooMany,
                "too many requests wait in this session",
                "each waits for those before it",
                "wait for some to end, or raise the session's limit `queue`",
            ),
            Refusal::Lost => {
                let how = self.exit.as_ref().map(ToString::to_string).unwrap_or_default();
                let why = format!("its worker process {how} while nothing ran");
                match &self.came_back {
                    Some(back) => Failure::new(
                        Code::SessionLost,
                        "the session's last state was lost, and an earlier one is back",
                        format!("{why}. {back}"),
                        "do again what was undone, and send this once more",
                    ),
                    None => Failure::new(
                        Code::SessionLost,
                        "the session's state was lost",
                        why,
                        "the session goes on with a fresh namespace: build the state again, and send this once more",
                    ),
                }
            }
        }
    }

    async fn interrupt(&mut self, reply: oneshot::Sender<Result<(), Failure>>) {
        let current = self.machine.current();
        match current.and_then(|token| self.pending.get_mut(&token)) {
            Some(Pending::Execute(execution)) => execution.stopped.push(reply),
            _ => _ = reply.send(Ok(())),
        }
        self.feed(Event::Interrupt).await;
    }

    async fn cancel(&mut self, execution_id: &str, reply: oneshot::Sender<Result<(), Failure>>) {
        let found = self.pending.iter_mut().find_map(|(token, pending)| match pending {
            Pending::Execute(execution) if execution.id == execution_id => Some((*token, execution)),
            _ => None,
        });
        let Some((token, execution)) = found else {
            _ = reply.send(Err(Failure::new(
                Code::UnknownExecution,
                format!("there is no execution {execution_id} to cancel"),
                "it has ended, or it never was",
                "",
            )));
            return;
        };
        execution.stopped.push(reply);
        self.feed(Event::Cancel(token)).await;
    }

    /// User code asks for input.
    pub(super) async fn prompt(&mut self, asked: worker::Prompt) {
        let running = asked.id.is_some() && asked.id == self.machine.current();
        let mut prompt = asked.prompt;
        if let Some((cut, _)) = prompt.char_indices().nth(PROMPT) {
            prompt.truncate(cut);
            prompt.push_str("… [cut]");
        }
        let mut message = messages::input(prompt, asked.password);
        let mut answer = None;
        if running
            && let Some(Pending::Execute(execution)) =
                self.machine.current().and_then(|token| self.pending.get_mut(&token))
        {
            message.execution_id = Some(execution.id.clone());
            if let Some(answers) = &mut execution.answers {
                answer = Some(answers.pop_front());
            }
        }
        if let Some(value) = answer {
            message.answered = true;
            self.tell(&Request::Answer { input: asked.input, value: value.as_ref() });
        } else {
            if self.prompts.len() >= PROMPTS || self.prompts.values().any(|prompt| prompt.number == asked.input) {
                return self
                    .violation("the worker asked for input without end, or twice under one number".into())
                    .await;
            }
            let shown = PendingInput {
                id: message.id.clone(),
                prompt: message.prompt.clone(),
                password: message.password,
                execution_id: message.execution_id.clone(),
            };
            self.prompts.insert(message.id.clone(), Prompt { number: asked.input, shown });
        }
        self.deliver(Message::InputMessage(message));
    }

    pub(super) fn tell(&mut self, request: &Request<'_>) {
        if self.worker.send(request).is_err() {
            // Its end is about to be told by session init.
            self.worker.closed = true;
        }
    }
}

fn code_of(request: &ExecuteRequest) -> &str {
    match &request.source {
        Source::Text(text) => text.literal(),
        // Keys are of clients, who send text.
        Source::Bytes(_) => "",
    }
}
