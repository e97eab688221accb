//! A session, as clients see it.

use super::served::Served;
use super::spec::SessionSpec;
use pyrepl3_engine::protocol::message::PythonInfo;
use pyrepl3_engine::{Lineage, PendingInput, Status, StatusState};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SessionState {
    /// It is being made.
    Starting,
    /// Nothing runs.
    Idle,
    /// Something runs.
    Busy,
    /// A prompt waits for an answer.
    Waiting,
    /// It is on disk only. No session of this version is.
    Hibernated,
    /// It has ended.
    Ended,
}

impl SessionState {
    /// Its word.
    pub(crate) fn parse(word: &str) -> Option<SessionState> {
        Some(match word {
            "starting" => SessionState::Starting,
            "idle" => SessionState::Idle,
            "busy" => SessionState::Busy,
            "waiting" => SessionState::Waiting,
            "hibernated" => SessionState::Hibernated,
            "ended" => SessionState::Ended,
            _ => return None,
        })
    }

    fn of(status: &Status) -> SessionState {
        match status.state {
            StatusState::Closed => SessionState::Ended,
            _ if !status.inputs.is_empty() => SessionState::Waiting,
            StatusState::Starting => SessionState::Starting,
            StatusState::Idle => SessionState::Idle,
            _ => SessionState::Busy,
        }
    }
}

/// A prompt that waits for an answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct InputView {
    /// What `input_id` names.
    id: String,
    /// The prompt.
    prompt: String,
    /// Whether the answer should not be shown.
    password: bool,
    /// The execution that asks; null for what user code left running.
    execution_id: Option<String>,
}

impl From<&PendingInput> for InputView {
    fn from(input: &PendingInput) -> InputView {
        InputView {
            id: input.id.clone(),
            prompt: input.prompt.clone(),
            password: input.password,
            execution_id: input.execution_id.clone(),
        }
    }
}

/// What a session uses.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub(crate) struct Use {
    /// Executions so far.
    executions: u64,
    /// Executions that wait.
    queued: usize,
    /// Frozen processes that it keeps.
    snapshots: usize,
    /// Worker processes that it has had.
    incarnations: u32,
}

/// Where a branch comes from.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct LineageView {
    /// The session that it was branched from.
    pub(crate) parent: String,
    /// Executions of the parent until then.
    pub(crate) branched_at: u64,
}

impl From<&Lineage> for LineageView {
    fn from(lineage: &Lineage) -> LineageView {
        LineageView { parent: lineage.parent.clone(), branched_at: lineage.branched_at }
    }
}

/// A session.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SessionView {
    /// Its id.
    pub(crate) id: String,
    /// What it is doing; `waiting` wins over `busy`.
    pub(crate) state: SessionState,
    /// The oldest prompt that waits for an answer.
    input: Option<InputView>,
    /// The number of its earliest event that is kept; of the next one where none is.
    earliest: u64,
    /// The number of its last event; 0 where there is none.
    last: u64,
    /// The number of the last event of those of the same id that were there before it; 0 where there was none.
    begins_after: u64,
    /// The execution that runs.
    running: Option<String>,
    /// The explicit transaction that is open.
    transaction: Option<String>,
    /// What isolates it.
    isolation: String,
    /// Its limits.
    #[schema(value_type = Object)]
    limits: serde_json::Value,
    /// What it uses.
    #[serde(rename = "use")]
    usage: Use,
    /// Its interpreter.
    #[schema(value_type = Option<Object>)]
    python: Option<PythonInfo>,
    /// Its labels.
    labels: BTreeMap<String, String>,
    /// When it was made: Unix time in seconds.
    created_at: f64,
    /// Where it was branched off, if it is a branch.
    lineage: Option<LineageView>,
    /// What it was made with, as it was asked for. Values of environment variables are not shown.
    options: SessionSpec,
}

impl Served {
    /// The session as it is now. It answers whatever runs.
    pub(crate) async fn view(&self) -> SessionView {
        let status = self.session.status().await.ok();
        let (earliest, last) = self.session.event_numbers();
        let spec = &self.record.spec;
        let state = status.as_ref().map_or(SessionState::Ended, SessionState::of);
        let options = self.session.options();
        let mut shown = spec.clone();
        // Secrets are often handed over so.
        for value in shown.env.iter_mut().flat_map(|env| env.values_mut()).flatten() {
            "…".clone_into(value);
        }
        let usage = status.as_ref().map(|status| Use {
            executions: status.execution_count,
            queued: status.queued.len(),
            snapshots: status.snapshots,
            incarnations: status.incarnation,
        });
        SessionView {
            id: self.session.id().to_owned(),
            state,
            input: status.as_ref().and_then(|status| status.inputs.first()).map(InputView::from),
            earliest,
            last,
            begins_after: self.record.begins_after,
            running: status.as_ref().and_then(|status| status.running.clone()),
            transaction: status.as_ref().and_then(|status| status.transaction.clone()),
            isolation: options.isolation.as_ref().map_or("none", |isolation| isolation.name()).to_owned(),
            limits: serde_json::to_value(&options.limits).unwrap_or_default(),
            usage: usage.unwrap_or_default(),
            python: self.session.python(),
            labels: spec.labels.clone().unwrap_or_default(),
            created_at: self.record.created_at,
            lineage: self.session.lineage().map(LineageView::from),
            options: shown,
        }
    }
}
